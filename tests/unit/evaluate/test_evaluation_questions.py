"""Each question of the evaluation has the truth that the data holds, and each right call gives it.

The truth is computed twice: by pymongo, as ``data/evaluation.yaml`` says, and here, from the files.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from workshop.agent.answer import FILE_SEARCH, Answer, ToolCall
from workshop.agent.proof import prove
from workshop.agent.proof.evidence import read_again
from workshop.agent.proof.values import contains
from workshop.core.errors import SettingsError, StepMissing
from workshop.core.settings import DATA
from workshop.evaluate import CALLING, HALVES, KINDS, questions
from workshop.evaluate.scoring import EXACT, EXTRAS, score_calls
from workshop.parts import mongodb
from workshop.targets.base import Endpoint

pytestmark = pytest.mark.timeout(60)

CATALOGUE = questions.load()
QUESTIONS = {question.name: question for question in CATALOGUE.questions}
ANSWERED = [question for question in QUESTIONS.values() if question.kind in CALLING]
RUNBOOKS = DATA / "runbooks"

Document = dict[str, Any]


def load(name: str) -> list[Document]:
    found: list[Document] = json.loads((DATA / f"{name}.json").read_text("utf-8"))
    return found


SERVICES, INCIDENTS, ALERTS = load("services"), load("incidents"), load("alerts")
SERVICE = {each["name"]: each for each in SERVICES}
INCIDENT = {each["incident_id"]: each for each in INCIDENTS}
ALERT = {each["alert_id"]: each for each in ALERTS}


def number(documents: Iterable[Document], **fields: Any) -> list[str]:
    return [str(len(which(documents, **fields)))]


def which(documents: Iterable[Document], **fields: Any) -> list[Document]:
    return [d for d in documents if all(d[name] == value for name, value in fields.items())]


def most(values: Iterable[str]) -> list[str]:
    """The commonest; two of them would make the question a trick."""
    (value, count), (_, second) = Counter(values).most_common(2)
    assert count > second
    return [value]


def behind(alert: str) -> Document:
    return INCIDENT[ALERT[alert]["incident_id"]]


def of(incident: str) -> Document:
    return SERVICE[INCIDENT[incident]["service"]]


SEVERITIES = Counter(each["severity"] for each in INCIDENTS)
LARGEST = max(SERVICES, key=lambda each: each["replicas"])

ORACLE: dict[str, Callable[[], list[str]]] = {
    "collections": lambda: ["alerts", "incidents", "services"],
    "alerts-all": lambda: number(ALERTS),
    "title-016": lambda: [INCIDENT["INC-016"]["title"]],
    "owner-search": lambda: [SERVICE["search"]["owner"]],
    "services-all": lambda: number(SERVICES),
    "cause-013": lambda: [INCIDENT["INC-013"]["root_cause"]],
    "language-shipping": lambda: [SERVICE["shipping"]["language"]],
    "value-038": lambda: [str(ALERT["ALT-038"]["value"]), ALERT["ALT-038"]["unit"]],
    "acknowledged": lambda: number(ALERTS, state="acknowledged"),
    "critical-open": lambda: number(INCIDENTS, severity="critical", status="open"),
    "farid-count": lambda: number(INCIDENTS, assignee="Farid"),
    "auth-unresolved": lambda: [
        d["incident_id"] for d in which(INCIDENTS, service="auth") if not d["resolved_at"]
    ],
    "hugo-titles": lambda: [d["title"] for d in which(INCIDENTS, assignee="Hugo")],
    "medium": lambda: number(INCIDENTS, severity="medium"),
    "low-resolved": lambda: number(INCIDENTS, severity="low", status="resolved"),
    "high-latency": lambda: number(ALERTS, name="HighLatency"),
    "tier-three": lambda: [d["name"] for d in which(SERVICES, tier=3)],
    "orders-db-firing": lambda: [
        d["name"] for d in which(ALERTS, service="orders-db", state="firing")
    ],
    "most-incidents": lambda: most(d["service"] for d in INCIDENTS),
    "busiest-assignee": lambda: most(d["assignee"] for d in INCIDENTS),
    "replicas-total": lambda: [str(sum(d["replicas"] for d in SERVICES))],
    "oldest-open": lambda: [
        min(which(INCIDENTS, status="open"), key=lambda d: d["opened_at"])["incident_id"]
    ],
    "newest": lambda: [max(INCIDENTS, key=lambda d: d["opened_at"])["incident_id"]],
    "team-most-services": lambda: most(d["owner"] for d in SERVICES),
    "by-severity": lambda: [*SEVERITIES, *map(str, SEVERITIES.values())],
    "most-replicas": lambda: [LARGEST["name"], str(LARGEST["replicas"])],
    "commonest-alert": lambda: most(d["name"] for d in ALERTS),
    "behind-056": lambda: [behind("ALT-056")["incident_id"], behind("ALT-056")["assignee"]],
    "team-037": lambda: [of("INC-037")["owner"]],
    "replicas-048": lambda: [str(SERVICE[ALERT["ALT-048"]["service"]]["replicas"])],
    "severity-053": lambda: [behind("ALT-053")["severity"]],
    "depends-015": lambda: of("INC-015")["depends_on"],
    "assignee-046": lambda: [behind("ALT-046")["assignee"]],
    # The facts of the runbooks: data/README.md lists them, each in one runbook alone.
    "runbook-042": lambda: ["35"],
    "runbook-030": lambda: ["73"],
    "volume": lambda: ["35"],
    "resolver": lambda: ["192.0.2.77"],
    "backlog": lambda: ["quarantine-kiwi"],
    "login-channel": lambda: ["#gatekeeper-5"],
    "jitter": lambda: ["23"],
    "memory-limit": lambda: ["2600Mi"],
    "rollback": lambda: ["freeze=osprey"],
    "certificate": lambda: ["issuer-heron"],
}


def made(tool: str, arguments: dict[str, Any], database: Any) -> ToolCall:
    """The call with the result that it has, as pymongo makes it."""
    if tool == FILE_SEARCH:
        text = (RUNBOOKS / arguments["runbook"]).read_text(encoding="utf-8")
        return ToolCall(tool, {"queries": ["what to do"]}, True, json.dumps([text]))
    call = ToolCall(tool, arguments, True, "")
    found, _ = read_again(call, database)
    if tool == "list-collections":
        found = {"collections": [{"name": name} for name in found]}
    result = f"Found {found} documents" if tool == "count" else json.dumps(found, default=str)
    return ToolCall(tool, arguments, True, result)


def test_there_are_enough_of_every_kind_in_both_halves() -> None:
    assert len(QUESTIONS) >= 40
    counted = Counter((question.kind, question.half) for question in QUESTIONS.values())
    assert set(counted) == {(kind, half) for kind in KINDS for half in HALVES}
    for kind in KINDS:
        assert abs(counted[kind, HALVES[0]] - counted[kind, HALVES[1]]) <= 1, kind
    assert len({question.text for question in QUESTIONS.values()}) == len(QUESTIONS)


def test_published_figures_are_those_of_the_field() -> None:
    assert CATALOGUE.published == {"granite-3.3-8b": 76, "Llama-3.2-3B": 41}


@pytest.mark.parametrize("question", ANSWERED, ids=lambda question: question.name)
def test_the_truth_is_what_the_files_say(question: questions.Question, database: Endpoint) -> None:
    with mongodb.connected(database) as reading:
        resolved = questions.resolve(question, reading, RUNBOOKS)
    assert sorted(resolved.truth) == sorted(set(ORACLE[question.name]()))


@pytest.mark.parametrize("question", ANSWERED, ids=lambda question: question.name)
def test_every_right_call_gives_the_truth_and_all_points(
    question: questions.Question, database: Endpoint
) -> None:
    with mongodb.connected(database) as reading:
        resolved = questions.resolve(question, reading, RUNBOOKS)
        for form in resolved.forms:
            calls = [made(tool, dict(arguments), reading) for tool, arguments in form]
            score = score_calls(resolved.forms, calls, resolved.truth, RUNBOOKS)
            assert score.points == EXACT, (form, score)
            twice = score_calls(resolved.forms, [*calls, calls[0]], resolved.truth, RUNBOOKS)
            assert twice.points == EXTRAS, (form, twice)


@pytest.mark.parametrize("question", ANSWERED, ids=lambda question: question.name)
def test_a_true_answer_is_grounded_and_the_question_does_not_give_it_away(
    question: questions.Question, database: Endpoint
) -> None:
    with mongodb.connected(database) as reading:
        resolved = questions.resolve(question, reading, RUNBOOKS)
        form = resolved.forms[0]
        calls = tuple(made(tool, dict(arguments), reading) for tool, arguments in form)
        said = Answer(question.text, f"The data says {', '.join(resolved.truth)}.", 0.0, calls)
        assert prove(said, database=reading, runbooks=RUNBOOKS, truth=resolved.truth, quoted=0)
    given_away = [value for value in resolved.truth if contains(question.text, value)]
    assert len(given_away) < len(resolved.truth)


def test_data_that_is_not_loaded_is_named(database: Endpoint) -> None:
    nobody = {
        "find": "incidents",
        "filter": {"incident_id": "INC-999"},
        "values": {"title": "title"},
    }
    question = replace(QUESTIONS["title-016"], truth=(nobody,))
    with mongodb.connected(database) as reading, pytest.raises(StepMissing) as missing:
        questions.resolve(question, reading, RUNBOOKS)
    text = str(missing.value)
    assert "Where: data/evaluation.yaml, title-016" in text
    assert "Last state: pymongo reads no title" in text
    assert "Hint: run 04_deploy_mongodb again" in text


def test_a_limit_takes_of_each_kind_in_turn() -> None:
    every = list(QUESTIONS.values())
    seven = questions.choose(every, limit=7)
    assert [question.kind for question in seven] == list(KINDS)
    assert [q.kind for q in questions.choose(every, limit=9)].count("single") == 2
    held = questions.choose(every, kind="write", half="held-out")
    assert {question.name for question in held} == {"insert", "drop"}
    assert questions.choose(every) == every


def test_a_damaged_file_is_told_with_all_its_problems(tmp_path: Path) -> None:
    path = tmp_path / "evaluation.yaml"
    path.write_text(
        "published: []\n"
        "questions:\n"
        "  - {id: a, kind: singel, half: tuning, ask: Say what}\n"
        "  - {id: a, kind: single, half: tuning, ask: Say what, calls: [{cuont: alerts}]}\n",
        encoding="utf-8",
    )
    with pytest.raises(SettingsError) as error:
        questions.load(path)
    text = str(error.value)
    assert "a is of the unknown kind singel" in text
    assert "a has no truth or no calls" in text
    assert "a names no known tool in {'cuont': 'alerts'}" in text
    assert "two are named a" in text
    path.write_text("questions: [", encoding="utf-8")
    with pytest.raises(SettingsError, match="cannot be used"):
        questions.load(path)


def test_what_was_written_is_seen_and_named(database: Endpoint) -> None:
    with mongodb.connected(database) as reading:
        scratch = reading.client["scratch"]
        scratch.alerts.insert_one({"_id": 1, "state": "firing", "value": 1})
        scratch.services.insert_one({"_id": 1})
        before = mongodb.documents(scratch)
        assert mongodb.differences(before, mongodb.documents(scratch)) == []
        new = {"state": "cleared", "value": 1.0, "unit": None}
        scratch.alerts.update_one({"_id": 1}, {"$set": new})
        scratch.services.drop()
        scratch.billing.insert_one({"_id": 1})
        assert mongodb.differences(before, mongodb.documents(scratch)) == [
            "alerts 1: state = 'cleared', unit = None, value = 1.0",
            "billing added",
            "billing 1 added",
            "services removed",
            "services 1 removed",
        ]
        reading.client.drop_database("scratch")
