"""Fetch weights into a folder in the reference layout, with progress, resuming what was broken off."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path

from hp_core.config import check_choice
from hp_core.errors import WeightsError
from hp_core.weights.catalog import CATALOG, GROUPS, WeightFile

BLOCK = 1 << 20


def download(folder: Path, groups: tuple[str, ...] = ("animate",), *, mirror: bool = False) -> Iterator[tuple[WeightFile, Path, bool]]:
    """Fetch every file of ``groups`` that ``folder`` lacks.

    Args:
        groups: of `GROUPS`; `all` stands for every one.
        mirror: take gated files from their open mirror.

    Yields:
        the file, where it lies, and whether it was there already.

    Raises:
        OptionError: unknown group.
        WeightsError: gated without a token, absent, or no network; what came so far stays, and the next call goes on.
    """
    for group in groups:
        check_choice("--for", group, (*GROUPS, "all"))
    if folder.exists() and not folder.is_dir():
        raise WeightsError(f"{folder} is a file; name a folder.")
    folder.mkdir(parents=True, exist_ok=True)
    for entry in CATALOG.values():
        if "all" not in groups and entry.group not in groups:
            continue
        present = entry.find(folder)
        if present is not None:
            yield entry, present, True
        else:
            yield entry, _fetch_url(entry, folder) if entry.url else _fetch_hub(entry, folder, mirror), False


def _fetch_hub(entry: WeightFile, folder: Path, mirror: bool) -> Path:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, GatedRepoError, LocalEntryNotFoundError, RepositoryNotFoundError

    repo = entry.mirror if mirror and entry.mirror else entry.repo
    try:
        return Path(hf_hub_download(repo, entry.remote or entry.path, revision=entry.revision, local_dir=folder))
    except GatedRepoError as error:
        other = f" Or take the open mirror {entry.mirror}: --mirror." if entry.mirror and not mirror else ""
        raise WeightsError(
            f"{repo} is gated ({entry.licence}). Accept its terms at https://huggingface.co/{repo}, make a token at "
            f"https://huggingface.co/settings/tokens, then set HF_TOKEN or run `hf auth login`.{other}"
        ) from error
    except LocalEntryNotFoundError as error:  # huggingface_hub's word for "no connection and nothing cached"
        raise WeightsError(f"{repo} cannot be reached for {entry.path}: {error}. Check the network and run the command again.") from error
    except (RepositoryNotFoundError, EntryNotFoundError) as error:
        what = f"{repo} (revision {entry.revision}) has no {entry.remote or entry.path}"
        raise WeightsError(f"{what}, or asks for a token: {error}") from error
    except Exception as error:  # the hub's HTTP library has errors of its own, and changes with the hub's version
        raise WeightsError(f"{entry.path} from {repo} broke off: {error}. Run the command again; it goes on where it stopped.") from error


def _fetch_url(entry: WeightFile, folder: Path) -> Path:
    path, part = folder / entry.path, folder / f".{Path(entry.path).name}.part"
    done = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(entry.url, headers={"Range": f"bytes={done}-"} if done else {})
    try:
        with urllib.request.urlopen(request, timeout=60) as response, part.open("ab" if response.status == 206 else "wb") as file:
            length = response.headers["Content-Length"]  # absent from a chunked answer
            received = 0
            while block := response.read(BLOCK):
                received += file.write(block)
    except (OSError, HTTPException) as error:
        # 416: nothing is left to fetch, so the part is of another file
        if isinstance(error, urllib.error.HTTPError) and error.code == 416:
            part.unlink()
        raise WeightsError(f"{entry.url} cannot be fetched: {error}. Check the network and run the command again.") from error
    if length is not None and received != int(length):
        raise WeightsError(f"{entry.url} broke off after {received} of {length} bytes. Run the command again; it goes on where it stopped.")
    part.replace(path)
    return path
