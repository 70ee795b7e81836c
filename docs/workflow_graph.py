"""A ComfyUI workflow under construction: blocks by the schemas of a running host, drawn in columns, as UI format 0.4."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

WIDTH, GAP = 330, 50
WIDGETS = ("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO")
PREFIX = "HunyuanPortrait"


@dataclass
class Node:
    """A block and where its outputs can be reached: ``node["model"]``."""

    number: int
    kind: str
    info: dict[str, Any]
    values: dict[str, Any]
    column: int

    def __getitem__(self, output: str) -> Output:
        return Output(self, self.info["output_name"].index(output))


@dataclass(frozen=True)
class Output:
    """One output of a block."""

    node: Node
    slot: int

    @property
    def kind(self) -> str:
        """Its socket type."""
        return self.node.info["output"][self.slot]


@dataclass
class Graph:
    """A workflow under construction; `text` is the note inside it."""

    schemas: dict[str, Any]
    text: str
    nodes: list[Node] = field(default_factory=list)

    def add(self, kind: str, column: int, **values: Any) -> Node:
        """A block in a column; values are widget values or outputs of other blocks."""
        name = PREFIX + kind if PREFIX + kind in self.schemas else kind
        known = inputs_of(self.schemas[name])
        strange = [key for key in values if key not in known]
        if strange:
            raise SystemExit(f"{name} has no input {strange[0]}; it has {', '.join(known)}.")
        node = Node(len(self.nodes) + 1, name, self.schemas[name], values, column)
        self.nodes.append(node)
        return node

    def json(self) -> dict[str, Any]:
        """UI format 0.4."""
        links: list[list[Any]] = []
        nodes = [self._node(node, links) for node in self.nodes]
        for number, origin, slot, *_ in links:
            outputs = nodes[origin - 1]["outputs"]
            outputs[slot]["links"] = (outputs[slot]["links"] or []) + [number]
        nodes.append(self._note(len(nodes) + 1))
        self._arrange(nodes)
        return {
            "last_node_id": len(nodes),
            "last_link_id": len(links),
            "nodes": nodes,
            "links": links,
            "groups": [],
            "config": {},
            "extra": {"ds": {"scale": 0.7, "offset": [60, 80]}},
            "version": 0.4,
        }

    def _node(self, node: Node, links: list[list[Any]]) -> dict[str, Any]:
        sockets, widgets = [], []
        for name, (spec, optional) in inputs_of(node.info).items():
            given = node.values.get(name)
            is_widget = (spec[0] if isinstance(spec[0], str) else "COMBO") in WIDGETS
            if isinstance(given, Output) or not is_widget:
                socket: dict[str, Any] = {"name": name, "type": given.kind if isinstance(given, Output) else spec[0], "link": None}
                if optional:
                    socket["shape"] = 7
                if is_widget:
                    socket["widget"] = {"name": name}
                if isinstance(given, Output):
                    socket["link"] = len(links) + 1
                    links.append([len(links) + 1, given.node.number, given.slot, node.number, len(sockets), given.kind])
                sockets.append(socket)
            if is_widget:
                widgets += _widget(spec, given)
        outputs = [
            {"name": name, "type": kind, "links": None} for name, kind in zip(node.info["output_name"], node.info["output"], strict=True)
        ]
        made = {
            "id": node.number,
            "type": node.kind,
            "pos": [node.column, 0],
            "size": [WIDTH, 50 + 26 * len(widgets) + 22 * max(len(sockets), len(outputs)) + _extra(node.kind)],
            "flags": {},
            "order": node.number - 1,
            "mode": 0,
            "inputs": sockets,
            "outputs": outputs,
            "properties": {"Node name for S&R": node.kind},
            "widgets_values": widgets,
        }
        if node.kind == f"{PREFIX}Load" and node.values.get("weights") == PREFIX:
            made["properties"]["models"] = released_models()
        return made

    def _note(self, number: int) -> dict[str, Any]:
        return {
            "id": number,
            "type": "MarkdownNote",
            "pos": [0, -1],
            "size": [WIDTH, 60 + 26 * (self.text.count("\n") + len(self.text) // 44 + 1)],
            "flags": {},
            "order": number - 1,
            "mode": 0,
            "inputs": [],
            "outputs": [],
            "properties": {},
            "widgets_values": [self.text],
            "color": "#432",
            "bgcolor": "#653",
        }

    @staticmethod
    def _arrange(nodes: list[dict[str, Any]]) -> None:
        """From columns to pixels: blocks of one column one below the other, the note on top of the first."""
        heights: dict[int, int] = {}
        for node in sorted(nodes, key=lambda node: (node["type"] != "MarkdownNote", node["id"])):
            column = node["pos"][0]
            node["pos"] = [column * (WIDTH + GAP), heights.get(column, 0)]
            heights[column] = heights.get(column, 0) + node["size"][1] + GAP


def inputs_of(info: dict[str, Any]) -> dict[str, tuple[list[Any], bool]]:
    """Name to (specification, optional), in schema order."""
    parts = (("required", False), ("optional", True))
    return {name: (spec, optional) for part, optional in parts for name, spec in info["input"].get(part, {}).items()}


def _widget(spec: list[Any], given: Any) -> list[Any]:
    options = spec[1] if len(spec) > 1 else {}
    choices = spec[0] if isinstance(spec[0], list) else options.get("options") or [""]
    first = choices[0] if spec[0] == "COMBO" or isinstance(spec[0], list) else {"STRING": "", "BOOLEAN": False}.get(spec[0], 0)
    values = [options.get("default", first) if given is None or isinstance(given, Output) else given]
    if options.get("control_after_generate"):
        values.append("fixed")
    if options.get("image_upload") or options.get("video_upload") or options.get("upload"):
        values.append("image")
    return values


def _extra(kind: str) -> int:
    """Room for the picture that a block shows; the sampler's live one is small."""
    if kind == f"{PREFIX}Sampler":
        return 160
    return 260 if kind in ("LoadImage", "PreviewImage", "SaveVideo", "LoadVideo", f"{PREFIX}TrackPreview", "MaskPreview") else 0


def released_models() -> list[dict[str, str]]:
    """What the frontend offers to download for the released set."""
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from hp_core.weights.catalog import CATALOG

    return [
        {
            "name": entry.path,
            "url": f"https://huggingface.co/{entry.mirror or entry.repo}/resolve/{entry.revision}/{entry.remote or entry.path}",
            "directory": PREFIX,
        }
        for entry in CATALOG.values()
        if entry.group == "animate" and not entry.name.endswith("_config")
    ]
