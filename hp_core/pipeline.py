"""The stages wired once, in the order of the paper's Figure 2, for the command line, the tests and the trainer.

Every stage is a generator that yields `Progress` and returns its value: whoever iterates owns the progress bar and may stop.

    pipeline = result(PortraitPipeline.load(Path("pretrained_weights")))
    for event in pipeline.animate(Path("portrait.png"), Path("driving.mp4"), Path("out.mp4")):
        ...
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from hp_core.appearance.encode import encode_appearance
from hp_core.compose import paste_back
from hp_core.config import PortraitConfig, SamplingConfig, check_choice, check_range, frames_from
from hp_core.errors import FaceError, OptionError, about
from hp_core.face.analyzer import FaceAnalyzer, create_analyzer
from hp_core.face.crop import crop_square
from hp_core.face.track import CHOICES, CROPS, track_faces
from hp_core.image import load_image
from hp_core.motion.edit import trimmed
from hp_core.motion.encode import encode_clip, estimate_intensity
from hp_core.pose.align import black_pose
from hp_core.progress import Notice, Progress, Stage
from hp_core.sampler import ClipSampler
from hp_core.vae import decode_chunks, encode_reference, to_uint8
from hp_core.values import Appearance, FaceTrack, Intensity, MotionTokens, PoseMaps
from hp_core.video import VideoWriter, check_output, probe, read_frames
from hp_core.weights.catalog import CATALOG
from hp_core.weights.load import PortraitModels, file_fingerprint, load_models

VIEWS = ("portrait", "crop", "compare")
MAX_PLAYABLE_SIDE = 4096  # of H.264 in most browsers and hardware decoders
COMPARE_SIDE = 256  # fewest pixels of a side in the compare view; smaller results are enlarged


@dataclass(frozen=True)
class AnimateOptions:
    """What a run is asked for, besides the sampling numbers of `SamplingConfig`.

    Attributes:
        seed: of the starting noise.
        portrait_face, driving_face: which face (`choose_face`).
        on_missing: what to do about driving frames without the face.
        crop: cut a square around the `face` in both inputs, or take the `whole` picture (pictures that are portrait crops).
        view: `portrait` pastes the result back into the untouched picture, `crop` gives the square alone, `compare` sets
            portrait, driving video and result side by side.
        intensity: rule of the motion intensity, `released` or `paper`; None takes the weights' own.
        start, frames: part of the driving video, in frames; None takes it to the end.
        sound: pass the driving video's sound through.
        provenance: write into the file that it is synthetic, by what and from which weights.
        crf: H.264 quality, 1 (best) to 51.
    """

    seed: int = 0
    portrait_face: str | int = "largest"
    driving_face: str | int = "largest"
    on_missing: str = "error"
    crop: str = "face"
    view: str = "portrait"
    intensity: str | None = None
    start: int = 0
    frames: int | None = None
    sound: bool = True
    provenance: bool = True
    crf: int = 18

    def __post_init__(self) -> None:
        check_choice("view", self.view, VIEWS)
        check_choice("crop", self.crop, CROPS)
        for name in ("portrait_face", "driving_face"):
            which = getattr(self, name)
            if isinstance(which, str) and which not in CHOICES:
                raise OptionError(f"{name} is '{which}'; choose one of {', '.join(CHOICES)}, or an index from 0.")
        if self.intensity is not None:
            check_choice("intensity", self.intensity, ("released", "paper"))
        check_range("start", self.start, 0)
        check_range("crf", self.crf, 1, 51)
        check_range("seed", self.seed, 0, 2**63 - 1)
        if self.frames is not None:
            check_range("frames", self.frames, 1)


def default_device() -> torch.device:
    """The accelerator torch reports, else the CPU."""
    if torch.accelerator.is_available():
        return torch.accelerator.current_accelerator() or torch.device("cpu")
    return torch.device("cpu")


def _usable_device(name: torch.device | str) -> torch.device:
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


@dataclass(frozen=True)
class Driver:
    """What drives the portrait: a video, or a motion saved from one (`.safetensors`)."""

    frames: int
    fps: Fraction
    has_audio: bool = False
    variable_rate: bool = False
    motion: MotionTokens | None = None

    @staticmethod
    def open(path: Path) -> Driver:
        """Look at the file without reading its frames.

        Raises:
            PortraitError: it cannot be read.
        """
        if path.suffix == ".safetensors":
            motion = MotionTokens.load(path)
            return Driver(len(motion), motion.fps, motion=motion)
        info = probe(path)
        return Driver(info.frames, info.fps, info.has_audio, info.variable_rate)


def check_request(portrait: Path, driving: Path, output: Path, options: AnimateOptions) -> tuple[np.ndarray, Driver]:
    """Everything that can be refused without the networks; the picture (height, width, 3) uint8 and what the driver holds.

    Raises:
        PortraitError: an unusable picture, driver or output, an output that would replace an input, a start beyond the end, or a
            view of a driving video where there is none.
    """
    for path in (portrait, driving):
        if path.exists() and path.resolve() == output.resolve():
            raise OptionError(f"{output} is an input too and would be lost; name another output.")
    check_output(output)
    picture, driver = load_image(portrait), Driver.open(driving)
    frames_from(options.start, options.frames, driver.frames, driving)
    if driver.motion is not None and options.view == "compare":
        raise OptionError(f"view is compare, and {driving} is a motion without its video. Choose portrait or crop.")
    return picture, driver


class PortraitPipeline:
    """The models, a face analyzer and the stages between them.

    Args:
        models: of `load_models`.
        analyzer: any `FaceAnalyzer`.
        device: where the networks are.
    """

    def __init__(self, models: PortraitModels, analyzer: FaceAnalyzer, *, device: torch.device | str):
        self.models, self.analyzer, self.device = models, analyzer, torch.device(device)

    @staticmethod
    def load(
        folder: Path, *, analyzer: FaceAnalyzer | None = None, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> Stage[PortraitPipeline]:
        """Load the weights in ``folder``; device and dtype default to what the machine has."""
        target = default_device() if device is None else _usable_device(device)
        detector = analyzer or create_analyzer(model=CATALOG["face_landmarker"].find(folder))
        models = yield from load_models(folder, device=target, dtype=dtype or default_dtype(target))
        return PortraitPipeline(models, detector, device=target)

    @property
    def config(self) -> PortraitConfig:
        """The configuration of the weights."""
        return self.models.config

    def face_crop(
        self,
        frames: Iterable[np.ndarray],
        *,
        total: int,
        which: str | int = "largest",
        on_missing: str = "error",
        crop: str = "face",
        fps: Fraction = Fraction(25),
        start: int = 0,
        stage: str = "face",
    ) -> Stage[FaceTrack]:
        """Follow one face through ``frames`` (height, width, 3) uint8 RGB, the first of them number ``start`` of its video."""
        options = {"which": which, "on_missing": on_missing, "crop": crop, "fps": fps, "start": start, "stage": stage}
        return (yield from track_faces(frames, self.analyzer, self.config.face, total=total, **options))  # type: ignore[arg-type]

    def intensity(self, track: FaceTrack, rule: str | None = None) -> Intensity:
        """Intensity Estimate by ``rule``, `released` or `paper`; None takes the weights' own."""
        config = self.config.motion
        return estimate_intensity(track, replace(config, intensity=rule or config.intensity))

    def motion(self, track: FaceTrack, intensity: Intensity) -> Stage[MotionTokens]:
        """Motion Encode."""
        models = self.models
        networks = (models.expression, models.headpose, models.motion_proj)
        stage = encode_clip(*networks, track, intensity, self.config.motion, device=self.device, encoder=models.motion_fingerprint)
        return (yield from stage)

    def motion_of(
        self,
        driving: Path,
        *,
        start: int = 0,
        frames: int | None = None,
        which: str | int = "largest",
        on_missing: str = "error",
        crop: str = "face",
        intensity: str | None = None,
    ) -> Stage[MotionTokens]:
        """The motion of a video as a value to keep; for the options see `AnimateOptions`.

        Raises:
            PortraitError: an unusable video, or one without the face.
        """
        info = probe(driving)
        count = frames_from(start, frames, info.frames, driving)
        pictures = read_frames(driving, start=start, limit=count)
        with about(driving, FaceError, OptionError):
            track = yield from self.face_crop(
                pictures, total=count, which=which, on_missing=on_missing, crop=crop, fps=info.fps, start=start
            )
        motion = yield from self.motion(track, self.intensity(track, intensity))
        return replace(motion, source=file_fingerprint(driving))

    def appearance(self, portrait: FaceTrack) -> Appearance:
        """Appearance Encode."""
        models = self.models
        return encode_appearance(
            models.dino,
            models.image_proj,
            models.identity,
            lambda image: encode_reference(models.vae, image),
            portrait,
            device=self.device,
        )

    def pose(self, motion: MotionTokens) -> PoseMaps:
        """Pose Align; the released inference gives the guider a black picture."""
        size = self.config.face.image_size
        return black_pose(len(motion), (size, size))

    def sample(
        self, appearance: Appearance, motion: MotionTokens, pose: PoseMaps, *, sampling: SamplingConfig | None = None, seed: int = 0
    ) -> Stage[Tensor]:
        """SVD Portrait Sampler: latents of the padded clip, (frames + 2 * pad_frames, 4, height / 8, width / 8), unscaled."""
        run = ClipSampler(self.models, appearance, motion, pose, config=sampling or self.config.sampling, seed=seed)
        for state in run.states(self.device):
            latents = state.latents
            yield Progress("sample", state.evaluation, state.evaluations)
        return run.unscaled(latents)

    def decode(self, latents: Tensor, *, sampling: SamplingConfig | None = None) -> Iterator[np.ndarray]:
        """Frames (S, S, 3) uint8 of padded latents, warm-up cut off, each chunk as soon as it is asked for."""
        config = sampling or self.config.sampling
        keep = range(config.pad_frames, len(latents) - config.pad_frames)
        for _, frames in decode_chunks(self.models.vae, latents, chunk=config.decode_chunk, keep=keep):
            yield from to_uint8(frames).numpy()

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
        config = sampling or self.config.sampling
        picture, info = check_request(portrait, driving, output, options)
        count = frames_from(options.start, options.frames, info.frames, driving)
        if options.view == "portrait" and max(picture.shape) > MAX_PLAYABLE_SIDE:
            yield Notice(
                f"{portrait} is {picture.shape[1]}x{picture.shape[0]}; many players stop at {MAX_PLAYABLE_SIDE} pixels. "
                "Use a smaller picture, or the view crop."
            )
        if info.variable_rate:
            yield Notice(f"{driving} has a variable frame rate; it is read at its average, {float(info.fps):.3f} frames/s.")
        writer = VideoWriter(  # now, because it refuses what it could not write; the file is opened by the first frame
            output,
            fps=info.fps,
            audio_from=driving if options.sound and info.has_audio else None,
            audio_start=options.start / info.fps,
            metadata=self.provenance(options.seed) if options.provenance else None,
            crf=options.crf,
        )
        with about(portrait, FaceError, OptionError):  # "hold": a single picture has no frames before or after to speak of
            portrait_track = yield from self.face_crop(
                [picture], total=1, which=options.portrait_face, on_missing="hold", crop=options.crop, stage="portrait"
            )
        if not portrait_track.crop_points_found:
            yield Notice("No face found in the portrait's own crop; the points of the whole picture align the identity.")
        appearance = self.appearance(portrait_track)
        driving_square = None
        if info.motion is not None:
            motion = trimmed(info.motion, options.start, options.start + count)
        else:
            with about(driving, FaceError, OptionError):
                driving_track = yield from self.face_crop(
                    read_frames(driving, start=options.start, limit=count),
                    total=count,
                    which=options.driving_face,
                    on_missing=options.on_missing,
                    crop=options.crop,
                    fps=info.fps,
                    start=options.start,
                )
            motion = yield from self.motion(driving_track, self.intensity(driving_track, options.intensity))
            driving_square = driving_track.square
            del driving_track  # its crops grow with the clip
        latents = yield from self.sample(appearance, motion, self.pose(motion), sampling=config, seed=options.seed)
        view = self._view(options, portrait_track, driving, driving_square)
        with writer:
            for done, frame in enumerate(self.decode(latents, sampling=config), 1):
                writer.write(view(frame))
                yield Progress("decode", done, count)
        return output

    def provenance(self, seed: int) -> dict[str, str]:
        """Container metadata: synthetic, by what, from which weights."""
        try:
            number = version("hunyuanportrait")
        except PackageNotFoundError:
            number = "unknown"
        facts = {
            "synthetic": True,
            "digital_source_type": "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia",
            "generator": f"hunyuanportrait {number}",
            "weights": self.models.fingerprint,
            "trained": self.config.trained,
            "seed": seed,
        }
        return {"comment": json.dumps(facts), "description": "Synthetic video: a portrait animated by HunyuanPortrait."}

    def _view(self, options: AnimateOptions, portrait: FaceTrack, driving: Path, square: tuple[int, int, int, int] | None) -> Any:
        """A function from one result frame to one frame of the file."""
        if options.view == "crop":
            return lambda frame: frame
        if options.view == "portrait":
            return lambda frame: paste_back(frame, portrait.portrait, portrait.square)
        assert square is not None  # `check_request` refuses the view of a driver without pictures
        side = max(self.config.face.image_size, COMPARE_SIDE)
        source = read_frames(driving, start=options.start)
        still = np.asarray(crop_square(portrait.portrait, portrait.square, side))

        def compared(frame: np.ndarray) -> np.ndarray:
            original = crop_square(next(source), square, side)
            return np.hstack([still, np.asarray(original), np.asarray(Image.fromarray(frame).resize((side, side)))])

        return compared


def sampling_for(config: PortraitConfig, **changes: Any) -> SamplingConfig:
    """The weights' own sampling numbers with those of ``changes`` that are not None."""
    return replace(config.sampling, **{name: value for name, value in changes.items() if value is not None})
