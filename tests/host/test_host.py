"""The pack in a real ComfyUI: every template, what is computed again, cancelling, mistakes."""

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
from .server import PACK, Server, interpreter

pytestmark = pytest.mark.slow

NUMBERS = [path.stem.split("-")[1] for path in sorted((PACK / "workflows").glob("*.json"))]


def only(prompt: dict[str, Any], kind: str) -> str:
    """The id of the one block of class ``kind``."""
    (found,) = (number for number, node in prompt.items() if node["class_type"] == kind)
    return found


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
        server.post("/free", {"unload_models": True, "free_memory": True})
        prompt = template("8")
        sampler = only(prompt, "HunyuanPortraitSampler")
        prompt[sampler]["inputs"]["seed"] = 5
        server.run(prompt)
        prompt[sampler]["inputs"]["seed"] = 4
        run = server.run(prompt)
        assert sampler in run.executed
        previews = [number for number, node in prompt.items() if node["class_type"] == "PreviewImage"]
        pictures = [item for number in previews for item in run.outputs.get(number, {}).get("images", [])]
        files.append([(server.base / "temp" / item["subfolder"] / item["filename"]).read_bytes() for item in pictures])
    assert files[0] == files[1]
    assert files[0]


def test_the_sampler_shows_where_it_stands(server: Server, template: Template) -> None:
    prompt = template("1")
    prompt[only(prompt, "HunyuanPortraitDrawnFaces")]["inputs"] |= {"frames": 6, "pair": 40}
    run = server.run(prompt)
    assert run.status == "success"
    assert run.previews > 0, "a set of another VAE has live previews too"


STAGES = ("Load", "DrawnFaces", "FaceCrop", "MotionEncode", "Sampler", "Decode", "PasteBack", "TrackPreview")


def add_stage(prompt: dict[str, Any], stage: str) -> None:
    """Two blocks that template 1 does without: pasting between Decode and Create Video, and a look at the driving track."""
    decode, video = only(prompt, "HunyuanPortraitDecode"), only(prompt, "CreateVideo")
    tracks = [number for number, node in prompt.items() if node["class_type"] == "HunyuanPortraitFaceCrop"]
    portrait = next(number for number in tracks if "images" in prompt[number]["inputs"])
    driving = next(number for number in tracks if number != portrait)
    if stage == "PasteBack":
        inputs = {"images": [decode, 0], "portrait": [portrait, 0], "region": "crop", "match_colour": True, "even_size": True}
        prompt["900"] = {"class_type": "HunyuanPortraitPasteBack", "inputs": inputs}
        prompt[video]["inputs"]["images"] = ["900", 0]
    if stage == "TrackPreview":
        prompt["900"] = {"class_type": "HunyuanPortraitTrackPreview", "inputs": {"face_track": [driving, 0], "side": 1024}}


@pytest.mark.parametrize("stage", STAGES)
def test_cancel_stops_a_stage_and_the_next_run_is_whole(server: Server, template: Template, stage: str) -> None:
    prompt = template("1")
    faces = prompt[only(prompt, "HunyuanPortraitDrawnFaces")]["inputs"]
    faces |= {"frames": 60, "pair": 20 + STAGES.index(stage)}  # nothing of this is cached
    if stage == "Load":
        for _ in init_folder(server.base / "models" / "HunyuanPortrait" / "fresh", "demo"):
            pass
        prompt[only(prompt, "HunyuanPortraitLoad")]["inputs"]["weights"] = "HunyuanPortrait/fresh"
    prompt[only(prompt, "HunyuanPortraitSampler")]["inputs"]["steps"] = 8
    add_stage(prompt, stage)
    run = server.run(prompt, cancel_in=f"HunyuanPortrait{stage}")
    assert run.status == "interrupted"
    assert prompt[run.executed[-1]]["class_type"] == f"HunyuanPortrait{stage}"
    faces["frames"] = 6
    assert server.run(prompt).status == "success"


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


def test_the_vae_is_diffusers_own(server: Server) -> None:
    """Of SVD's full size, with random weights: what ComfyUI's VAE decodes and encodes against diffusers."""
    code = (PACK / "tests" / "host" / "vae_in_host.py").read_text(encoding="utf-8")
    run = subprocess.run(
        [interpreter(server.checkout), "-c", code, str(server.checkout), str(PACK)], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr[-2000:]
    errors = json.loads(run.stdout.strip().splitlines()[-1])
    assert set(errors) == {"decoded", "encoded", "original layout"}
    assert all(error < 1e-4 for error in errors.values()), errors


def test_starting_imports_nothing_heavy(server: Server) -> None:
    code = (
        "import asyncio, importlib.util, sys; checkout, pack = sys.argv[1:3]; sys.argv = sys.argv[:1]; sys.path.insert(0, checkout); "
        "from comfy.cli_args import args; args.cpu = True; import comfy.sd, nodes; before = set(sys.modules); "
        "spec = importlib.util.spec_from_file_location('pack', pack + '/__init__.py', submodule_search_locations=[pack]); "
        "module = importlib.util.module_from_spec(spec); sys.modules['pack'] = module; spec.loader.exec_module(module); "
        "extension = asyncio.run(module.comfy_entrypoint()); "
        "[node.GET_NODE_INFO_V1() for node in asyncio.run(extension.get_node_list())]; "
        "print(*sorted({name.split('.')[0] for name in set(sys.modules) - before}))"
    )
    run = subprocess.run(
        [interpreter(server.checkout), "-c", code, str(server.checkout), str(PACK)], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr[-2000:]
    new = set(run.stdout.strip().splitlines()[-1].split())
    assert not new & {"diffusers", "mediapipe", "onnxruntime", "cv2", "insightface", "skimage", "sklearn", "tensorflow", "typer", "rich"}


def test_memory_is_level_after_ten_runs(server: Server, template: Template) -> None:
    psutil = pytest.importorskip("psutil")
    process, prompt = psutil.Process(server.process.pid), template("1")
    sampler, sizes = only(prompt, "HunyuanPortraitSampler"), []
    for seed in range(10):
        prompt[sampler]["inputs"]["seed"] = 1000 + seed
        assert server.run(prompt).status == "success"
        sizes.append(process.memory_info().rss)
    assert sizes[-1] < 1.05 * sizes[1] + 50e6, [round(size / 1e6) for size in sizes]


def test_templates_and_help_are_served(server: Server) -> None:
    listed = server.get("/workflow_templates")
    assert sorted(listed["hunyuanportrait"]) == sorted(path.stem for path in (PACK / "workflows").glob("*.json"))


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


def test_the_weights_with_a_lora_are_the_sum_and_then_the_old_ones(server: Server, tmp_path: Path) -> None:
    """Put on, made stronger, put on again, taken off, and two in a row, in ComfyUI's care."""
    code = (PACK / "tests" / "host" / "lora_in_host.py").read_text(encoding="utf-8")
    weights = server.base / "models" / "HunyuanPortrait"
    line = [interpreter(server.checkout), "-c", code, str(server.checkout), str(PACK), str(weights), str(tmp_path)]
    run = subprocess.run(line, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr[-2000:]
    found = json.loads(run.stdout.strip().splitlines()[-1])
    assert len(found["errors"]) == 8
    assert max(found["errors"]) < 1e-4, found
    assert found["the same in the end"] is found["zero is none"] is True


def test_a_lora_is_put_on_and_taken_off(server: Server, template: Template) -> None:
    """A new strength runs the sampler alone; the first one gives what it gave before, so nothing has been added up."""
    import torch
    from PIL import Image
    from safetensors.torch import save_file

    layer = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_v"
    generator = torch.Generator().manual_seed(0)
    factors = {"A": torch.randn(2, 96, generator=generator), "B": torch.randn(96, 2, generator=generator)}
    folder = server.base / "models" / "loras"
    folder.mkdir(exist_ok=True)
    save_file({f"unet.{layer}.lora_{name}.weight": factor for name, factor in factors.items()}, folder / "made.safetensors")
    save_file({"unet.nowhere.lora_A.weight": factors["A"]}, folder / "other.safetensors")
    prompt = template("8")
    sampler = only(prompt, "HunyuanPortraitSampler")
    model = prompt[sampler]["inputs"]["model"]

    def pictures(strength: float | None, file: str = "made.safetensors") -> tuple[list[bytes], set[str]]:
        if strength is None:
            prompt[sampler]["inputs"]["model"] = model
        else:
            prompt["lora"] = {"class_type": "HunyuanPortraitLora", "inputs": {"model": model, "lora": file, "strength": strength}}
            prompt[sampler]["inputs"]["model"] = ["lora", 0]
        run = server.run(prompt)
        assert run.status == "success", run.error
        previews = [number for number, node in prompt.items() if node["class_type"] == "PreviewImage"]
        shown = [item for number in previews for item in run.outputs.get(number, {}).get("images", [])]
        files = [server.base / "temp" / item["subfolder"] / item["filename"] for item in shown]
        return [Image.open(path).tobytes() for path in files], {prompt[number]["class_type"] for number in run.executed}

    plain, _ = pictures(None)
    one, _ = pictures(1.0)
    strong, ran = pictures(2.0)
    assert "HunyuanPortraitLoad" not in ran
    assert "HunyuanPortraitAppearanceEncode" not in ran
    again, ran = pictures(1.0)
    assert "HunyuanPortraitSampler" in ran
    assert again == one
    assert pictures(0.0)[0] == plain
    assert plain
    assert len({b"".join(each) for each in (plain, one, strong)}) == 3
    prompt["lora"]["inputs"]["lora"] = "other.safetensors"
    failed = server.run(prompt)
    assert failed.status == "error"
    assert "1 of its 1 keys find no layer, first 'unet.nowhere.lora_A.weight'" in failed.error["exception_message"]
