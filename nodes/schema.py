"""Schemas that hold on every host from 0.3.64 on."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from comfy_api.latest import io

CATEGORY = "HunyuanPortrait"
_KNOWN = {field.name for field in fields(io.Schema)}


def schema(node_id: str, display_name: str, **values: Any) -> io.Schema:
    """A block's schema; what an older host's `io.Schema` does not know (search_aliases) is left out."""
    known = {name: value for name, value in values.items() if name in _KNOWN}
    return io.Schema(node_id=f"HunyuanPortrait{node_id}", display_name=display_name, category=CATEGORY, **known)


def advanced(widget: Any) -> Any:
    """``widget`` folded away by frontends that can do so."""
    widget.extra_dict["advanced"] = True  # the keyword of this name is an error before 0.10
    return widget


def previews(outputs: str, size: str) -> Any:
    """The widget that says how many pictures outputs for looking at hold: a long clip must not fill the memory with them."""
    return advanced(
        io.Int.Input(
            "previews",
            default=64,
            min=0,
            max=1_000_000,
            tooltip=f"Most pictures on {outputs}, spread evenly over the clip; 0: one for every frame, about {size} of memory each. "
            "Only for looking at: nothing else is made from them. Default: 64.",
        )
    )
