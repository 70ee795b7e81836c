"""The pack in ComfyUI's frontend, as a person meets it: the template dialog, a run, a help page."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.chromium import drive

from .server import PACK, Server

pytestmark = pytest.mark.slow
HERE = Path(__file__).parent
TEMPLATES = [path.stem for path in sorted((PACK / "workflows").glob("*.json"))]


@pytest.fixture(scope="module")
def seen(server: Server, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the browser found."""
    out = Path(os.environ.get("SCREENSHOTS") or tmp_path_factory.mktemp("screenshots"))
    address = f"http://127.0.0.1:{server.port}"
    return drive(HERE / "browser.mjs", tmp_path_factory.mktemp("browser"), address, "hunyuanportrait", out, *TEMPLATES, timeout=900)


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_template_opens_from_the_dialog_whole(seen: dict[str, Any], template: str) -> None:
    workflow = json.loads((PACK / "workflows" / f"{template}.json").read_text(encoding="utf-8"))
    assert seen["found"][template]["missing"] == []
    assert seen["found"][template]["nodes"] == len(workflow["nodes"])


def test_the_first_template_runs(seen: dict[str, Any]) -> None:
    assert seen["ran"]["type"] == "execution_success", seen["ran"]


def test_a_help_page_opens(seen: dict[str, Any]) -> None:
    assert seen["helped"], seen["errors"]
