"""What `hp-portrait animate` is asked for: options, who is in the picture and who drives them, checked before anything is loaded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import numpy as np

from hp_core.compose import PASTE_REGIONS
from hp_core.config import MOTION_TRANSLATIONS, AlignConfig, check_choice, check_range, frames_from
from hp_core.errors import OptionError
from hp_core.face.choose import CHOICES, Which
from hp_core.face.cropper import CROPS, MAX_STIFFNESS, STIFFNESS
from hp_core.image import PICTURES, load_image
from hp_core.values import MotionTokens
from hp_core.video import check_output, probe, read_frames

VIEWS = ("portrait", "crop", "compare")
KEYPOINTS = ("auto", "dwpose", "face")
STILL_FRAMES, STILL_FPS = 25, Fraction(25)  # how long a picture drives unless told


@dataclass(frozen=True)
class Person:
    """Somebody in the portrait, and the file that drives them."""

    face: Which
    driving: Path


@dataclass(frozen=True)
class AnimateOptions:
    """What a run is asked for, besides the sampling numbers of `SamplingConfig`.

    Attributes:
        seed: of the starting noise.
        portrait_face, driving_face: which face (`choose_face`).
        portrait_like, driving_like: a picture of the person meant instead, compared by ArcFace.
        people: others in the picture, each with their own driver; pasted in this order, after the first.
        on_missing: what to do about driving frames without the face.
        crop: cut a square around the `face` in both inputs, `follow` the driver's with a square that moves along, or take the
            `whole` picture (pictures that are portrait crops).
        stiffness: of the square that follows: radius in frames over which its way is smoothed.
        view: `portrait` pastes the result back into the untouched picture, `crop` gives the square alone, `compare` sets
            portrait, driving video and result side by side.
        paste: `crop`, the whole square, or the region of the `face` alone.
        match_colour: bring the pasted square to the portrait's colours.
        intensity: rule of the motion intensity, `released` or `paper`; None takes the weights' own.
        translation: of the head in the motion tokens, of `MOTION_TRANSLATIONS`.
        pose: what the pose guider is shown.
        keypoints: where the pose takes them from: `dwpose`, the `face` track, or `auto`: DWPose where its files are.
        start, frames: part of the driving video, in frames; None takes it to the end.
        sound: pass the driving video's sound through.
        provenance: write into the file that it is synthetic, by what and from which weights.
        crf: H.264 quality, 1 (best) to 51.
    """

    seed: int = 0
    portrait_face: Which = "largest"
    driving_face: Which = "largest"
    portrait_like: Path | None = None
    driving_like: Path | None = None
    people: tuple[Person, ...] = ()
    on_missing: str = "error"
    crop: str = "face"
    stiffness: int = STIFFNESS
    view: str = "portrait"
    paste: str = "crop"
    match_colour: bool = False
    intensity: str | None = None
    translation: str = "as it is"
    pose: AlignConfig = field(default_factory=AlignConfig)
    keypoints: str = "auto"
    start: int = 0
    frames: int | None = None
    sound: bool = True
    provenance: bool = True
    crf: int = 18

    def __post_init__(self) -> None:
        check_choice("view", self.view, VIEWS)
        check_choice("crop", self.crop, CROPS)
        check_choice("paste", self.paste, PASTE_REGIONS)
        check_choice("translation", self.translation, MOTION_TRANSLATIONS)
        check_choice("keypoints", self.keypoints, KEYPOINTS)
        for name, which in (("portrait_face", self.portrait_face), ("driving_face", self.driving_face), *self._others()):
            if isinstance(which, str) and which not in CHOICES:
                raise OptionError(f"{name} is '{which}'; choose one of {', '.join(CHOICES)}, an index from 0, or a point X,Y.")
        if self.intensity is not None:
            check_choice("intensity", self.intensity, ("released", "paper"))
        if self.people and self.view != "portrait":
            raise OptionError(f"view is {self.view}, and several people are pasted into one picture. Choose the view portrait.")
        check_range("stiffness", self.stiffness, 0, MAX_STIFFNESS)
        check_range("start", self.start, 0)
        check_range("crf", self.crf, 1, 51)
        check_range("seed", self.seed, 0, 2**63 - 1)
        if self.frames is not None:
            check_range("frames", self.frames, 1)

    def _others(self) -> list[tuple[str, Which]]:
        return [("the face of a person", person.face) for person in self.people]


@dataclass(frozen=True)
class Driver:
    """What drives a portrait: a video, a picture, or a motion saved from a video (`.safetensors`)."""

    path: Path
    frames: int
    fps: Fraction
    has_audio: bool = False
    variable_rate: bool = False
    motion: MotionTokens | None = None
    still: np.ndarray | None = None

    @staticmethod
    def open(path: Path, frames: int | None = None) -> Driver:
        """Look at the file without reading its frames.

        Args:
            frames: how long a picture drives; a second unless told.

        Raises:
            PortraitError: it cannot be read.
        """
        if path.suffix == ".safetensors":
            motion = MotionTokens.load(path)
            return Driver(path, len(motion), motion.fps, motion=motion)
        if path.is_file() and path.suffix.lower() in PICTURES:
            return Driver(path, frames or STILL_FRAMES, STILL_FPS, still=load_image(path))
        info = probe(path)
        return Driver(path, info.frames, info.fps, info.has_audio, info.variable_rate)

    def pictures(self, start: int, count: int) -> Iterator[np.ndarray]:
        """Frames (height, width, 3) uint8 from number ``start`` on; a picture repeats."""
        if self.still is not None:
            return iter([self.still] * count)
        return read_frames(self.path, start=start, limit=count)


def check_request(portrait: Path, driving: Path, output: Path, options: AnimateOptions) -> tuple[np.ndarray, list[Driver]]:
    """Everything that can be refused without the networks; the picture (height, width, 3) uint8 and what the drivers hold.

    Raises:
        PortraitError: an unusable picture, driver or output, an output that would replace an input, a start beyond the end, or a
            view or a pose of a driving video where there is none.
    """
    people = [driving, *(person.driving for person in options.people)]
    for path in (portrait, *people, *filter(None, (options.portrait_like, options.driving_like))):
        if path.exists() and path.resolve() == output.resolve():
            raise OptionError(f"{output} is an input too and would be lost; name another output.")
    check_output(output)
    picture, drivers = load_image(portrait), [Driver.open(path, options.frames) for path in people]
    for driver in drivers:
        frames_from(options.start, options.frames, driver.frames, driver.path)
        if driver.motion is not None and options.view == "compare":
            raise OptionError(f"view is compare, and {driver.path} is a motion without its video. Choose portrait or crop.")
        if options.pose.mode != "released" and driver.motion is not None:
            raise OptionError(f"The pose mode is {options.pose.mode}, and {driver.path} is a motion without its video. Set it to released.")
        if options.pose.mode != "released" and driver.fps != drivers[0].fps:
            raise OptionError(
                f"The pose mode is {options.pose.mode}, {driver.path} has {float(driver.fps):g} frames/s and {driving} "
                f"{float(drivers[0].fps):g}. Convert them to one rate, or set the pose mode to released."
            )
    return picture, drivers
