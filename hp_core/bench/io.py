"""What surrounds the networks: reading a video, finding faces in it, writing one."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hp_core.bench.faces import face_speed
from hp_core.face.analyzer import FaceAnalyzer


def io_speed(video: Path, analyzer: FaceAnalyzer, *, limit: int | None = None) -> dict[str, Any]:
    """Frames a second of decoding, detecting and encoding ``video``, each alone; at most ``limit`` frames.

    Raises:
        VideoError: the video cannot be read.
    """
    from hp_core.video import VideoWriter, probe, read_frames

    info = probe(video)
    frames = list(read_frames(video, limit=limit))

    def rate(run: Callable[[], object]) -> float:
        start = time.perf_counter()
        run()
        return len(frames) / (time.perf_counter() - start)

    def decode() -> None:
        for _ in read_frames(video, limit=limit):
            pass

    def encode() -> None:
        with tempfile.TemporaryDirectory() as folder, VideoWriter(Path(folder) / "out.mp4", fps=info.fps) as writer:
            for frame in frames:
                writer.write(frame)

    return {
        "frames": len(frames),
        "size": [info.width, info.height],
        "analyzer": analyzer.name,
        "frames_per_second": {
            "decode": rate(decode),
            "detect": face_speed(frames, analyzer)["frames_per_second"],
            "encode": rate(encode),
        },
    }
