"""Schemas, help pages, locales and templates agree with each other, without a ComfyUI."""

from __future__ import annotations

import ast
import asyncio
import inspect
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .fake_host import ROOT, Declared, imported_pack

WIDGETS = {"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO"}
TEMPLATES = sorted((ROOT / "workflows").glob("*.json"))
SOURCES = sorted((ROOT / "nodes").glob("*.py"))  # the blocks; what they ask of ComfyUI is in nodes/host


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """Every block by its id."""
    models = tmp_path_factory.mktemp("host") / "models"
    (models / "HunyuanPortrait" / "hyportrait").mkdir(parents=True)
    with imported_pack(models) as pack:
        extension = asyncio.run(pack.comfy_entrypoint())
        yield {node.define_schema().node_id: node for node in asyncio.run(extension.get_node_list())}


def widgets(node: Any) -> list[Declared]:
    return [item for item in node.define_schema().inputs if item.kind in WIDGETS]


def test_ids_and_categories(nodes: dict[str, Any]) -> None:
    assert len(nodes) >= 17
    for number, node in nodes.items():
        assert re.fullmatch(r"HunyuanPortrait[A-Za-z]+", number)
        schema = node.define_schema()
        assert schema.category == "HunyuanPortrait"
        assert schema.display_name
        assert schema.description.endswith(".")
        names = [item.id for item in schema.inputs]
        assert len(names) == len(set(names))


def test_every_socket_and_widget_explains_itself(nodes: dict[str, Any]) -> None:
    for number, node in nodes.items():
        schema = node.define_schema()
        for item in [*schema.inputs, *schema.outputs]:
            assert len(item.values.get("tooltip", "")) > 8, f"{number}.{item.id or item.values}"
            assert item.values["tooltip"].endswith("."), f"{number}.{item.id}"


def test_every_widget_says_what_it_is_set_to_at_first(nodes: dict[str, Any]) -> None:
    """Its released value, or the default where the release knows no such thing; dropdowns of a user's files have none."""
    for number, node in nodes.items():
        for item in widgets(node):
            said = re.search(r"[Rr]eleased|Default: ", item.values["tooltip"])
            assert said or item.id in ("weights", "file"), f"{number}.{item.id}"


def test_the_first_face_of_a_block_is_small(nodes: dict[str, Any]) -> None:
    for number, node in nodes.items():
        shown = [item.id for item in widgets(node) if not item.extra_dict.get("advanced")]
        assert len(shown) <= 8, f"{number}: {shown}"


def test_widgets_have_defaults_in_their_range(nodes: dict[str, Any]) -> None:
    for number, node in nodes.items():
        for item in widgets(node):
            values, where = item.values, f"{number}.{item.id}"
            if item.kind in ("INT", "FLOAT"):
                assert values["min"] <= values["default"] <= values["max"], where
            elif item.kind == "COMBO":
                assert values["options"], where
                assert values.get("default", values["options"][0]) in values["options"], where
            else:
                assert "default" in values, where


def test_every_input_is_read(nodes: dict[str, Any]) -> None:
    for number, node in nodes.items():
        parameters = inspect.signature(node.execute).parameters
        takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
        inputs = [item.id for item in node.define_schema().inputs]
        named = [name for name, parameter in parameters.items() if parameter.kind is not parameter.VAR_KEYWORD]
        assert set(named) <= set(inputs), number
        assert takes_any or set(named) == set(inputs), number
        body = ast.parse(inspect.cleandoc("\n" + inspect.getsource(node.execute)))
        read = {item.id for item in ast.walk(body) if isinstance(item, ast.Name) and isinstance(item.ctx, ast.Load)}
        assert set(named) <= read, f"{number} never reads {set(named) - read}"


def test_optional_inputs_come_last_in_widgets(nodes: dict[str, Any]) -> None:
    """Frontends store required widgets before optional ones; advanced ones have defaults in `execute`."""
    for number, node in nodes.items():
        for item in node.define_schema().inputs:
            parameter = inspect.signature(node.execute).parameters.get(item.id)
            if item.values.get("optional"):
                assert parameter is not None, f"{number}.{item.id}"
                assert parameter.default is not parameter.empty, f"{number}.{item.id}"


def test_every_block_has_a_help_page(nodes: dict[str, Any]) -> None:
    pages = {path.stem: path.read_text(encoding="utf-8") for path in (ROOT / "web" / "docs").glob("*.md")}
    assert set(pages) == set(nodes)
    for number, node in nodes.items():
        assert pages[number].startswith(f"# {node.define_schema().display_name}\n")


@pytest.mark.parametrize("language", ["en", "zh"])
def test_locales_are_complete(nodes: dict[str, Any], language: str) -> None:
    words = json.loads((ROOT / "locales" / language / "nodeDefs.json").read_text(encoding="utf-8"))
    assert set(words) == set(nodes)
    for number, node in nodes.items():
        schema, said = node.define_schema(), words[number]
        assert set(said["inputs"]) == {item.id for item in schema.inputs}, number
        assert set(said["outputs"]) == {str(i) for i in range(len(schema.outputs))}, number
        texts = [said["display_name"], said["description"], *(text for item in said["inputs"].values() for text in item.values())]
        assert all(texts), number
        if language == "en":
            assert said["display_name"] == schema.display_name
            assert said["description"] == schema.description
            assert {key: item["tooltip"] for key, item in said["inputs"].items()} == {
                item.id: item.values["tooltip"] for item in schema.inputs
            }, f"{number}: run docs/make_workflows.py"
        else:
            assert re.search(r"[\u4e00-\u9fff]", said["description"]), number


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)
def test_templates_fit_the_schemas(nodes: dict[str, Any], path: Path) -> None:
    workflow = json.loads(path.read_text(encoding="utf-8"))
    assert workflow["version"] == 0.4
    assert path.with_suffix(".jpg").is_file(), "the template browser shows this picture"
    assert [node for node in workflow["nodes"] if node["type"] == "MarkdownNote"], "a note says what it is"
    by_id = {node["id"]: node for node in workflow["nodes"]}
    for number, origin, slot, target, entry, kind in workflow["links"]:
        output, socket = by_id[origin]["outputs"][slot], by_id[target]["inputs"][entry]
        assert number in output["links"]
        assert socket["link"] == number
        assert output["type"] == socket["type"] == kind
    for node in workflow["nodes"]:
        if not node["type"].startswith("HunyuanPortrait"):
            continue
        schema = nodes[node["type"]].define_schema()
        sockets = {item.id: item for item in schema.inputs if item.kind not in WIDGETS}
        for slot in node["inputs"]:
            if "widget" not in slot:
                assert slot["type"] == sockets[slot["name"]].kind
                assert slot["link"] is not None or sockets[slot["name"]].values.get("optional"), f"{node['type']}.{slot['name']} is free"
        assert [output["type"] for output in node["outputs"]] == [item.kind for item in schema.outputs]
        values = iter(node["widgets_values"])
        for item in sorted(widgets(nodes[node["type"]]), key=lambda item: bool(item.values.get("optional"))):
            value, where = next(values), f"{node['type']}.{item.id}"
            if item.kind == "COMBO" and item.id not in ("weights", "file"):
                assert value in item.values["options"], where
            elif item.kind in ("INT", "FLOAT"):
                assert item.values["min"] <= value <= item.values["max"], where
            if item.values.get("control_after_generate"):
                assert next(values) == "fixed"
        assert list(values) == [], node["type"]


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)
def test_templates_name_the_models_that_the_frontend_may_fetch(path: Path) -> None:
    from hp_core.weights.catalog import CATALOG

    workflow = json.loads(path.read_text(encoding="utf-8"))
    (load,) = (node for node in workflow["nodes"] if node["type"] == "HunyuanPortraitLoad")
    models = load["properties"].get("models", [])
    if load["widgets_values"][0].startswith("demo"):
        assert models == [], "the demo set lies in the pack"
        return
    networks = {entry.path for entry in CATALOG.values() if entry.group == "animate" and not entry.name.endswith("_config")}
    assert {model["name"] for model in models} == networks
    for model in models:
        assert model["directory"] == "HunyuanPortrait"
        assert model["url"].startswith("https://huggingface.co/")
        assert model["url"].rpartition("/")[2] == model["name"].rpartition("/")[2]


def test_the_host_folder_alone_knows_comfy_and_torch() -> None:
    for path in SOURCES:
        found = re.findall(r"^\s*(?:import|from) (comfy|torch|einops|numpy)\b", path.read_text(encoding="utf-8"), re.MULTILINE)
        assert set(found) <= {"numpy"}, f"{path.name} imports {found}"


def test_nodes_do_no_arithmetic() -> None:
    for path in SOURCES:
        for item in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            arithmetic = isinstance(item, ast.BinOp) and isinstance(item.op, (ast.Add, ast.Sub, ast.Pow, ast.MatMult))
            assert not arithmetic, f"{path.name}:{getattr(item, 'lineno', 0)} does arithmetic"


def test_the_pack_does_nothing_outside_comfyui() -> None:
    code = (
        "import runpy, sys; names = runpy.run_path(sys.argv[1]); "
        "assert 'comfy_entrypoint' not in names; assert not {'torch', 'nodes', 'hp_core'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, str(ROOT / "__init__.py")], check=True, cwd="/")


def test_a_user_s_own_model_paths_stay_first(tmp_path: Path) -> None:
    """ComfyUI reads extra_model_paths.yaml before it imports packs."""
    with imported_pack(tmp_path / "models") as pack:
        import folder_paths

        folder_paths.add_model_folder_path("HunyuanPortrait", str(tmp_path / "own"))
        (tmp_path / "own" / "mine" / "hyportrait").mkdir(parents=True)
        (tmp_path / "models" / "HunyuanPortrait" / "hyportrait").mkdir(parents=True)
        asyncio.run(pack.comfy_entrypoint())
        folders = sys.modules[f"{pack.__name__}.nodes.folders"]
        assert folder_paths.get_folder_paths("HunyuanPortrait")[0] == str(tmp_path / "own")
        found = {path for name, path in folders.weight_sets().items() if name != folders.DEMO}
        assert found == {tmp_path / "own" / "mine", tmp_path / "models" / "HunyuanPortrait"}
        assert folders.download_folder() == tmp_path / "own"
        with pytest.raises(folders.WeightsError, match=r"no set of weights called 'gone'.*Download HunyuanPortrait"):
            folders.weight_set("gone")


def test_motion_files_are_bare_names(tmp_path: Path) -> None:
    with imported_pack(tmp_path / "models") as pack:
        asyncio.run(pack.comfy_entrypoint())
        folders = sys.modules[f"{pack.__name__}.nodes.folders"]
        (tmp_path / "output" / "motions").mkdir(parents=True)
        (tmp_path / "secret.safetensors").write_bytes(b"x")
        (tmp_path / "output" / "motions" / "a.safetensors").write_bytes(b"x")
        assert folders.motion_files() == ["a.safetensors"]
        assert folders.motion_file("a.safetensors").is_file()
        with pytest.raises(folders.PortraitError, match="no saved motion"):
            folders.motion_file("../../secret.safetensors")
