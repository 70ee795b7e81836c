"""What stands in one word on the command line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hp_core.errors import OptionError, PortraitError

if TYPE_CHECKING:
    from hp_core.config import MotionEdit
    from hp_core.request import Person
    from hp_core.weights.lora import Lora


_LIKE = "like:"


def face(which: str) -> str | int | tuple[float, float] | Path:
    """A face by name, index, a point ``X,Y``, or ``like:PICTURE`` of the person."""
    if which.startswith(_LIKE):
        return Path(which.removeprefix(_LIKE))
    if which.isdecimal():
        return int(which)
    if "," not in which:
        return which
    try:
        x, y = (float(part) for part in which.split(","))
    except ValueError as error:
        raise OptionError(f"The face is '{which}'; give a point as X,Y in pixels, such as 320,180.") from error
    return x, y


def settings_changes(given: list[str] | None) -> dict[str, str]:
    """What ``--set NAME=VALUE`` says, by name."""
    pairs = [text.partition("=") for text in given or []]
    for name, sign, value in pairs:
        if not (name and sign and value):
            raise OptionError(f"--set is '{name}{sign}{value}'; give NAME=VALUE, such as animation.optim.lr=1e-4.")
    return {name: value for name, _, value in pairs}


def person(text: str) -> Person:
    """``FACE=DRIVING``, or ``FACE=DRIVING=FACE`` of the driver."""
    from hp_core.request import Person

    which, sign, driving = text.partition("=")
    if not sign or not driving:
        raise OptionError(f"--also is '{text}'; give FACE=DRIVING, such as rightmost=other.mp4, or rightmost=other.mp4=leftmost.")
    name, sign, whose = driving.rpartition("=")
    if not sign or Path(driving).exists():  # a sign of the file's own
        return Person(face(which), Path(driving))
    return Person(face(which), Path(name), face(whose))


def motion_edit(given: Mapping[str, Any]) -> MotionEdit:
    """Of a command's parameters those of a motion's edit: `smoothing` is its filter, `stretch` its number of frames.

    Raises:
        OptionError: a value out of range, or one that nothing else given asks for.
    """
    from hp_core.config import MotionEdit

    words = {"filter": "smoothing", "frames": "stretch"}
    edit = MotionEdit(**{item.name: given[words.get(item.name, item.name)] for item in fields(MotionEdit)})
    if edit.filter != MotionEdit.filter and edit.smooth == 1:
        raise OptionError(f"smoothing is {edit.filter}, and smooth is 1, which is none. Set smooth to a window, or leave smoothing out.")
    if edit.neutral >= 0 and edit.expression == edit.rotation == 1 and not given.get("head_relative"):
        raise OptionError(
            f"neutral is frame {edit.neutral}, and expression and rotation, which are counted from it, are 1 and change nothing. Set one "
            "of them, or leave neutral out."
        )
    return edit


def lora(text: str) -> Lora:
    """``FILE``, or ``FILE:STRENGTH``."""
    from hp_core.weights.lora import Lora

    name, colon, strength = text.rpartition(":")
    try:
        return Lora(Path(name), float(strength)) if colon else Lora(Path(text))
    except ValueError as error:
        if isinstance(error, PortraitError):
            raise
        return Lora(Path(text))  # a colon of the file's own, as in C:/


def switches(option: str, given: list[str], known: tuple[str, ...], prefix: str = "") -> dict[str, bool]:
    """Which of ``known`` are ``given``, as keyword arguments; an unknown one is refused under the name of ``option``."""
    from hp_core.checks import check_choice

    for name in given:
        check_choice(option, name, known)
    return {prefix + name: name in given for name in known}


def ramp(name: str, text: str | None) -> tuple[float, float] | None:
    """``FIRST:LAST``, or one number for both; None stays None."""
    if text is None:
        return None
    first, _, last = text.partition(":")
    try:
        return float(first), float(last or first)
    except ValueError as error:
        raise OptionError(f"{name} is '{text}'; give a number such as 2, or FIRST:LAST such as 1.5:2.5.") from error
