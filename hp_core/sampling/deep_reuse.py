"""Deep features of the UNet kept from one step for the next ones (Ma et al. 2024, "DeepCache").

Windows slide between steps, so features are kept for each frame of the clip, not for each place in a window: what they say is above
all what that frame shows, and three places further in the window it would be said of another frame. Where windows overlap, and where
a short clip stands in its window more than once, their mean is kept, as of the clean clip.

They wait in main memory in the UNet's own dtype: frames * branches * channels * height * width numbers; of the released UNet at
512x512 in fp16, 5 MiB for each frame and branch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from hp_core.unet.model import DeepFeatures


class _Kept(NamedTuple):
    """Of one branch: means (frames, channels, height, width) on the CPU, and how many values each is of, (frames,)."""

    means: Tensor
    visits: list[int]


class DeepReuse:
    """The deep features of one clip.

    Args:
        frames: of the clip.
        every: steps from one full evaluation to the next.
    """

    def __init__(self, frames: int, *, every: int) -> None:
        self.frames, self.every = frames, every
        self._kept: dict[int, _Kept] = {}
        self._ready: frozenset[int] = frozenset()

    def begin(self, step: int) -> None:
        """A new step, ``step`` of them after the first; every n-th forgets what is kept."""
        if step % self.every == 0:
            self._kept.clear()
        self._ready = frozenset(self._kept)  # a branch that guidance brings in between is computed in full once

    def window(self, window: list[int]) -> WindowDeep:
        """The features of the frames ``window``."""
        return WindowDeep(self, window)

    def ready(self, branch: int) -> bool:
        """Whether this step uses what is kept of ``branch``; if not, it is to compute and `add` it."""
        return branch in self._ready

    def read(self, branch: int, window: list[int]) -> Tensor:
        """(window, channels, height, width) on the CPU, of a branch that is `ready`."""
        return self._kept[branch].means[window]

    def add(self, branch: int, window: list[int], features: Tensor) -> None:
        """Keep ``features`` (window, channels, height, width) of this step."""
        found = features.cpu()
        if branch not in self._kept:
            self._kept[branch] = _Kept(torch.empty(self.frames, *found.shape[1:], dtype=found.dtype), [0] * self.frames)
        means, visits = self._kept[branch]
        for frame, feature in zip(window, found, strict=True):
            visits[frame] += 1
            means[frame] = feature if visits[frame] == 1 else torch.lerp(means[frame], feature, 1 / visits[frame])


@dataclass(frozen=True)
class WindowDeep:
    """Deep features of one window, branch by branch."""

    reuse: DeepReuse
    window: list[int]

    def of(self, branch: int, like: Tensor) -> DeepFeatures:
        """Those to be used, on the device and in the dtype of ``like``, or an empty one to be filled."""
        return DeepFeatures(self.reuse.read(branch, self.window).to(like) if self.reuse.ready(branch) else None)

    def keep(self, branch: int, features: DeepFeatures) -> None:
        """Keep what an evaluation has filled in."""
        if features.entering is not None and not self.reuse.ready(branch):
            self.reuse.add(branch, self.window, features.entering)
