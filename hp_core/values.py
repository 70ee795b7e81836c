"""What travels between the stages; each frozen, typed, and savable to one `.safetensors`.

Pictures are uint8 arrays (height, width, 3) RGB; points and boxes are in pixels, x to the right, y down.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from hp_core.errors import OptionError, PortraitError

if TYPE_CHECKING:
    from torch import Tensor

MAX_FPS = 1000
_Value = TypeVar("_Value", bound="_Savable")


class _Savable:
    """Tensors go into the file by their field's name, everything else into its metadata as JSON."""

    def save(self, path: Path) -> None:
        """Write to ``path`` (`.safetensors`), beside and renamed."""
        import numpy as np
        import torch
        from safetensors.torch import save_file

        from hp_core.files import written_beside

        tensors, rest = {}, {}
        for f in fields(self):  # type: ignore[arg-type]
            value = getattr(self, f.name)
            if isinstance(value, torch.Tensor):
                tensors[f.name] = value.detach().cpu().contiguous()
            elif isinstance(value, np.ndarray):
                tensors[f.name] = torch.from_numpy(np.ascontiguousarray(value))
            else:
                rest[f.name] = str(value) if isinstance(value, Fraction) else value
        with written_beside(path) as temporary:
            save_file(tensors, temporary, metadata={"kind": type(self).__name__, "fields": json.dumps(rest)})

    @classmethod
    def load(cls: type[_Value], path: Path) -> _Value:
        """Read what `save` wrote; nothing in the file is executed.

        Raises:
            PortraitError: the file is absent, damaged, or holds another kind of value.
        """
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, "pt") as file:
                metadata = file.metadata() or {}
                if metadata.get("kind") != cls.__name__:
                    raise PortraitError(f"{path} holds {metadata.get('kind', 'no known value')}, not {cls.__name__}.")
                content: dict[str, Any] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
            content |= json.loads(metadata["fields"])
            for f in fields(cls):  # type: ignore[arg-type]
                if f.name not in content:
                    continue  # of an earlier version; a field without a default is missed below
                if "np.ndarray" in str(f.type) and content[f.name] is not None:
                    content[f.name] = content[f.name].numpy()
                elif "Fraction" in str(f.type):
                    content[f.name] = Fraction(content[f.name])
                elif isinstance(content[f.name], list):  # no field is one; JSON knows no tuples
                    content[f.name] = tuple(content[f.name])
            value = cls(**content)
            value._check()
            return value
        except PortraitError:
            raise
        except (SafetensorError, OSError, ArithmeticError, KeyError, TypeError, ValueError) as error:
            raise PortraitError(f"{path} cannot be read as {cls.__name__}: {error}. It is damaged, or of another version.") from error

    def _check(self) -> None:
        """Raise `ValueError` where the fields do not belong together; a file may come from anywhere."""


Square = tuple[int, int, int, int]
"""x1, y1, x2, y2 of a part of a picture, pixels; x2 and y2 are the first outside."""


def in_square(points: np.ndarray, square: Square, size: int) -> np.ndarray:
    """Points (..., 2 or more) of a picture, x and y first, in the pixels of its crop ``square`` at ``size`` pixels a side; float32."""
    x1, y1, x2, y2 = square
    out = np.array(points, np.float32)
    out[..., :2] = (points[..., :2] - (x1, y1)) * (size / (x2 - x1), size / (y2 - y1))
    return out


@dataclass(frozen=True)
class FaceTrack(_Savable):
    """One face followed through a clip (Face Crop); a portrait is a clip of one frame.

    Attributes:
        head_crops: (frames, S, S, 3) uint8, the square crop at the head-pose encoder's size.
        motion_crops: (frames, S, S, 3) uint8, from the eyebrows to the bottom of the mouth.
        boxes: (frames, 4) float32, x1, y1, x2, y2.
        five_points: (frames, 5, 2) float32: left eye, right eye, nose tip, left and right mouth corner, image left first.
        landmarks: (frames, 478, 3) float32, or None where the analyzer gives none.
        found: (frames,) bool; False marks a frame filled in by the rule ``on_missing``.
        on_missing: `error`, `hold` or `interpolate`: what was done about frames without the face.
        square: x1, y1, x2, y2 of the first frame's square crop; it serves every frame unless there are ``squares``.
        portrait: (height, width, 3) uint8, the untouched first frame.
        portrait_crop: (S, S, 3) uint8, its square crop at the size of the result.
        crop_points: (5, 2) float32, the five points in ``portrait_crop``.
        crop_points_found: False where detection failed on the crop and the points of the whole picture stand in.
        fps: frame rate of the source.
        analyzer: name of the face analyzer.
        squares: (frames, 4) int32, the square crop of each frame where it follows the face, or None.
    """

    head_crops: np.ndarray
    motion_crops: np.ndarray
    boxes: np.ndarray
    five_points: np.ndarray
    landmarks: np.ndarray | None
    found: np.ndarray
    on_missing: str
    square: Square
    portrait: np.ndarray
    portrait_crop: np.ndarray
    crop_points: np.ndarray
    crop_points_found: bool
    fps: Fraction
    analyzer: str
    squares: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.boxes)

    def in_first_square(self, points: np.ndarray) -> np.ndarray:
        """Points (frames, n, 2 or more) of the source's frames, x and y first, with the shift and the zoom of a square that follows
        removed: where they would lie had every frame been cut as the first one."""
        if self.squares is None:
            return points
        squares = self.squares.astype(np.float64)  # (frames, 4)
        corners, sides = squares[:, None, :2], (squares[:, 2] - squares[:, 0])[:, None, None]
        out = points.astype(np.float64)
        out[..., :2] = (out[..., :2] - corners) * (sides[0] / sides) + corners[0]
        return out.astype(points.dtype)

    def square_of(self, frame: int) -> Square:
        """x1, y1, x2, y2 of the square crop of one frame."""
        if self.squares is None:
            return self.square
        x1, y1, x2, y2 = (int(side) for side in self.squares[frame])
        return x1, y1, x2, y2


@dataclass(frozen=True)
class Intensity(_Savable):
    """Motion intensity of each chunk of frames (Intensity Estimate; paper eq. 2-3).

    Attributes:
        expression, head: (chunks,) float64, relative to the size of the face.
        expression_levels, head_levels: (chunks,) int64, 0..d-1.
        chunk: frames in a chunk; the last may be shorter.
        rule: `released` or `paper`.
        levels: d, of how many levels these are; 0 where that is not known.
    """

    expression: np.ndarray
    head: np.ndarray
    expression_levels: np.ndarray
    head_levels: np.ndarray
    chunk: int
    rule: str
    levels: int = 0

    def __str__(self) -> str:
        pairs = zip(self.expression_levels, self.head_levels, strict=True)
        lines = [f"frames from {i * self.chunk}: expression {e}, head {h}" for i, (e, h) in enumerate(pairs)]
        return "\n".join([f"levels by the rule {self.rule}", *lines])


@dataclass(frozen=True)
class MotionTokens(_Savable):
    """Motion of a clip without its identity (Motion Encode): what a motion template file holds.

    Attributes:
        tokens: (frames, 64, 1024) float32: 1018 refined channels, rotation, translation.
        rotation: (frames, 3) float32, degrees.
        translation: (frames, 3) float32, -2..2, as the encoder predicts it.
        fps: frame rate of the driving video.
        rule: rule of the intensity. Of a clip put together from several, the rules of all, with a + between them, as ``encoder`` and
            ``source`` have what is known of each.
        encoder: tells the networks that made it from others, `PortraitModels.motion_fingerprint`; empty where that is not known.
        source: tells the driving video from others, `hp_core.weights.load.file_fingerprint`, or by its crops where no file is known;
            empty where neither is.
    """

    tokens: Tensor
    rotation: Tensor
    translation: Tensor
    fps: Fraction
    rule: str
    encoder: str = ""
    source: str = ""

    def __len__(self) -> int:
        return len(self.tokens)

    def _check(self) -> None:
        frames = len(self.tokens)
        if not frames or self.tokens.ndim != 3 or self.tokens.shape[2] <= 6:
            raise ValueError(f"its tokens are {tuple(self.tokens.shape)}, not frames, tokens and more than 6 channels")
        for name in ("tokens", "rotation", "translation"):
            tensor = getattr(self, name)
            if name != "tokens" and tuple(tensor.shape) != (frames, 3):
                raise ValueError(f"its {name} is {tuple(tensor.shape)}, not ({frames}, 3)")
            if not tensor.is_floating_point() or not tensor.isfinite().all():
                raise ValueError(f"its {name} is not of finite numbers")
        if not 0 < self.fps <= MAX_FPS:
            raise ValueError(f"its frame rate is {self.fps}, not above 0 and at most {MAX_FPS}")

    def check_encoder(self, known: str) -> None:
        """Raise `OptionError` where it was made by other encoders than ``known``, as far as both are known."""
        if self.encoder and known and self.encoder != known:
            raise OptionError(
                f"The motion was made by the encoders {self.encoder}, these weights have {known}. "
                "Encode the driving video with these weights, or load those that made it."
            )

    def with_head_rotation_of(self, other: MotionTokens, **options: Any) -> MotionTokens:
        """This expression with the head of ``other``; see `hp_core.motion.edit.with_head_rotation_of`."""
        from hp_core.motion.edit import with_head_rotation_of

        return with_head_rotation_of(self, other, **options)

    @staticmethod
    def join(parts: Sequence[MotionTokens]) -> MotionTokens:
        """Consecutive parts of one clip as one value."""
        import torch

        joined: dict[str, Any] = {
            name: torch.cat([getattr(part, name) for part in parts]) for name in ("tokens", "rotation", "translation")
        }
        return replace(parts[0], **joined)


@dataclass(frozen=True)
class Appearance(_Savable):
    """Who and what the portrait shows (Appearance Encode).

    Attributes:
        tokens: (1, 64, 1024) float32.
        id_embedding: (1, 512) float32, unit length, or zeros.
        identity: `arcface`, or `none` where no ID encoder was at hand and the embedding is zeros.
        reference_latent: (1, 4, height / 8, width / 8) float32, mode of the VAE's posterior, unscaled.
        image: (S, S, 3) uint8, the crop they were taken from.
    """

    tokens: Tensor
    id_embedding: Tensor
    identity: str
    reference_latent: Tensor
    image: np.ndarray


@dataclass(frozen=True)
class PoseKeypoints(_Savable):
    """Keypoints of one person through a clip; `hp_core.pose.keypoints` says how they are ordered.

    Attributes:
        points: (frames, 128, 3) float32: x and y in pixels of the source, confidence 0..1.
        found: (frames,) bool; False marks a frame without the person.
        size: width and height of the source, pixels.
        source: what made them, in words.
    """

    points: np.ndarray
    found: np.ndarray
    size: tuple[int, int]
    source: str

    def __len__(self) -> int:
        return len(self.points)


@dataclass(frozen=True)
class PoseMaps(_Savable):
    """What the pose guider is shown (Pose Align). Frames may share a map: the released black one is stored once.

    Attributes:
        maps: (maps, 3, height, width), uint8, or float in 0..1; none of them where ``skeletons`` are drawn when they are needed
            (`hp_core.pose.draw.distinct_maps`).
        index: (frames,) int64, the map or skeleton of each frame.
        mode: how they were made, `black` as released.
        skeletons: (skeletons, 128, 3) float32 aligned keypoints in pixels of the map, or None.
        style: how they are drawn, `str` of a `PoseStyle`.
        scale, offset: the alignment, driver's pixels to the map's: ``scale * point + offset``, before any turn.
    """

    maps: Tensor
    index: Tensor
    mode: str
    skeletons: np.ndarray | None = None
    style: str = ""
    scale: float = 1.0
    offset: tuple[float, float] = (0.0, 0.0)

    def __len__(self) -> int:
        return len(self.index)

    def padded(self, pad_frames: int) -> PoseMaps:
        """Warm-up padding: frame 0's map on both sides (released-model, Warm-up padding); windows close the clip to a ring."""
        import torch

        edge = self.index[:1].expand(pad_frames)
        return replace(self, index=torch.cat([edge, self.index, edge]))
