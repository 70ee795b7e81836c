"""What the analyzers share: where a model file is looked for, and the check of the picture they are shown."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from hp_core.errors import FaceError, ImageError

FOLDER_VARIABLE = "HP_PORTRAIT_MODELS"


def default_places(filename: str) -> list[Path]:
    """Where ``filename`` is looked for, in order.

    The folder ``HP_PORTRAIT_MODELS`` names, if set; the user's cache; `pretrained_weights/`, where `hp-portrait download` puts it.
    """
    folders = [Path.home() / ".cache" / "hp_portrait", Path("pretrained_weights")]
    if os.environ.get(FOLDER_VARIABLE):
        folders.insert(0, Path(os.environ[FOLDER_VARIABLE]).expanduser())
    return [folder / filename for folder in folders]


def find_model(what: str, given: Path | None, places: Iterable[Path], remedy: str) -> Path:
    """The model file to load: ``given``, or the first of ``places`` that is a file.

    Args:
        what: the model's name, for the messages.
        given: the file the caller named, or None.
        places: files to try when none was named.
        remedy: a sentence on how to get the file, for the messages.

    Raises:
        FaceError: no such file; the message lists every place tried and the remedy.
    """
    tried = list(places) if given is None else [Path(given).expanduser()]
    for path in tried:
        if path.is_file():
            return path
    if given is not None:
        kind = "is a folder, not a file" if tried[0].is_dir() else "does not exist"
        raise FaceError(f"The {what} model {tried[0]} {kind}. {remedy}")
    raise FaceError(f"No {what} model found. Looked for {', '.join(str(path) for path in tried)}. {remedy}")


def check_picture(image: np.ndarray) -> None:
    """Check that ``image`` is (height, width, 3) uint8 with at least one pixel.

    Raises:
        ImageError: it is not; the message names the shape and type got and wanted.
    """
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        got = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
        raise ImageError(f"The picture is {got}, face detection wants RGB uint8 of shape (height, width, 3). Convert it first.")
