"""A real picture and a real video through every stage, as the README says."""

from __future__ import annotations

import json
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from hp_core.video import probe, read_frames


def hp_portrait(*arguments: object) -> str:
    code = "from hp_core.cli import main; main()"
    return subprocess.run([sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, check=True).stdout


@pytest.mark.slow
def test_animate(portrait_image: Path, driving_video: Path, tmp_path: Path) -> None:
    weights, output = tmp_path / "W", tmp_path / "out.mp4"
    hp_portrait("init", "--preset", "demo", weights)
    facts = json.loads(hp_portrait("animate", portrait_image, driving_video, "-o", output, "--weights", weights, "--json"))
    info = probe(output)
    assert (info.frames, info.fps, info.has_audio) == (120, Fraction(30), True)
    assert (info.width, info.height) == Image.open(portrait_image).size
    assert any("untrained" in notice for notice in facts["notices"])
    assert any("ID embedding is zeros" in notice for notice in facts["notices"])
    sound, original = packets(output), packets(driving_video)
    assert sound == original[: len(sound)]  # its own packets, not encoded again
    assert len(original) - len(sound) <= 2  # cut where the video ends
    # outside the pasted square the portrait is untouched, up to the video's own loss
    frame, portrait = next(read_frames(output)), np.asarray(Image.open(portrait_image).convert("RGB"))
    assert np.abs(frame[:4].astype(int) - portrait[:4]).mean() < 6
    assert sorted(path.name for path in tmp_path.iterdir()) == ["W", "out.mp4"]


def packets(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(audio=0) if packet.size]
