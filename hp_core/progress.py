"""How a stage tells whoever runs it where it stands: it yields events and returns its value.

The core draws no bars and takes no callbacks; progress, preview and interruption belong to whoever iterates.
"""

from __future__ import annotations

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


Value = TypeVar("Value")
Stage = Generator["Progress | Notice | TrainingStep", None, Value]


def result(stage: Stage[Value]) -> Value:
    """Run a stage to its end and give its value."""
    while True:
        try:
            next(stage)
        except StopIteration as end:
            return end.value
