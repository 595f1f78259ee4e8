"""Images for the node: made on the spot, under the very names that manifests use."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from testcluster.place import Place
from testcluster.programs import making

MARK = "image-name"
"""A file in each image, by which its unpacked layer is found."""

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


def archive(target: Path, name: str, config: Mapping[str, Any]) -> Path:
    """Write a docker archive of one layer that holds nothing but a mark.

    Args:
        target: The tar file to write.
        name: The image's name and tag.
        config: Its entry point, environment and the like.
    """
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        _entry(tar, MARK, name.encode())
    digest = hashlib.sha256(layer.getvalue()).hexdigest()
    whole = {
        "architecture": "amd64",
        "os": "linux",
        # A number: a restricted pod refuses a name.
        "config": {"User": "65532", **config},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
    }
    content = json.dumps(whole).encode()
    config_name = f"{hashlib.sha256(content).hexdigest()}.json"
    manifest = [{"Config": config_name, "RepoTags": [name], "Layers": ["layer.tar"]}]
    with tarfile.open(target, "w") as tar:
        _entry(tar, config_name, content)
        _entry(tar, "manifest.json", json.dumps(manifest).encode())
        _entry(tar, "layer.tar", layer.getvalue())
    return target


def _entry(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    tar.addfile(entry, io.BytesIO(content))


def compiled(programs: Path, name: str, source: str) -> Path:
    """A small Go program, compiled once; a changed source is compiled again."""
    digest = hashlib.sha256(source.encode()).hexdigest()[:12]
    binary = programs / f"{name}-{digest}"
    with making():
        if binary.exists():
            return binary
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


def add_pause(place: Place, name: str) -> None:
    """The image that holds each pod's namespaces: ten lines of Go."""
    add(place, name, {"/pause": compiled(place.go, "pause", PAUSE_GO)}, entrypoint=("/pause",))


def add(
    place: Place,
    name: str,
    files: Mapping[str, Path],
    *,
    entrypoint: tuple[str, ...],
    env: Mapping[str, str] | None = None,
) -> None:
    """Give the node an image.

    The image goes in with a mark alone, and its unpacked layer is then filled by hard links: the
    gigabytes of weights and Python environments take a second instead of minutes.

    Args:
        place: The node's.
        name: The image's name and tag.
        files: Where each file or folder stands in the image, and where it comes from.
        entrypoint: The program.
        env: The image's environment.
    """
    variables = [f"{key}={value}" for key, value in (env or {}).items()]
    config = {"Entrypoint": list(entrypoint), "Env": variables}
    with tempfile.TemporaryDirectory() as work:
        tar = archive(Path(work) / "image.tar", name, config)
        place.ctr("images", "import", str(tar))
    root = _layer(place, name)
    (root / "tmp").mkdir(exist_ok=True)
    (root / "tmp").chmod(0o1777)
    for inside, source in files.items():
        _link(source, root / inside.lstrip("/"))


def _layer(place: Place, name: str) -> Path:
    """Where containerd has unpacked the layer with this image's mark."""
    snapshots = place.folder / "containerd/root/io.containerd.snapshotter.v1.overlayfs/snapshots"
    for mark in snapshots.glob(f"*/fs/{MARK}"):
        if mark.read_text() == name:
            return mark.parent
    raise FileNotFoundError(f"containerd has no layer of {name}")


def _link(source: Path, target: Path) -> None:
    """Link a file, or all of a folder; readable for every user, as in an image."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_symlink() and not target.exists():
        target.symlink_to(source.readlink())
    elif source.is_dir():
        target.mkdir(exist_ok=True)
        for entry in source.iterdir():
            _link(entry, target / entry.name)
    elif not target.exists():
        if source.stat().st_mode & 0o004:
            with contextlib.suppress(OSError):
                target.hardlink_to(source)
                return
        # On another disk, or for its owner alone.
        shutil.copyfile(source, target)
        target.chmod(source.stat().st_mode | 0o444)
