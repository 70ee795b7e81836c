"""One server for all tests of the host, with drawn media and a set of weights in it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from .server import PACK, Server, checkouts, lacks, to_prompt

websocket = pytest.importorskip("websocket", reason="the package websocket-client is not installed")
FRAMES = 12


def write_media(folder: Path) -> None:
    """Two people in one picture, and two driving videos, one with a frame without a face."""
    from hp_core.demo.world import HeldOutPair
    from hp_core.video import VideoWriter

    people = [HeldOutPair(index).portrait(384) for index in (3, 5)]
    Image.fromarray(np.hstack(people)).save(folder / "portrait.png")
    for name, index in (("driving.mp4", 3), ("driving2.mp4", 5)):
        with VideoWriter(folder / name, fps=Fraction(25, 2)) as writer:
            for frame in HeldOutPair(index).driving(FRAMES, 256):
                writer.write(frame)
    Image.fromarray(np.full((256, 256, 3), 127, np.uint8)).save(folder / "nobody.png")
    (folder / "empty.mp4").write_bytes(b"")


@pytest.fixture(scope="session", params=checkouts() or [None], ids=lambda path: path.name if path else "no ComfyUI")
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """ComfyUI with the pack, an untrained set of the demo's size in the released set's place, and drawn media."""
    if request.param is None:
        pytest.skip("no ComfyUI at ~/ComfyUI and none named by COMFYUI_PATH")
    reason = lacks(request.param)
    if reason:
        pytest.skip(reason)
    from hp_core.weights.tools import init_folder

    base = tmp_path_factory.mktemp("base")
    for name in ("input", "models"):
        (base / name).mkdir()
    for _ in init_folder(base / "models" / "HunyuanPortrait", "demo"):
        pass
    write_media(base / "input")
    running = Server(request.param, base)
    yield running
    running.close()


Template = Callable[[str], dict[str, Any]]


@pytest.fixture
def template(server: Server) -> Template:
    """A shipped template by the start of its name, as a prompt of few steps."""

    def read(number: str) -> dict[str, Any]:
        (path,) = (PACK / "workflows").glob(f"HunyuanPortrait-{number}-*.json")
        prompt = to_prompt(json.loads(path.read_text(encoding="utf-8")), server.schemas)
        for node in prompt.values():
            short = {"steps": 2, "frames": FRAMES, "pad_frames": 2}
            if node["class_type"] in ("HunyuanPortraitSampler", "HunyuanPortraitDrawnFaces", "HunyuanPortraitSamplerOptions"):
                node["inputs"] |= {name: value for name, value in short.items() if name in node["inputs"]}
        return prompt

    return read
