"""Cancel in every stage of a real ComfyUI: it comes at once, and the next run is as if nothing had been."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest

from hp_core.weights.tools import init_folder

from .conftest import Template
from .server import Server, interpreter, only, pixels

pytestmark = pytest.mark.slow

STAGES = (
    *("Load", "DrawnFaces", "FaceCrop", "MotionEncode", "AppearanceEncode", "DwposeKeypoints", "PoseAlign", "Sampler", "Decode"),
    *("PasteBack", "TrackPreview"),
)
AT_ONCE = ("AppearanceEncode", "PoseAlign")
"""Done before Cancel can reach them, sooner than one call of the UNet; the host looks at it before the next block."""


def add_dwpose(server: Server) -> None:
    """The two files of DWPose, as small stand-ins that find everybody where the picture is reddest."""
    pytest.importorskip("onnx")
    if subprocess.run([interpreter(server.checkout), "-c", "import rtmlib"], capture_output=True, check=False).returncode:
        pytest.skip(f"rtmlib is not installed beside {server.checkout}")
    from tests.pose.test_dwpose import detector, estimator

    folder = server.base / "models" / "HunyuanPortrait" / "dwpose"
    folder.mkdir(exist_ok=True)
    detector(folder / "yolox_l.onnx", [])
    estimator(folder / "dw-ll_ucoco_384.onnx")


def defaults(server: Server, kind: str) -> dict[str, Any]:
    """Every widget of a block as it comes."""
    inputs = [item for part in ("required", "optional") for item in server.schemas[kind]["input"].get(part, {}).items()]
    return {name: given[1]["default"] for name, given in inputs if len(given) > 1 and "default" in given[1]}


def add_stage(server: Server, prompt: dict[str, Any], stage: str) -> None:
    """Blocks that template 1 does without: skeletons for the sampler, pasting between Decode and Create Video, and a look at the
    driving track."""
    decode, video = only(prompt, "HunyuanPortraitDecode"), only(prompt, "CreateVideo")
    tracks = [number for number, node in prompt.items() if node["class_type"] == "HunyuanPortraitFaceCrop"]
    portrait = next(number for number in tracks if "images" in prompt[number]["inputs"])
    driving = next(number for number in tracks if number != portrait)
    if stage in ("PoseAlign", "DwposeKeypoints"):
        align = defaults(server, "HunyuanPortraitPoseAlign") | {"mode": "identity", "face_track": [driving, 0], "portrait": [portrait, 0]}
        prompt["900"] = {"class_type": "HunyuanPortraitPoseAlign", "inputs": align}
        prompt[only(prompt, "HunyuanPortraitSampler")]["inputs"]["pose"] = ["900", 0]
    if stage == "DwposeKeypoints":
        add_dwpose(server)
        inputs = {"start": 0, "frames": 0, "video": prompt[driving]["inputs"]["video"]}
        prompt["899"] = {"class_type": "HunyuanPortraitDwposeKeypoints", "inputs": inputs}
        align["driving_keypoints"] = ["899", 0]
    if stage == "PasteBack":
        inputs = {"images": [decode, 0], "portrait": [portrait, 0], "region": "crop", "match_colour": True, "even_size": True}
        prompt["900"] = {"class_type": "HunyuanPortraitPasteBack", "inputs": inputs}
        prompt[video]["inputs"]["images"] = ["900", 0]
    if stage == "TrackPreview":
        prompt["900"] = {"class_type": "HunyuanPortraitTrackPreview", "inputs": {"face_track": [driving, 0], "side": 1024}}


def shown(server: Server, prompt: dict[str, Any]) -> list[bytes]:
    """Every picture that Portrait Decode makes."""
    prompt["901"] = {"class_type": "PreviewImage", "inputs": {"images": [only(prompt, "HunyuanPortraitDecode"), 0]}}
    run = server.run(prompt)
    assert run.status == "success", run.error
    assert "901" in run.executed
    return [pixels(server, item) for item in run.outputs["901"]["images"]]


@pytest.mark.parametrize("stage", STAGES)
def test_cancel_stops_a_stage_at_once_and_the_next_run_is_right(server: Server, template: Template, stage: str) -> None:
    prompt = template("1")
    faces = prompt[only(prompt, "HunyuanPortraitDrawnFaces")]["inputs"]
    faces |= {"frames": 60, "pair": 20 + STAGES.index(stage)}  # nothing of this is cached
    if stage == "Load":
        for _ in init_folder(server.base / "models" / "HunyuanPortrait" / "fresh", "demo"):
            pass
        prompt[only(prompt, "HunyuanPortraitLoad")]["inputs"]["weights"] = "HunyuanPortrait/fresh"
    prompt[only(prompt, "HunyuanPortraitSampler")]["inputs"]["steps"] = 8
    add_stage(server, prompt, stage)
    run = server.run(prompt, cancel_in=f"HunyuanPortrait{stage}")
    assert run.status == "interrupted"
    last = [prompt[number]["class_type"] for number in run.executed[-2:]]
    assert f"HunyuanPortrait{stage}" in (last if stage in AT_ONCE else last[-1:])
    assert run.late <= 2, "the step that ran when Cancel was pressed, and one under way to it"
    faces["frames"], prompt[only(prompt, "HunyuanPortraitSampler")]["inputs"]["steps"] = 6, 2
    after = shown(server, prompt)
    server.forget()
    assert after == shown(server, prompt), "as of a host in which nothing was ever cancelled"
    assert len(after) == 6


def test_cancelling_leaves_no_memory_behind(server: Server, template: Template) -> None:
    psutil = pytest.importorskip("psutil")
    process, sizes = psutil.Process(server.process.pid), []
    for number in range(9):
        prompt = template("1")
        prompt[only(prompt, "HunyuanPortraitDrawnFaces")]["inputs"] |= {"frames": 60, "pair": 50 + number}
        prompt[only(prompt, "HunyuanPortraitSampler")]["inputs"]["steps"] = 8
        stage = ("FaceCrop", "MotionEncode", "Sampler")[number % 3]
        assert server.run(prompt, cancel_in=f"HunyuanPortrait{stage}").status == "interrupted"
        sizes.append(process.memory_info().rss)
    assert sizes[-1] < 1.05 * sizes[2] + 50e6, [round(size / 1e6) for size in sizes]
