"""The sample data is whole, and data/README.md tells the truth about it."""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

Document = dict[str, Any]

DATA = Path(__file__).resolve().parents[2] / "data"
README = (DATA / "README.md").read_text(encoding="utf-8")
RUNBOOKS = {
    path.name: path.read_text(encoding="utf-8") for path in (DATA / "runbooks").glob("*.md")
}

FIELDS = {
    "services": ["name", "tier", "owner", "language", "replicas", "depends_on", "runbook"],
    "incidents": [
        "incident_id",
        "title",
        "service",
        "severity",
        "status",
        "opened_at",
        "resolved_at",
        "assignee",
        "root_cause",
    ],
    "alerts": [
        "alert_id",
        "service",
        "name",
        "state",
        "value",
        "unit",
        "raised_at",
        "incident_id",
    ],
}
ALLOWED: dict[tuple[str, str], set[Any]] = {
    ("services", "tier"): {1, 2, 3},
    ("incidents", "severity"): {"critical", "high", "medium", "low"},
    ("incidents", "status"): {"open", "investigating", "resolved"},
    ("alerts", "state"): {"firing", "acknowledged", "cleared"},
}


def load(collection: str) -> list[Document]:
    documents: list[Document] = json.loads((DATA / f"{collection}.json").read_text("utf-8"))
    return documents


SERVICES, INCIDENTS, ALERTS = (load(name) for name in FIELDS)
COLLECTIONS = dict(zip(FIELDS, (SERVICES, INCIDENTS, ALERTS), strict=True))
SERVICE = {service["name"]: service for service in SERVICES}
INCIDENT = {incident["incident_id"]: incident for incident in INCIDENTS}
UNRESOLVED = [incident for incident in INCIDENTS if incident["status"] != "resolved"]
RESOLVED = [incident for incident in INCIDENTS if incident["status"] == "resolved"]
FIRING = [alert for alert in ALERTS if alert["state"] == "firing"]


def readme_table(*header: str) -> list[list[str]]:
    """All rows of the README's tables with this header, without code marks."""
    lines = README.splitlines()
    heading = "| " + " | ".join(header) + " |"
    rows = []
    for start in (number for number, line in enumerate(lines) if line == heading):
        for line in lines[start + 2 :]:
            if not line.startswith("|"):
                break
            rows.append([cell.strip().replace("`", "") for cell in line.strip("|").split("|")])
    assert rows, f"data/README.md has no table with the header {heading}"
    return rows


def time(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ")


def duration(incident: Document) -> timedelta:
    return time(incident["resolved_at"]) - time(incident["opened_at"])


def most(values: Iterable[str]) -> str:
    """The most frequent value and its count; a tie would make the question a trick."""
    (value, count), (_, next_count) = Counter(values).most_common(2)
    assert count > next_count
    return f"{value}, {count}"


def names(values: Iterable[str]) -> str:
    return ", ".join(sorted(set(values)))


def only(values: Iterable[Document]) -> Document:
    (value,) = values
    return value


@pytest.mark.parametrize("collection", FIELDS)
def test_one_document_per_line_with_fields_in_order(collection: str) -> None:
    documents = COLLECTIONS[collection]
    lines = ",\n".join("  " + json.dumps(each, ensure_ascii=False) for each in documents)
    assert (DATA / f"{collection}.json").read_text("utf-8") == f"[\n{lines}\n]\n"
    for document in documents:
        assert list(document) == FIELDS[collection]


@pytest.mark.parametrize("collection", FIELDS)
def test_documents_are_short(collection: str) -> None:
    for document in COLLECTIONS[collection]:
        assert len(json.dumps(document, separators=(",", ":"))) <= 280, document


@pytest.mark.parametrize("collection", FIELDS)
def test_ids_are_unique(collection: str) -> None:
    ids = [document[FIELDS[collection][0]] for document in COLLECTIONS[collection]]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize(
    ("documents", "field", "prefix", "when"),
    [(INCIDENTS, "incident_id", "INC", "opened_at"), (ALERTS, "alert_id", "ALT", "raised_at")],
    ids=["incidents", "alerts"],
)
def test_ids_follow_time(documents: list[Document], field: str, prefix: str, when: str) -> None:
    expected = [f"{prefix}-{number:03}" for number in range(1, len(documents) + 1)]
    assert [document[field] for document in documents] == expected
    times = [time(document[when]) for document in documents]
    assert times == sorted(times)


@pytest.mark.parametrize(("collection", "field"), ALLOWED)
def test_values_are_allowed_and_all_used(collection: str, field: str) -> None:
    values = {document[field] for document in COLLECTIONS[collection]}
    assert values == ALLOWED[collection, field]


def test_services_refer_to_services_and_runbooks() -> None:
    for service in SERVICES:
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", service["name"])
        assert service["replicas"] >= 1
        assert service["runbook"] in RUNBOOKS, service
        assert set(service["depends_on"]) <= set(SERVICE), service


def test_services_do_not_depend_on_themselves() -> None:
    def reach(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, f"a cycle: {path} {name}"
        for neighbour in SERVICE[name]["depends_on"]:
            reach(neighbour, (*path, name))

    for name in SERVICE:
        reach(name, ())


def test_incidents_are_consistent() -> None:
    for incident in INCIDENTS:
        assert incident["service"] in SERVICE, incident
        assert incident["title"], incident
        assert incident["assignee"], incident
        resolved = incident["status"] == "resolved"
        assert (incident["resolved_at"] is not None) == resolved, incident
        assert (incident["root_cause"] is not None) == resolved, incident
        assert incident["root_cause"] != "", incident
        if resolved:
            assert duration(incident) > timedelta(0), incident


def test_alerts_are_consistent() -> None:
    units: dict[str, str] = {}
    for alert in ALERTS:
        assert alert["service"] in SERVICE, alert
        assert isinstance(alert["value"], int | float), alert
        assert units.setdefault(alert["name"], alert["unit"]) == alert["unit"], alert
        if alert["incident_id"] is None:
            continue
        incident = INCIDENT[alert["incident_id"]]
        assert alert["service"] == incident["service"], alert
        lead = time(incident["opened_at"]) - time(alert["raised_at"])
        assert timedelta(0) <= lead <= timedelta(hours=6), alert
        assert alert["state"] == "cleared" or incident["status"] != "resolved", alert


def test_readme_counts_the_collections() -> None:
    table = readme_table("collection", "documents", "file", "id")
    assert {name: int(count) for name, count, _, _ in table} == {
        name: len(documents) for name, documents in COLLECTIONS.items()
    }
    for name, _, file, identifier in table:
        assert file == f"{name}.json"
        assert identifier == FIELDS[name][0]


def test_readme_counts_the_values() -> None:
    told = {
        (collection, field, value): int(count)
        for collection, field, value, count in readme_table("collection", "field", "value", "count")
    }
    counted = {
        (collection, field, value): count
        for collection, field in ALLOWED
        if collection != "services"
        for value, count in Counter(each[field] for each in COLLECTIONS[collection]).items()
    }
    assert told == counted


def test_readme_counts_severity_by_status() -> None:
    statuses = ["open", "investigating", "resolved"]
    table = readme_table("severity", *statuses)
    told = {
        (severity, status): int(count)
        for severity, *counts in table
        for status, count in zip(statuses, counts, strict=True)
    }
    assert told == Counter((each["severity"], each["status"]) for each in INCIDENTS)


def test_no_two_counts_are_equal() -> None:
    counts = [len(documents) for documents in COLLECTIONS.values()]
    for documents, field in [(INCIDENTS, "status"), (INCIDENTS, "severity"), (ALERTS, "state")]:
        counts += Counter(document[field] for document in documents).values()
    assert len(set(counts)) == len(counts), sorted(counts)


def open_critical() -> list[Document]:
    return [
        incident
        for incident in INCIDENTS
        if incident["severity"] == "critical" and incident["status"] == "open"
    ]


def behind(alert_id: str) -> Document:
    alert = only(alert for alert in ALERTS if alert["alert_id"] == alert_id)
    return INCIDENT[alert["incident_id"]]


def slowest() -> str:
    incident = max(RESOLVED, key=duration)
    return f"{incident['incident_id']}, {duration(incident) / timedelta(hours=1):g} hours"


def fastest() -> str:
    incident = min(RESOLVED, key=duration)
    return f"{incident['incident_id']}, {duration(incident) / timedelta(minutes=1):g} minutes"


ANSWERS: dict[str, Callable[[], str]] = {
    "How many incidents are open?": lambda: str(
        sum(incident["status"] == "open" for incident in INCIDENTS)
    ),
    "How many critical incidents are open?": lambda: str(len(open_critical())),
    "What is the title of the first incident?": lambda: INCIDENTS[0]["title"],
    "What was the root cause of INC-016?": lambda: INCIDENT["INC-016"]["root_cause"],
    "Who is working on INC-042?": lambda: INCIDENT["INC-042"]["assignee"],
    "Which team owns the service search?": lambda: SERVICE["search"]["owner"],
    "Which service has had the most incidents?": lambda: most(
        incident["service"] for incident in INCIDENTS
    ),
    "Which assignee has the most incidents?": lambda: most(
        incident["assignee"] for incident in INCIDENTS
    ),
    "Which incident took longest to resolve?": slowest,
    "Which incident was resolved fastest?": fastest,
    "Which unresolved incident is the oldest?": lambda: UNRESOLVED[0]["incident_id"],
    "How many replicas do all services have together?": lambda: str(
        sum(service["replicas"] for service in SERVICES)
    ),
    "How many alerts belong to no incident?": lambda: str(
        sum(alert["incident_id"] is None for alert in ALERTS)
    ),
    "Which incident is behind alert ALT-056, and who works on it?": lambda: (
        f"{behind('ALT-056')['incident_id']}, {behind('ALT-056')['assignee']}"
    ),
    "Which teams own the services with open critical incidents?": lambda: names(
        SERVICE[incident["service"]]["owner"] for incident in open_critical()
    ),
    "Which team has the most unresolved incidents?": lambda: most(
        SERVICE[incident["service"]]["owner"] for incident in UNRESOLVED
    ),
    "Which incident has the most firing alerts?": lambda: most(
        alert["incident_id"] for alert in FIRING if alert["incident_id"]
    ),
    "How many firing alerts belong to critical incidents?": lambda: str(
        sum(
            INCIDENT[alert["incident_id"]]["severity"] == "critical"
            for alert in FIRING
            if alert["incident_id"]
        )
    ),
    "Which services have firing alerts but no unresolved incident?": lambda: names(
        {alert["service"] for alert in FIRING} - {incident["service"] for incident in UNRESOLVED}
    ),
    "Which services depend on the service of INC-042?": lambda: names(
        service["name"]
        for service in SERVICES
        if INCIDENT["INC-042"]["service"] in service["depends_on"]
    ),
    "Which runbook helps with INC-038?": lambda: SERVICE[INCIDENT["INC-038"]["service"]]["runbook"],
}


def test_every_question_of_the_readme_is_computed() -> None:
    assert [question for question, _ in readme_table("question", "answer")] == list(ANSWERS)


@pytest.mark.parametrize(("question", "answer"), readme_table("question", "answer"))
def test_readme_answers_are_true(question: str, answer: str) -> None:
    assert ANSWERS[question]() == answer


def test_there_are_enough_runbooks_and_each_service_has_its_own() -> None:
    assert len(RUNBOOKS) >= 10
    assert len({service["runbook"] for service in SERVICES}) == len(SERVICES)


@pytest.mark.parametrize("name", sorted(RUNBOOKS))
def test_runbook_has_its_shape(name: str) -> None:
    text = RUNBOOKS[name]
    assert 120 <= len(text.split()) <= 190
    assert len(re.findall(r"^# ", text, re.MULTILINE)) == 1
    assert text.startswith("# ")
    assert len(re.findall(r"^Symptoms: ", text, re.MULTILINE)) == 1
    assert len(re.findall(r"^Escalate: ", text, re.MULTILINE)) == 1
    steps = [int(number) for number in re.findall(r"^(\d+)\. ", text, re.MULTILINE)]
    assert steps == list(range(1, len(steps) + 1))
    assert 4 <= len(steps) <= 6


def test_readme_tells_a_fact_that_only_one_runbook_has() -> None:
    rows = re.findall(r"^\| `([a-z-]+\.md)` \| ([a-z-]+) \| .*`(.+)`.* \|$", README, re.MULTILINE)
    assert {name for name, _, _ in rows} == set(RUNBOOKS)
    for name, service, fact in rows:
        assert SERVICE[service]["runbook"] == name
        assert [file for file, text in RUNBOOKS.items() if fact in text] == [name], fact


def test_each_runbook_escalates_to_its_own_channel() -> None:
    channels = [re.findall(r"#[a-z]\S*\w", text) for text in RUNBOOKS.values()]
    assert all(len(found) == 1 for found in channels), channels
    assert len({found[0] for found in channels}) == len(RUNBOOKS)
