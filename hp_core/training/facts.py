"""What clips and checkpoints were made of, as JSON holds it, against what is asked for now."""

from __future__ import annotations

from typing import Any


def completed(old: dict[str, Any], assumed: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """``old``, and what is ``assumed`` of the facts that it says nothing of and ``new`` does."""
    whole = {key: assumed[key] for key in new if key in assumed and key not in old} | old
    for key, value in new.items():
        if isinstance(value, dict) and isinstance(whole.get(key), dict):
            whole[key] = completed(whole[key], assumed.get(key, {}), value)
    return whole


def differences(old: Any, new: Any, name: str = "") -> list[str]:
    """What of ``new`` was otherwise, a text each; of what there is no longer, nobody asks."""
    if isinstance(old, dict) and isinstance(new, dict):
        return [text for key in sorted(new) for text in differences(old.get(key), new[key], f"{name}.{key}".lstrip("."))]
    return [] if old == new else [f"{name} was {old!r}, is {new!r}"]
