"""From what the network takes for the clean clip at one noise level to the latents at the next.

All of them see the clip after its windows have been averaged, so a clip of many windows is solved as one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from torch import Tensor

from hp_core.errors import OptionError
from hp_core.sampling.schedule import euler_step, scale_input


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


class Multistep:
    """A solver of diffusers that remembers earlier steps, on the sigmas it is given.

    Args:
        scheduler: one that steps in latents of unit variance, set to take clean clips (``prediction_type="sample"``).
    """

    def __init__(self, scheduler: Any) -> None:
        self._scheduler, self._begun = scheduler, False

    def step(self, x: Tensor, clean: Tensor, sigmas: Tensor, index: int) -> Tensor:
        """See `Solver`."""
        if sigmas[index + 1] == 0:
            return clean  # as the rule says too, but for what it rounds away at the noise's scale
        scheduler = self._scheduler
        if not self._begun:
            scheduler.set_timesteps(len(sigmas) - 1)
            scheduler.sigmas = sigmas.cpu()  # in the place of those of its betas
            scheduler.set_begin_index(index)
            self._begun = True
        scaled: Tensor = scheduler.step(clean, scheduler.timesteps[index], scale_input(x, sigmas[index])).prev_sample
        return scaled * (sigmas[index + 1] ** 2 + 1).sqrt()


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
    if sampler in ("euler", "ddim"):
        return EulerSolver()
    from diffusers import DPMSolverMultistepScheduler, UniPCMultistepScheduler

    common: dict[str, Any] = {"prediction_type": "sample", "solver_order": 2, "final_sigmas_type": "zero", "lower_order_final": True}
    if sampler == "dpmpp_2m":  # DPM-Solver++(2M) (Lu et al. 2022)
        return Multistep(DPMSolverMultistepScheduler(algorithm_type="dpmsolver++", **common))
    return Multistep(UniPCMultistepScheduler(solver_type="bh2", **common))  # UniPC, B2(h) (Zhao et al. 2023)
