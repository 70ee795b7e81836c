"""Errors a user can act on: each message names the thing, its value, the limit and the remedy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class PortraitError(ValueError):
    """Base of every error this package raises on purpose; the command line prints it without a traceback."""


class OptionError(PortraitError):
    """An option or configuration value that is unknown or out of range."""


class ImageError(PortraitError):
    """A picture that cannot be read or used."""


class VideoError(PortraitError):
    """A video that cannot be read, used or written."""


class FaceError(PortraitError):
    """No usable face where one is needed, or a face analyzer that cannot run."""


class WeightsError(PortraitError):
    """A weights file that is missing, damaged or of another model."""


@contextmanager
def about(path: Path, *kinds: type[PortraitError]) -> Iterator[None]:
    """Put ``path`` in front of errors of ``kinds`` that the block raises."""
    try:
        yield
    except kinds as error:
        raise type(error)(f"{path}: {error}") from error
