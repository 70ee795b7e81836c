"""A script of playwright-core in Debian's Chromium."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

MODULES = Path(__file__).parent / "host" / "node_modules"


def drive(script: Path, folder: Path, *arguments: object, timeout: float) -> Any:
    """Run ``script`` from a copy in ``folder``, which is empty; what its last line says, as JSON.

    Skips the test where node, Chromium (``CHROMIUM``) or playwright-core (in ``NODE_MODULES``) is absent.
    """
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if shutil.which("node") is None or chromium is None:
        pytest.skip("node or chromium is not installed")
    modules = Path(os.environ.get("NODE_MODULES", MODULES))
    if not (modules / "playwright-core").is_dir():
        pytest.skip("playwright-core is not installed: npm install --prefix tests/host")
    copy = folder / script.name  # beside the modules, wherever they are
    shutil.copyfile(script, copy)
    (folder / "node_modules").symlink_to(modules)
    command = ["node", str(copy), *map(str, arguments)]
    run = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"CHROMIUM": chromium}, timeout=timeout, check=False)
    assert run.returncode == 0, run.stderr[-3000:]
    return json.loads(run.stdout.strip().splitlines()[-1])
