"""Weights as systems under test: the whole pipeline, and the VAE alone as its ceiling."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hp_core.config import AlignConfig
from hp_core.evaluation.case import Answer, Case
from hp_core.motion.edit import with_translation
from hp_core.progress import Stage, result

if TYPE_CHECKING:
    import torch

    from hp_core.config import SamplingConfig
    from hp_core.pipeline import PortraitPipeline
    from hp_core.values import FaceTrack, MotionTokens, PoseMaps


class PipelineAnimator:
    """`PortraitPipeline` with the signature of `Animate`, for pictures that are portrait crops already.

    The whole picture is the square, of portrait and driving frames alike: where the head is in it belongs to the motion.
    Driving frames without a face hold the last points; they count as held.

    Args:
        pipeline: loaded; its analyzer is closed by `close`.
        sampling: None takes the weights' own.
        pose: what the guider is shown; black as released.
        translation: rule of `with_translation` for the head's place in the tokens.
    """

    def __init__(
        self,
        pipeline: PortraitPipeline,
        sampling: SamplingConfig | None = None,
        pose: AlignConfig = AlignConfig(),
        translation: str = "as it is",
    ) -> None:
        self.pipeline, self.sampling, self.pose = pipeline, sampling or pipeline.config.sampling, pose
        self.translation = translation

    @staticmethod
    def load(
        folder: Path,
        *,
        steps: int | None = None,
        device: torch.device | str | None = None,
        pose: AlignConfig = AlignConfig(),
        translation: str = "as it is",
    ) -> Stage[PipelineAnimator]:
        """Load the weights in ``folder``; ``steps`` of denoising, None takes the weights' own.

        Raises:
            PortraitError: see `PortraitPipeline.load`; ``steps`` is out of range.
        """
        from hp_core.pipeline import PortraitPipeline, sampling_for

        pipeline = yield from PortraitPipeline.load(folder, device=device)
        return PipelineAnimator(pipeline, sampling_for(pipeline.config, steps=steps), pose, translation)

    def close(self) -> None:
        """Free the face analyzer's native session."""
        self.pipeline.analyzer.close()

    def __call__(self, portrait: np.ndarray, driving: np.ndarray, seed: int) -> Answer:
        """See `Animate`; pictures of the weights' own size.

        Raises:
            FaceError: no face in the portrait, or in any driving frame.
        """
        standing, track = self.track(portrait[None]), self.track(driving)
        pose = result(self.pipeline.pose(track, standing, self.pose))
        return Answer(self.draw(standing, self.motion(track), pose, seed), held=int((~track.found).sum()))

    def track(self, frames: np.ndarray) -> FaceTrack:
        """The face in ``frames`` (F, S, S, 3) uint8."""
        from hp_core.demo.world import FPS

        return result(self.pipeline.face_crop(frames, total=len(frames), crop="whole", on_missing="hold", fps=FPS))

    def motion(self, track: FaceTrack) -> MotionTokens:
        """What the face of ``track`` does."""
        return with_translation(result(self.pipeline.motion(track, self.pipeline.intensity(track))), self.translation)

    def draw(self, portrait: FaceTrack, motion: MotionTokens, pose: PoseMaps | None, seed: int) -> np.ndarray:
        """Frames (F, S, S, 3) uint8 of ``portrait`` in ``motion``; a pose of None is black."""
        pipeline, sampling = self.pipeline, self.sampling
        latents = result(pipeline.sample(pipeline.appearance(portrait), motion, pose, sampling=sampling, seed=seed))
        return np.stack(list(pipeline.decode(latents, sampling=sampling)))


class VaeCeiling:
    """The truth encoded and decoded again: no sampler over this VAE can come closer. A `System`.

    The mode of the posterior, decoded in chunks as the pipeline decodes.
    """

    def __init__(self, pipeline: PortraitPipeline) -> None:
        self.pipeline = pipeline

    def __call__(self, case: Case) -> Answer:
        import torch

        from hp_core.vae import decode_chunks, encode_reference, to_uint8

        vae, chunk = self.pipeline.models.vae, self.pipeline.config.sampling.decode_chunk
        images = torch.from_numpy(case.truth).permute(0, 3, 1, 2).float() / 127.5 - 1
        latents = torch.cat([encode_reference(vae, image[None]) for image in images])
        return Answer(np.concatenate([to_uint8(frames).numpy() for _, frames in decode_chunks(vae, latents, chunk=chunk)]))
