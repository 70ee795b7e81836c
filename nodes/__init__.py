"""The ComfyUI blocks. `hp_core` is the copy in this folder, whatever the pack's folder is called."""

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

if "hp_core" not in sys.modules:
    # By its file: a new entry in sys.path would make this folder's `nodes` and `tests` everybody's.
    _spec = spec_from_file_location("hp_core", Path(__file__).parents[1] / "hp_core" / "__init__.py")
    assert _spec is not None
    assert _spec.loader is not None
    sys.modules["hp_core"] = _module = module_from_spec(_spec)
    _spec.loader.exec_module(_module)
