"""The feed-forward with one tensor less alive."""

from __future__ import annotations

import torch
from diffusers.models.activations import GEGLU

from hp_core.bench.memory import PeakMemory
from hp_core.config import PortraitConfig
from hp_core.unet.feed_forward import save_memory
from hp_core.unet.model import PortraitUNet


def test_every_gate_of_the_unet_saves_memory():
    unet = PortraitUNet.from_config(PortraitConfig.demo().unet)
    assert {type(part).__name__ for part in unet.modules() if isinstance(part, GEGLU)} == {"InPlaceGEGLU"}


def test_it_is_the_same_with_less():
    torch.manual_seed(0)
    theirs = GEGLU(32, 128)
    ours = GEGLU(32, 128)
    ours.load_state_dict(theirs.state_dict())
    save_memory(ours)
    x = torch.randn(4, 50, 32)
    peaks = []
    with torch.no_grad():
        for layer in (theirs, ours):
            with PeakMemory() as memory:
                layer(x)
            peaks.append(memory.peak)
        assert torch.equal(ours(x), theirs(x))
    rows = 4 * 50 * 128 * 4
    assert peaks == [4 * rows, 3 * rows]


def test_gradients_still_pass():
    torch.manual_seed(0)
    layer = GEGLU(8, 16)
    x = torch.randn(3, 8, requires_grad=True)
    layer(x).square().sum().backward()
    expected, x.grad = x.grad, None
    save_memory(layer)
    layer(x).square().sum().backward()
    assert torch.equal(x.grad, expected)
