"""From what the network takes for the clean clip at one noise level to the latents at the next.

All of them see the clip after its windows have been averaged, so a clip of many windows is solved as one. In log-SNR lambda =
-ln(sigma), with h between two levels, every step begins as `x sigma' / sigma - (e^-h - 1) D`, D the clean clip.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import torch
from torch import Tensor

from hp_core.errors import OptionError
from hp_core.sampling.schedule import euler_step


class Solver(Protocol):
    """State of one run; called once a step, in order."""

    def step(self, x: Tensor, clean: Tensor, sigmas: Tensor, index: int) -> Tensor:
        """Latents at ``sigmas[index + 1]``.

        Args:
            x: (frames, channels, height, width), latents at ``sigmas[index]``.
            clean: what the network takes for the result there, of the same shape.
            sigmas: (steps + 1,), the last one 0.
        """
        ...


class EulerSolver:
    """One evaluation, no memory: the released sampler, and on its own sigmas DDIM's."""

    def step(self, x: Tensor, clean: Tensor, sigmas: Tensor, index: int) -> Tensor:
        """See `Solver`."""
        if sigmas[index + 1] == 0:
            return clean  # as the rule says too, but for what it rounds away at the noise's scale
        return euler_step(x, clean, sigmas[index], sigmas[index + 1])


class DpmPlusPlus2M:
    """DPM-Solver++(2M) (Lu et al. 2022): the clean clip is extrapolated through the last two steps."""

    def __init__(self) -> None:
        self._last: Tensor | None = None

    def step(self, x: Tensor, clean: Tensor, sigmas: Tensor, index: int) -> Tensor:
        """See `Solver`."""
        sigma, following, last = sigmas[index], sigmas[index + 1], self._last
        self._last = clean
        if following == 0:
            return clean
        ahead = clean
        if last is not None:
            ratio = (sigmas[index - 1] / sigma).log() / (sigma / following).log()  # of the last step's h to this one's
            ahead = clean + (clean - last) / (2 * ratio)
        shrink = following / sigma
        return shrink * x - (shrink - 1) * ahead


class UniPc:
    """UniPC of order 2 with B2(h) (Zhao et al. 2023): each evaluation also corrects the step that led to it."""

    def __init__(self) -> None:
        self._history: list[Tensor] = []  # clean clips of the last two steps, the newer last
        self._from: Tensor | None = None  # latents the last step started from

    def step(self, x: Tensor, clean: Tensor, sigmas: Tensor, index: int) -> Tensor:
        """See `Solver`."""
        if self._from is not None:
            x = self._corrected(self._from, clean, sigmas, index)
        self._history = [*self._history[-1:], clean]
        self._from = x
        if sigmas[index + 1] == 0:
            return clean
        base, growth = _first_order(x, clean, sigmas[index], sigmas[index + 1])
        if len(self._history) < 2:
            return base
        return base - growth * 0.5 * self._slope(sigmas, index)

    def _corrected(self, start: Tensor, clean: Tensor, sigmas: Tensor, index: int) -> Tensor:
        """The latents at ``sigmas[index]`` again, now that ``clean`` is known there."""
        base, growth = _first_order(start, self._history[-1], sigmas[index - 1], sigmas[index])
        change = clean - self._history[-1]
        if len(self._history) < 2:
            return base - growth * 0.5 * change
        h = (sigmas[index - 1] / sigmas[index]).log()
        ratio = -(sigmas[index - 2] / sigmas[index - 1]).log() / h
        # Coefficients that make the step exact for a clean clip which is a parabola in lambda.
        first = growth / -h - 1
        b = torch.stack([first / growth, 2 * (first / -h - 0.5) / growth])
        matrix = torch.stack([torch.ones_like(b), torch.stack([ratio, torch.ones_like(ratio)])])
        weights = torch.linalg.solve(matrix, b)
        return base - growth * (weights[0] * self._slope(sigmas, index - 1) + weights[1] * change)

    def _slope(self, sigmas: Tensor, index: int) -> Tensor:
        """Change of the clean clip from ``index`` back one step, as over a step of the length of the next one."""
        h = (sigmas[index] / sigmas[index + 1]).log()
        ratio = -(sigmas[index - 1] / sigmas[index]).log() / h
        return (self._history[-2] - self._history[-1]) / ratio


class Consistency:
    """Multistep consistency sampling (Song et al. 2023, Algorithm 1): every step takes the clean clip, and puts fresh noise on it.

    Args:
        fresh_noise: (frames, channels, height, width) of unit variance at each turn.
    """

    def __init__(self, fresh_noise: Iterator[Tensor]) -> None:
        self._fresh_noise = fresh_noise

    def step(self, x: Tensor, clean: Tensor, sigmas: Tensor, index: int) -> Tensor:
        """See `Solver`."""
        following = sigmas[index + 1]
        if following == 0:
            return clean
        return clean + following * next(self._fresh_noise).to(clean)


def make_solver(sampler: str, fresh_noise: Iterator[Tensor] | None = None) -> Solver:
    """The solver of ``sampler``, of `SAMPLERS`.

    Args:
        fresh_noise: for `lcm`, see `Consistency`.

    Raises:
        OptionError: the sampler is `lcm`, and no fresh noise is given.
    """
    if sampler == "lcm":
        if fresh_noise is None:
            raise OptionError("sampler is lcm, which adds fresh noise at every step, and none is given. Pass fresh_noise.")
        return Consistency(fresh_noise)
    kinds: dict[str, type[Solver]] = {"euler": EulerSolver, "ddim": EulerSolver, "dpmpp_2m": DpmPlusPlus2M, "unipc": UniPc}
    return kinds[sampler]()


def _first_order(x: Tensor, clean: Tensor, sigma: Tensor, following: Tensor) -> tuple[Tensor, Tensor]:
    """The step with a clean clip that stays the same, and `e^-h - 1`, which weighs what changes in it."""
    growth = following / sigma - 1
    return (growth + 1) * x - growth * clean, growth
