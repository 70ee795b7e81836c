"""What every script begins with that is run by ComfyUI's own Python: ComfyUI on the CPU, and the pack as ComfyUI imports it.

Arguments of such a script: the checkout of ComfyUI, the folder of the pack. What it prints last is JSON.
"""

import importlib
import importlib.util
import json
import sys
from typing import Any

checkout, folder = sys.argv[1:3]
sys.path.insert(0, checkout)
sys.argv = sys.argv[:1]

from comfy.cli_args import args  # noqa: E402

args.cpu = True

import torch  # noqa: E402

torch.set_num_threads(1)  # threads that wait for each other on a busy machine take longer than one
_spec = importlib.util.spec_from_file_location("pack", f"{folder}/__init__.py", submodule_search_locations=[folder])
assert _spec is not None
assert _spec.loader is not None
sys.modules["pack"] = _module = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_module)


def part(name: str) -> Any:
    """A module of the pack, `nodes.host` say, or of `hp_core`."""
    return importlib.import_module(name if name.startswith("hp_core") else f"pack.{name}")


def found(values: dict[str, Any]) -> None:
    """Say what was found."""
    sys.stdout.write(json.dumps(values) + "\n")
