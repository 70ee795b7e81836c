"""Stages run to their end in tests."""

from __future__ import annotations

from typing import Any, TypeVar

from hp_core.progress import Notice, Stage

_Value = TypeVar("_Value")


def drained(stage: Stage[_Value]) -> tuple[_Value, list[Any]]:
    """The value of ``stage``, and its events."""
    events: list[Any] = []
    while True:
        try:
            events.append(next(stage))
        except StopIteration as end:
            return end.value, events


def with_notices(stage: Stage[_Value]) -> tuple[_Value, list[str]]:
    """The value of ``stage``, and what its notices say."""
    value, events = drained(stage)
    return value, [event.text for event in events if isinstance(event, Notice)]
