"""What every metric has in common: a name, what is better, what it needs to see, its settings, and a score for each pair."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np

from hp_core.evaluation.clip_readings import ClipReadings, Reader, read_clip

Better = Literal["higher", "lower"]
Setting = str | int | float | bool
CLIPS = ("result", "truth", "driving")
"""The clips of a pair, frame for frame beside each other."""
INPUTS = (*CLIPS, "portrait")


@dataclass(eq=False)
class Part:
    """Consecutive frames of one pair; a clip is handed to the metrics part by part, so that its length costs no memory.

    Attributes:
        start: number of the first frame of the part among those judged.
        clips: (F, H, W, 3) uint8 RGB by `CLIPS`, those the manifest has; all of the same F, sizes may differ but for those of result
            and truth.
        portrait: (H, W, 3) uint8 RGB, or None.
        reader: finds and reads faces; None where no metric asks for them.
        shared: what metrics keep for the whole pair, such as the portrait's reading; one object a pair.
    """

    start: int
    clips: Mapping[str, np.ndarray]
    portrait: np.ndarray | None = None
    reader: Reader | None = None
    shared: dict[Any, Any] = field(default_factory=dict)
    _cache: dict[Any, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(next(iter(self.clips.values())))

    def read(self, which: str) -> ClipReadings:
        """The faces of one of `CLIPS`, or of the `portrait` as a clip of one frame; read once, whoever asks.

        Metrics that read faces are only built with a reader.
        """
        assert self.reader is not None
        reader = self.reader
        if which == "portrait":
            assert self.portrait is not None
            portrait = self.portrait[None]
            return self.once_a_pair("portrait reading", lambda: read_clip(reader, portrait))
        return self.once(("reading", which), lambda: read_clip(reader, self.clips[which]))

    def once(self, key: Any, make: Callable[[], Any]) -> Any:
        """``make()``, the first time somebody asks for ``key`` of this part."""
        if key not in self._cache:
            self._cache[key] = make()
        return self._cache[key]

    def once_a_pair(self, key: Any, make: Callable[[], Any]) -> Any:
        """``make()``, the first time somebody asks for ``key`` of this pair."""
        if key not in self.shared:
            self.shared[key] = make()
        return self.shared[key]


@dataclass(frozen=True)
class Outcome:
    """What a metric says of one pair.

    Attributes:
        value: None is a blank.
        why: the reason of a blank.
        frames: the values frame by frame, None where a frame has none; empty for metrics without.
    """

    value: float | None
    why: str = ""
    frames: tuple[float | None, ...] = ()


class Score(Protocol):
    """Sees the parts of one pair in their order, then says what it thinks."""

    def add(self, part: Part) -> None: ...

    def outcome(self) -> Outcome: ...


class Described(Protocol):
    """What every metric says of itself.

    Attributes:
        name: by which it is asked for, and its column in every table.
        title: what it is called for people, with its unit.
        better: which values are.
        inputs: which of `INPUTS` it needs.
        faces: whether it reads faces.
        settings: all that the number depends on, printed beside it.
    """

    @property
    def name(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def better(self) -> Better: ...
    @property
    def inputs(self) -> tuple[str, ...]: ...
    @property
    def faces(self) -> bool: ...
    @property
    def settings(self) -> dict[str, Setting]: ...


class Metric(Described, Protocol):
    """One number for each pair."""

    def start(self) -> Score:
        """A score for the next pair."""
        ...


class Gathering(Protocol):
    """Takes features from the parts of one pair, in their order."""

    def add(self, part: Part) -> None: ...

    def features(self) -> dict[str, np.ndarray]:
        """`result` and `reference`, (n, d) float32 each; n may be 0."""
        ...


class SetMetric(Described, Protocol):
    """One number for all pairs of a system together, from features that are gathered pair by pair."""

    def gather(self) -> Gathering:
        """Features of the next pair."""
        ...

    def value(self, features: Iterable[dict[str, np.ndarray]]) -> Outcome:
        """The number, from what `Gathering.features` gave for each pair."""
        ...


class FrameScore:
    """Mean over the frames that have a value.

    Args:
        frames: of a part, its values (F,) float64, NaN where a frame has none.
        why: the reason, where no frame has one.
    """

    def __init__(self, frames: Callable[[Part], np.ndarray], why: str) -> None:
        self._frames, self._why = frames, why
        self._values: list[np.ndarray] = []

    def add(self, part: Part) -> None:
        self._values.append(np.asarray(self._frames(part), np.float64))

    def outcome(self) -> Outcome:
        values = np.concatenate(self._values) if self._values else np.empty(0)
        finite = np.isfinite(values)
        frames = tuple(float(value) if known else None for value, known in zip(values, finite, strict=True))
        return Outcome(float(values[finite].mean()), frames=frames) if finite.any() else Outcome(None, self._why, frames)


@dataclass(frozen=True)
class FrameMetric:
    """A `Metric` that is the mean over the frames of what ``compute`` gives; see `Metric` for the rest, `FrameScore` for ``why``."""

    name: str
    title: str
    better: Better
    inputs: tuple[str, ...]
    settings: dict[str, Setting]
    compute: Callable[[Part], np.ndarray]
    faces: bool = False
    why: str = "no frame has a value"

    def start(self) -> Score:
        return FrameScore(self.compute, self.why)


FACE_RULE = "MediaPipe's; frames without one are left out"
"""What every metric on faces does, among its settings."""
NO_FACE = "no frame shows a face in every clip that is compared"
