"""Where networks are while their stage runs and in between, and what is done where memory runs out."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from diffusers.hooks import apply_group_offloading
from torch import Tensor, nn

from hp_core.config import MEMORY_MODES, PortraitConfig
from hp_core.errors import OptionError, PortraitError
from hp_core.memory import HOME, Placement, stream_blocks
from hp_core.pipeline import PortraitPipeline
from hp_core.progress import Notice, Progress, Stage
from hp_core.values import Appearance, MotionTokens
from hp_core.weights.catalog import MODULES
from hp_core.weights.load import build_module
from tests.stages import drained, with_notices

CONFIG = PortraitConfig.demo()
AWAY = torch.device("meta")
HERE = torch.device("cpu:0")  # home by another name: what differs by name goes through all that real devices do
FRAMES = 3


class Traveller(nn.Module):
    """A module that only notes where it is sent."""

    def __init__(self) -> None:
        super().__init__()
        self.place = HOME

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Traveller:
        self.place = fn(torch.zeros(0)).device
        return self


def travellers() -> Any:
    return SimpleNamespace(**{name: Traveller() for name in MODULES})


def away(models: Any) -> set[str]:
    return {name for name in MODULES if getattr(models, name).place == AWAY}


def test_resident_networks_stay() -> None:
    models = travellers()
    placement = Placement(models, device=AWAY, mode="resident")
    assert away(models) == set(MODULES)
    with placement.on_device("unet") as device:
        assert device == AWAY
    assert away(models) == set(MODULES)


def test_frugal_networks_are_there_while_their_stage_runs() -> None:
    models = travellers()
    placement = Placement(models, device=AWAY, mode="frugal")
    assert away(models) == set()
    with placement.on_device("unet", "pose_guider"):
        assert away(models) == {"unet", "pose_guider"}
        with placement.on_device("vae"):
            assert away(models) == {"unet", "pose_guider", "vae"}
        assert away(models) == {"unet", "pose_guider"}
    assert away(models) == set()
    with pytest.raises(KeyError), placement.on_device("dino"):
        raise KeyError
    assert away(models) == set()


def test_a_network_leaves_with_the_last_that_needs_it() -> None:
    """Two people's frames are decoded in turn, and one clip may end before the other."""
    models = travellers()
    placement = Placement(models, device=AWAY, mode="frugal")
    first, second = placement.on_device("vae"), placement.on_device("vae")
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert away(models) == {"vae"}
    second.__exit__(None, None, None)
    assert away(models) == set()


def test_an_unknown_mode_is_refused() -> None:
    with pytest.raises(OptionError, match="memory is 'tiny'; choose one of: resident, frugal, streamed"):
        Placement(travellers(), device=HOME, mode="tiny")


def test_streaming_without_its_package_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hp_core.memory.importlib.util.find_spec", lambda name: None)
    with pytest.raises(OptionError, match="pip install accelerate, or use 'frugal'"):
        Placement(travellers(), device=HOME, mode="streamed")


class Short(nn.Module):
    """A layer in front of a network that runs out of memory the first ``times``, as an allocator says it."""

    def __init__(self, inner: nn.Module, times: int) -> None:
        super().__init__()
        self.inner, self.left, self.calls = inner, times, 0

    def forward(self, *args: Any) -> Any:
        self.calls += 1
        if self.left:
            self.left -= 1
            raise torch.OutOfMemoryError("Tried to allocate 2.00 GiB.\nMore of it.")
        return self.inner(*args)


def build() -> Any:
    """The demo's networks with the same random weights every time."""
    torch.manual_seed(0)
    modules = {name: build_module(name, CONFIG).eval().requires_grad_(False) for name in ("unet", "pose_guider", "vae")}
    return SimpleNamespace(**vars(travellers()) | modules, config=CONFIG, motion_fingerprint="", identity=None)


def pipeline(mode: str, models: Any = None) -> PortraitPipeline:
    return PortraitPipeline(models or build(), None, device=HERE, memory=mode)  # type: ignore[arg-type]  # no face is looked for


@pytest.fixture(scope="module")
def inputs() -> tuple[Appearance, MotionTokens]:
    generator = torch.Generator().manual_seed(1)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    portrait = np.zeros((8 * CONFIG.vae_scale_factor,) * 2 + (3,), np.uint8)
    latent = normal(1, CONFIG.vae["latent_channels"], 8, 8)
    appearance = Appearance(normal(1, 16, 128), torch.zeros(1, 512), "none", latent, portrait)
    return appearance, MotionTokens(normal(FRAMES, 8, 128), torch.zeros(FRAMES, 3), torch.zeros(FRAMES, 3), Fraction(25), "released", "")


SAMPLING = replace(CONFIG.sampling, steps=2, window=3, overlap=0, appearance_guidance=(2.0, 2.0), decode_chunk=2)  # all three branches


def clip(of: PortraitPipeline, inputs: tuple[Appearance, MotionTokens]) -> tuple[Tensor, np.ndarray, list[str]]:
    """Latents, frames, and what is said on the way."""
    latents, notices = with_notices(of.sample(*inputs, None, sampling=SAMPLING, seed=3))
    frames = np.stack(list(of.decode(latents, sampling=SAMPLING)))
    return latents, frames, notices


@pytest.mark.slow
def test_every_mode_gives_the_same_picture_twice(inputs: tuple[Appearance, MotionTokens]) -> None:
    expected, frames, notices = clip(pipeline("resident"), inputs)
    assert notices == []
    for mode in MEMORY_MODES[1:]:
        of = pipeline(mode)
        for _ in range(2):  # a streamed UNet must be whole again after a run
            latents, again, _ = clip(of, inputs)
            assert torch.equal(latents, expected), mode
            assert np.array_equal(again, frames), mode


@pytest.mark.slow
def test_memory_that_runs_out_is_met_with_the_next_mode(inputs: tuple[Appearance, MotionTokens]) -> None:
    expected, _, _ = clip(pipeline("resident"), inputs)
    models = build()
    short = models.unet.conv_in = Short(models.unet.conv_in, times=1)
    of = pipeline("resident", models)
    latents, _, notices = clip(of, inputs)
    assert torch.equal(latents, expected)
    assert notices == ["The memory of 'cpu:0' ran out with memory = resident; once more with frugal. The picture is the same."]
    assert of.placement.mode == "frugal"
    assert clip(of, inputs)[2] == []  # the next clip begins where this one ended
    short.left = 1
    latents, _, notices = clip(of, inputs)
    assert torch.equal(latents, expected)
    assert ["once more with streamed" in notice for notice in notices] == [True]


@pytest.mark.slow
def test_memory_that_runs_out_for_good_is_an_error_with_a_remedy(inputs: tuple[Appearance, MotionTokens]) -> None:
    models = build()
    short = models.unet.conv_in = Short(models.unet.conv_in, times=3)
    of = pipeline("resident", models)
    stage = of.sample(*inputs, None, sampling=SAMPLING, seed=3)
    assert isinstance(next(stage), Notice)
    assert isinstance(next(stage), Notice)
    with pytest.raises(PortraitError, match=r"memory = streamed, the cheapest there is here \(Tried to allocate 2.00 GiB.\). Lower window"):
        next(stage)
    assert short.calls == 3
    latents, _, _ = clip(of, inputs)  # and it can go on
    assert torch.isfinite(latents).all()


@pytest.mark.slow
def test_a_pass_that_broke_off_half_way_leaves_nothing_behind(inputs: tuple[Appearance, MotionTokens]) -> None:
    expected, _, _ = clip(pipeline("resident"), inputs)
    models = build()
    up = models.unet.up_blocks[1].resnets[0]
    inner, passes = up.forward, []

    def forward(*args: Any, **kwargs: Any) -> Tensor:
        passes.append(1)
        if len(passes) == 2:
            raise torch.OutOfMemoryError("Tried to allocate 1.00 GiB.")
        return inner(*args, **kwargs)

    up.forward = forward
    latents, _, notices = clip(pipeline("frugal", models), inputs)
    assert torch.equal(latents, expected)
    assert len(notices) == 1


def test_other_errors_pass(inputs: tuple[Appearance, MotionTokens]) -> None:
    of = pipeline("resident")

    def broken(device: torch.device) -> Stage[None]:
        yield Progress("sample", 0, 1)
        raise RuntimeError("something else")

    with pytest.raises(RuntimeError, match="something else"):
        drained(of.placement.run(("unet",), broken))
    assert of.placement.mode == "resident"


@pytest.mark.slow
@pytest.mark.parametrize(("mode", "remedy"), [("resident", "Use memory = frugal.*or lower decode_chunk"), ("frugal", "Lower decode_chunk")])
def test_the_decoder_says_what_would_help_and_changes_nothing(inputs: tuple[Appearance, MotionTokens], mode: str, remedy: str) -> None:
    models = build()
    short = models.vae.decoder.conv_in = Short(models.vae.decoder.conv_in, times=1)
    short.weight = short.inner.weight  # type: ignore[assignment]  # where and in what it is to be decoded
    of = pipeline(mode, models)
    latents, _ = drained(of.sample(*inputs, None, sampling=SAMPLING, seed=3))
    with pytest.raises(PortraitError, match=f"decoding 2 frames at once .*{remedy}, which changes the picture"):
        list(of.decode(latents, sampling=SAMPLING))
    assert short.calls == 1


class Strict(nn.Linear):
    """Refuses weights of another device, as cards do; torch's arithmetic on `meta` does not look."""

    def forward(self, input: Tensor) -> Tensor:
        if self.weight.device != input.device:
            raise RuntimeError("Expected all tensors to be on the same device.")
        return super().forward(input)


def test_appearance_is_projected_where_it_is_not_where_the_weights_lie() -> None:
    """The UNet of `streamed` lies at home while nothing runs through it."""
    unet = build().unet
    for attention in unet.cross_attentions:
        attention.to_k.__class__ = attention.to_v.__class__ = Strict
    tokens = torch.ones(1, 16, 128)
    expected = unet.cross_attentions[1].to_v(tokens)
    with pytest.raises(RuntimeError, match="same device"):
        unet.cross_attentions[0].to_k(tokens.to(AWAY))
    projected = unet.project_appearance(tokens.to(AWAY))
    assert {tensor.device for pair in projected.layers for tensor in pair} == {AWAY}
    assert {parameter.device for parameter in unet.parameters()} == {HOME}
    assert torch.equal(unet.project_appearance(tokens).layers[1][1], expected)


def test_streaming_goes_by_single_blocks() -> None:
    """Every weight inside the resolutions belongs to a group of one residual block, attention or resampling."""
    if "block_modules" not in inspect.signature(apply_group_offloading).parameters:
        pytest.skip("diffusers before 0.36 streams whole resolutions")
    unet = build().unet
    stream_blocks(unet, device=HOME, home=HOME)
    hooked = [name for name, part in unet.named_modules() if name and hasattr(part, "_diffusers_hook")]
    assert "mid_block.attentions.0" in hooked
    assert "up_blocks.1.resnets.0" in hooked
    inside = [name for name, _ in unet.named_parameters() if name.split("_block")[0] in ("down", "mid", "up")]
    assert all(sum(name.startswith(f"{place}.") for place in hooked) == 1 for name in inside)
