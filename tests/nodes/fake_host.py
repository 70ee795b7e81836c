"""As much of ComfyUI 0.3.64's node API as it takes to read the schemas where no ComfyUI is installed.

It records what the blocks declare and does nothing else; `tests/host` runs them in the real one.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.machinery import ModuleSpec
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import MagicMock

ROOT = Path(__file__).parents[2]
_NUMBERS = itertools.count()  # each import is a pack of its own


@dataclass
class Declared:
    """An input or output as a block declares it."""

    kind: str
    id: str = ""
    values: dict[str, Any] = field(default_factory=dict)
    extra_dict: dict[str, Any] = field(default_factory=dict)


class SocketType:
    """`io.Int`, `io.Custom("X")` and the like."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def Input(self, id: str, **values: Any) -> Declared:  # the names of the API
        return Declared(self.kind, id, values)

    def Output(self, **values: Any) -> Declared:
        return Declared(self.kind, "", values)


@dataclass
class Schema:
    """The fields of 0.3.64."""

    node_id: str
    display_name: str | None = None
    category: str = "sd"
    inputs: list[Declared] = field(default_factory=list)
    outputs: list[Declared] = field(default_factory=list)
    hidden: list[Any] = field(default_factory=list)
    description: str = ""
    is_input_list: bool = False
    is_output_node: bool = False
    is_deprecated: bool = False
    is_experimental: bool = False
    is_api_node: bool = False
    not_idempotent: bool = False
    enable_expand: bool = False


def _module(name: str, **content: Any) -> ModuleType:
    module = ModuleType(name)
    module.__spec__ = ModuleSpec(name, None)
    module.__path__ = []
    for key, value in content.items():
        setattr(module, key, value)
    return module


def _host(models: Path) -> dict[str, ModuleType]:
    kinds = ("Int", "Float", "String", "Boolean", "Combo", "Image", "Mask", "Latent", "Vae", "Video", "Audio")
    io: Any = _module("io", **{kind: SocketType(kind.upper()) for kind in kinds}, Custom=SocketType, Schema=Schema, NodeOutput=tuple)
    io.ComfyNode, io.FolderType = type("ComfyNode", (), {}), MagicMock()
    latest = _module(
        "comfy_api.latest", io=io, ui=MagicMock(), ComfyExtension=type("ComfyExtension", (), {}), InputImpl=MagicMock(), Types=MagicMock()
    )
    names_and_paths: dict[str, Any] = {}

    def add(key: str, path: str) -> None:
        names_and_paths.setdefault(key, ([], set()))[0].append(path)

    folder_paths = _module(
        "folder_paths",
        models_dir=str(models),
        folder_names_and_paths=names_and_paths,
        add_model_folder_path=add,
        get_filename_list=lambda key: sorted(path.name for path in (models / key).glob("*")),
        get_full_path=lambda key, name: str(models / key / name) if (models / key / name).is_file() else None,
        get_folder_paths=lambda key: names_and_paths.get(key, ([str(models / key)], set()))[0],
        get_output_directory=lambda: str(models.parent / "output"),
        get_input_directory=lambda: str(models.parent / "input"),
    )
    comfy: dict[str, Any] = {f"comfy.{name}": MagicMock() for name in ("model_management", "ops", "sd", "utils")}
    comfy["comfy.model_patcher"] = _module("comfy.model_patcher", ModelPatcher=type("ModelPatcher", (), {}))
    made = {"comfy_api": _module("comfy_api"), "comfy_api.latest": latest, "folder_paths": folder_paths, "comfy": MagicMock()}
    return made | comfy  # type: ignore[return-value]


@contextmanager
def imported_pack(models: Path) -> Iterator[ModuleType]:
    """The pack imported by its file under another name, as ComfyUI imports it."""
    host, name = _host(models), f"some-folder-{next(_NUMBERS)}"
    before = {key: sys.modules.get(key) for key in host}
    sys.modules.update(host)
    spec = spec_from_file_location(name, ROOT / "__init__.py", submodule_search_locations=[str(ROOT)])
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        yield module
    finally:
        for key in [key for key in sys.modules if key == name or key.startswith(f"{name}.")]:
            del sys.modules[key]
        for key, value in before.items():
            if value is None:
                sys.modules.pop(key, None)
            else:
                sys.modules[key] = value
