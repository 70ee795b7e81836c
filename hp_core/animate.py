"""From files to a file: who is in the picture, who drives them, and what the video shows (`hp-portrait animate`)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from importlib.metadata import PackageNotFoundError, version
from itertools import combinations
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from torch import Tensor

from hp_core.compose import Paster
from hp_core.config import SamplingConfig
from hp_core.errors import FaceError, OptionError, WeightsError, about
from hp_core.face.choose import Which
from hp_core.face.crop import crop_square
from hp_core.files import written_beside
from hp_core.motion.edit import at_rate, edited, frame_rate, kept, mixed
from hp_core.pose.keypoints import followed, known_noses
from hp_core.progress import Notice, Progress, Stage
from hp_core.request import AnimateOptions, Driver, check_request, leader_of
from hp_core.values import FaceTrack, MotionTokens, PoseKeypoints, PoseMaps, Square
from hp_core.video import VideoWriter
from hp_core.weights.load import PortraitModels

if TYPE_CHECKING:
    from hp_core.pipeline import PortraitPipeline
    from hp_core.pose.dwpose import DwposeEstimator

MAX_PLAYABLE_SIDE = 4096  # of H.264 in most browsers and hardware decoders
COMPARE_SIDE = 256  # fewest pixels of a side in the compare view; smaller results are enlarged


def prepare(
    pipeline: PortraitPipeline, portrait: Path, driving: Path, output: Path, *, sampling: SamplingConfig, options: AnimateOptions
) -> Stage[Take]:
    """See `PortraitPipeline.prepare`."""
    picture, drivers = check_request(portrait, driving, output, options)
    if options.view == "portrait" and max(picture.shape) > MAX_PLAYABLE_SIDE:
        yield Notice(
            f"{portrait} is {picture.shape[1]}x{picture.shape[0]}; many players stop at {MAX_PLAYABLE_SIDE} pixels. "
            "Use a smaller picture, or the view crop."
        )
    for driver in drivers:
        strengths = {"expression": options.motion.expression, "rotation": 1.0 if options.head_from else options.motion.rotation}
        idle = " and ".join(name for name, strength in strengths.items() if strength != 1)
        if driver.still is not None and idle:
            yield Notice(
                f"{driver.path} is a picture, whose one face is its own neutral frame: the strength of {idle} changes nothing. Turn the "
                "head by --turn and --yaw, or mix motions."
            )
        if driver.variable_rate:
            yield Notice(f"{driver.path} has a variable frame rate; it is read at its average, {float(driver.fps):.3f} frames/s.")
        if driver.motion is not None:
            with about(driver.path, OptionError):
                driver.motion.check_encoder(pipeline.models.motion_fingerprint)
    edit = options.motion
    changed = (edit.rotation, edit.turn, edit.smooth) != (1, 1, 1) or edit.yaw or edit.pitch or edit.roll
    if options.pose.draws_skeleton and changed:
        yield Notice(
            f"The pose mode is {options.pose.mode}: the skeleton has the driver's own head, the change of it is in the motion alone."
        )
    first = drivers[0]
    fps = frame_rate(options.motion.fps) if options.motion.fps else first.fps
    leader = leader_of(drivers)
    sound = options.sound and leader.has_audio
    if sound and not options.motion.keeps_seconds:
        yield Notice("The motion is given another length, which the driving video's sound does not fit; it is left out.")
    writer = VideoWriter(  # now, because it refuses what it could not write; the file is opened by the first frame
        output,
        fps=fps,
        audio_from=leader.path if sound and options.motion.keeps_seconds else None,
        audio_start=options.start / first.fps,
        metadata=provenance(pipeline.models, options.seed) if options.provenance else None,
        crf=options.crf,
    )
    run = _Run(pipeline, options, sampling, picture, portrait, fps, (yield from dwpose_for(options, pipeline.dwpose)))
    portraits = []
    for face in (options.portrait_face, *(person.face for person in options.people)):
        portraits.append((yield from run.crop_portrait(pipeline.resolve_face(face))))
    yield from _check_people(portraits, drivers, options)
    if options.head_from is not None:
        run.head = yield from _head(pipeline, options, first)
    theirs = [pipeline.resolve_face(face) for face in (options.driving_face, *(person.driving_face for person in options.people))]
    performances = []
    for standing, driver, which in zip(portraits, drivers, theirs, strict=True):
        performances.append((yield from run.perform(standing, driver, which, first.fps)))
    return Take(run, performances, writer, output)


@dataclass(frozen=True, eq=False)
class Take:
    """A clip that is sampled and waits to be decoded, pasted and written."""

    run: _Run
    performances: list[_Performance]
    writer: VideoWriter
    output: Path

    def write(self) -> Stage[Path]:
        """Write the video; only the VAE runs for it, so another clip may be prepared meanwhile (`hp_core.evaluation.make`)."""
        total = max(len(performance.motion) for performance in self.performances)
        pasters = self.run.pasters(self.performances)
        with self.writer as writer:
            for done, frame in enumerate(self.run.pictures(self.performances, pasters, total), 1):
                writer.write(frame)
                yield Progress("decode", done, total)
        if self.run.options.mask is not None:
            shown = 1 - np.prod([1 - paster.mask[0].numpy() for paster in pasters], axis=0)
            with written_beside(self.run.options.mask) as temporary:
                whole = np.pad(shown, [(0, side % 2) for side in shown.shape], mode="edge")  # as the video is
                Image.fromarray(np.rint(255 * whole).astype(np.uint8)).save(temporary)
        return self.output


def dwpose_for(options: AnimateOptions, files: tuple[Path, Path] | None) -> Stage[DwposeEstimator | None]:
    """DWPose, where the pose needs keypoints and they are to come from it; None takes those of the face tracks, which is said.

    Args:
        files: of `DwposeEstimator`, or None where they are not at hand.

    Raises:
        OptionError: the style draws nothing, or the face track is to be levelled.
        WeightsError: it is asked for and cannot be had.
    """
    if not options.pose.draws_skeleton:
        return None
    from hp_core.pose.align import check_drawn
    from hp_core.pose.dwpose import REMEDY, DwposeEstimator

    check_drawn(options.pose, estimated=options.keypoints == "face")
    if files is not None and options.keypoints != "face":
        try:
            estimator = DwposeEstimator(*files)
            yield Notice("The pose comes from DWPose.")
            return estimator
        except WeightsError as error:
            if options.keypoints == "dwpose":
                raise
            yield Notice(f"The pose comes from the face track: {error}")
    elif options.keypoints == "dwpose":
        raise WeightsError(f"The pose is to come from DWPose, whose two files are not among the weights. {REMEDY}")
    check_drawn(options.pose, estimated=True)
    yield Notice(
        "The pose is that of the face alone: the nose and a neck estimated below it, eyes and face points where they are drawn too; DWPose "
        "would add shoulders and arms."
    )
    return None


@dataclass(frozen=True)
class _Performance:
    """One person's share of the video, before it is decoded."""

    portrait: FaceTrack
    motion: MotionTokens
    latents: Tensor
    driver: Driver
    squares: list[Square]  # of the driver's frames; none where it has no pictures


class _Run:
    """The stages of one call, person by person.

    Args:
        picture, name: the portrait, (height, width, 3) uint8, and its file for messages.
        fps: the result's.
        estimator: where the pose's keypoints come from; None takes the face tracks'.
    """

    def __init__(
        self,
        pipeline: PortraitPipeline,
        options: AnimateOptions,
        sampling: SamplingConfig,
        picture: np.ndarray,
        name: Path,
        fps: Fraction,
        estimator: DwposeEstimator | None,
    ) -> None:
        self.pipeline, self.options, self.sampling = pipeline, options, sampling
        self.picture, self.name, self.fps, self.estimator = picture, name, fps, estimator
        self.head: MotionTokens | None = None  # whose turns take the place of the driver's
        self.people = [] if estimator is None else estimator.people(picture)

    def crop_portrait(self, face: Which) -> Stage[FaceTrack]:
        """A person of the portrait."""
        with about(self.name, FaceError, OptionError):  # "hold": a single picture has no frames before or after to speak of
            crop = "face" if self.options.crop == "follow" else self.options.crop
            stage = self.pipeline.face_crop([self.picture], total=1, which=face, on_missing="hold", crop=crop, stage="portrait")
            portrait = yield from stage
        if not portrait.crop_points_found:
            yield Notice("No face found in the portrait's own crop; the points of the whole picture align the identity.")
        return portrait

    def perform(self, portrait: FaceTrack, driver: Driver, driving_face: Which, fps: Fraction) -> Stage[_Performance]:
        """Everything up to the latents of one person; ``fps`` is the first driver's, in whose frames the part used is counted."""
        pipeline, options = self.pipeline, self.options
        start, count = driver.part(options, fps)
        appearance = pipeline.appearance(portrait)
        pose: PoseMaps | None = None
        squares: list[Square] = []
        if driver.motion is not None:
            motion = kept(driver.motion, start, count)
        else:
            people: list[list[np.ndarray]] = []
            with about(driver.path, FaceError, OptionError):
                track = yield from pipeline.face_crop(
                    _noting(driver.pictures(start, count), self.estimator, people),
                    total=count,
                    which=driving_face,
                    on_missing=options.on_missing,
                    crop=options.crop,
                    stiffness=options.stiffness,
                    fps=driver.fps,
                    start=start,
                )
            motion = yield from pipeline.motion(track, pipeline.intensity(track, options.intensity))
            squares = [track.square_of(frame) for frame in range(count)]
            if options.pose.draws_skeleton:
                pose = yield from self._pose(track, portrait, people)
            del track  # its crops grow with the clip
        motion = at_rate(motion, fps)  # in whose frames the neutral one is counted
        if self.head is not None:
            motion = mixed(
                motion,
                self.head,
                relative=options.head_relative,
                neutral=options.motion.neutral,
                other_neutral=options.head_neutral,
                pace=options.head_pace,
            )
        motion = edited(motion, options.motion)  # which may give it another rate
        latents = yield from pipeline.sample(appearance, motion, pose, sampling=self.sampling, seed=options.seed)
        return _Performance(portrait, motion, latents, driver, squares)

    def _pose(self, track: FaceTrack, portrait: FaceTrack, people: list[list[np.ndarray]]) -> Stage[PoseMaps]:
        if self.estimator is None:
            return (yield from self.pipeline.pose(track, portrait, self.options.pose))

        def found(of: FaceTrack, everybody: list[list[np.ndarray]], source: str) -> PoseKeypoints:
            height, width = of.portrait.shape[:2]
            return followed(everybody, (width, height), source, known_noses(of))

        moving, standing = found(track, people, "DWPose"), found(portrait, [self.people], "DWPose of the portrait")
        return (yield from self.pipeline.pose(track, portrait, self.options.pose, moving, standing))

    def pasters(self, performances: list[_Performance]) -> list[Paster]:
        """What puts each person back into the picture; none where the view is another."""
        if self.options.view != "portrait":
            return []
        people, options = [each.portrait for each in performances], self.options
        region = options.paste_region
        return [  # what lies between two faces is shared once: the later one leaves the earlier one's part as it finds it
            Paster(one, region=region, match_colour=options.match_colour, beside=people[:earlier] if region == "face" else ())
            for earlier, one in enumerate(people)
        ]

    def pictures(self, performances: list[_Performance], pasters: list[Paster], total: int) -> Iterator[np.ndarray]:
        """The video's frames; a shorter clip holds its last frame."""
        options, first = self.options, performances[0]
        clips = [_standing_on(self.pipeline.decode(each.latents, sampling=self.sampling)) for each in performances]
        if pasters:
            for _ in range(total):
                whole = first.portrait.portrait
                for paste, clip in zip(pasters, clips, strict=True):
                    whole = paste(next(clip), whole)
                yield whole
            return
        beside = self._compared(first, total) if options.view == "compare" else (lambda frame: frame)
        for _ in range(total):
            yield beside(next(clips[0]))

    def _compared(self, performance: _Performance, count: int) -> Callable[[np.ndarray], np.ndarray]:
        """A function from a result frame to portrait, driving frame and result side by side."""
        side = max(self.pipeline.config.face.image_size, COMPARE_SIDE)
        # `check_request` refuses the view of a driver without pictures.
        source = zip(performance.driver.pictures(self.options.start, count), performance.squares, strict=True)
        still = np.asarray(crop_square(performance.portrait.portrait, performance.portrait.square, side))

        def compared(frame: np.ndarray) -> np.ndarray:
            cut = crop_square(*next(source), side)
            return np.hstack([still, np.asarray(cut), np.asarray(Image.fromarray(frame).resize((side, side)))])

        return compared


def _head(pipeline: PortraitPipeline, options: AnimateOptions, driver: Driver) -> Stage[MotionTokens]:
    """The motion whose head is taken: as many seconds of it as the driver has, where it keeps its own speed."""
    assert options.head_from is not None
    source, (_, count) = Driver.open(options.head_from), driver.part(options, driver.fps)
    if source.motion is not None:
        with about(source.path, OptionError):
            source.motion.check_encoder(pipeline.models.motion_fingerprint)
        return source.motion
    frames = None
    if options.head_pace == "keep":  # and as far as the frame in which it looks at rest
        frames = min(source.frames, max(ceil(count * source.fps / driver.fps), options.head_neutral + 1))
    stage = pipeline.motion_of(
        options.head_from,
        frames=frames,
        which=options.head_face,
        on_missing=options.on_missing,
        crop=options.crop,
        stiffness=options.stiffness,
    )
    return (yield from stage)


def _check_people(portraits: list[FaceTrack], drivers: list[Driver], options: AnimateOptions) -> Stage[None]:
    """Two people who are one are refused; squares that reach over another's face are told of.

    Raises:
        OptionError: two of them have the same face of the portrait.
    """
    for (other, other_driver), (one, driver) in combinations(zip(portraits, drivers, strict=True), 2):  # in the order of pasting
        box = other.boxes[0]
        if _covered(box, one.boxes[0]) > 0.5:
            x1, y1, x2, y2 = (round(float(side)) for side in box)
            raise OptionError(
                f"{driver.path} and {other_driver.path} are to drive the same face of the portrait, at {x1},{y1} to {x2},{y2}. "
                "Name another with --also, by an index or a point X,Y."
            )
        share = _covered(box, one.square)
        if options.paste_region == "crop" and share > 0.01:
            yield Notice(
                f"The square that {driver.path} drives is pasted over {share:.0%} of the face that {other_driver.path} drives, "
                "which stands still there. Paste the face alone."
            )


def _covered(box: np.ndarray, square: np.ndarray | Square) -> float:
    """Share of ``box`` that lies in ``square``; both x1, y1, x2, y2."""
    low, high = np.maximum(box[:2], square[:2]), np.minimum(box[2:], square[2:])
    return float((high - low).clip(min=0).prod() / (box[2:] - box[:2]).prod())


def provenance(models: PortraitModels, seed: int) -> dict[str, str]:
    """Container metadata: synthetic, by what, from which weights."""
    try:
        number = version("hunyuanportrait")
    except PackageNotFoundError:
        number = "unknown"
    facts = {
        "synthetic": True,
        "digital_source_type": "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia",
        "generator": f"hunyuanportrait {number}",
        "weights": models.fingerprint,
        "trained": models.config.trained,
        "seed": seed,
    }
    return {"comment": json.dumps(facts), "description": "Synthetic video: a portrait animated by HunyuanPortrait."}


def _noting(frames: Iterator[np.ndarray], estimator: DwposeEstimator | None, people: list[list[np.ndarray]]) -> Iterator[np.ndarray]:
    """``frames``, of which ``people`` takes down the keypoints as they pass: a video is read once."""
    for frame in frames:
        if estimator is not None:
            people.append(estimator.people(frame))
        yield frame


def _standing_on(frames: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    """``frames``, then the last one for ever."""
    frame = next(frames)
    yield frame
    for frame in frames:
        yield frame
    while True:
        yield frame
