"""The stages wired once, in the order of the paper's Figure 2, for the command line, the tests and the trainer.

Every stage is a generator that yields `Progress` and returns its value: whoever iterates owns the progress bar and may stop.

    pipeline = result(PortraitPipeline.load(Path("pretrained_weights")))
    for event in pipeline.animate(Path("portrait.png"), Path("driving.mp4"), Path("out.mp4")):
        ...
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hp_core.animate import Take, prepare
from hp_core.appearance.encode import encode_appearance
from hp_core.checks import check_choice, check_part, frames_from
from hp_core.config import AlignConfig, PortraitConfig, SamplingConfig
from hp_core.errors import FaceError, OptionError, PortraitError, about
from hp_core.face.analyzer import FaceAnalyzer, create_analyzer
from hp_core.face.choose import Which
from hp_core.face.cropper import STIFFNESS
from hp_core.face.likeness import Likeness
from hp_core.face.track import track_faces
from hp_core.image import load_image
from hp_core.memory import HOME, Placement, check_memory
from hp_core.motion.encode import encode_clip, estimate_intensity
from hp_core.pose.align import align_pose
from hp_core.progress import Progress, Stage
from hp_core.request import AnimateOptions, Driver, FaceChoice
from hp_core.sampler import ClipSampler
from hp_core.sampling.presets import PRESETS
from hp_core.unet.compiled import compile_unet
from hp_core.vae import decode_chunks, encode_reference, to_uint8
from hp_core.values import Appearance, FaceTrack, Intensity, MotionTokens, PoseKeypoints, PoseMaps
from hp_core.weights.catalog import CATALOG
from hp_core.weights.fp8 import check_fp8
from hp_core.weights.load import PortraitModels, file_fingerprint, first_line, load_models
from hp_core.weights.lora import Lora


def default_device() -> torch.device:
    """The accelerator torch reports, else the CPU."""
    if torch.accelerator.is_available():
        return torch.accelerator.current_accelerator() or torch.device("cpu")
    return torch.device("cpu")


def choose_device(name: torch.device | str | None) -> torch.device:
    """``name`` as a device that can be used here; None is `default_device`.

    Raises:
        OptionError: torch cannot use it.
    """
    if name is None:
        return default_device()
    try:
        device = torch.device(name)
        torch.empty(1, device=device).tolist()  # `meta` can make a tensor, and has nothing in it
    except (RuntimeError, AssertionError, ImportError, NotImplementedError) as error:
        reason = str(error).split("\n", 1)[0]
        raise OptionError(f"device is '{name}', which torch cannot use here ({reason}). This machine has '{default_device()}'.") from error
    return device


def default_dtype(device: torch.device) -> torch.dtype:
    """float32 on a CPU, float16 elsewhere, as the weights were released."""
    return torch.float32 if device.type == "cpu" else torch.float16


def analyzer_for(folder: Path, name: str = "mediapipe", *, model: Path | None = None, threshold: float = 0.5) -> FaceAnalyzer:
    """The face analyzer called ``name``; its model is ``model``, or what lies beside the weights in ``folder``, or in the usual places.

    Raises:
        PortraitError: see `create_analyzer`.
    """
    beside = {"mediapipe": CATALOG["face_landmarker"], "yolo": CATALOG["yoloface"]}
    return create_analyzer(name, model=model or (beside[name].find(folder) if name in beside else None), threshold=threshold)


class PortraitPipeline:
    """The models, a face analyzer and the stages between them.

    Args:
        models: of `load_models`.
        analyzer: any `FaceAnalyzer`.
        device: where the networks run.
        dwpose: files of `DwposeEstimator`, loaded when a pose mode needs them; None where they are not at hand.
        memory: where they are while they do not run, one of `MEMORY_MODES`; the picture is the same in all of them.

    Raises:
        OptionError: ``memory`` is unknown or cannot be had here.
    """

    def __init__(
        self,
        models: PortraitModels,
        analyzer: FaceAnalyzer,
        *,
        device: torch.device | str,
        dwpose: tuple[Path, Path] | None = None,
        memory: str = "resident",
    ):
        self.models, self.analyzer, self.device, self.dwpose = models, analyzer, torch.device(device), dwpose
        self.placement = Placement(models, device=device, mode=memory)
        self._vae = Lock()  # its encoder changes its precision for a moment, and a clip may be decoded beside another one's encoding

    @staticmethod
    def load(
        folder: Path,
        *,
        analyzer: FaceAnalyzer | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        unet_storage: str = "compute",
        memory: str = "resident",
        loras: Sequence[Lora] = (),
        compiled: bool = False,
    ) -> Stage[PortraitPipeline]:
        """Load the weights in ``folder``; device and dtype default to what the machine has.

        Args:
            unet_storage: of `UNET_STORAGES`; see `load_models`.
            memory: of `MEMORY_MODES`; see `hp_core.memory`.
            loras: merged into the UNet.
            compiled: run the UNet through `torch.compile`; the first evaluations of a process take minutes.

        Raises:
            WeightsError: see `load_models`.
            OptionError: a choice is unknown, or the device cannot do it.
        """
        target = choose_device(device)
        check_memory(memory)
        if unet_storage == "fp8":
            check_fp8(target)
        detector = analyzer or analyzer_for(folder)
        place = target if memory == "resident" else HOME
        numbers = dtype or default_dtype(target)
        models = yield from load_models(folder, device=place, dtype=numbers, unet_storage=unet_storage, loras=loras)
        if compiled:
            compile_unet(models.unet, target)
        detector_file, estimator_file = (CATALOG[name].find(folder) for name in ("dwpose_detector", "dwpose"))
        dwpose = None if detector_file is None or estimator_file is None else (detector_file, estimator_file)
        return PortraitPipeline(models, detector, device=target, dwpose=dwpose, memory=memory)

    @property
    def config(self) -> PortraitConfig:
        """The configuration of the weights."""
        return self.models.config

    def resolve_face(self, face: FaceChoice) -> Which:
        """``face``, of which a picture becomes the person in it, to be found again by ArcFace.

        Raises:
            OptionError: the weights have no ArcFace to compare by.
            FaceError: nobody is in the picture.
        """
        if not isinstance(face, Path):
            return face
        picture, identity = face, self.models.identity
        if identity is None:
            raise OptionError(
                f"{picture} cannot be compared: these weights have no arcface.onnx. Run `hp-portrait download --for identity`."
            )
        with about(picture, FaceError):
            return Likeness.of(load_image(picture), self.analyzer, identity)

    def face_crop(
        self,
        frames: Iterable[np.ndarray],
        *,
        total: int,
        which: Which = "largest",
        on_missing: str = "error",
        crop: str = "face",
        stiffness: int = STIFFNESS,
        fps: Fraction = Fraction(25),
        start: int = 0,
        stage: str = "face",
    ) -> Stage[FaceTrack]:
        """Follow one face through ``frames`` (height, width, 3) uint8 RGB, the first of them number ``start`` of its video."""
        return (
            yield from track_faces(
                frames,
                self.analyzer,
                self.config.face,
                total=total,
                which=which,
                on_missing=on_missing,
                crop=crop,
                stiffness=stiffness,
                fps=fps,
                start=start,
                stage=stage,
            )
        )

    def intensity(self, track: FaceTrack, rule: str | None = None) -> Intensity:
        """Intensity Estimate by ``rule``, `released` or `paper`; None takes the weights' own."""
        config = self.config.motion
        return estimate_intensity(track, replace(config, intensity=rule or config.intensity))

    def motion(self, track: FaceTrack, intensity: Intensity) -> Stage[MotionTokens]:
        """Motion Encode."""
        models = self.models
        networks = (models.expression, models.headpose, models.motion_proj)

        def encode(device: torch.device) -> Stage[MotionTokens]:
            return encode_clip(*networks, track, intensity, self.config.motion, device=device, encoder=models.motion_fingerprint)

        return (yield from self.placement.run(("expression", "headpose", "motion_proj"), encode))

    def motion_of(
        self,
        driving: Path,
        *,
        start: int = 0,
        frames: int | None = None,
        which: FaceChoice = "largest",
        on_missing: str = "error",
        crop: str = "face",
        stiffness: int = STIFFNESS,
        intensity: str | None = None,
    ) -> Stage[MotionTokens]:
        """The motion of a video or a picture as a value to keep; for the options see `AnimateOptions`.

        Raises:
            PortraitError: an unusable video, or one without the face; a part of it that cannot be.
        """
        check_part(start, frames)
        driver = Driver.open(driving, frames)
        if driver.still is not None and start:
            raise OptionError(f"start is {start}, and {driving} is a picture, which has one frame. Leave it out.")
        if driver.motion is not None:
            raise OptionError(f"{driving} is a motion already. Name the video it is to come from.")
        count, face = frames_from(start, frames, driver.frames, driving), self.resolve_face(which)
        with about(driving, FaceError, OptionError):
            track = yield from self.face_crop(
                driver.pictures(start, count),
                total=count,
                which=face,
                on_missing=on_missing,
                crop=crop,
                stiffness=stiffness,
                fps=driver.fps,
                start=start,
            )
        motion = yield from self.motion(track, self.intensity(track, intensity))
        return replace(motion, source=file_fingerprint(driving))

    def appearance(self, portrait: FaceTrack) -> Appearance:
        """Appearance Encode."""
        models = self.models

        def latent(image: Tensor) -> Tensor:
            with self._vae, self.placement.on_device("vae"):
                return encode_reference(models.vae, image)

        with self.placement.on_device("dino", "image_proj") as device:
            return encode_appearance(models.dino, models.image_proj, models.identity, latent, portrait, device=device)

    def pose(
        self,
        driving: FaceTrack,
        portrait: FaceTrack,
        config: AlignConfig = AlignConfig(),
        driving_keypoints: PoseKeypoints | None = None,
        portrait_keypoints: PoseKeypoints | None = None,
    ) -> Stage[PoseMaps]:
        """Pose Align; by default black, as the released inference gives it to the guider."""
        stage = align_pose(driving, portrait, config, driving_keypoints=driving_keypoints, portrait_keypoints=portrait_keypoints)
        return (yield from stage)

    def sample(
        self, appearance: Appearance, motion: MotionTokens, pose: PoseMaps | None, *, sampling: SamplingConfig | None = None, seed: int = 0
    ) -> Stage[Tensor]:
        """SVD Portrait Sampler: latents of the padded clip, (frames + 2 * pad_frames, 4, height / 8, width / 8), unscaled.

        A pose of None is black, as released. Where memory runs out, it begins again in a cheaper mode of `MEMORY_MODES`, which is said.

        Raises:
            PortraitError: memory runs out in the cheapest mode too, or see `ClipSampler` and `denoise`.
        """
        run = ClipSampler(self.models, appearance, motion, pose, config=sampling or self.config.sampling, seed=seed)

        def states(device: torch.device) -> Stage[Tensor]:
            for state in run.states(device):
                latents = state.latents
                yield Progress("sample", state.evaluation, state.evaluations)
            return run.unscaled(latents)

        return (yield from self.placement.run(("unet", "pose_guider"), states))

    def decode(self, latents: Tensor, *, sampling: SamplingConfig | None = None) -> Iterator[np.ndarray]:
        """Frames (S, S, 3) uint8 of padded latents, warm-up cut off, each chunk as soon as it is asked for.

        Raises:
            PortraitError: memory runs out, or see `decode_chunks`.
        """
        config = sampling or self.config.sampling
        keep = range(config.pad_frames, len(latents) - config.pad_frames)
        try:
            with self.placement.on_device("vae"):
                chunks = decode_chunks(self.models.vae, latents, chunk=config.decode_chunk, overlap=config.decode_overlap, keep=keep)
                while True:
                    with self._vae:
                        part = next(chunks, None)
                    if part is None:
                        break
                    yield from to_uint8(part[1]).numpy()
        except torch.OutOfMemoryError as error:  # a shorter chunk is another picture, so it is not for us to choose
            crowded = self.placement.mode == "resident"
            remedy = "Use memory = frugal, which takes the other networks off it, or lower" if crowded else "Lower"
            raise PortraitError(
                f"The memory of '{self.device}' ran out while decoding {config.decode_chunk} frames at once "
                f"({first_line(error)}). {remedy} decode_chunk, which changes the picture at the chunks' borders."
            ) from error

    def animate(
        self,
        portrait: Path,
        driving: Path,
        output: Path,
        *,
        sampling: SamplingConfig | None = None,
        options: AnimateOptions = AnimateOptions(),
    ) -> Stage[Path]:
        """From a picture and a video, or a motion saved from one, to a video, written to ``output`` when it is whole.

        Raises:
            PortraitError: see the stages; nothing is written then.
        """
        take = yield from self.prepare(portrait, driving, output, sampling=sampling, options=options)
        return (yield from take.write())

    def prepare(
        self,
        portrait: Path,
        driving: Path,
        output: Path,
        *,
        sampling: SamplingConfig | None = None,
        options: AnimateOptions = AnimateOptions(),
    ) -> Stage[Take]:
        """`animate` up to the latents; `Take.write` does the rest, in another thread too while the next clip is prepared.

        Raises:
            PortraitError: see the stages.
        """
        return (yield from prepare(self, portrait, driving, output, sampling=sampling or self.config.sampling, options=options))


def sampling_for(config: PortraitConfig, preset: str = "exact", **changes: Any) -> SamplingConfig:
    """The weights' own sampling numbers, those of ``preset`` (`PRESETS`) over them, and over these whatever of ``changes`` is not None.

    Raises:
        OptionError: no such preset, or an impossible number.
    """
    check_choice("preset", preset, tuple(PRESETS))
    return replace(config.sampling, **PRESETS[preset] | {name: value for name, value in changes.items() if value is not None})
