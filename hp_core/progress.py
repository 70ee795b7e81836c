"""How a stage tells whoever runs it where it stands: it yields events and returns its value.

The core draws no bars and takes no callbacks; progress, preview and interruption belong to whoever iterates.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from dataclasses import dataclass
from typing import TypeVar


@dataclass(frozen=True)
class Progress:
    """``done`` of ``total`` parts of a stage."""

    stage: str
    done: int
    total: int


@dataclass(frozen=True)
class Notice:
    """Something the user should know about the result: a fallback that was taken, a part that was absent."""

    text: str


@dataclass(frozen=True)
class TrainingStep:
    """Where training stands: figures since the last such event, or of the validation, which has no ``seconds_left``."""

    step: int
    steps: int
    metrics: dict[str, float]
    seconds_left: float | None


class StageClock:
    """Seconds by stage; what comes before the first event of a stage belongs to it."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.start()

    def start(self) -> None:
        """Leave out what has passed since the last event."""
        self._last = time.perf_counter()

    def note(self, event: Progress) -> None:
        """``event`` has just come."""
        now = time.perf_counter()
        self.seconds[event.stage] = self.seconds.get(event.stage, 0.0) + now - self._last
        self._last = now


Value = TypeVar("Value")
Stage = Generator["Progress | Notice | TrainingStep", None, Value]


def result(stage: Stage[Value]) -> Value:
    """Run a stage to its end and give its value."""
    while True:
        try:
            next(stage)
        except StopIteration as end:
            return end.value
