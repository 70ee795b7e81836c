"""What the command line does with weights folders: inspect, convert, and write an untrained set."""

from __future__ import annotations

import importlib.util
import shutil
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from hp_core.checks import check_choice
from hp_core.config import PortraitConfig
from hp_core.config_files import config_files, read_config
from hp_core.errors import PortraitError, WeightsError
from hp_core.files import make_folder, staged_folder, written_beside
from hp_core.weights.catalog import CATALOG, MODULES, WeightFile
from hp_core.weights.load import build_module, mismatches, non_finite, read_module, read_state_dict

DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}


@dataclass(frozen=True)
class FileReport:
    """What `inspect` says of one file."""

    name: str
    path: str
    status: str  # "ok", "missing", "bad", or "absent" for an optional file that is not there
    detail: str
    tensors: int = 0
    parameters: int = 0
    dtype: str = ""

    @property
    def usable(self) -> bool:
        """Whether `animate` would get past this file."""
        return self.status in ("ok", "absent")


def inspect_folder(folder: Path) -> Iterator[FileReport]:
    """Each file of the catalog against what is expected of it."""
    config = read_config(folder)
    for entry in CATALOG.values():
        path = entry.find(folder)
        optional = entry.name not in MODULES
        if path is None:
            why = "released values are used" if entry.name.endswith("_config") else entry.purpose
            yield FileReport(entry.name, entry.path, "absent" if optional else "missing", why)
        elif entry.name in MODULES:
            yield _inspect_module(entry, path, folder, config)
        else:
            yield _inspect_other(entry, path, folder)


def _inspect_module(entry: WeightFile, path: Path, folder: Path, config: PortraitConfig) -> FileReport:
    shown = str(path.relative_to(folder))
    try:
        tensors = read_state_dict(path)
    except WeightsError as error:
        return FileReport(entry.name, shown, "bad", str(error))
    with torch.device("meta"):
        expected = build_module(entry.name, config).state_dict()
    problems = mismatches(expected, tensors)
    bad = None if problems else non_finite(tensors)
    if bad is not None:
        problems = [f"NaN or infinity in '{bad}'"]
    dtypes = sorted({str(t.dtype).removeprefix("torch.") for t in tensors.values() if t.is_floating_point()})
    return FileReport(
        entry.name,
        shown,
        "bad" if problems else "ok",
        "; ".join(problems) or entry.purpose,
        tensors=len(tensors),
        parameters=sum(t.numel() for t in tensors.values()),
        dtype=", ".join(dtypes),
    )


def _inspect_other(entry: WeightFile, path: Path, folder: Path) -> FileReport:
    shown = str(path.relative_to(folder))
    if entry.name == "arcface":
        from hp_core.appearance.identity import ArcFaceOnnx

        if importlib.util.find_spec("onnxruntime") is None:
            return FileReport(entry.name, shown, "ok", "not read, onnxruntime is not installed: the ID embedding will be zeros")
        try:
            ArcFaceOnnx(path)
        except WeightsError as error:
            return FileReport(entry.name, shown, "bad", str(error))
    if path.suffix in (".task", ".pt") and not zipfile.is_zipfile(path):  # both formats are archives
        return FileReport(entry.name, shown, "bad", "damaged, or another file under this name; delete it and fetch it again")
    return FileReport(entry.name, shown, "ok", entry.purpose)


def convert_folder(source: Path, target: Path, dtype: str) -> Iterator[Path]:
    """Copy a weights folder as `.safetensors` in ``dtype`` (`fp16`, `bf16`, `fp32`); the copy appears when it is whole.

    Yields each file as it is written.

    Raises:
        OptionError: unknown dtype.
        WeightsError: a module's file is missing or does not fit; nothing is written then.
    """
    check_choice("dtype", dtype, tuple(DTYPES))
    if source.resolve() == target.resolve():
        raise PortraitError(f"{target} is the source itself; name another folder.")
    config = read_config(source)
    with staged_folder(target) as stage:
        for name in MODULES:
            _, _, tensors = read_module(name, source, config)
            yield target / save_module(stage, name, tensors, DTYPES[dtype]).relative_to(stage)
        for written in write_config(stage, config):
            yield target / written.relative_to(stage)
        for entry in CATALOG.values():
            path = entry.find(source)
            if path is not None and entry.group not in ("animate", "training"):
                with written_beside(stage / entry.path) as temporary:
                    shutil.copyfile(path, temporary)
                yield target / entry.path


def save_module(folder: Path, name: str, tensors: dict[str, torch.Tensor], dtype: torch.dtype) -> Path:
    """Write one module's tensors in ``dtype`` to its `.safetensors` place in ``folder``."""
    from safetensors.torch import save_file

    path = folder / CATALOG[name].alternatives[0]
    make_folder(path.parent)
    cast = {k: (v.to(dtype) if v.is_floating_point() else v).contiguous() for k, v in tensors.items()}
    bad = non_finite(cast)
    if bad is not None:
        raise WeightsError(f"'{bad}' of {name} is not finite in {dtype}. Convert to bf16 or fp32.")
    with written_beside(path) as temporary:
        save_file(cast, temporary)
    return path


def write_config(folder: Path, config: PortraitConfig) -> list[Path]:
    """Write the JSON files that describe ``config``."""
    files = config_files(config)
    for name, text in files.items():
        path = folder / name
        make_folder(path.parent)
        with written_beside(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return [folder / name for name in files]


def init_folder(folder: Path, preset: str, *, seed: int = 0, dtype: str = "fp16") -> Iterator[Path]:
    """Write an untrained set in the released layout: for tests, and as the start of training. Yields each file
    as it is written; the set appears when it is whole.

    Raises:
        OptionError: unknown preset or dtype.
        PortraitError: the folder already holds weights.
    """
    from dataclasses import replace

    check_choice("dtype", dtype, tuple(DTYPES))
    config = replace(PortraitConfig.preset(preset), trained=False)
    if (folder / "hyportrait").exists():
        raise PortraitError(f"{folder} already holds weights (hyportrait/); name another folder or remove them.")
    if folder.exists() and not folder.is_dir():
        raise PortraitError(f"{folder} is a file; name a folder.")
    with staged_folder(folder) as stage:
        for name in MODULES:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                module = build_module(name, config)
            yield folder / save_module(stage, name, module.state_dict(), DTYPES[dtype]).relative_to(stage)
        for written in write_config(stage, config):
            yield folder / written.relative_to(stage)
