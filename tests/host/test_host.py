"""The pack in a real ComfyUI: every template, what is computed again, mistakes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from hp_core.weights.tools import init_folder

from .conftest import Template
from .server import PACK, Server, only, pixels

pytestmark = pytest.mark.slow

NUMBERS = [path.stem.split("-")[1] for path in sorted((PACK / "workflows").glob("*.json"))]


@pytest.mark.parametrize("number", NUMBERS)
def test_every_template_runs(server: Server, template: Template, number: str) -> None:
    prompt = template(number)
    run = server.run(prompt)
    assert run.status == "success", run.error
    assert run.messages.index("execution_start") < run.messages.index("executing") < run.messages.index("execution_success")
    assert set(run.executed) | set(run.cached) == set(prompt)
    shown = [item for output in run.outputs.values() for items in output.values() for item in items if isinstance(item, dict)]
    files = [server.base / item["type"] / item["subfolder"] / item["filename"] for item in shown if "filename" in item]
    assert files
    assert all(path.stat().st_size > 500 for path in files), files


def test_a_new_seed_runs_the_sampler_and_what_follows(server: Server, template: Template) -> None:
    prompt = template("1")
    server.run(prompt)
    sampler = only(prompt, "HunyuanPortraitSampler")
    prompt[sampler]["inputs"]["seed"] += 1
    run = server.run(prompt)
    again = {prompt[number]["class_type"] for number in run.executed} - {"HunyuanPortraitDownload"}  # which looks every time
    assert again == {"HunyuanPortraitSampler", "HunyuanPortraitDecode", "CreateVideo", "SaveVideo"}


def test_other_guidance_encodes_nothing_again(server: Server, template: Template) -> None:
    prompt = template("2")
    server.run(prompt)
    prompt[only(prompt, "HunyuanPortraitSampler")]["inputs"]["motion_guidance"] = 3.0
    run = server.run(prompt)
    again = {prompt[number]["class_type"] for number in run.executed}
    assert again == {"HunyuanPortraitSampler", "HunyuanPortraitDecode", "CreateVideo", "SaveVideo"}


def test_the_same_prompt_gives_the_same_video(server: Server, template: Template) -> None:
    files = []
    for _ in range(2):
        server.forget()
        prompt = template("8")
        sampler = only(prompt, "HunyuanPortraitSampler")
        prompt[sampler]["inputs"]["seed"] = 5
        server.run(prompt)
        prompt[sampler]["inputs"]["seed"] = 4
        run = server.run(prompt)
        assert sampler in run.executed
        previews = [number for number, node in prompt.items() if node["class_type"] == "PreviewImage"]
        pictures = [item for number in previews for item in run.outputs.get(number, {}).get("images", [])]
        files.append([pixels(server, item) for item in pictures])
    assert files[0] == files[1]
    assert files[0]


def test_the_sampler_shows_where_it_stands(server: Server, template: Template) -> None:
    prompt = template("1")
    prompt[only(prompt, "HunyuanPortraitDrawnFaces")]["inputs"] |= {"frames": 6, "pair": 40}
    run = server.run(prompt)
    assert run.status == "success"
    assert run.previews > 0, "a set of another VAE has live previews too"


def mistake(server: Server, prompt: dict[str, Any]) -> str:
    """First line of what the user is told."""
    run = server.run(prompt)
    assert run.status in ("error", "refused"), run
    return run.error["exception_message"] if run.status == "error" else str(run.error)


def test_a_picture_without_a_face_is_named(server: Server, template: Template) -> None:
    prompt = template("2")
    prompt[only(prompt, "LoadImage")]["inputs"]["image"] = "nobody.png"
    assert mistake(server, prompt).startswith("No face found in frame 0.")


def test_a_set_that_is_not_there_is_named(server: Server, template: Template) -> None:
    prompt = template("1")
    prompt[only(prompt, "HunyuanPortraitLoad")]["inputs"]["weights"] = "elsewhere"
    said = mistake(server, prompt)
    assert "elsewhere" in said


@pytest.mark.parametrize(("content", "words"), [(b"no weights", "damaged"), (b"", "damaged")])
def test_a_broken_file_is_named(server: Server, template: Template, content: bytes, words: str) -> None:
    broken = server.base / "models" / "HunyuanPortrait" / f"broken{len(content)}"
    for _ in init_folder(broken, "demo"):
        pass
    (broken / "hyportrait" / "unet.safetensors").write_bytes(content)
    prompt = template("1")
    prompt[only(prompt, "HunyuanPortraitLoad")]["inputs"]["weights"] = f"HunyuanPortrait/{broken.name}"
    said = mistake(server, prompt)
    assert words in said
    assert "unet.safetensors" in said


def test_a_file_that_would_run_code_is_refused(server: Server, template: Template, tmp_path: Path) -> None:
    import pickle

    import torch

    class Hostile:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "ran",))

    folder = server.base / "models" / "HunyuanPortrait" / "hostile"
    for _ in init_folder(folder, "demo"):
        pass
    (folder / "hyportrait" / "dino.safetensors").unlink()
    torch.save({"weight": Hostile()}, folder / "hyportrait" / "dino.pth", pickle_module=pickle)
    prompt = template("1")
    prompt[only(prompt, "HunyuanPortraitLoad")]["inputs"]["weights"] = "HunyuanPortrait/hostile"
    said = mistake(server, prompt)
    assert "could run code" in said
    assert not (tmp_path / "ran").exists()


def test_a_motion_of_other_encoders_is_refused(server: Server, template: Template) -> None:
    prompt = template("7")
    assert server.run(prompt).status == "success"
    saved = sorted((server.base / "output" / "motions").glob("*.safetensors"))[-1].name
    load, sampler = only(prompt, "HunyuanPortraitLoad"), only(prompt, "HunyuanPortraitSampler")
    prompt["100"] = {"class_type": "HunyuanPortraitMotionLoad", "inputs": {"file": saved}}
    prompt[sampler]["inputs"]["motion"] = ["100", 0]
    assert server.run(prompt).status == "success"
    other = server.base / "models" / "HunyuanPortrait" / "other"
    for _ in init_folder(other, "demo", seed=9):
        pass
    prompt[load]["inputs"]["weights"] = "HunyuanPortrait/other"
    assert mistake(server, prompt).startswith("The motion was made by the encoders")


def test_motions_are_cut_joined_mixed_and_given_another_rate(server: Server, template: Template) -> None:
    prompt = template("7")
    sampler, video = only(prompt, "HunyuanPortraitSampler"), only(prompt, "CreateVideo")
    whole = prompt[sampler]["inputs"]["motion"]
    defaults = {
        name: {
            key: spec[1]["default"]
            for key, spec in server.schemas[f"HunyuanPortrait{name}"]["input"]["required"].items()
            if "default" in spec[1]
        }
        for name in ("MotionTrim", "MotionJoin", "MotionMix", "MotionEdit")
    }
    chain = {
        "MotionTrim": {"motion": whole, "start": 2, "frames": 6},
        "MotionJoin": {"motion": ["MotionTrim", 0], "other": ["MotionTrim", 0], "blend": 2},
        "MotionMix": {"motion": ["MotionJoin", 0], "other": whole, "neutral": 1, "other_neutral": 2},
        "MotionEdit": {"motion": ["MotionMix", 0], "fps": 25.0},
    }
    for name, inputs in chain.items():
        prompt[name] = {"class_type": f"HunyuanPortrait{name}", "inputs": defaults[name] | inputs}
    prompt[sampler]["inputs"]["motion"] = ["MotionEdit", 0]
    prompt[video]["inputs"]["fps"] = ["MotionEdit", 1]
    prompt["shown"] = {"class_type": "PreviewImage", "inputs": {"images": prompt[video]["inputs"]["images"]}}
    run = server.run(prompt)
    assert run.status == "success", run.error
    frames = len(run.outputs["shown"]["images"])
    assert frames == 20, "6 + 6 - 2 frames, twice as many a second as the 12.5 they were made at"
    prompt["MotionTrim"]["inputs"]["start"] = 99
    assert mistake(server, prompt).startswith("start is 99")


def test_templates_and_help_are_served(server: Server) -> None:
    listed = server.get("/workflow_templates")
    assert sorted(listed["hunyuanportrait"]) == sorted(path.stem for path in (PACK / "workflows").glob("*.json"))


def test_of_a_sliced_video_only_the_slice_is_read(server: Server, template: Template) -> None:
    if "Video Slice" not in server.schemas:
        pytest.skip("this ComfyUI does not slice videos")
    prompt = template("2")
    face = next(name for name, node in prompt.items() if node["class_type"] == "HunyuanPortraitFaceCrop" and "video" in node["inputs"])
    slice_ = {"video": prompt[face]["inputs"]["video"], "start_time": 0.32, "duration": 0.4, "strict_duration": True}
    kept = {"slice": {"class_type": "Video Slice", "inputs": slice_}, face: prompt[face]}
    prompt[face]["inputs"]["video"] = ["slice", 0]
    for name in (slice_["video"][0], prompt[face]["inputs"]["analyzer"][0]):
        kept[name] = prompt[name]
    kept["shown"] = {"class_type": "PreviewImage", "inputs": {"images": [face, 1]}}
    run = server.run(kept)
    assert run.status == "success", run.error
    assert len(run.outputs["shown"]["images"]) == 5, "0.4 s of 12.5 frames/s"


def test_an_empty_video_is_named(server: Server, template: Template) -> None:
    prompt = template("2")
    prompt[only(prompt, "LoadVideo")]["inputs"]["file"] = "empty.mp4"
    assert "empty" in mistake(server, prompt)


def test_the_published_checker_finds_nothing_wrong(server: Server, tmp_path: Path) -> None:
    """`comfy workflow validate` and `comfy node validate` of comfy-cli."""
    comfy = os.environ.get("COMFY_CLI") or shutil.which("comfy")
    if comfy is None:
        pytest.skip("comfy-cli is not installed")
    info = tmp_path / "object_info.json"
    info.write_text(json.dumps(server.schemas), encoding="utf-8")
    calls = [["workflow", "validate", "--workflow", str(path), "--input", str(info)] for path in (PACK / "workflows").glob("*.json")]
    for call in [*calls, ["node", "validate"]]:
        run = subprocess.run(
            [comfy, "--skip-prompt", *call], capture_output=True, text=True, cwd=PACK, env=os.environ | {"DO_NOT_TRACK": "1"}, check=False
        )
        assert run.returncode == 0, f"{call}: {run.stdout}{run.stderr}"
