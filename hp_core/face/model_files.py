"""Where the analyzers look for a model file."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from hp_core.errors import FaceError

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
