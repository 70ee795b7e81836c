"""Fetch weights into a folder in the reference layout, with progress, resuming what was broken off."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Generator, Iterator
from http.client import HTTPException
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from hp_core.checks import check_choice
from hp_core.errors import WeightsError
from hp_core.files import make_folder
from hp_core.progress import Progress, Stage
from hp_core.weights.catalog import CATALOG, GROUPS, WeightFile

BLOCK = 1 << 20


class Fetched(NamedTuple):
    """One file of a download: where it lies, and whether it was there already."""

    entry: WeightFile
    path: Path
    present: bool


def download(folder: Path, groups: tuple[str, ...] = ("animate",), *, mirror: bool = False) -> Iterator[Fetched | Progress]:
    """Fetch every file of ``groups`` that ``folder`` lacks.

    Args:
        groups: of `GROUPS`; `all` stands for every one.
        mirror: take gated files from their open mirror.

    Yields:
        `Progress` in bytes, under the file's name, while one arrives; whoever stops then goes on from there the next time.
        `Fetched` when it is whole.

    Raises:
        OptionError: unknown group.
        WeightsError: gated without a token, absent, or no network; what came so far stays, and the next call goes on.
    """
    for group in groups:
        check_choice("--for", group, (*GROUPS, "all"))
    if folder.exists() and not folder.is_dir():
        raise WeightsError(f"{folder} is a file; name a folder.")
    make_folder(folder)
    for entry in CATALOG.values():
        if not any(entry.belongs(group) for group in groups):
            continue
        present = entry.find(folder)
        if present is not None:
            yield Fetched(entry, present, True)
        else:
            target = folder / entry.path
            make_folder(target.parent)
            yield from _fetch_url(entry, target) if entry.url else _fetch_hub(entry, target, mirror)
            yield Fetched(entry, target, False)


def download_report(folder: Path, group: str, *, start: bool, mirror: bool = False) -> Stage[str]:
    """`download` of one group, or, unless ``start`` is set, only what it would do; one line a file."""
    wanted = [entry for entry in CATALOG.values() if entry.belongs(group)]
    check_choice("what", group, (*GROUPS, "all"))
    if not start:
        lines = [f"{'there' if entry.find(folder) else 'to fetch'}: {entry.path} ({entry.licence})" for entry in wanted]
        return "\n".join([f"Nothing was fetched: start is off. Into {folder} would go:", *lines])
    lines = []
    for event in download(folder, (group,), mirror=mirror):
        if isinstance(event, Progress):
            yield event
        else:
            lines.append(f"{'was there' if event.present else 'fetched'}: {event.path} ({event.entry.licence})")
    return "\n".join(lines)


def _fetch_hub(entry: WeightFile, target: Path, mirror: bool) -> Iterator[Progress]:
    """Not by `hf_hub_download`, which since 1.18 begins a file that broke off from its first byte, and tells nobody how far it is."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import EntryNotFoundError, GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError
    from huggingface_hub.utils import build_hf_headers

    repo, name = entry.mirror if mirror and entry.mirror else entry.repo, entry.remote or entry.path
    url = hf_hub_url(repo, name, revision=entry.revision)
    try:
        remote = get_hf_file_metadata(url)
    except GatedRepoError as error:
        other = f" Or take the open mirror {entry.mirror}: --mirror." if entry.mirror and not mirror else ""
        raise WeightsError(
            f"{repo} is gated ({entry.licence}). Accept its terms at https://huggingface.co/{repo}, make a token at "
            f"https://huggingface.co/settings/tokens, then set HF_TOKEN or run `hf auth login`.{other}"
        ) from error
    except (RepositoryNotFoundError, RevisionNotFoundError, EntryNotFoundError) as error:
        raise WeightsError(f"{repo} (revision {entry.revision}) has no {name}, or asks for a token: {_reason(error)}.") from error
    except Exception as error:  # the hub's HTTP library has errors of its own, and changes with the hub's version
        raise WeightsError(f"{repo} cannot be reached for {name}: {_reason(error)}. Check the network, then run it again.") from error
    headers = build_hf_headers()
    if urlsplit(remote.location).netloc != urlsplit(url).netloc:
        headers.pop("authorization", None)  # the token is the hub's, not the storage server's
    part = target.with_name(f".{target.name}.{(remote.etag or 'part')[:16]}.part")
    size = remote.size
    if size is not None and part.exists() and part.stat().st_size > size:  # left by two downloads at once
        part.unlink()
    try:
        yield from _stream(remote.location, part, headers, name, size)
    except (OSError, HTTPException) as error:
        raise WeightsError(f"{name} from {repo} broke off: {_reason(error)}. Run it again; it goes on where it stopped.") from error
    if size is not None and part.stat().st_size < size:
        raise WeightsError(
            f"{name} from {repo} broke off after {part.stat().st_size} of {size} bytes. Run it again; it goes on where it stopped."
        )
    _finish(part, target, size)


def _stream(url: str, part: Path, headers: dict[str, str], name: str, size: int | None) -> Generator[Progress, None, int | None]:
    """Append to ``part`` what it lacks; a server that cannot begin in the middle begins anew. Returns the whole size if it is told."""
    done = part.stat().st_size if part.exists() else 0
    if size is not None and done == size:
        return size
    request = urllib.request.Request(url, headers=headers | ({"Range": f"bytes={done}-"} if done else {}))
    with urllib.request.urlopen(request, timeout=60) as response, part.open("ab" if response.status == 206 else "wb") as file:
        length = response.headers["Content-Length"]  # absent from a chunked answer
        total = size if length is None else file.tell() + int(length)
        while block := response.read(BLOCK):
            file.write(block)
            yield Progress(name, file.tell(), total or file.tell())
    return total


def _fetch_url(entry: WeightFile, target: Path) -> Iterator[Progress]:
    part = target.with_name(f".{target.name}.part")
    try:
        total = yield from _stream(entry.url, part, {}, entry.path, None)
    except (OSError, HTTPException) as error:
        # 416: nothing is left to fetch, so the part is of another file
        if isinstance(error, urllib.error.HTTPError) and error.code == 416:
            part.unlink()
        raise WeightsError(f"{entry.url} cannot be fetched: {_reason(error)}. Check the network and run the command again.") from error
    received = part.stat().st_size
    if total is not None and received < total:
        raise WeightsError(f"{entry.url} broke off after {received} of {total} bytes. Run the command again; it goes on where it stopped.")
    _finish(part, target, total)


def _finish(part: Path, target: Path, size: int | None) -> None:
    received = part.stat().st_size
    if size is not None and received != size:  # two downloads of one file at once
        part.unlink()
        raise WeightsError(f"{target} came as {received} bytes instead of {size}. Run the command again, once at a time.")
    part.replace(target)


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".")
