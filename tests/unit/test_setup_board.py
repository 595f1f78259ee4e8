"""The progress lines of set-up."""

from __future__ import annotations

import io
import os
import threading

import pytest
from workshop.core.errors import SetupError
from workshop.core.versions import PINS
from workshop.setup import disk, index, versions, wheels
from workshop.setup.components import DEFAULT, to_install
from workshop.setup.context import CHECKOUT, Context, cache_folder
from workshop.setup.progress import Lines, Screen


def test_a_line_says_who_does_what_and_how_long() -> None:
    lines: list[str] = []
    board = Lines(lines.append)
    board.say("node", "downloading")
    board.measure("node", 5_000_000, 20_000_000)
    board.say("node", "unpacking")
    board.end("node", "node 24")
    assert lines == [
        "node                 0.0 s  downloading",
        "node                 0.0 s  unpacking",
        "node                 0.0 s  node 24",
    ]


def test_a_note_shows_how_far_it_is_and_is_said_once() -> None:
    lines: list[str] = []
    board = Lines(lines.append)
    board.say("node", "downloading")
    board.measure("node", 5_000_000, 20_000_000)
    board.note("node", "the connection was cut")
    board.tick()
    assert lines[1:] == [
        "node                 0.0 s  downloading  5 of 20 MB, 25 %  (the connection was cut)"
    ]


def test_the_same_words_twice_are_one_line() -> None:
    lines: list[str] = []
    board = Lines(lines.append)
    board.say("uv", "looking")
    board.say("uv", "looking")
    assert len(lines) == 1


def test_a_terminal_is_redrawn_in_place_and_never_wraps() -> None:
    stream = io.StringIO()
    board = Screen(stream, 40)
    board.say("uv", "looking")
    board.say("node", "x" * 100)
    board.end("uv", "done")
    drawn = stream.getvalue()
    assert drawn.endswith(
        "\x1b[2F\x1b[Kuv                   0.0 s  done\n\x1b[K" + drawn.splitlines()[-1][3:] + "\n"
    )
    assert max(len(line) for line in drawn.replace("\x1b[K", "").splitlines()) <= 40 + len(
        "\x1b[2F"
    )


def test_the_cache_is_where_the_user_says() -> None:
    assert str(cache_folder({"WORKSHOP_CACHE": "/big/disk"})) == "/big/disk"
    assert str(cache_folder({"XDG_CACHE_HOME": "/x", "HOME": "/h"})) == "/x/agent-workshop-kit"
    assert str(cache_folder({"HOME": "/h"})) == "/h/.cache/agent-workshop-kit"
    with pytest.raises(SetupError, match="WORKSHOP_CACHE must be an absolute path, and is 'here'"):
        cache_folder({"WORKSHOP_CACHE": "here"})


def test_the_index_is_the_users_or_the_lock_files(tmp_path: os.PathLike[str]) -> None:
    assert (
        index.address({"PIP_INDEX_URL": "https://mirror/simple"}, CHECKOUT)
        == "https://mirror/simple"
    )
    both = {"PIP_INDEX_URL": "https://a/simple", "UV_DEFAULT_INDEX": "https://b/simple"}
    assert index.address(both, CHECKOUT) == "https://b/simple"
    assert index.address({}, CHECKOUT).startswith("https://")
    with pytest.raises(SetupError, match="No package index is known"):
        index.address({}, CHECKOUT / "tests")


def test_components_are_asked_for_by_name(tmp_path: os.PathLike[str]) -> None:
    context = Context(cache=CHECKOUT / "not there", env={}, stop=threading.Event())
    assert [one.name for one in to_install(context, ["mcp-server"])] == ["node", "mcp-server"]
    assert "ogx" in DEFAULT
    assert "llama-stack" not in DEFAULT
    with pytest.raises(SetupError, match="There is no component gpu, nodes"):
        to_install(context, ["nodes", "gpu"])


def test_there_is_a_file_for_each_usual_machine() -> None:
    for table in (PINS.uv, PINS.node, PINS.go):
        for key in ("linux-x86_64", "linux-aarch64", "macos-arm64", "macos-x86_64"):
            assert key in table
    assert (
        wheels.for_this_machine({wheels.this_machine(): PINS.tokenizer}, "x", "") == PINS.tokenizer
    )
    with pytest.raises(
        SetupError, match=r"There is no node to download for [a-z]+-.+\.\n  Hint: do"
    ):
        wheels.for_this_machine({}, "node", "do")


@pytest.mark.parametrize(
    ("older", "newer"),
    [("22.9", "22.13"), ("1.9", "1.10.0"), ("6.0", "7.0.1"), ("22.13", "22.13.0")],
)
def test_versions_compare_as_numbers(older: str, newer: str) -> None:
    assert versions.number(older) < versions.number(newer)


def test_amounts_are_for_people() -> None:
    assert disk.amount(1_117_320_768) == "1.1 GB"
    assert disk.amount(2_500_000) == "2.5 MB"
