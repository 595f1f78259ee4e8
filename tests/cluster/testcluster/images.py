"""Images for the node: made on the spot, under the very names that manifests use."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

Ctr = Callable[..., None]

PAUSE_GO = """package main

import (
	"os"
	"os/signal"
	"syscall"
)

func main() {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGINT, syscall.SIGTERM)
	<-stop
}
"""


def archive(
    target: Path,
    name: str,
    files: Mapping[str, Path],
    *,
    entrypoint: tuple[str, ...],
) -> Path:
    """Write a docker archive of one layer.

    Args:
        target: The tar file to write.
        name: The image's name and tag.
        files: Where each file or folder stands in the image, and where it comes from.
        entrypoint: The program.
    """
    with tempfile.TemporaryDirectory() as work:
        layer = Path(work) / "layer.tar"
        with tarfile.open(layer, "w") as tar:
            temporary = tarfile.TarInfo("tmp")
            temporary.type, temporary.mode = tarfile.DIRTYPE, 0o1777
            tar.addfile(temporary)
            for inside, source in files.items():
                tar.add(source, arcname=inside.lstrip("/"), filter=_as_root)
        with layer.open("rb") as content:
            digest = hashlib.file_digest(content, "sha256").hexdigest()
        config = json.dumps(
            {
                "architecture": "amd64",
                "os": "linux",
                "config": {
                    "Entrypoint": list(entrypoint),
                    # A number: a restricted pod refuses a name.
                    "User": "65532",
                },
                "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
            }
        ).encode()
        config_name = f"{hashlib.sha256(config).hexdigest()}.json"
        manifest = [{"Config": config_name, "RepoTags": [name], "Layers": ["layer.tar"]}]
        with tarfile.open(target, "w") as tar:
            for inside, content in (
                (config_name, config),
                ("manifest.json", json.dumps(manifest).encode()),
            ):
                entry = tarfile.TarInfo(inside)
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
            tar.add(layer, arcname="layer.tar")
    return target


def compiled(programs: Path, name: str, source: str) -> Path:
    """A small Go program, compiled once; a changed source is compiled again."""
    digest = hashlib.sha256(source.encode()).hexdigest()[:12]
    binary = programs / f"{name}-{digest}"
    if not binary.exists():
        with tempfile.TemporaryDirectory() as work:
            written = Path(work) / f"{name}.go"
            written.write_text(source)
            fresh = binary.with_suffix(".new")
            subprocess.run(
                ["go", "build", "-trimpath", "-ldflags=-s -w", "-o", fresh, written],
                env=os.environ | {"CGO_ENABLED": "0", "GOWORK": "off"},
                check=True,
            )
            fresh.replace(binary)
    return binary


def add_pause(ctr: Ctr, programs: Path, name: str) -> None:
    """The image that holds each pod's namespaces: ten lines of Go."""
    add(ctr, name, {"/pause": compiled(programs, "pause", PAUSE_GO)}, entrypoint=("/pause",))


def add(
    ctr: Ctr,
    name: str,
    files: Mapping[str, Path],
    *,
    entrypoint: tuple[str, ...],
) -> None:
    """Make an image and give it to the node."""
    with tempfile.TemporaryDirectory() as work:
        tar = archive(Path(work) / "image.tar", name, files, entrypoint=entrypoint)
        ctr("images", "import", str(tar))


def _as_root(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = "root"
    return entry
