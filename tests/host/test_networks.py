"""Networks in a real ComfyUI's care: the same numbers wherever they lie, patches put on and taken off, and memory that stays level."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from .conftest import Template
from .server import PACK, Server, in_host, interpreter, only

pytestmark = pytest.mark.slow


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

    layer = "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_v"
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


def test_memory_is_level_after_ten_runs(server: Server, template: Template) -> None:
    psutil = pytest.importorskip("psutil")
    process, prompt = psutil.Process(server.process.pid), template("1")
    sampler, sizes = only(prompt, "HunyuanPortraitSampler"), []
    for seed in range(10):
        prompt[sampler]["inputs"]["seed"] = 1000 + seed
        assert server.run(prompt).status == "success"
        sizes.append(process.memory_info().rss)
    assert sizes[-1] < 1.05 * sizes[1] + 50e6, [round(size / 1e6) for size in sizes]
