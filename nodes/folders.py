"""Where ComfyUI keeps things: sets of weights, motion templates, output and temporary files."""

from __future__ import annotations

from pathlib import Path

import folder_paths

from hp_core.errors import PortraitError, WeightsError

KEY = "HunyuanPortrait"
"""Of the model folder: `models/HunyuanPortrait`, and whatever a user's `extra_model_paths.yaml` says under this name."""
DEMO = "demo (comes with the pack)"
NONE = f"put weights into models/{KEY}"
MOTIONS = "motions"
"""Folder of motion templates, below the output and the input folder."""


def register() -> None:
    """Tell ComfyUI of the model folder; paths that a user's YAML names stay, and come first."""
    folder_paths.add_model_folder_path(KEY, str(Path(folder_paths.models_dir) / KEY))
    paths, extensions = folder_paths.folder_names_and_paths[KEY]
    wanted = {".pth", ".pt", ".safetensors", ".onnx", ".task"}  # an empty set would list every file
    folder_paths.folder_names_and_paths[KEY] = (paths, set(extensions) | wanted)


def weight_sets() -> dict[str, Path]:
    """Folders that hold a set, by what the dropdown calls them, the demo first.

    A set is a folder with `hyportrait/` in it: a model folder itself, or one right inside it (`pretrained_weights`, say).
    """
    from hp_core.weights.catalog import DEMO_WEIGHTS

    sets = {DEMO: DEMO_WEIGHTS} if (DEMO_WEIGHTS / "hyportrait").is_dir() else {}
    for base in map(Path, folder_paths.get_folder_paths(KEY)):
        inside = sorted(path for path in base.iterdir() if path.is_dir()) if base.is_dir() else []
        for place in (base, *inside):
            if (place / "hyportrait").is_dir():
                name = base.name if place == base else f"{base.name}/{place.name}"
                sets[name if name not in sets else str(place)] = place
    return sets


def weight_set(name: str) -> Path:
    """The folder called ``name`` in the dropdown.

    Raises:
        WeightsError: there is none, naming what there is.
    """
    sets = weight_sets()
    if name not in sets:
        looked = ", ".join(folder_paths.get_folder_paths(KEY))
        raise WeightsError(
            f"There is no set of weights called '{name}' (found: {', '.join(sets) or 'none'}). Put a folder that holds hyportrait/ "
            f"into one of: {looked}; or run the block Download HunyuanPortrait. Then press R."
        )
    return sets[name]


def find_file(name: str, folder: Path | None = None) -> Path | None:
    """File ``name`` of the catalog: in ``folder``, or in any model folder, where Download puts what is nobody's alone."""
    from hp_core.weights.catalog import CATALOG

    places = [*([folder] if folder else []), *map(Path, folder_paths.get_folder_paths(KEY))]
    return next((path for place in places if (path := CATALOG[name].find(place)) is not None), None)


def needed_file(name: str) -> Path:
    """File ``name`` of the catalog in any model folder.

    Raises:
        WeightsError: it is in none.
    """
    from hp_core.weights.catalog import CATALOG

    path = find_file(name)
    if path is None:
        entry = CATALOG[name]
        raise WeightsError(
            f"{entry.path} ({entry.purpose}) is in none of: {', '.join(folder_paths.get_folder_paths(KEY))}. "
            f"Run the block Download HunyuanPortrait with what = {entry.group} and start on."
        )
    return path


def download_folder() -> Path:
    """Where downloads go: the first model folder."""
    return Path(folder_paths.get_folder_paths(KEY)[0])


def lora_files() -> list[str]:
    """Names of the LoRAs in ComfyUI's own folder."""
    return [name for name in folder_paths.get_filename_list("loras") if name.endswith(".safetensors")]


def lora_file(name: str) -> Path:
    """The LoRA called ``name``.

    Raises:
        WeightsError: there is none.
    """
    path = folder_paths.get_full_path("loras", name)
    if path is None:
        raise WeightsError(f"There is no LoRA '{name}'. Put the .safetensors file into models/loras, then press R.")
    return Path(path)


def motion_files() -> list[str]:
    """Names of saved motions, newest last."""
    found = {path.name: path.stat().st_mtime for base in _motion_folders() for path in base.glob("*.safetensors")}
    return sorted(found, key=lambda name: (found[name], name))


def motion_file(name: str) -> Path:
    """The saved motion called ``name``; one in the output folder before one in the input folder.

    Raises:
        PortraitError: there is none.
    """
    for base in _motion_folders():
        if (base / name).is_file() and Path(name).name == name:  # a bare name: a workflow reaches no other folder
            return base / name
    raise PortraitError(
        f"There is no saved motion '{name}'. Save one with Motion Save, or put the file into {_motion_folders()[-1]}, then press R."
    )


def new_motion_file(prefix: str) -> Path:
    """A path that is not taken, below the output folder.

    Raises:
        PortraitError: ``prefix`` is no plain name.
    """
    if not prefix.strip() or prefix != Path(prefix).name or "\\" in prefix or prefix in (".", ".."):
        raise PortraitError(f"The motion's name is '{prefix}'; give a plain name without folders, such as 'smile'.")
    folder, name, counter, _, _ = folder_paths.get_save_image_path(f"{MOTIONS}/{prefix}", folder_paths.get_output_directory())
    return Path(folder) / f"{name}_{counter:05}_.safetensors"


def preview_file(stem: str, suffix: str) -> tuple[Path, str]:
    """A path that is not taken below the temporary folder, and its subfolder there."""
    folder, name, counter, subfolder, _ = folder_paths.get_save_image_path(stem, folder_paths.get_temp_directory())
    return Path(folder) / f"{name}_{counter:05}_{suffix}", subfolder


def _motion_folders() -> list[Path]:
    return [Path(folder_paths.get_output_directory()) / MOTIONS, Path(folder_paths.get_input_directory()) / MOTIONS]
