"""A real ComfyUI on the CPU with this pack in it, and what it says over HTTP and its websocket."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

PACK = Path(__file__).parents[2]
FOLDERS = ("custom_nodes", "models", "input", "output", "user", "temp")


def checkouts() -> list[Path]:
    """ComfyUI checkouts to test in: `COMFYUI_PATH` (several, as in PATH), else the one at ~/ComfyUI."""
    named = os.environ.get("COMFYUI_PATH")
    places = [Path(part).expanduser() for part in named.split(os.pathsep)] if named else [Path.home() / "ComfyUI"]
    return [place for place in places if (place / "main.py").is_file()]


def interpreter(checkout: Path) -> str:
    """The Python of a checkout: `COMFYUI_PYTHON`, its own environment, or the one the tests run in."""
    inside = (checkout / name / "bin" / "python" for name in (".venv", "venv"))
    return os.environ.get("COMFYUI_PYTHON") or next((str(path) for path in inside if path.is_file()), sys.executable)


def lacks(checkout: Path) -> str:
    """Why a checkout cannot be started; empty where it can."""
    python = interpreter(checkout)
    probe = "import aiohttp, torchsde, av, diffusers, mediapipe, alembic"
    run = subprocess.run([python, "-c", probe], capture_output=True, text=True, check=False)
    return "" if run.returncode == 0 else f"{python} lacks what {checkout} needs: {run.stderr.strip().splitlines()[-1]}"


@dataclass
class Run:
    """What became of one prompt."""

    status: str  # "success", "error", "interrupted"
    executed: list[str]  # nodes that ran, in order
    cached: list[str]
    messages: list[str]  # kinds of the websocket's messages, in order
    error: dict[str, Any] = field(default_factory=dict)
    outputs: dict[str, Any] = field(default_factory=dict)
    previews: int = 0
    late: int = 0  # messages of progress after Cancel was pressed


class Server:
    """One running ComfyUI."""

    def __init__(self, checkout: Path, base: Path, *options: str) -> None:
        for name in FOLDERS:
            (base / name).mkdir(exist_ok=True)
        link = base / "custom_nodes" / "hunyuanportrait"
        if not link.exists():
            link.symlink_to(PACK)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.checkout, self.base, self.log = checkout, base, base / "log.txt"
        command = [
            interpreter(checkout), "main.py", "--cpu", "--port", str(self.port), "--disable-api-nodes", "--dont-print-server",
            "--preview-method", "latent2rgb",
            "--base-directory", str(base), "--database-url", "sqlite:///:memory:", *options,
        ]  # fmt: skip
        with self.log.open("w") as log:
            self.process = subprocess.Popen(command, cwd=checkout, stdout=log, stderr=log)
        for _ in range(900):  # a busy machine takes minutes
            if self.process.poll() is not None:
                raise AssertionError(f"ComfyUI ended: {self.log.read_text()[-3000:]}")
            try:
                self.get("/system_stats")
                break
            except OSError:
                time.sleep(0.5)
        assert "IMPORT FAILED" not in self.log.read_text(), self.log.read_text()[-3000:]
        self.schemas: dict[str, Any] = self.get("/object_info")

    def close(self) -> None:
        """Stop it."""
        self.process.terminate()
        self.process.wait(30)

    def get(self, path: str) -> Any:
        """JSON at ``path``."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=30) as answer:
            return json.load(answer)

    def post(self, path: str, content: dict[str, Any]) -> Any:
        """The answer to JSON posted to ``path``; of a refusal, what it says."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", json.dumps(content).encode())
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                body = answer.read()
        except urllib.error.HTTPError as refusal:
            body = refusal.read()
        return json.loads(body) if body else {}

    def forget(self) -> None:
        """Drop every model and every cached result, which ComfyUI does when the next prompt has ended."""
        self.post("/free", {"unload_models": True, "free_memory": True})
        empty = {"width": 64, "height": 64, "batch_size": 1, "color": 0}
        self.run({"1": {"class_type": "EmptyImage", "inputs": empty}, "2": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}}})

    def run(self, prompt: dict[str, Any], *, cancel_in: str | None = None, timeout: float = 300) -> Run:
        """Run a prompt to its end; ``cancel_in`` presses Cancel as soon as a block of that class shows progress."""
        import websocket

        client = uuid.uuid4().hex
        channel = websocket.create_connection(f"ws://127.0.0.1:{self.port}/ws?clientId={client}", timeout=timeout)
        answer = self.post("/prompt", {"prompt": prompt, "client_id": client})
        if "prompt_id" not in answer or answer.get("node_errors"):  # what is left of a prompt runs all the same
            channel.close()
            return Run("refused", [], [], [], error=answer)
        number, run, running, cancelled = answer["prompt_id"], Run("", [], [], []), "", False
        while not run.status:
            content = channel.recv()
            if isinstance(content, bytes):
                run.previews += 1
                continue
            message = json.loads(content)
            kind, data = message["type"], message.get("data", {})
            if data.get("prompt_id", number) != number:
                continue
            run.messages.append(kind)
            run.late += kind == "progress" and cancelled
            if kind == "execution_cached":
                run.cached = data["nodes"]
            elif kind == "executing" and data["node"] is not None:
                running = data["node"]
                run.executed.append(running)
            elif kind in ("execution_error", "execution_interrupted", "execution_success"):
                run.status = kind.removeprefix("execution_")
                run.error = data if kind == "execution_error" else {}
            moving = kind == "progress" or (kind == "executing" and running)
            if cancel_in and moving and prompt.get(running, {}).get("class_type") == cancel_in:
                self.post("/interrupt", {})
                cancel_in, cancelled = None, True
        channel.close()
        for _ in range(50):  # the history is written a moment after the last message
            history = self.get(f"/history/{number}")
            if number in history:
                run.outputs = history[number]["outputs"]
                break
            time.sleep(0.1)
        return run


def to_prompt(workflow: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    """A workflow as the editor saves it, in the form the server takes."""
    links = {link[0]: [str(link[1]), link[2]] for link in workflow["links"]}
    prompt = {}
    for node in workflow["nodes"]:
        if node["type"] not in schemas:  # notes
            continue
        values = iter(node["widgets_values"])
        inputs: dict[str, Any] = {}
        for part in ("required", "optional"):
            for name, spec in schemas[node["type"]]["input"].get(part, {}).items():
                inputs |= _widget(name, spec, values, part)
        for slot in node["inputs"]:
            if slot["link"] is not None:
                inputs[slot["name"]] = links[slot["link"]]
        prompt[str(node["id"])] = {"class_type": node["type"], "inputs": inputs}
    return prompt


def _widget(name: str, spec: list[Any], values: Iterator[Any], part: str) -> dict[str, Any]:
    """What a widget is set to; a newer host's block may have widgets that the workflow does not know yet."""
    options = spec[1] if len(spec) > 1 else {}
    kind = "COMBO" if isinstance(spec[0], list) else spec[0]
    if kind.startswith("COMFY_DYNAMICCOMBO") and part == "required":  # a choice that brings widgets of its own
        chosen = next(values, options["options"][0]["key"])
        (option,) = (option for option in options["options"] if option["key"] == chosen)
        inputs = {name: chosen}
        for inner, inner_spec in option["inputs"]["required"].items():
            inputs |= _widget(f"{name}.{inner}", inner_spec, values, part)
        return inputs
    if kind not in ("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO"):
        return {}
    choices = spec[0] if isinstance(spec[0], list) else options.get("options") or [None]
    value = next(values, options.get("default", choices[0]))
    if any(options.get(key) for key in ("control_after_generate", "image_upload", "video_upload", "upload")):
        next(values, None)
    return {name: value}


def only(prompt: dict[str, Any], kind: str) -> str:
    """The id of the one block of class ``kind``."""
    (found,) = (number for number, node in prompt.items() if node["class_type"] == kind)
    return found


def pixels(server: Server, item: dict[str, str]) -> bytes:
    """A preview's picture; its file also holds the prompt that asked for it first."""
    return Image.open(server.base / "temp" / item["subfolder"] / item["filename"]).convert("RGB").tobytes()


def in_host(server: Server, script: str) -> Any:
    """What a script of this folder prints when ComfyUI's own Python runs it."""
    command = [interpreter(server.checkout), str(PACK / "tests" / "host" / script), str(server.checkout), str(PACK)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr[-2000:]
    return json.loads(run.stdout.strip().splitlines()[-1])
