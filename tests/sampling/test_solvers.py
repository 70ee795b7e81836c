"""Solvers of second order against diffusers' own, on a network that is a fixed function of what it sees."""

from __future__ import annotations

import math

import pytest
import torch
from diffusers import DPMSolverMultistepScheduler, UniPCMultistepScheduler

from hp_core.config import svd_scheduler
from hp_core.sampling.schedule import clean_prediction, make_schedule, scale_input
from hp_core.sampling.solvers import make_solver

DIFFUSERS = {
    "dpmpp_2m": (DPMSolverMultistepScheduler, {"algorithm_type": "dpmsolver++", "solver_order": 2}),
    "unipc": (UniPCMultistepScheduler, {"solver_order": 2, "solver_type": "bh2"}),
}


def velocity(scaled: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    """A smooth v-prediction of latents scaled to unit variance."""
    return torch.tanh(1.3 * scaled + 0.2) * torch.sin(0.25 * sigma.log() + 1)


@pytest.mark.parametrize("sampler", DIFFUSERS)
@pytest.mark.parametrize("steps", [1, 2, 3, 8, 20])
def test_solvers_are_diffusers(sampler, steps):
    sigmas = make_schedule(svd_scheduler(), steps, sampler).sigmas.double()
    kind, options = DIFFUSERS[sampler]
    scheduler = kind(prediction_type="v_prediction", final_sigmas_type="zero", lower_order_final=True, **options)
    scheduler.set_timesteps(steps)
    scheduler.sigmas = sigmas  # SVD's levels in the place of those of its betas
    torch.manual_seed(0)
    x = torch.randn(2, 4, 3, 3, dtype=torch.float64) * sigmas[0]
    theirs, ours, solver = scale_input(x, sigmas[0]), x, make_solver(sampler)
    for index, t in enumerate(scheduler.timesteps):
        theirs = scheduler.step(velocity(theirs, sigmas[index]), t, theirs).prev_sample
        v = velocity(scale_input(ours, sigmas[index]), sigmas[index])
        ours = solver.step(ours, clean_prediction(ours, v, sigmas[index]), sigmas, index)
        # diffusers computes its coefficients in float32
        torch.testing.assert_close(scale_input(ours, sigmas[index + 1]), theirs, rtol=2e-5, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("sampler", DIFFUSERS)
def test_second_order_needs_fewer_steps_than_euler(sampler):
    def solved(name: str, steps: int) -> torch.Tensor:
        # A range in which the order shows: from sigma 20 down to 0.05, evenly in the logarithm.
        sigmas = torch.logspace(math.log10(20), math.log10(0.05), steps + 1, dtype=torch.float64)
        x, solver = torch.linspace(-20, 20, 64, dtype=torch.float64)[:, None, None, None], make_solver(name)
        for index in range(steps):
            v = velocity(scale_input(x, sigmas[index]), sigmas[index])
            x = solver.step(x, clean_prediction(x, v, sigmas[index]), sigmas, index)
        return x

    exact = solved("euler", 20_000)
    errors = {name: float((solved(name, 20) - exact).abs().mean()) for name in ("euler", sampler)}
    assert errors[sampler] < errors["euler"] / 5
