"""Muon: what it makes of a gradient, which weights it takes, how long its steps are."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from hp_core.training.muon import Muon, matrices, orthogonal, shares


@given(rows=st.integers(2, 40), columns=st.integers(2, 40), scale=st.floats(1e-3, 1e3), seed=st.integers(0, 1000))
def test_orthogonal_keeps_directions_and_levels_their_lengths(rows: int, columns: int, scale: float, seed: int) -> None:
    shorter = min(rows, columns)
    generator = torch.Generator().manual_seed(seed)
    left = torch.linalg.qr(torch.randn(rows, shorter, generator=generator))[0]
    right = torch.linalg.qr(torch.randn(columns, shorter, generator=generator))[0]
    lengths = torch.linspace(0.3, 1.0, shorter) * scale
    found = left.T @ orthogonal(left * lengths @ right.T) @ right  # diagonal where the directions are kept
    assert torch.allclose(found, torch.diag(found.diagonal()), atol=1e-3)
    assert ((found.diagonal() > 0.6) & (found.diagonal() < 1.3)).all()


def test_bfloat16_levels_lengths_as_well() -> None:
    matrix = torch.randn(64, 96, generator=torch.Generator().manual_seed(0))
    lengths = torch.linalg.svdvals(orthogonal(matrix, work=torch.bfloat16))
    assert ((lengths > 0.6) & (lengths < 1.3)).all()
    assert torch.linalg.svdvals(matrix).max() > 10


@given(costs=st.lists(st.integers(1, 1000), max_size=30), count=st.integers(1, 4))
def test_processes_share_the_work_about_evenly(costs: list[int], count: int) -> None:
    parts = shares(costs, count)
    assert sorted(number for part in parts for number in part) == list(range(len(costs)))
    sums = [sum(costs[number] for number in part) for part in parts]
    assert max(sums) - min(sums) <= max(costs, default=0)


def test_it_takes_wide_weights_of_layers_that_are_trained() -> None:
    model = nn.ModuleDict(
        {
            "conv": nn.Conv2d(64, 64, 3),
            "linear": nn.Linear(64, 128),
            "frozen": nn.Linear(64, 64).requires_grad_(False),
            "first": nn.Conv2d(3, 64, 3),
            "conv_out": nn.Conv2d(64, 64, 3),
            "embedding": nn.Embedding(100, 64),
            "norm": nn.GroupNorm(8, 64),
        }
    )
    model["again"] = model["linear"]
    assert [tuple(weight.shape) for weight in matrices(model)] == [(64, 64, 3, 3), (128, 64)]


def test_a_step_is_as_long_as_adamws() -> None:
    torch.manual_seed(0)
    weight = nn.Parameter(torch.randn(64, 64, 3, 3))
    before = weight.detach().clone()
    weight.grad = torch.randn_like(weight) * 1e-4
    Muon([weight], lr=0.5).step()
    assert float((weight.detach() - before).square().mean().sqrt()) == pytest.approx(0.5 * 0.2, rel=0.25)


def test_decay_is_decoupled_and_what_has_no_gradient_stays() -> None:
    moved, still = (nn.Parameter(torch.ones(64, 64)) for _ in range(2))
    moved.grad = torch.zeros_like(moved)
    Muon([moved, still], lr=0.1, weight_decay=0.5).step()
    assert torch.allclose(moved, torch.full_like(moved, 0.95))
    assert torch.equal(still, torch.ones_like(still))


def test_a_loss_scale_changes_nothing() -> None:
    def stepped(scaler: torch.amp.GradScaler) -> dict[str, torch.Tensor]:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(64, 64), nn.Linear(64, 3))
        pictures, hidden = torch.randn(8, 64), matrices(model)
        rest = [p for p in model.parameters() if not any(p is matrix for matrix in hidden)]
        optimizer: torch.optim.Optimizer = Muon(hidden, rest, lr=0.01, betas=(0.9, 0.99), weight_decay=0.1)
        for _ in range(3):
            scaler.scale(model(pictures).square().mean()).backward()
            scaler.step(optimizer)
            scaler.update()
            optimizer.zero_grad()
        return model.state_dict()

    plain, scaled = (stepped(torch.amp.GradScaler("cpu", enabled=enabled)) for enabled in (False, True))
    for name, value in plain.items():
        torch.testing.assert_close(scaled[name], value, rtol=1e-4, atol=1e-5)


def test_the_rest_is_stepped_as_adamw_would() -> None:
    torch.manual_seed(0)
    alone = nn.Parameter(torch.randn(5))
    twin = nn.Parameter(alone.detach().clone())
    matrix = nn.Parameter(torch.randn(64, 64))
    ours, theirs = Muon([matrix], [alone], lr=0.01, weight_decay=0.1), torch.optim.AdamW([twin], lr=0.01, weight_decay=0.1, fused=True)
    for _ in range(3):
        matrix.grad = torch.randn(64, 64)
        alone.grad = torch.randn(5)
        twin.grad = alone.grad.clone()
        ours.step()
        theirs.step()
    assert torch.equal(alone, twin)
