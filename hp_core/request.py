"""What `hp-portrait animate` is asked for: options, who is in the picture and who drives them, checked before anything is loaded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields, replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from hp_core.checks import check_choice, check_part, check_range, frames_from
from hp_core.compose import PASTE_REGIONS
from hp_core.config import INTENSITY_RULES, MOTION_PACES, ON_MISSING, AlignConfig, MotionEdit
from hp_core.errors import OptionError
from hp_core.face.choose import CHOICES, Which
from hp_core.face.cropper import CROPS, MAX_STIFFNESS, STIFFNESS
from hp_core.files import check_writable
from hp_core.image import PICTURES, load_image
from hp_core.values import MotionTokens
from hp_core.video import check_output, probe, read_frames

VIEWS = ("portrait", "crop", "compare")
KEYPOINTS = ("auto", "dwpose", "face")
STILL_FRAMES, STILL_FPS = 25, Fraction(25)  # how long a picture drives unless told


FaceChoice = Which | Path
"""A face by `Which`, or a picture of the person, compared by ArcFace."""


@dataclass(frozen=True)
class Person:
    """Somebody in the portrait, the file that drives them, and whose face in it."""

    face: FaceChoice
    driving: Path
    driving_face: FaceChoice = "largest"


@dataclass(frozen=True)
class AnimateOptions:
    """What a run is asked for, besides the sampling numbers of `SamplingConfig`.

    Attributes:
        seed: of the starting noise.
        portrait_face, driving_face: which face (`choose_face`), or a picture of the person, compared by ArcFace.
        people: others in the picture, each with their own driver; pasted in this order, after the first.
        on_missing: what to do about driving frames without the face.
        crop: cut a square around the `face` in both inputs, `follow` the driver's with a square that moves along, or take the
            `whole` picture (pictures that are portrait crops).
        stiffness: of the square that follows: radius in frames over which its way is smoothed.
        view: `portrait` pastes the result back into the untouched picture, `crop` gives the square alone, `compare` sets
            portrait, driving video and result side by side.
        paste: `crop`, the whole square, or the region of the `face` alone; None is the square, and the face where there are other
            people, whom a square would paint over.
        match_colour: bring the pasted square to the portrait's colours.
        mask: a grey .png to write beside the video: where the picture is changed, white wholly and black not at all.
        intensity: rule of the motion intensity, `released` or `paper`; None takes the weights' own.
        motion: how the driver's motion is changed before it is used.
        head_from: a video, a picture or a motion file, from its first frame on, whose head is taken; the driver gives the expression.
        head_face: whose head it is there, as `driving_face`.
        head_relative: its turns are added to where the driver looks at rest (`MotionEdit.neutral`), instead of taken as they are.
        head_neutral: number of the frame in which it looks at rest itself; -1: the one nearest to its median expression.
        head_pace: how it is brought to the driver's length, of `MOTION_PACES`.
        pose: what the pose guider is shown.
        keypoints: where the pose takes them from: `dwpose`, the `face` track, or `auto`: DWPose where its files are.
        start, frames: part of the driving video, in frames; None takes it to the end. Of other people's drivers it is the same seconds.
        sound: pass the driving video's sound through.
        provenance: write into the file that it is synthetic, by what and from which weights.
        crf: H.264 quality, 1 (best) to 51.
    """

    seed: int = 0
    portrait_face: FaceChoice = "largest"
    driving_face: FaceChoice = "largest"
    people: tuple[Person, ...] = ()
    on_missing: str = "error"
    crop: str = "face"
    stiffness: int = STIFFNESS
    view: str = "portrait"
    paste: str | None = None
    match_colour: bool = False
    mask: Path | None = None
    intensity: str | None = None
    motion: MotionEdit = field(default_factory=MotionEdit)
    head_from: Path | None = None
    head_face: FaceChoice = "largest"
    head_relative: bool = False
    head_neutral: int = -1
    head_pace: str = "keep"
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
        check_choice("head_pace", self.head_pace, MOTION_PACES)
        check_range("head_neutral", self.head_neutral, -1)
        if self.paste is not None:
            check_choice("paste", self.paste, PASTE_REGIONS)
        check_choice("keypoints", self.keypoints, KEYPOINTS)
        check_choice("on_missing", self.on_missing, ON_MISSING)
        for name, which in self._faces():
            if isinstance(which, str) and which not in CHOICES:
                raise OptionError(
                    f"{name} is '{which}'; choose one of {', '.join(CHOICES)}, an index from 0, a point X,Y, or like:PICTURE."
                )
        if self.intensity is not None:
            check_choice("intensity", self.intensity, INTENSITY_RULES)
        if self.people and self.view != "portrait":
            raise OptionError(f"view is {self.view}, and several people are pasted into one picture. Choose the view portrait.")
        if self.people and self.head_from is not None:
            raise OptionError(
                f"The head comes from {self.head_from}, and there are several people. Mix each one's motion with `hp-portrait motion mix`."
            )
        if self.head_from is not None and self.pose.draws_skeleton:
            raise OptionError(
                f"The head comes from {self.head_from}, and the pose mode is {self.pose.mode}, whose skeleton has the driver's head. Set "
                "it to released, or leave head_from out."
            )
        if not self.motion.keeps_frames and (self.view == "compare" or self.pose.draws_skeleton):
            what = "view is compare" if self.view == "compare" else f"The pose mode is {self.pose.mode}"
            raise OptionError(
                f"{what}, which shows the driver frame by frame, and the motion is given another length or rate. Keep both, or choose "
                "another view and the pose mode released."
            )
        pasting = {"match_colour": self.match_colour, f"paste {self.paste}": self.paste is not None, "mask": self.mask is not None}
        if self.view != "portrait" and any(pasting.values()):
            option = next(name for name, given in pasting.items() if given)
            raise OptionError(f"view is {self.view}, which pastes nothing, and {option} is set. Leave it out, or choose the view portrait.")
        heads = ("head_face", "head_relative", "head_neutral", "head_pace")
        idle = [f"{name} is {getattr(self, name)}" for name in heads if getattr(self, name) != getattr(AnimateOptions, name)]
        if self.head_from is None and idle:
            raise OptionError(f"{' and '.join(idle)}, of the head's own clip, and head_from names none. Name it, or leave that out.")
        if self.head_neutral >= 0 and not self.head_relative:
            raise OptionError(f"head_neutral is {self.head_neutral}, which head_relative alone asks for. Set that, or leave it out.")
        if self.stiffness != STIFFNESS and self.crop != "follow":
            raise OptionError(f"stiffness is {self.stiffness}, and crop is {self.crop}, whose square stands still. Set crop to follow.")
        plain = AlignConfig(mode=self.pose.mode)
        asked = {item.name: getattr(self.pose, item.name) for item in fields(plain)}
        idle = [f"{name} is {value}" for name, value in asked.items() if value != getattr(plain, name)]
        idle += [f"keypoints is {self.keypoints}"] if self.keypoints != "auto" else []
        if not self.pose.draws_skeleton and idle:
            raise OptionError(
                f"The pose mode is released, which is black, and of the pose {' and '.join(idle)}. Set the mode to paper or identity, or "
                "leave that out."
            )
        if self.keypoints == "face" and self.pose.on_missing != AlignConfig.on_missing:
            raise OptionError(
                f"The pose's on_missing is {self.pose.on_missing}, and its keypoints are the face's, which are known in every frame. Set "
                "keypoints to dwpose, or leave it out."
            )
        steady = replace(self.pose, strength=1.0, lock_x=False, lock_y=False, lock_scale=False) == self.pose
        if self.pose.mode == "identity" and steady and self.pose.reference >= 0:
            raise OptionError(
                f"The pose's reference is frame {self.pose.reference}, which identity counts from only with a strength or a lock. Set one, "
                "or leave it out."
            )
        check_range("stiffness", self.stiffness, 0, MAX_STIFFNESS)
        check_part(self.start, self.frames)
        check_range("crf", self.crf, 1, 51)
        check_range("seed", self.seed, 0, 2**63 - 1)

    def _faces(self) -> list[tuple[str, FaceChoice]]:
        own: list[tuple[str, FaceChoice]] = [(name, getattr(self, name)) for name in ("portrait_face", "driving_face", "head_face")]
        faces = [(person.face, person.driving_face) for person in self.people]
        return own + [("the face of a person", which) for pair in faces for which in pair]

    @property
    def references(self) -> list[Path]:
        """The pictures by which faces are named."""
        return [which for _, which in self._faces() if isinstance(which, Path)]

    @property
    def paste_region(self) -> str:
        """What is pasted back, of `PASTE_REGIONS`."""
        return self.paste or ("face" if self.people else "crop")


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

    def part(self, options: AnimateOptions, fps: Fraction) -> tuple[int, int]:
        """First frame and number of frames used: the seconds that ``options.start`` and ``frames`` are at ``fps``. A picture has no
        beginning to leave out.

        Raises:
            OptionError: the driver is over before they begin.
        """
        pace = self.fps / fps
        limit = None if options.frames is None else max(round(options.frames * pace), 1)
        start = 0 if self.still is not None else round(options.start * pace)
        if pace != 1 and start >= self.frames:
            raise OptionError(
                f"start is {options.start} at {float(fps):g} frames/s, which is frame {start} of {self.path} at {float(self.fps):g}; it "
                f"has {self.frames}. Start earlier, or give that person a longer driver."
            )
        return start, frames_from(start, limit, self.frames, self.path)

    def pictures(self, start: int, count: int) -> Iterator[np.ndarray]:
        """Frames (height, width, 3) uint8 from number ``start`` on; a picture repeats."""
        if self.still is not None:
            return iter([self.still] * count)
        return read_frames(self.path, start=start, limit=count)


def leader_of(drivers: list[Driver]) -> Driver:
    """Whose frame rate, length and sound count: the first that is not a picture, which has none of its own."""
    return next((driver for driver in drivers if driver.still is None), drivers[0])


def check_motion_output(output: Path, *inputs: Path) -> None:
    """Raise `PortraitError` where no motion can be written to ``output``, or one of ``inputs`` would be lost by it."""
    if output.suffix != ".safetensors":
        raise OptionError(
            f"{output} is to hold a motion, which is known by .safetensors. Name it {output.with_suffix('.safetensors').name}."
        )
    _check_apart(output, inputs)
    check_writable(output)


def _check_apart(output: Path, inputs: Iterable[Path]) -> None:
    for path in inputs:
        if path.exists() and path.resolve() == output.resolve():
            raise OptionError(f"{output} is an input too and would be lost; name another output.")


def check_request(portrait: Path, driving: Path, output: Path, options: AnimateOptions) -> tuple[np.ndarray, list[Driver]]:
    """Everything that can be refused without the networks; the picture (height, width, 3) uint8 and what the drivers hold.

    Raises:
        PortraitError: an unusable picture, driver or output, an output that would replace an input, a start beyond the end, or a
            view or a pose of a driving video where there is none.
    """
    people = [driving, *(person.driving for person in options.people)]
    inputs = (portrait, *people, *options.references, *filter(None, [options.head_from]))
    _check_apart(output, inputs)
    check_output(output)
    if options.mask is not None:
        if options.mask.suffix.lower() != ".png":
            raise OptionError(f"The mask is {options.mask}; name it {options.mask.with_suffix('.png').name}.")
        _check_apart(options.mask, (*inputs, output))
        check_writable(options.mask)
    picture, drivers = load_image(portrait), [Driver.open(path, options.frames) for path in people]
    for reference in options.references:
        load_image(reference)
    leader = leader_of(drivers)
    fps, (_, length) = leader.fps, leader.part(options, leader.fps)
    drivers = [driver if driver.still is None else replace(driver, fps=fps, frames=length) for driver in drivers]
    sources = list(drivers)
    if options.head_from is not None:
        head = Driver.open(options.head_from)
        sources.append(head)
        if options.head_neutral >= head.frames:
            raise OptionError(f"head_neutral is frame {options.head_neutral}; {head.path} has {head.frames}, so 0 to {head.frames - 1}.")
        if head.motion is not None and options.head_face != "largest":
            raise OptionError(f"head_face is set, and {head.path} is a motion without its video, in which nobody can be chosen.")
    for option, given, looked_at in (
        ("crop is follow", options.crop == "follow", sources),
        (f"intensity is {options.intensity}", options.intensity, drivers),
    ):
        if given and all(source.motion is not None for source in looked_at):
            raise OptionError(f"{option}, and {driving} is a motion without its video. Leave that out.")
    if options.start and all(driver.still is not None for driver in drivers):
        raise OptionError(f"start is {options.start}, and {driving} is a picture, which has one frame. Leave it out.")
    faces = (options.driving_face, *(person.driving_face for person in options.people))
    for driver, face in zip(drivers, faces, strict=True):
        _, count = driver.part(options, fps)
        used = max(1, round(count * fps / driver.fps))
        if options.motion.neutral >= used:
            raise OptionError(f"neutral is frame {options.motion.neutral}; of {driver.path} {used} frames are used, so 0 to {used - 1}.")
        if options.pose.draws_skeleton and options.pose.reference >= count:
            raise OptionError(
                f"The pose's reference is frame {options.pose.reference}; of {driver.path} {count} frames are used, so 0 to {count - 1}."
            )
        if driver.motion is not None and face != "largest":
            raise OptionError(f"A face of the driving video is chosen, and {driver.path} is a motion without its video. Leave that out.")
        if driver.motion is not None and options.view == "compare":
            raise OptionError(f"view is compare, and {driver.path} is a motion without its video. Choose portrait or crop.")
        if options.pose.draws_skeleton and driver.motion is not None:
            raise OptionError(f"The pose mode is {options.pose.mode}, and {driver.path} is a motion without its video. Set it to released.")
        if options.pose.draws_skeleton and driver.fps != fps:
            raise OptionError(
                f"The pose mode is {options.pose.mode}, {driver.path} has {float(driver.fps):g} frames/s and {driving} "
                f"{float(fps):g}. Convert them to one rate, or set the pose mode to released."
            )
    return picture, drivers
