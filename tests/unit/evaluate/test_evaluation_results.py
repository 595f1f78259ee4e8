"""Percentages by kind, several evaluations in one table, the page, and the command's refusals."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from workshop.cli import main
from workshop.core.errors import SettingsError
from workshop.evaluate import results
from workshop.evaluate.results import Evaluation, Outcome

PUBLISHED = {"granite-3.3-8b": 76.0, "Llama-3.2-3B": 41.0}

pytestmark = pytest.mark.timeout(60)


def outcome(name: str, kind: str, points: float, *, right: bool, half: str = "tuning") -> Outcome:
    return Outcome(
        question=name,
        kind=kind,
        half=half,
        asked=f"What of {name}?",
        expected=['count {"collection": "alerts"}'],
        truth=["64"],
        points=points,
        reason="for a reason",
        right=right,
        why="because",
        seconds=4.0,
        text="There are <64>.",
        calls=[{"name": "count", "arguments": {"collection": "alerts"}, "ok": True, "result": ""}],
    )


OUTCOMES = [
    replace(
        outcome("a", "single", 1.0, right=True),
        grounded=True,
        proof="it quotes 64",
        read=210,
        written=30,
    ),
    outcome("b", "single", 0.75, right=False, half="held-out"),
    replace(outcome("c", "runbook", 0.0, right=True), grounded=False, proof="it lacks 64"),
    outcome("d", "write", 1.0, right=True),
]


def evaluation(**fields: object) -> Evaluation:
    made = Evaluation(
        model="small",
        server="llama-stack 0.7.3",
        target="local",
        label="",
        started="2026-11-25T10:00:00+00:00",
        questions="123",
        agent="456",
        asked=["a", "b", "c", "d"],
        outcomes=list(OUTCOMES),
    )
    return replace(made, **fields)  # type: ignore[arg-type]


def page(found: Evaluation) -> str:
    return results.page(results.compare([found], PUBLISHED), found)


def kept(folder: Path, found: Evaluation) -> Path:
    folder.mkdir(parents=True)
    (folder / results.NAME).write_text(json.dumps(found.as_dict()), encoding="utf-8")
    return folder


def test_percentages() -> None:
    found = evaluation().as_dict()
    # Of the tool calls the write question has none to score.
    assert (found["tool_calls"], found["score"], found["right_answers"]) == (58.3, 68.8, 75.0)
    assert evaluation(outcomes=[]).score == 0.0
    # A question that was asked again comes last.
    assert evaluation(outcomes=OUTCOMES[::-1]).complete
    assert not evaluation(outcomes=OUTCOMES[1:]).complete


def test_the_table_by_kind() -> None:
    rows = [tuple(vars(row).values()) for row in results.by_kind(evaluation())]
    assert rows == [
        ("single", 2, "87.5 %", "50 %", "100 %", "100 %", "4.0", "210", "30"),
        ("runbook", 1, "0 %", "100 %", "0 %", "0 %", "4.0", "-", "-"),
        # Of a report from before the proof's verdict was kept.
        ("write", 1, "-", "100 %", "-", "-", "4.0", "-", "-"),
        ("tuning", 3, "50 %", "100 %", "50 %", "50 %", "4.0", "210", "30"),
        ("held-out", 1, "75 %", "0 %", "-", "-", "4.0", "-", "-"),
        ("all", 4, "58.3 %", "75 %", "50 %", "50 %", "4.0", "210", "30"),
    ]


def test_the_table_of_several_with_the_published_figures_beside_them() -> None:
    part = evaluation(server="ogx 1.5.0", label="new", outcomes=OUTCOMES[:1])
    rows = results.compare([evaluation(), part], PUBLISHED)
    assert [tuple(vars(row).values()) for row in rows] == [
        ("small", "llama-stack 0.7.3", "-", "4", "58.3 %", "50 %", "75 %", "75 %", "50 %", "4.0"),
        (
            "small",
            "ogx 1.5.0",
            "new",
            "1 (not all)",
            "100 %",
            "100 %",
            "-",
            "100 %",
            "100 %",
            "4.0",
        ),
        ("granite-3.3-8b", "-", "published", "others", "76 %", *["-"] * 5),
        ("Llama-3.2-3B", "-", "published", "others", "41 %", *["-"] * 5),
    ]
    table = results.markdown(rows).splitlines()
    assert table[0].startswith("| model | server | label | questions | tool calls | of tuning |")
    assert table[2].startswith("| small | llama-stack 0.7.3 | - | 4 | 58.3 % |")


def test_right_answers_and_the_verdicts_of_the_proof_are_compared() -> None:
    outcomes = [replace(OUTCOMES[1], grounded=True), replace(OUTCOMES[1], grounded=False)]
    found = evaluation(outcomes=[*OUTCOMES, *outcomes])
    counted = {
        "right and grounded": 1,
        "right and refused": 1,
        "wrong and grounded": 1,
        "wrong and refused": 1,
    }
    assert results.agreement(found.outcomes) == found.as_dict()["agreement"] == counted
    shown = page(found)
    assert "1 right and grounded, 1 right and refused, 1 wrong and grounded" in shown
    assert 'refused: <span class="soft">it lacks 64</span>' in shown
    assert "right and grounded" not in page(evaluation(outcomes=OUTCOMES[1:2]))


def test_of_each_the_newest_complete_one_is_taken() -> None:
    old = evaluation(started="2026-11-25T09:00:00+00:00")
    new = evaluation(started="2026-11-25T11:00:00+00:00")
    cut = evaluation(started="2026-11-25T12:00:00+00:00", outcomes=OUTCOMES[:2])
    other = evaluation(server="ogx 1.5.0")
    assert results.newest([new, other, cut, old]) == [new, other]
    assert results.newest([cut]) == [cut]


def test_an_evaluation_is_read_as_it_was_kept(tmp_path: Path) -> None:
    found = evaluation(label="mine")
    assert results.read(kept(tmp_path / "one", found)) == found
    assert found.same_as(evaluation(agent="x", model="large")) == ["model", "agent"]


@pytest.mark.parametrize("content", ["", "{}", '{"schema": 0}', "[]"])
def test_a_folder_without_an_evaluation_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / results.NAME).write_text(content, encoding="utf-8")
    with pytest.raises(SettingsError) as error:
        results.read(tmp_path)
    assert "This is not the folder of an evaluation." in str(error.value)
    assert f"Where: {tmp_path / results.NAME}" in str(error.value)
    assert "Hint: name a folder of .workshop/evaluations" in str(error.value)


def test_the_page_shows_expected_and_seen_and_escapes_what_the_model_wrote() -> None:
    shown = page(evaluation())
    assert "There are &lt;64&gt;." in shown
    assert shown.count("<td>granite-3.3-8b</td>") == 1
    assert "4 of 4 questions" in shown
    assert shown.count("What of ") == 4
    assert "count {&#34;collection&#34;: &#34;alerts&#34;}" in shown
    assert "<td>58.3 %</td>" in shown


def test_compare_prints_and_writes_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WORKSHOP_HOME", str(tmp_path))
    home = tmp_path / "evaluations"
    assert main(["evaluate", "--compare"]) == 1
    assert "There is nothing to compare yet." in capsys.readouterr().err
    one = kept(home / "one", evaluation(label="before"))
    kept(home / "two", evaluation(server="ogx 1.5.0"))
    (home / "latest").symlink_to("two")
    assert main(["evaluate", "--compare"]) == 0
    shown = capsys.readouterr().out
    assert shown.count("small ") == 2
    assert "Llama-3.2-3B" in shown
    assert "<td>ogx 1.5.0</td>" in (home / "compare.html").read_text("utf-8")
    assert "| small | ogx 1.5.0 |" in (home / "compare.md").read_text("utf-8")
    assert main(["evaluate", "--compare", str(one)]) == 0
    assert "ogx" not in capsys.readouterr().out
    assert main(["evaluate", "--compare", str(tmp_path)]) == 1


@pytest.mark.parametrize(
    "wrong", [["--only", "hard"], ["--half", "third"], ["--limit", "0"], ["--server", "vllm"]]
)
def test_a_wrong_option_is_a_wrong_call(wrong: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["evaluate", *wrong])
    assert ended.value.code == 2


def test_without_a_run_before_it_names_the_notebook(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WORKSHOP_HOME", str(tmp_path))
    assert main(["evaluate"]) == 1
    text = capsys.readouterr().err
    assert "The MCP server was not registered yet." in text
    assert "Hint: run 06_register_mcp_server first" in text
