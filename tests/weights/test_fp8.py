"""The UNet's weights in eight bits: how far they are off, what they weigh, and what they survive."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hp_core.config import PortraitConfig
from hp_core.errors import OptionError
from hp_core.progress import result
from hp_core.unet.model import PortraitUNet
from hp_core.weights.fp8 import FP8, Fp8Layer, check_fp8, quantised, store_in_fp8
from hp_core.weights.load import load_models, load_module

DEMO = Path(__file__).parents[2] / "hp_core" / "demo" / "weights"
LAYERS: list[tuple[nn.Module, tuple[int, ...]]] = [
    (nn.Linear(24, 40), (5, 24)),
    (nn.Linear(24, 40, bias=False), (5, 24)),
    (nn.Conv2d(8, 16, 3, padding=1, stride=2), (2, 8, 9, 9)),
    (nn.Conv3d(8, 16, (3, 1, 1), padding=(1, 0, 0)), (2, 8, 4, 3, 3)),
]


def build() -> PortraitUNet:
    torch.manual_seed(0)
    return PortraitUNet.from_config(PortraitConfig.demo().unet).eval().requires_grad_(False)


def bound(weight: Tensor, scale: Tensor) -> Tensor:
    """Half a step of a number with three bits of mantissa, and of the evenly spaced ones nearest zero."""
    return torch.maximum(weight.abs() / 16, (scale / 1024).expand_as(weight))


def size(module: nn.Module) -> int:
    return sum(parameter.nbytes for parameter in module.parameters())


def test_each_channel_has_its_own_scale_and_the_error_is_that_of_three_bits() -> None:
    weight = torch.randn(60, 300, generator=torch.Generator().manual_seed(0)) * torch.logspace(-8, 3, 60)[:, None]
    weight[7] = 0
    stored, scale = quantised(weight)
    assert (stored.dtype, scale.dtype, scale.shape) == (FP8, torch.float32, (60, 1))
    kept = stored.float() * scale
    assert torch.isfinite(kept).all()
    assert ((kept - weight).abs() <= bound(weight, scale)).all()
    assert (kept[7] == 0).all()
    largest = weight.abs().argmax(1, keepdim=True)
    torch.testing.assert_close(kept.gather(1, largest), weight.gather(1, largest))  # the largest number of all is met
    one, single = quantised(weight.flatten()[None])  # a single scale for all channels would lose the small ones
    assert (one.float() * single - weight.flatten()).view(60, 300)[0].abs().max() > bound(weight, scale)[0].max()


@pytest.mark.parametrize(("plain", "shape"), LAYERS, ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@torch.no_grad()
def test_a_layer_computes_with_the_stored_numbers_in_the_dtype_of_its_input(
    plain: nn.Module, shape: tuple[int, ...], dtype: torch.dtype
) -> None:
    state = {name: tensor.clone() for name, tensor in plain.state_dict().items()}
    network = nn.Sequential(_copy(plain))
    store_in_fp8(network)
    layer: Any = network[0]
    x = torch.randn(shape).to(dtype)
    exact = _copy(plain)
    exact.load_state_dict(state | {"weight": layer.weight.float() * layer.scale})
    out = network.to(dtype)(x)
    assert out.dtype == dtype
    torch.testing.assert_close(out, exact.to(dtype)(x), rtol=4 * torch.finfo(dtype).eps, atol=4 * torch.finfo(dtype).eps)


def _copy(layer: nn.Module) -> Any:
    from copy import deepcopy

    return deepcopy(layer)


def test_small_weights_survive_in_float16() -> None:
    """Scales of a channel of small weights are below what float16 can tell apart."""
    network = nn.Sequential(nn.Linear(64, 4, bias=False))
    network[0].weight.data *= 1e-3  # type: ignore[operator]
    before = network[0].weight.detach().clone()
    store_in_fp8(network)
    weight, _ = network[0].dequantised(torch.zeros(1, 64, dtype=torch.float16))  # type: ignore[operator]
    scale: Any = network[0].scale
    assert ((weight.float() - before).abs() <= bound(before, scale) + 6e-8).all()  # and the last half step of float16


def test_what_is_stored_moves_but_is_never_cast() -> None:
    network = nn.Sequential(nn.Linear(8, 8))
    store_in_fp8(network)
    layer: Any = network[0]
    stored = layer.weight.view(torch.uint8).clone()
    for cast in (network.half, network.double, lambda: network.to(torch.bfloat16), lambda: network.to("cpu", torch.float16)):
        cast()
        assert (layer.weight.dtype, layer.scale.dtype) == (FP8, torch.float32)
        assert torch.equal(layer.weight.view(torch.uint8), stored)
    assert layer.bias.dtype == torch.float16
    network.to("meta", torch.bfloat16)
    assert {tensor.device.type for tensor in network.parameters()} == {"meta"}
    assert (layer.weight.dtype, layer.scale.dtype, layer.bias.dtype) == (FP8, torch.float32, torch.bfloat16)


def test_a_layer_brings_its_weights_to_its_input() -> None:
    """As ComfyUI leaves them behind where memory is short; `meta` stands for the card."""
    network = nn.Sequential(nn.Linear(8, 8))
    store_in_fp8(network)
    weight, bias = network[0].dequantised(torch.zeros(1, 8, device="meta", dtype=torch.float16))  # type: ignore[operator]
    assert (weight.device.type, bias.device.type, weight.dtype, bias.dtype) == ("meta", "meta", torch.float16, torch.float16)
    assert network[0].weight.device.type == "cpu"


def test_a_unet_weighs_half_and_says_what_it_computes_in() -> None:
    unet = build().half()
    before = size(unet)
    attentions = list(unet.cross_attentions)
    store_in_fp8(unet)
    stored = [part for part in unet.modules() if isinstance(part, Fp8Layer)]
    assert len(stored) > 150
    for part in stored:  # a byte a weight, four a channel, beside a bias of two
        assert part.weight.nbytes + part.scale.nbytes == part.weight.numel() + 4 * part.weight.shape[0]
    assert 0.5 < size(unet) / before < 0.6
    assert unet.dtype == torch.float16
    assert unet.cross_attentions == attentions
    plain = {name for name, part in unet.named_modules() if type(part) in (nn.Linear, nn.Conv2d, nn.Conv3d)}
    assert {"conv_in", "conv_out", "time_embedding.linear_1", "add_embedding.linear_2"} < plain
    assert all(name.startswith(("conv_", "time_embedding", "add_embedding")) or "time_pos_embed" in name for name in plain)
    assert nn.Module.to(unet, torch.bfloat16).dtype == torch.bfloat16


@torch.no_grad()
def test_a_unet_answers_about_the_same() -> None:
    generator = torch.Generator().manual_seed(1)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    unet = build()
    inputs: dict[str, Any] = {
        "sample": normal(1, 3, unet.config["in_channels"], 8, 8),
        "timestep": 1.3,
        "motion": normal(1, 3, 8, 128),
        "added_time_ids": torch.tensor([[12.5, 0.0, 0.0]]),
    }
    tokens = normal(1, 16, 128)
    exact = unet(**inputs, appearance=unet.project_appearance(tokens))
    store_in_fp8(unet)
    near = unet(**inputs, appearance=unet.project_appearance(tokens))
    error = (near - exact).norm() / exact.norm()
    assert 0 < error < 0.1


def test_a_set_is_loaded_in_eight_bits() -> None:
    models = result(load_models(DEMO, device="cpu", dtype=torch.bfloat16, unet_storage="fp8"))
    plain: Any = load_module("unet", DEMO, models.config)
    assert models.unet.dtype == torch.bfloat16
    name = "up_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k"
    layer: Any = models.unet.get_submodule(name)
    assert isinstance(layer, Fp8Layer)
    expected, _ = quantised(plain.get_submodule(name).weight)
    assert torch.equal(layer.weight.view(torch.uint8), expected.view(torch.uint8))
    assert not any(isinstance(part, Fp8Layer) for part in models.vae.modules())
    with pytest.raises(OptionError, match="unet_storage is 'int4'; choose one of: compute, fp8"):
        result(load_models(DEMO, device="cpu", dtype=torch.float32, unet_storage="int4"))


def test_a_device_without_eight_bits_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    check_fp8("cpu")

    def refuse(*_: Any, **__: Any) -> Tensor:
        raise TypeError("Trying to convert Float8_e4m3fn to the backend but it does not have support for that dtype.")

    monkeypatch.setattr(torch, "zeros", refuse)  # as devices without such numbers do
    with pytest.raises(OptionError, match=r"unet_storage is 'fp8', which 'cpu' cannot hold .*Use 'compute'"):
        check_fp8("cpu")


def test_the_released_unet_by_weight() -> None:
    """The figures of docs/memory.md."""
    with torch.device("meta"):
        unet = PortraitUNet.from_config(PortraitConfig.released().unet).half()
    assert round(size(unet) / 1e6) == 3151
    store_in_fp8(unet)
    assert round(size(unet) / 1e6) == 1684
