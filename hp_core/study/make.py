"""From a manifest to a folder that any web server, or a double click, shows."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from hp_core.errors import OptionError
from hp_core.files import check_writable, make_folder, staged_folder, written_beside
from hp_core.image import load_image
from hp_core.progress import Notice, Progress, Stage
from hp_core.study.manifest import Entry, read_manifest
from hp_core.study.media import store_portrait, store_video
from hp_core.study.questions import GRADES, QUESTIONS
from hp_core.video import probe

TITLE = "Rate your score on these videos"  # figure 10
MEDIA = "media"
_PLACE = "{{study}}"


@dataclass(frozen=True)
class Study:
    """A study that was made: the folder to publish, the key to keep, and how much a visitor rates."""

    folder: Path
    key: Path
    identifier: str
    items: int
    systems: tuple[str, ...]


def key_path(folder: Path) -> Path:
    """Where the key of a study lies: beside its folder, so that publishing the folder does not publish the key."""
    folder = folder.resolve()
    return folder.with_name(f"{folder.name}.key.json")


def make_study(manifest: Path, folder: Path, *, title: str = TITLE, contact: str = "", examples: Sequence[Path] = ()) -> Stage[Study]:
    """Write the page with its media to ``folder`` and the key from items to systems beside it.

    Args:
        folder: must be absent or empty.
        contact: where visitors send their results; shown at the end.
        examples: videos shown at the beginning and not rated.

    Raises:
        OptionError: the manifest's content, an empty title, or a folder or key that is there already.
        PortraitError: a file that cannot be read as what it should be, or a place that cannot be written to. All but damage deep
            inside a video is found before anything is written, and nothing of the study is left after any of them.
    """
    entries = read_manifest(manifest)
    key = key_path(folder)
    _check_place(folder, key)
    if not title.strip():
        raise OptionError("The title is empty; give the page a title.")
    yield from _check_media(entries, examples)
    yield from _warn(entries, title, contact)
    make_folder(key.parent)
    check_writable(key)
    with written_beside(key) as temporary, staged_folder(folder) as stage:
        made, content = yield from _write(entries, stage, title, contact, examples)
        temporary.write_text(json.dumps(content, indent=1), encoding="utf-8")
    return Study(folder, key, content["study"], made, tuple(dict.fromkeys(entry.system for entry in entries)))


def _check_place(folder: Path, key: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise OptionError(f"{folder} is there already; name a new folder: answers to an earlier study fit its own key alone.")
    if key.exists():
        raise OptionError(f"The key {key} of an earlier study is there already; keep it and name another folder.")


def _check_media(entries: list[Entry], examples: Sequence[Path]) -> Stage[None]:
    portraits = dict.fromkeys(entry.portrait for entry in entries)
    videos = dict.fromkeys(path for entry in entries for path in (entry.driving, entry.result))
    for portrait in portraits:
        load_image(portrait)
    seconds = {}
    for done, path in enumerate([*videos, *examples], 1):
        seconds[path] = float(probe(path).duration)
        yield Progress("checking", done, len(videos) + len(examples))
    for entry in entries:
        driving, result = seconds[entry.driving], seconds[entry.result]
        if abs(driving - result) > 0.1 * max(driving, result):
            yield Notice(
                f"{entry.result} lasts {result:.1f} s, its driving video {driving:.1f} s; the page shows the driving video as long as the "
                "result. Cut them to the same part if they do not start together."
            )


def _warn(entries: list[Entry], title: str, contact: str) -> Stage[None]:
    systems = dict.fromkeys(entry.system for entry in entries)
    clips = dict.fromkeys(entry.clip for entry in entries)
    answered = {(entry.system, entry.clip) for entry in entries}
    for system in systems:
        count = sum((system, clip) in answered for clip in clips)
        if count < len(clips):
            yield Notice(f"System '{system}' answers {count} of {len(clips)} clips; its scores are not over the same clips as the others'.")
        if re.search(rf"\b{re.escape(system)}\b", f"{title} {contact}", re.IGNORECASE):
            yield Notice(f"The title or the contact names the system '{system}', which visitors will read.")


def _write(entries: list[Entry], stage: Path, title: str, contact: str, examples: Sequence[Path]) -> Stage[tuple[int, dict[str, Any]]]:
    """Media and page into ``stage``; the number of items, and the key's content."""
    identifier, secret = secrets.token_hex(8), secrets.token_bytes(32)
    media = stage / MEDIA
    media.mkdir()
    portraits = {path: store_portrait(path, media, secret) for path in dict.fromkeys(entry.portrait for entry in entries)}
    videos: dict[Path, str] = {}
    encoded = 0
    wanted = dict.fromkeys([path for entry in entries for path in (entry.driving, entry.result)] + list(examples))
    for path in wanted:
        videos[path], anew = store_video(path, media, secret)
        encoded += anew
        yield Progress("videos", len(videos), len(wanted))
    if encoded:
        yield Notice(f"{encoded} of {len(videos)} videos are re-encoded to H.264, as browsers do not play them.")
    items = {secrets.token_hex(8): entry for entry in entries}
    shown = [
        {
            "id": item,
            "portrait": f"{MEDIA}/{portraits[items[item].portrait]}",
            "driving": f"{MEDIA}/{videos[items[item].driving]}",
            "result": f"{MEDIA}/{videos[items[item].result]}",
        }
        for item in sorted(items)  # by their random names: the manifest's order would tell the systems apart
    ]
    _write_page(
        stage,
        {
            "study": identifier,
            "title": title.strip(),
            "contact": contact.strip(),
            "questions": [asdict(question) for question in QUESTIONS],
            "grades": [{"score": score, "text": text} for score, text in GRADES.items()],
            "examples": [f"{MEDIA}/{videos[path]}" for path in examples],
            "items": shown,
        },
    )
    named = {item: {name: str(value) for name, value in asdict(entry).items()} for item, entry in items.items()}
    return len(items), {"study": identifier, "title": title.strip(), "items": named}


def _write_page(stage: Path, content: dict[str, Any]) -> None:
    """The page's files, with what the study holds inside the HTML: a page opened from a disk may fetch nothing."""
    inside = json.dumps(content, ensure_ascii=False, indent=1).replace("<", "\\u003c")  # nothing in it may end the script element
    for file in files("hp_core.study").joinpath("page").iterdir():
        text = file.read_text(encoding="utf-8")
        (stage / file.name).write_text(text.replace(_PLACE, inside), encoding="utf-8")
