"""The progress lines of set-up."""

from __future__ import annotations

import threading

import pytest
from workshop.core.errors import SetupError
from workshop.core.files import amount
from workshop.core.settings import CHECKOUT
from workshop.setup.components import DEFAULT, Context, cache_folder, to_install
from workshop.setup.job import number
from workshop.setup.lines import Lines


def test_a_line_says_who_does_what_and_how_long() -> None:
    lines: list[str] = []
    board = Lines(lines.append)
    board.say("node", "downloading")
    board.at("node", done=5_000_000, total=20_000_000)
    board.say("node", "unpacking")
    board.say("node", "unpacking")
    board.end("node", "node 24")
    assert lines == [
        "node                 0.0 s  downloading",
        "node                 0.0 s  unpacking",
        "node                 0.0 s  node 24",
    ]


def test_a_log_shows_life_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workshop.setup.lines.EVERY", 0.0)
    lines: list[str] = []
    board = Lines(lines.append)
    board.say("node", "downloading")
    board.at("node", done=5_000_000, total=20_000_000)
    board.at("node", "what the program says")
    assert lines[1:] == [
        "node                 0.0 s  downloading  5 of 20 MB, 25 %",
        "node                 0.0 s  downloading  what the program says",
    ]


def test_the_cache_is_where_the_user_says() -> None:
    assert str(cache_folder({"WORKSHOP_CACHE": "/big/disk"})) == "/big/disk"
    assert str(cache_folder({"XDG_CACHE_HOME": "/x", "HOME": "/h"})) == "/x/agent-workshop-kit"
    assert str(cache_folder({"HOME": "/h"})) == "/h/.cache/agent-workshop-kit"
    with pytest.raises(SetupError, match="WORKSHOP_CACHE must be an absolute path, and is 'here'"):
        cache_folder({"WORKSHOP_CACHE": "here"})


def test_the_index_is_the_one_that_the_user_names() -> None:
    def index(**env: str) -> str:
        return Context(cache=CHECKOUT, env=env).index

    assert index(PIP_INDEX_URL="https://mirror/simple") == "https://mirror/simple"
    both = {"PIP_INDEX_URL": "https://a/simple", "UV_DEFAULT_INDEX": "https://b/simple"}
    assert index(**both) == "https://b/simple"
    assert index() == ""


def test_components_are_asked_for_by_name() -> None:
    context = Context(cache=CHECKOUT / "not there", env={}, stop=threading.Event())
    assert [one.name for one in to_install(context, ["mcp-server"])] == ["node", "mcp-server"]
    assert "ogx" in DEFAULT
    assert "llama-stack" not in DEFAULT
    with pytest.raises(SetupError, match="There is no component gpu, nodes"):
        to_install(context, ["nodes", "gpu"])


@pytest.mark.parametrize(
    ("older", "newer"),
    [("22.9", "22.13"), ("1.9", "1.10.0"), ("6.0", "7.0.1"), ("22.13", "22.13.0")],
)
def test_versions_compare_as_numbers(older: str, newer: str) -> None:
    assert number(older) < number(newer)


def test_amounts_are_for_people() -> None:
    assert amount(1_117_320_768) == "1.1 GB"
    assert amount(2_500_000) == "2.5 MB"
