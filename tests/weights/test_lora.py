"""LoRA files of three layouts, merged into the UNet's weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from hp_core.commands.parse import lora as parsed
from hp_core.config import PortraitConfig
from hp_core.errors import OptionError, WeightsError
from hp_core.progress import result
from hp_core.unet.model import PortraitUNet
from hp_core.weights.load import fingerprint, load_models
from hp_core.weights.lora import Lora, lora_fingerprint, merge_loras, read_lora

BLOCK = "down_blocks.1.attentions.0.transformer_blocks.0"
LAYERS = {  # linear layers, a projection inside a sequence, a linear of the motion tokens, and convolutions in two and three dimensions
    "to_q": f"{BLOCK}.attn1.to_q",
    "to_out": f"{BLOCK}.attn1.to_out.0",
    "ip": f"{BLOCK}.attn2.processor.to_k_ip.0",
    "conv": "down_blocks.0.resnets.0.spatial_res_block.conv1",
    "time": "down_blocks.0.resnets.0.temporal_res_block.conv1",
    "shortcut": "up_blocks.2.resnets.0.spatial_res_block.conv_shortcut",
}
LAYOUTS: dict[str, tuple[str, str, bool]] = {  # names of both factors, and whether kohya's underscores and alpha come with them
    "peft": ("unet.{}.lora_A.weight", "unet.{}.lora_B.weight", False),
    "peft alone": ("base_model.model.{}.lora_A.default.weight", "base_model.model.{}.lora_B.default.weight", False),
    "diffusers": ("unet.{}.lora.down.weight", "unet.{}.lora.up.weight", False),
    "kohya": ("lora_unet_{}.lora_down.weight", "lora_unet_{}.lora_up.weight", True),
}
RANK = 2


@pytest.fixture
def unet() -> PortraitUNet:
    torch.manual_seed(0)
    return PortraitUNet.from_config(PortraitConfig.demo().unet).eval().requires_grad_(False)


def factors(unet: nn.Module, layer: str) -> tuple[Tensor, Tensor]:
    """(rank, in, *kernel) and (out, rank, 1...) for a layer."""
    weight = unet.get_submodule(layer).weight
    assert isinstance(weight, Tensor)
    return torch.randn(RANK, *weight.shape[1:]), torch.randn(len(weight), RANK, *([1] * (weight.ndim - 2)))


def written(path: Path, unet: nn.Module, layout: str = "peft", **more: Any) -> tuple[Path, dict[str, tuple[Tensor, Tensor]]]:
    """A file of all `LAYERS`, and its factors by layer."""
    down_name, up_name, kohya = LAYOUTS[layout]
    made, tensors = {}, {}
    for layer in LAYERS.values():
        down, up = made[layer] = factors(unet, layer)
        said = layer.replace(".", "_") if kohya else layer
        tensors |= {down_name.format(said): down, up_name.format(said): up}
        if kohya:
            tensors[f"lora_unet_{said}.alpha"] = torch.tensor(1.0)
    save_file({**tensors, **more}, path)
    return path, made


@pytest.mark.parametrize("layout", LAYOUTS)
def test_weights_are_the_old_ones_and_the_product(unet: PortraitUNet, tmp_path: Path, layout: str) -> None:
    before = {name: value.clone() for name, value in unet.state_dict().items()}
    path, made = written(tmp_path / "a.safetensors", unet, layout)
    merge_loras(unet, [Lora(path, 0.5)], torch.float32)
    after = unet.state_dict()
    scale = 0.5 * (1 / RANK if layout == "kohya" else 1)  # alpha 1, or as large as the rank
    for layer, (down, up) in made.items():
        old = before.pop(f"{layer}.weight")
        product = (up.flatten(1) @ down.flatten(1)).reshape(old.shape)
        torch.testing.assert_close(after[f"{layer}.weight"], old + scale * product)
        assert not torch.allclose(after[f"{layer}.weight"], old, atol=0.1)
    assert all(torch.equal(value, after[name]) for name, value in before.items()), "only those it names"


def test_names_of_the_old_attention_processors(unet: PortraitUNet, tmp_path: Path) -> None:
    tensors, made = {}, {}
    for projection, layer in (("to_v", f"{BLOCK}.attn1.to_v"), ("to_out", f"{BLOCK}.attn1.to_out.0")):
        down, up = made[layer] = factors(unet, layer)
        tensors |= {f"unet.{BLOCK}.attn1.processor.{projection}_lora.{part}.weight": t for part, t in (("down", down), ("up", up))}
    save_file(tensors, tmp_path / "a.safetensors")
    found = read_lora(tmp_path / "a.safetensors", unet)
    assert set(found) == {f"{layer}.weight" for layer in made}
    for layer, (down, up) in made.items():
        torch.testing.assert_close(found[f"{layer}.weight"].delta(), up @ down)


def test_linear_factors_may_be_stored_as_convolutions(unet: PortraitUNet, tmp_path: Path) -> None:
    down, up = factors(unet, LAYERS["to_q"])
    name = f"lora_unet_{LAYERS['to_q'].replace('.', '_')}"
    save_file(
        {f"{name}.lora_down.weight": down[..., None, None], f"{name}.lora_up.weight": up[..., None, None]}, tmp_path / "a.safetensors"
    )
    found = read_lora(tmp_path / "a.safetensors", unet)[f"{LAYERS['to_q']}.weight"]
    torch.testing.assert_close(found.delta(), up @ down)


def test_the_header_s_alpha_counts(unet: PortraitUNet, tmp_path: Path) -> None:
    down, up = factors(unet, LAYERS["to_q"])
    tensors = {f"unet.{LAYERS['to_q']}.lora_A.weight": down, f"unet.{LAYERS['to_q']}.lora_B.weight": up}

    def scale(**header: Any) -> float:
        said = {f"unet.{key}": value for key, value in header.items()}
        save_file(tensors, tmp_path / "a.safetensors", {"lora_adapter_metadata": json.dumps(said)})
        return float((read_lora(tmp_path / "a.safetensors", unet)[f"{LAYERS['to_q']}.weight"].delta() / (up @ down)).mean())

    assert scale(r=RANK, lora_alpha=8) == pytest.approx(8 / RANK)
    assert scale(r=RANK, lora_alpha=8, alpha_pattern={"attn1.to_q": 1}) == pytest.approx(1 / RANK)
    with pytest.raises(WeightsError, match="made with use_dora"):
        scale(use_dora=True)
    with pytest.raises(WeightsError, match="lora_adapter_metadata"):
        scale(lora_alpha="much")


def test_strength_zero_changes_no_bit_and_two_add_up(unet: PortraitUNet, tmp_path: Path) -> None:
    unet.half()
    before = {name: value.clone() for name, value in unet.state_dict().items()}
    first, made = written(tmp_path / "a.safetensors", unet)
    second, _ = written(tmp_path / "b.safetensors", unet)
    merge_loras(unet, [Lora(first, 0.0)], torch.float16)
    assert all(torch.equal(value.view(torch.int16), before[name].view(torch.int16)) for name, value in unet.state_dict().items())
    merge_loras(unet, [Lora(first, 1.0), Lora(second, 0.5), Lora(second, -0.5)], torch.float16)
    layer = LAYERS["conv"]
    down, up = made[layer]
    old = before[f"{layer}.weight"]
    product = (up.float().flatten(1) @ down.float().flatten(1)).reshape(old.shape)
    assert unet.state_dict()[f"{layer}.weight"].dtype == torch.float16
    torch.testing.assert_close(unet.state_dict()[f"{layer}.weight"], (old.float() + product).half(), rtol=2e-3, atol=1e-3)


def refusal(unet: PortraitUNet, path: Path) -> str:
    before = {name: value.clone() for name, value in unet.state_dict().items()}
    with pytest.raises(WeightsError) as caught:
        merge_loras(unet, [Lora(path)], torch.float32)
    assert all(torch.equal(value, before[name]) for name, value in unet.state_dict().items())
    return str(caught.value)


def test_what_does_not_fit_is_named(unet: PortraitUNet, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    written(path, unet, **{"lora_te_text_model.lora_down.weight": torch.zeros(2, 3), "unet.nowhere.lora_A.weight": torch.zeros(2, 3)})
    said = refusal(unet, path)
    assert "2 of its 14 keys find no layer, first 'lora_te_text_model.lora_down.weight'" in said
    written(path, unet, **{f"unet.{LAYERS['to_q']}.dora_scale": torch.zeros(3)})
    assert "1 of its 13 keys find no layer" in refusal(unet, path)
    down, up = factors(unet, LAYERS["to_q"])
    name = f"unet.{LAYERS['to_q']}"
    for one, other in ((down[:, :-1], up), (down, up[:-1]), (down[:1], up), (down[0], up), (down, up[:, 0])):
        save_file({f"{name}.lora_A.weight": one.contiguous(), f"{name}.lora_B.weight": other.contiguous()}, path)
        assert f"'{LAYERS['to_q']}' is [96, 96], and its factors are" in refusal(unet, path)
    save_file({f"{name}.lora_A.weight": down}, path)
    assert f"lacks the factor up of '{LAYERS['to_q']}'" in refusal(unet, path)
    save_file({f"{name}.lora_A.weight": down, f"{name}.lora_B.weight": up * float("nan")}, path)
    assert "NaN or infinity in" in refusal(unet, path)
    save_file({f"{name}.lora_A.weight": down, f"{name}.lora_B.weight": up, f"{name}.alpha": torch.ones(2)}, path)
    assert "not a number" in refusal(unet, path)
    save_file({}, path)
    assert "is empty" in refusal(unet, path)
    path.write_bytes(b"<html>")
    assert "damaged" in refusal(unet, path)


def test_a_file_and_its_strength_in_one_word(tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").touch()
    (tmp_path / "a:b.safetensors").touch()
    assert parsed(f"{tmp_path}/a.safetensors") == Lora(tmp_path / "a.safetensors", 1.0)
    assert parsed(f"{tmp_path}/a.safetensors:0.75") == Lora(tmp_path / "a.safetensors", 0.75)
    assert parsed(f"{tmp_path}/a:b.safetensors") == Lora(tmp_path / "a:b.safetensors", 1.0)
    for text, error, words in (
        ("none.safetensors", WeightsError, "is not there"),
        ("none.pt:1", WeightsError, "no .safetensors file"),
        ("a.safetensors:11", OptionError, "strength of a.safetensors is 11; it must be between -10 and 10"),
        ("a.safetensors:nan", OptionError, "strength of a.safetensors is nan"),
    ):
        with pytest.raises(error, match=words):
            parsed(f"{tmp_path}/{text}")


@pytest.mark.slow
def test_loaded_weights_carry_it_and_say_so(demo_weights: Path, unet: PortraitUNet, tmp_path: Path) -> None:
    path, made = written(tmp_path / "a.safetensors", unet)

    def loaded(*loras: Lora) -> Any:
        return result(load_models(demo_weights, device="cpu", dtype=torch.float32, loras=loras))

    plain, half, none = loaded(), loaded(Lora(path, 0.5)), loaded(Lora(path, 0.0))
    assert plain.fingerprint == none.fingerprint == fingerprint(demo_weights)
    assert len({plain.fingerprint, half.fingerprint, lora_fingerprint(plain.fingerprint, [Lora(path, 1.0)])}) == 3
    assert half.fingerprint == lora_fingerprint(plain.fingerprint, [Lora(path, 0.5)])
    assert half.motion_fingerprint == plain.motion_fingerprint
    down, up = made[LAYERS["to_q"]]
    old, new = (models.unet.get_submodule(LAYERS["to_q"]).weight for models in (plain, half))
    torch.testing.assert_close(new, old + 0.5 * up @ down)
    assert not new.requires_grad


def test_every_layer_of_the_released_unet_has_a_name_of_its_own_in_kohya_s_underscores() -> None:
    with torch.device("meta"):
        unet = PortraitUNet.from_config(PortraitConfig.released().unet)
    names = [name for name, weight in unet.named_parameters() if name.endswith(".weight") and weight.ndim > 1]
    assert len({name.replace(".", "_") for name in names}) == len(names) > 600
