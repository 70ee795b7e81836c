"""The pack in a real ComfyUI: every template, what is computed again, cancelling, mistakes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from hp_core.weights.tools import init_folder

from .conftest import Template
from .server import PACK, Server, interpreter

pytestmark = pytest.mark.slow

NUMBERS = [path.stem.split("-")[1] for path in sorted((PACK / "workflows").glob("*.json"))]


def only(prompt: dict[str, Any], kind: str) -> str:
    """The id of the one block of class ``kind``."""
    (found,) = (number for number, node in prompt.items() if node["class_type"] == kind)
    return found


def pixels(server: Server, item: dict[str, str]) -> bytes:
    """A preview's picture; its file also holds the prompt that asked for it first."""
    return Image.open(server.base / "temp" / item["subfolder"] / item["filename"]).convert("RGB").tobytes()


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


def in_host(server: Server, script: str) -> Any:
    """What a script of this folder prints when ComfyUI's own Python runs it."""
    command = [interpreter(server.checkout), str(PACK / "tests" / "host" / script), str(server.checkout), str(PACK)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr[-2000:]
    return json.loads(run.stdout.strip().splitlines()[-1])


def test_the_vae_is_diffusers_own(server: Server) -> None:
    """Of SVD's full size, with random weights: what ComfyUI's VAE decodes and encodes against diffusers."""
    errors = in_host(server, "vae_in_host.py")
    assert set(errors) == {"decoded", "encoded", "original layout"}
    assert all(error < 1e-4 for error in errors.values()), errors


def test_a_unet_in_eight_bits_may_be_left_behind_in_part(server: Server) -> None:
    """What ComfyUI leaves off the card is brought over layer by layer, and the result is that of the UNet alone."""
    found = in_host(server, "fp8_in_host.py")
    assert found["layers left behind"] > 20
    assert found["layers brought"] > 20
    assert found["plain parameters left behind"] == 0
    assert found["device of the result"] == "meta"
    assert found["dtypes"] == ["torch.float16", "torch.float32", "torch.float8_e4m3fn"]
    assert found["difference"] == 0


def test_a_unet_of_which_part_stays_behind_is_the_whole_one(server: Server) -> None:
    """On a device of its own, as on a card: what lies elsewhere is brought over for its moment, and the result is the same bit for bit."""
    ways = in_host(server, "partial_load_in_host.py")
    assert ways.pop("left on the device") == 0
    assert ways["whole"]["difference from the plain network"] < 1e-5
    assert ways["whole"]["behind"] == ways["whole"]["brought over"] == 0
    assert ways["nothing"]["behind"] == ways["nothing"]["layers"]
    for name, seen in ways.items():
        assert seen.get("difference") == 0, f"{name}: {seen}"
        assert seen["brought over"] == seen["behind"], f"{name}: {seen}"
        assert name == "whole" or seen["behind"] > 0, f"{name}: {seen}"
    counts = [ways[name]["behind"] for name in ("half", "a tenth", "nothing")]
    assert counts == sorted(set(counts))
    assert ways["a quarter loaded again"]["behind"] < ways["half unloaded"]["behind"]


def test_the_blocks_run_on_any_device_however_little_room_it_has(server: Server) -> None:
    ways = in_host(server, "blocks_on_device_in_host.py")
    assert ways.pop("left on the device") == 0
    assert ways.pop("spread") > 0.05
    assert {name: seen["difference"] for name, seen in ways.items()} == dict.fromkeys(ways, 0.0)
    shares = {name: seen["share"] for name, seen in ways.items()}
    assert shares.pop("tight the second time") > 0  # newer hosts take a part away, older ones leave the UNet where it is
    assert shares == {"roomy": 1, "frugal": 0, "whole": 1, "no room": 0}


def test_starting_costs_little_and_imports_nothing_heavy(server: Server) -> None:
    """Of the processor's time: a clock on the wall also counts what else the machine does."""
    start = in_host(server, "start_in_host.py")
    assert start["seconds"] <= 0.3
    heavy = {"diffusers", "mediapipe", "onnxruntime", "cv2", "insightface", "skimage", "sklearn", "tensorflow", "typer", "rich"}
    assert not heavy & set(start["packages"])


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
