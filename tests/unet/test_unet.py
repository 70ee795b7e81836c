"""The UNet through its public face; its numbers are in tests/parity."""

from __future__ import annotations

import pytest
import torch
from diffusers import UNetSpatioTemporalConditionModel

from hp_core.bench.flops import count_flops
from hp_core.config import PortraitConfig
from hp_core.unet.model import PortraitUNet
from hp_core.unet.temporal import is_temporal, set_spatial_only

CONFIG = PortraitConfig.demo().unet
WIDTH, CHANNELS = CONFIG["block_out_channels"][0], CONFIG["in_channels"]


@pytest.fixture(scope="module")
def unet() -> PortraitUNet:
    torch.manual_seed(0)
    return PortraitUNet.from_config(CONFIG).eval()


@pytest.fixture(scope="module")
def inputs() -> dict:
    generator = torch.Generator().manual_seed(1)

    def normal(*shape):
        return torch.randn(*shape, generator=generator)

    return {
        "sample": normal(1, 3, CHANNELS, 8, 8),
        "timestep": 1.3,
        "appearance": normal(1, 1, 16, 128),
        "motion": normal(1, 3, 8, 128),
        "added_time_ids": torch.tensor([[12.5, 0.0, 0.0]]),
        "pose": normal(1, 3, WIDTH, 8, 8),
    }


def test_config_round_trip(unet, tmp_path):
    assert isinstance(unet, UNetSpatioTemporalConditionModel)
    unet.save_pretrained(tmp_path)
    again = PortraitUNet.from_pretrained(tmp_path)
    assert {**again.config, "_name_or_path": None} == {**unet.config, "_name_or_path": None}
    assert all(torch.equal(a, b) for a, b in zip(unet.state_dict().values(), again.state_dict().values(), strict=True))


@torch.no_grad()
def test_zero_tokens_equal_none(unet, inputs):
    zeros = unet(**inputs | {"appearance": torch.zeros(1, 1, 16, 128), "motion": torch.zeros(1, 3, 8, 128)})
    torch.testing.assert_close(unet(**inputs | {"appearance": None, "motion": None}), zeros, rtol=1e-5, atol=1e-5)
    only_appearance = unet(**inputs | {"motion": None})
    torch.testing.assert_close(only_appearance, unet(**inputs | {"motion": torch.zeros(1, 3, 8, 128)}), rtol=1e-5, atol=1e-5)
    assert not torch.allclose(only_appearance, zeros, atol=1e-3)


@torch.no_grad()
def test_appearance_projected_once_equals_tokens_in_every_frame(unet, inputs):
    shared = unet(**inputs)
    repeated = unet(**inputs | {"appearance": inputs["appearance"].expand(1, 3, 16, 128)})
    projected = unet(**inputs | {"appearance": unet.project_appearance(inputs["appearance"][:, 0])})
    torch.testing.assert_close(shared, repeated, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(shared, projected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_a_batch_equals_its_members(unet, inputs):
    def pair(value):
        return torch.cat([value, value.flip(1) * 0.5]) if isinstance(value, torch.Tensor) else value

    both = unet(**{name: pair(value) for name, value in inputs.items()})
    torch.testing.assert_close(both[:1], unet(**inputs), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_pose_and_each_frames_motion_matter(unet, inputs):
    base = unet(**inputs)
    assert not torch.allclose(base, unet(**inputs | {"pose": None}), atol=1e-3)
    swapped = inputs["motion"][:, [1, 0, 2]]
    assert not torch.allclose(base, unet(**inputs | {"motion": swapped}), atol=1e-4)


@torch.no_grad()
def test_odd_sizes(unet, inputs):
    odd = inputs | {"sample": torch.randn(1, 3, CHANNELS, 7, 9), "pose": None}
    assert unet(**odd).shape == (1, 3, CONFIG["out_channels"], 7, 9)


def kept_for_the_way_back(unet, inputs) -> int:
    """Bytes that a forward keeps for the backward."""
    sizes = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: sizes.append(x.nbytes) or x, lambda x: x):
        unet(**inputs)
    return sum(sizes)


@pytest.mark.slow
def test_gradients_reach_tokens_with_and_without_checkpointing(unet, inputs):
    motion = inputs["motion"].clone().requires_grad_()
    unet(**inputs | {"motion": motion}).square().mean().backward()
    plain, motion.grad = motion.grad.clone(), None
    unet.enable_gradient_checkpointing()
    unet.train()
    unet(**inputs | {"motion": motion}).square().mean().backward()
    kept = kept_for_the_way_back(unet, inputs)
    unet.disable_gradient_checkpointing()
    assert kept < kept_for_the_way_back(unet, inputs) / 3
    unet.eval()
    unet.zero_grad()
    assert plain.abs().max() > 0
    torch.testing.assert_close(motion.grad, plain, rtol=1e-3, atol=1e-7)


@pytest.mark.slow
def test_operations_of_a_released_step():
    counts = count_flops(PortraitConfig.released())
    assert counts["step_tflop"] <= 64.5
    # what is shared must not be counted away: one full branch is 32.1 T with keys and values once a window
    assert 31.5 <= counts["branches_tflop"]["appearance+motion"] <= 32.5


@pytest.mark.slow
@torch.no_grad()
def test_temporal_parameters_are_those_that_still_frames_do_without(unet, inputs):
    """Changed, they change nothing as long as they are left out; every other one does."""
    again = PortraitUNet.from_config(CONFIG).eval()
    again.load_state_dict(unet.state_dict())
    set_spatial_only(again, True)
    before = again(**inputs)
    names = [name for name, _ in again.named_parameters() if is_temporal(name)]
    for name in names:
        again.get_parameter(name).add_(1)
    assert torch.equal(again(**inputs), before)
    mixing = [name for name, _ in again.named_parameters() if "mixer" in name or "mix_factor" in name]
    others = {name for name, _ in again.named_parameters()} - set(names) - set(mixing)
    used = [name for name in others if not name.endswith("bias") and "to_k" not in name and "to_q" not in name]
    for name in used:
        kept = again.get_parameter(name).clone()
        again.get_parameter(name).mul_(1.5)
        assert not torch.equal(again(**inputs), before), name
        again.get_parameter(name).copy_(kept)
