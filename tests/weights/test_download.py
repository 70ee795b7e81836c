"""Fetching weights from a server on this machine that answers like the Hugging Face hub, and from one of plain files."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from hp_core.errors import OptionError, PortraitError, WeightsError
from hp_core.progress import Progress
from hp_core.weights.catalog import CATALOG, SVD_MIRROR, SVD_REPO
from hp_core.weights.download import Fetched, download

HUNYUAN = "tencent/HunyuanPortrait"
# The hub's library waits a second before each attempt of its own.
PROGRAM = """
import time
from hp_core.cli import main
time.sleep = lambda seconds: None
main()
"""


def content(name: str) -> bytes:
    """What the server holds under ``name``: 200 kB that differ from file to file."""
    return hashlib.sha256(name.encode()).digest() * 6250


class Server(ThreadingHTTPServer):
    """Serves `content` at any path.

    Attributes:
        gated: repositories that answer as one whose terms were not accepted.
        lost: paths that do not exist.
        cut: path -> bytes after which the connection is closed.
        refuse: paths that are answered with 500 from the second GET on.
        elsewhere: server that GETs are sent on to, as the hub does with large files.
        plain: answer without a length, in chunks.
        ranged: answer range requests.
        requests: method, path and range of every request.
        tokens: the authorization of every request.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.gated: set[str] = set()
        self.lost: set[str] = set()
        self.cut: dict[str, int] = {}
        self.refuse: set[str] = set()
        self.elsewhere: Server | None = None
        self.tokens: list[str | None] = []
        self.plain = False
        self.ranged = True
        self.requests: list[tuple[str, str, str | None]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def gets(self, end: str) -> list[str | None]:
        """The ranges of the GET requests for paths with this end."""
        return [wanted for method, path, wanted in self.requests if method == "GET" and path.endswith(end)]


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.answer(False)

    def do_GET(self) -> None:
        self.answer(True)

    def answer(self, body: bool) -> None:
        server, path, wanted = self.server, self.path, self.headers["Range"]
        first = not any(method == "GET" and seen == path for method, seen, _ in server.requests)
        server.requests.append((self.command, path, wanted))
        server.tokens.append(self.headers["Authorization"])
        if any(path.startswith(f"/{repo}/") for repo in server.gated):
            return self.fail(401, "GatedRepo", "Access to model is restricted. You must have access to it.")
        if path in server.lost:
            return self.fail(404, "EntryNotFound", "Entry not found")
        if body and not first and path in server.refuse:
            return self.fail(500, "", "")
        data = content(path)
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and server.ranged else 0
        if start >= len(data):
            return self.fail(416, "", "")
        self.send_response(302 if server.elsewhere else 206 if start else 200)
        if server.elsewhere:
            body = False
            self.send_header("Location", server.elsewhere.url + path)
            self.send_header("X-Linked-Size", str(len(data)))
        self.send_header("ETag", f'"{hashlib.sha256(data).hexdigest()}"')
        self.send_header("X-Repo-Commit", "0" * 40)
        if server.plain:
            self.send_header("Connection", "close")
        else:
            self.send_header("Content-Length", "0" if server.elsewhere else str(len(data) - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.end_headers()
        if body:
            end = server.cut.get(path, len(data))
            self.wfile.write(data[start:end])
        self.close_connection = server.plain or (body and path in server.cut)
        return None

    def fail(self, status: int, code: str, message: str) -> None:
        self.send_response(status)
        if code:
            self.send_header("X-Error-Code", code)
            self.send_header("X-Error-Message", message)
        self.send_header("Content-Length", "0")
        self.end_headers()


@contextmanager
def running() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with running() as started:
        yield started


def fetch(endpoint: str, folder: Path, *options: str, token: str = "") -> subprocess.CompletedProcess[str]:
    """`hp-portrait download` in a process of its own: the hub's library reads its environment once, at import."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    environment |= {
        "HF_ENDPOINT": endpoint,
        "HF_HOME": str(folder.parent / "hf"),
        "HF_TOKEN": token,
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
    }
    command = [sys.executable, "-c", PROGRAM, "download", str(folder), *options]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)


def error_of(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "Error: " in done.stderr
    return done.stderr.split("Error: ", 1)[1]


def paths(group: str = "animate") -> list[str]:
    return [entry.path for entry in CATALOG.values() if entry.group == group]


def remote(repo: str, path: str, revision: str = "main") -> str:
    return f"/{repo}/resolve/{revision}/{path}"


def files(folder: Path) -> list[str]:
    """What lies in a weights folder, parts of broken-off files included."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


# From the hub


def test_files_arrive_in_the_reference_layout_and_are_kept(server: Server, tmp_path: Path) -> None:
    folder = tmp_path / "w"
    (folder / "hyportrait").mkdir(parents=True)
    (folder / "hyportrait/unet.pth").write_bytes(b"my own")
    (folder / "hyportrait/dino.safetensors").write_bytes(b"converted")
    first = fetch(server.url, folder, "--json")
    assert first.returncode == 0, first.stderr
    rows = {row["name"]: row for row in json.loads(first.stdout)["files"]}
    assert [name for name, row in rows.items() if row["present"]] == ["dino", "unet"]
    assert rows["dino"]["path"] == str(folder / "hyportrait/dino.safetensors")
    assert "academic and research use only" in rows["expression"]["licence"]
    assert files(folder) == sorted({*paths(), "hyportrait/dino.safetensors"} - {"hyportrait/dino.pth"})
    assert (folder / "hyportrait/unet.pth").read_bytes() == b"my own"
    assert (folder / "hyportrait/headpose.pth").read_bytes() == content(remote(HUNYUAN, "hyportrait/headpose.pth"))
    assert (folder / "vae/config.json").read_bytes() == content(remote(SVD_REPO, "vae/config.json"))
    assert not server.gets("unet.pth")
    asked = len(server.requests)
    second = fetch(server.url, folder)
    assert second.returncode == 0
    assert len(server.requests) == asked
    assert second.stdout.count("kept") == len(paths())
    assert "fetched" not in second.stdout


def test_a_group_is_fetched_alone_and_at_its_revision(server: Server, tmp_path: Path) -> None:
    assert fetch(server.url, tmp_path / "w", "--for", "identity", "--for", "yolo").returncode == 0
    assert files(tmp_path / "w") == ["arcface.onnx", "yoloface_v5m.pt"]
    entry = CATALOG["arcface"]
    assert (tmp_path / "w/arcface.onnx").read_bytes() == content(remote(entry.repo, "arcface.onnx", entry.revision))


def test_a_gated_repository_is_explained(server: Server, tmp_path: Path) -> None:
    server.gated = {SVD_REPO}
    text = error_of(fetch(server.url, tmp_path / "w"))
    for part in (f"{SVD_REPO} is gated", f"https://huggingface.co/{SVD_REPO}", "HF_TOKEN", "--mirror", SVD_MIRROR):
        assert part in text
    assert files(tmp_path / "w") == sorted(path for path in paths() if path.startswith("hyportrait/"))


def test_the_mirror_stands_in_for_the_gated_repository_only(server: Server, tmp_path: Path) -> None:
    server.gated = {SVD_REPO}
    done = fetch(server.url, tmp_path / "w", "--mirror")
    assert done.returncode == 0, done.stderr
    path = "vae/diffusion_pytorch_model.fp16.safetensors"
    assert (tmp_path / "w" / path).read_bytes() == content(remote(SVD_MIRROR, path))
    assert (tmp_path / "w/hyportrait/unet.pth").read_bytes() == content(remote(HUNYUAN, "hyportrait/unet.pth"))


def test_no_connection_and_no_such_file_are_told_apart(server: Server, tmp_path: Path) -> None:
    with running() as gone:
        url = gone.url
    text = error_of(fetch(url, tmp_path / "w"))
    assert f"{HUNYUAN} cannot be reached for hyportrait/expression.pth" in text
    assert "Check the network" in text
    server.lost = {remote(HUNYUAN, "hyportrait/expression.pth")}
    assert f"{HUNYUAN} (revision main) has no hyportrait/expression.pth" in error_of(fetch(server.url, tmp_path / "w"))
    assert files(tmp_path / "w") == []


def test_a_hub_file_that_broke_off_goes_on_where_it_stopped(server: Server, tmp_path: Path) -> None:
    path, folder = remote(HUNYUAN, "hyportrait/dino.pth"), tmp_path / "w"
    server.cut, server.refuse = {path: 100_000}, {path}
    text = error_of(fetch(server.url, folder))
    assert f"hyportrait/dino.pth from {HUNYUAN} broke off" in text
    assert "goes on where it stopped" in text
    assert not (folder / "hyportrait/dino.pth").exists()
    server.cut, server.refuse, server.requests = {}, set(), []
    assert fetch(server.url, folder).returncode == 0
    assert server.gets("dino.pth") == ["bytes=100000-"]
    assert not server.gets("expression.pth")
    assert (folder / "hyportrait/dino.pth").read_bytes() == content(path)
    assert files(folder) == sorted(paths())


def test_a_server_that_closes_every_connection_is_no_traceback(server: Server, tmp_path: Path) -> None:
    server.cut = {remote(HUNYUAN, "hyportrait/expression.pth"): 0}
    assert f"hyportrait/expression.pth from {HUNYUAN} broke off" in error_of(fetch(server.url, tmp_path / "w"))


def test_the_token_goes_to_the_hub_and_not_to_the_storage_behind_it(server: Server, tmp_path: Path) -> None:
    with running() as storage:
        server.elsewhere = storage
        assert fetch(server.url, tmp_path / "w", "--for", "yolo", token="hf_secret").returncode == 0
        assert (tmp_path / "w/yoloface_v5m.pt").read_bytes() == content(remote(CATALOG["yoloface"].repo, "yoloface_v5m.pt"))
        assert set(server.tokens) == {"Bearer hf_secret"}
        # what fetches the content carries none; the hub's library may have asked a host of the same name with it before
        assert storage.tokens[-1] is None


# From a plain address


def fetched(folder: Path) -> list[Fetched]:
    """The files of the group `faces`, as `download` ends them."""
    return [event for event in download(folder, ("faces",)) if isinstance(event, Fetched)]


def test_bytes_are_counted_and_a_download_that_was_stopped_goes_on(
    landmarker: str, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hp_core.weights.download.BLOCK", 50_000)
    events = download(tmp_path, ("faces",))
    first = next(events)
    assert first == Progress("face_landmarker.task", 50_000, 200_000)
    events.close()  # type: ignore[attr-defined]  # Cancel
    assert not (tmp_path / "face_landmarker.task").exists()
    rest = list(download(tmp_path, ("faces",)))
    assert server.gets("face.task") == [None, "bytes=50000-"]
    assert [event.done for event in rest if isinstance(event, Progress)] == [100_000, 150_000, 200_000]
    assert (tmp_path / "face_landmarker.task").read_bytes() == content(landmarker)


@pytest.fixture
def landmarker(server: Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """The path on the server that the face landmarker now comes from."""
    monkeypatch.setitem(CATALOG, "face_landmarker", replace(CATALOG["face_landmarker"], url=f"{server.url}/models/face.task"))
    return "/models/face.task"


def test_a_plain_file_arrives_and_is_kept(landmarker: str, server: Server, tmp_path: Path) -> None:
    ((entry, path, present),) = fetched(tmp_path / "w")
    assert (entry.name, path, present) == ("face_landmarker", tmp_path / "w/face_landmarker.task", False)
    assert path.read_bytes() == content(landmarker)
    assert files(tmp_path / "w") == ["face_landmarker.task"]
    assert [present for _, _, present in fetched(tmp_path / "w")] == [True]
    assert len(server.requests) == 1


@pytest.mark.parametrize("ranged", [True, False])
def test_a_plain_file_that_broke_off_goes_on_or_starts_over(ranged: bool, landmarker: str, server: Server, tmp_path: Path) -> None:
    server.cut = {landmarker: 100_000}
    with pytest.raises(WeightsError, match=r"face\.task broke off after 100000 of 200000 bytes"):
        list(download(tmp_path, ("faces",)))
    assert not (tmp_path / "face_landmarker.task").exists()
    server.cut, server.ranged, server.requests = {}, ranged, []
    list(download(tmp_path, ("faces",)))
    assert server.gets("face.task") == ["bytes=100000-"]
    assert (tmp_path / "face_landmarker.task").read_bytes() == content(landmarker)
    assert files(tmp_path) == ["face_landmarker.task"]


def test_an_answer_without_a_length_is_taken(landmarker: str, server: Server, tmp_path: Path) -> None:
    server.plain = True
    list(download(tmp_path, ("faces",)))
    assert (tmp_path / "face_landmarker.task").read_bytes() == content(landmarker)


def test_a_part_longer_than_the_file_is_dropped(landmarker: str, server: Server, tmp_path: Path) -> None:
    (tmp_path / ".face_landmarker.task.part").write_bytes(bytes(300_000))
    with pytest.raises(WeightsError, match="run the command again"):
        list(download(tmp_path, ("faces",)))
    list(download(tmp_path, ("faces",)))
    assert (tmp_path / "face_landmarker.task").read_bytes() == content(landmarker)


def test_an_absent_plain_file_and_no_connection_are_named(landmarker: str, server: Server, tmp_path: Path) -> None:
    server.lost = {landmarker}
    with pytest.raises(WeightsError, match=r"face\.task cannot be fetched: HTTP Error 404"):
        list(download(tmp_path, ("faces",)))
    server.shutdown()
    server.server_close()
    with pytest.raises(WeightsError, match=r"face\.task cannot be fetched: .*Check the network"):
        list(download(tmp_path, ("faces",)))
    assert files(tmp_path) == []


# What is refused before anything is fetched


def test_an_unknown_group_and_a_file_for_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(
        OptionError, match="--for is 'everything'; choose one of: animate, identity, faces, yolo, dwpose, evaluation, training, all"
    ):
        list(download(tmp_path / "w", ("everything",)))
    (tmp_path / "file").touch()
    with pytest.raises(WeightsError, match="file is a file; name a folder"):
        list(download(tmp_path / "file"))
    with pytest.raises(PortraitError, match="file/below"):
        list(download(tmp_path / "file" / "below"))
    assert not (tmp_path / "w").exists()
