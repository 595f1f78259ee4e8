"""Prometheus out of a Debian package: what is taken, and what is refused."""

from __future__ import annotations

import io
import lzma
import os
import tarfile
from pathlib import Path

import pytest
from workshop.core.errors import SetupError
from workshop.setup.programs import extract, mirrors

PROGRAMS = {"./usr/bin/prometheus": b"#!one", "./usr/bin/promtool": b"#!two"}


def package(path: Path, files: dict[str, bytes], *, odd: bool = True) -> Path:
    """A package as dpkg-deb makes it: three members, each at an even offset."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o755
            tar.addfile(entry, io.BytesIO(content))
    members = {
        "debian-binary": b"2.0\n",
        "control.tar.xz": b"x" * (13 if odd else 12),
        "data.tar.xz": lzma.compress(data.getvalue()),
    }
    whole = b"!<arch>\n"
    for name, content in members.items():
        whole += f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(content):<10}`\n".encode()
        whole += content + b"\n" * (len(content) % 2)
    path.write_bytes(whole)
    return path


@pytest.mark.parametrize("odd", [True, False])
def test_the_two_programs_are_taken_and_can_be_run(tmp_path: Path, odd: bool) -> None:
    files = {"./etc/prometheus/prometheus.yml": b"x", **PROGRAMS, "./usr/share/doc/x": b"y"}
    made = package(tmp_path / "p.deb", files, odd=odd)
    folder = tmp_path / "out"
    folder.mkdir()
    extract(made, folder)
    assert sorted(path.name for path in folder.iterdir()) == ["prometheus", "promtool"]
    assert (folder / "promtool").read_bytes() == b"#!two"
    assert os.access(folder / "prometheus", os.X_OK)


def test_what_is_no_package_or_lacks_a_program_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.deb").write_bytes(b"a login page")
    with pytest.raises(SetupError, match="is not a Debian package"):
        extract(tmp_path / "x.deb", tmp_path)
    half = {"./usr/bin/prometheus": b"#!", "./opt/usr/bin/promtool": b"#!"}
    with pytest.raises(SetupError, match="lacks promtool"):
        extract(package(tmp_path / "y.deb", half), tmp_path)


def test_the_mirror_is_the_users_or_apts() -> None:
    assert mirrors({"DEBIAN_MIRROR": "http://mirror.example.com/debian"}) == [
        "http://mirror.example.com/debian"
    ]
    assert mirrors({"PATH": "/nowhere"}) == []
