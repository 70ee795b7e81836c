"""The pack in ComfyUI's frontend, as a person meets it: the template dialog, a run, a help page."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from .server import PACK, Server

pytestmark = pytest.mark.slow
HERE = Path(__file__).parent
TEMPLATES = [path.stem for path in sorted((PACK / "workflows").glob("*.json"))]


@pytest.fixture(scope="module")
def seen(server: Server, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the browser found."""
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if shutil.which("node") is None or chromium is None:
        pytest.skip("node or chromium is not installed")
    modules = Path(os.environ.get("NODE_MODULES", HERE / "node_modules"))
    if not (modules / "playwright-core").is_dir():
        pytest.skip("playwright-core is not installed: npm install --prefix tests/host")
    out = Path(os.environ.get("SCREENSHOTS") or tmp_path_factory.mktemp("screenshots"))
    script = tmp_path_factory.mktemp("browser") / "browser.mjs"  # beside the modules, wherever they are
    script.write_text((HERE / "browser.mjs").read_text(encoding="utf-8"), encoding="utf-8")
    (script.parent / "node_modules").symlink_to(modules)
    command = ["node", str(script), f"http://127.0.0.1:{server.port}", "hunyuanportrait", str(out), *TEMPLATES]
    run = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"CHROMIUM": chromium}, timeout=900, check=False)
    assert run.returncode == 0, run.stderr[-3000:]
    return json.loads(run.stdout.strip().splitlines()[-1])


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_template_opens_from_the_dialog_whole(seen: dict[str, Any], template: str) -> None:
    workflow = json.loads((PACK / "workflows" / f"{template}.json").read_text(encoding="utf-8"))
    assert seen["found"][template]["missing"] == []
    assert seen["found"][template]["nodes"] == len(workflow["nodes"])


def test_the_first_template_runs(seen: dict[str, Any]) -> None:
    assert seen["ran"]["type"] == "execution_success", seen["ran"]


def test_a_help_page_opens(seen: dict[str, Any]) -> None:
    assert seen["helped"], seen["errors"]
