"""Progress bars, live previews and Cancel."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any, TypeVar

import comfy.model_management as mm
import comfy.utils
import torch

from hp_core.progress import Notice, Progress, Stage

log = logging.getLogger("HunyuanPortrait")
_Value = TypeVar("_Value")


def check_cancelled() -> None:
    """Raise ComfyUI's interrupt if the user has pressed Cancel."""
    mm.throw_exception_if_processing_interrupted()


def watched(stage: Stage[_Value]) -> _Value:
    """Run a stage of `hp_core` with ComfyUI's progress bar and its Cancel; its value."""
    bar, total = None, 0
    while True:
        check_cancelled()
        try:
            event = next(stage)
        except StopIteration as end:
            return end.value
        if isinstance(event, Notice):
            log.warning(event.text)
        elif isinstance(event, Progress):
            if bar is None or event.total != total:
                bar, total = comfy.utils.ProgressBar(event.total), event.total
            bar.update_absolute(event.done, event.total)


def counted(items: Iterable[_Value], total: int) -> Iterable[_Value]:
    """``items`` with a progress bar and Cancel."""
    bar = comfy.utils.ProgressBar(total)
    for done, item in enumerate(items, 1):
        check_cancelled()
        yield item
        bar.update_absolute(done, total)


class StepPreview:
    """Progress bar of the sampler with a picture of where it stands, if the user has turned previews on."""

    def __init__(self, total: int, reference: torch.Tensor, image: Any) -> None:
        """``reference`` (1, channels, height, width) are the scaled latents of the portrait ``image``."""
        import comfy.latent_formats
        import latent_preview

        from hp_core.preview import rgb_factors

        self.bar, self.total = comfy.utils.ProgressBar(total), total
        known = comfy.latent_formats.SD15()
        if reference.shape[1] != known.latent_channels:  # of another VAE: its colours are learned from the portrait
            known = comfy.latent_formats.LatentFormat()
            known.latent_channels = reference.shape[1]
            known.latent_rgb_factors, known.latent_rgb_factors_bias = rgb_factors(reference, image)
        self.previewer = latent_preview.get_previewer(mm.get_torch_device(), known)

    def show(self, done: int, latents: torch.Tensor) -> None:
        """``latents`` (frames, channels, height, width), scaled; the middle frame is shown."""
        check_cancelled()
        picture = None
        if self.previewer is not None:
            middle = len(latents) // 2
            shown = latents[middle : middle + 1].to(mm.get_torch_device())
            picture = self.previewer.decode_latent_to_preview_image("JPEG", shown)
        self.bar.update_absolute(done, self.total, picture)
