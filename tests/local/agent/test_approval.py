"""What a person decides is what is written: on a real database, by the real MCP server.

The model and the server of its API are a stand-in, so that they can misbehave.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import jupyter_lab
import pytest
import workshop
from playwright.sync_api import expect
from standin.approving_server import TOOL, ApprovingServer
from workshop.agent.agent import Agent
from workshop.agent.approval import NOTHING, PLANTED, Injection, Proposal
from workshop.clients import mcp
from workshop.core.checks import Checks
from workshop.core.errors import (
    CheckFailed,
    EndpointError,
    SettingsError,
    StepMissing,
    WorkshopError,
)
from workshop.core.secret import Secret
from workshop.core.settings import Settings
from workshop.core.wait import NotYet, wait_for
from workshop.operate.credentials import rotate_credential
from workshop.parts import mcp_server, mcp_writer, mongodb
from workshop.parts.catalog import ALL
from workshop.parts.mcp_writer import Change
from workshop.targets.base import Endpoint
from workshop.targets.local.target import LocalTarget

CHANGE = Change("INC-025", "The time zone was ignored")
BOX = """
from pathlib import Path

import workshop
from workshop.agent.agent import Agent
from workshop.core.settings import Settings
from workshop.parts import mcp_writer
from workshop.parts.catalog import ALL
from workshop.targets.local.target import LocalTarget

target = LocalTarget(Settings(state=Path({state!r})), ALL)
agent = Agent(target, "", [mcp_writer.tool(target)])
workshop.approval_widget(workshop.propose_change(agent, {asked!r}))
"""
ASKED = "Resolve incident INC-025. Root cause: The time zone was ignored"
WROTE = "incidents INC-025: root_cause = 'The time zone was ignored', status = 'resolved'"
QUIET = Injection(PLANTED["title"], True, "find: the title", NOTHING)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalTarget]:
    """The database, and the MCP server that writes."""
    target = LocalTarget(Settings(state=tmp_path_factory.mktemp("approval") / "local"), ALL)
    try:
        workshop.deploy_mongodb(target)
        workshop.load_sample_data(target)
        workshop.deploy_mcp_writer(target)
        target.store.remember("model name", "small")
        yield target
    finally:
        target.clean_up(data=True)


@pytest.fixture
def target(database: LocalTarget) -> Iterator[LocalTarget]:
    """The same, with the sample data as it was and an empty audit."""
    database.store.remember("approvals", None)
    yield database
    workshop.load_sample_data(database)


@pytest.fixture
def server(target: LocalTarget) -> Iterator[ApprovingServer]:
    """What makes an approved call as OGX does: by the MCP server."""
    writer = target.find(mcp_writer.PART)

    def decided(approved: bool, arguments: Any) -> None:
        if approved:
            assert not mcp.call_tool(writer, mcp_server.PATH, TOOL, arguments).failed

    with ApprovingServer() as server:
        server.proposes, server.decided = [CHANGE.arguments], decided
        # All of these must be there while the agent waits, or it says that one has ended.
        for part in ("llama-stack", "model", "embedder", "mcp-server"):
            target.adopt(part, Endpoint(server.url))
        yield server


@pytest.fixture
def agent(target: LocalTarget, server: ApprovingServer) -> Agent:
    return Agent(target, "", [mcp_writer.tool(target)], timeout=20)


@pytest.fixture
def proposal(agent: Agent) -> Proposal:
    return workshop.propose_change(agent, ASKED)


def incident(target: LocalTarget, name: str = CHANGE.incident) -> dict[str, Any]:
    [found] = workshop.query_mongodb(target, "incidents", {"incident_id": name})
    return found


def write(target: LocalTarget, name: str, **fields: str) -> Callable[..., None]:
    """What a server does that nobody asked."""

    def written(*_: object) -> None:
        with mongodb.connected(target.find("mongodb")) as database:
            database.incidents.update_one({"_id": name}, {"$set": fields})

    return written


def test_an_approved_change_is_made_and_the_audit_says_by_whom(
    target: LocalTarget, server: ApprovingServer, proposal: Proposal
) -> None:
    assert incident(target)["status"] == "investigating"
    assert repr(proposal) == (
        f"Asked: {ASKED}\n"
        "INC-025     now            then\n"
        "status      investigating  resolved\n"
        "root_cause  -              The time zone was ignored\n"
        "State: waits for your decision"
    )
    made = proposal.approve(" Elif ")
    assert (made.by, made.decision) == ("Elif", "approved")
    assert made.wrote == WROTE
    assert incident(target)["status"] == "resolved"
    assert incident(target)["root_cause"] == CHANGE.root_cause
    assert workshop.list_approvals(target) == [made]
    assert proposal.state == "approved by Elif"
    assert workshop.verify_approvals(target, [proposal], QUIET)
    # What the server was asked, both times.
    first, second = server.asked
    for asked in (first, second):
        assert [tool["require_approval"] for tool in asked["tools"]] == ["always"]
        assert asked["store"] is False
    assert first["input"] == ASKED
    assert second["input"] == [
        {"role": "user", "content": ASKED},
        {
            "type": "mcp_approval_request",
            "id": "a0",
            "name": TOOL,
            "arguments": json.dumps(CHANGE.arguments),
            "server_label": "mongodb-writer",
        },
        {"type": "mcp_approval_response", "approval_request_id": "a0", "approve": True},
    ]


def test_a_refused_change_is_not_made(
    target: LocalTarget, server: ApprovingServer, proposal: Proposal
) -> None:
    before = incident(target)
    made = proposal.refuse("Bruno")
    assert (made.decision, made.wrote) == ("refused", NOTHING)
    assert incident(target) == before
    assert server.asked[-1]["input"][-1]["approve"] is False
    assert workshop.verify_approvals(target, [proposal], QUIET)
    assert [line.by for line in workshop.list_approvals(target)] == ["Bruno"]


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in CHANGE.arguments.items() if key != name}


@pytest.mark.parametrize(
    "arguments",
    [
        without("filter"),
        CHANGE.arguments | {"filter": {}},
        CHANGE.arguments | {"filter": {"status": "open"}},
        CHANGE.arguments | {"filter": {"incident_id": {"$ne": "INC-001"}}},
        CHANGE.arguments | {"filter": {"incident_id": "INC-025", "status": "open"}},
        CHANGE.arguments | {"collection": "services"},
        CHANGE.arguments | {"database": "admin"},
        CHANGE.arguments | {"upsert": True},
        CHANGE.arguments | {"update": {"$set": {"status": "resolved"}}},
        CHANGE.arguments | {"update": {"$set": CHANGE.fields | {"severity": "low"}}},
        CHANGE.arguments | {"update": {"$set": CHANGE.fields, "$unset": {"assignee": ""}}},
        CHANGE.arguments | {"update": {"$set": CHANGE.fields | {"status": "open"}}},
        CHANGE.arguments | {"update": {"$set": CHANGE.fields | {"root_cause": " "}}},
        CHANGE.arguments | {"update": {"$set": CHANGE.fields | {"root_cause": "x" * 301}}},
        CHANGE.arguments | {"update": {"$set": CHANGE.fields | {"root_cause": {"$literal": 1}}}},
        CHANGE.arguments | {"update": [{"$set": CHANGE.fields}]},
        "no JSON",
        "[]",
    ],
    ids=str,
)
def test_anything_else_is_shown_to_nobody(
    agent: Agent, server: ApprovingServer, arguments: Mapping[str, Any] | str
) -> None:
    server.proposes = [arguments]
    with pytest.raises(WorkshopError) as refused:
        workshop.propose_change(agent, ASKED)
    text = str(refused.value)
    assert text.startswith("The agent proposed something that nobody may approve.\n")
    assert f"Last state: {TOOL} " in text
    assert "Hint: only one incident may be resolved, with its root cause; ask for one: " in text


def test_two_calls_at_once_are_shown_to_nobody(agent: Agent, server: ApprovingServer) -> None:
    server.proposes = [CHANGE.arguments, Change("INC-023", "Another").arguments]
    with pytest.raises(WorkshopError, match="nobody may approve") as refused:
        workshop.propose_change(agent, ASKED)
    assert "INC-025" in refused.value.state
    assert "INC-023" in refused.value.state


def test_an_agent_that_proposes_nothing_is_quoted(agent: Agent, server: ApprovingServer) -> None:
    server.proposes, server.text = (), "I cannot change data."
    with pytest.raises(WorkshopError) as refused:
        workshop.propose_change(agent, ASKED)
    assert str(refused.value) == (
        "The agent proposed no change.\n"
        "  Last state: I cannot change data.\n"
        '  Hint: ask for one: "Resolve incident INC-025. Root cause: The time zone was ignored"'
    )


def test_a_server_that_writes_without_asking_is_found_out(
    target: LocalTarget, agent: Agent, server: ApprovingServer
) -> None:
    server.proposes, server.text = (), "It is done."
    server.before = write(target, "INC-025", status="resolved")
    with pytest.raises(WorkshopError) as wrong:
        workshop.propose_change(agent, ASKED)
    assert wrong.value.what == "Something was written before anybody decided."
    assert wrong.value.state == "incidents INC-025: status = 'resolved'; It is done."


def test_what_is_so_already_is_not_proposed(
    target: LocalTarget, agent: Agent, server: ApprovingServer
) -> None:
    write(target, "INC-025", **CHANGE.fields)()
    with pytest.raises(WorkshopError, match="There is nothing to change"):
        workshop.propose_change(agent, ASKED)


def test_an_agent_that_can_only_read_proposes_nothing(
    target: LocalTarget, server: ApprovingServer
) -> None:
    reader = Agent(target, "", [])
    with pytest.raises(SettingsError) as refused:
        workshop.propose_change(reader, ASKED)
    assert refused.value.hint == "create_agent(target, may_propose=True)"
    assert server.asked == []
    with pytest.raises(SettingsError, match="Without MongoDB there is nothing to change"):
        workshop.create_agent(target, use_mongodb=False, may_propose=True)


def test_an_incident_that_is_not_there_is_named(agent: Agent, server: ApprovingServer) -> None:
    server.proposes = [Change("INC-999", "None").arguments]
    with pytest.raises(WorkshopError, match="The change would be made to 0 incidents") as refused:
        workshop.propose_change(agent, ASKED)
    assert refused.value.state == "INC-999; the database has 42 incidents"


def test_a_server_that_writes_another_value_is_found_out(
    target: LocalTarget, server: ApprovingServer, proposal: Proposal
) -> None:
    server.decided = write(target, "INC-025", status="resolved", root_cause="Another")
    with pytest.raises(WorkshopError, match="not what was decided") as wrong:
        proposal.approve("Elif")
    other = WROTE.replace(CHANGE.root_cause, "Another")
    assert f"approved: {WROTE}; written: {other};" in wrong.value.state
    with pytest.raises(CheckFailed, match="INC-025: approved, and written was"):
        workshop.verify_approvals(target, [proposal], QUIET)


@pytest.mark.parametrize("decision", ["approve", "refuse"])
def test_a_server_that_writes_something_else_is_found_out(
    target: LocalTarget, server: ApprovingServer, proposal: Proposal, decision: str
) -> None:
    server.decided = write(target, "INC-008", severity="high")
    with pytest.raises(WorkshopError) as wrong:
        proposal.decide(decision, by="Elif")
    wanted = WROTE if decision == "approve" else NOTHING
    assert wrong.value.what == "What was written is not what was decided."
    assert f"{wanted}; written: incidents INC-008: severity = 'high'" in wrong.value.state
    [line] = workshop.list_approvals(target)
    assert line.wrote == "incidents INC-008: severity = 'high'"
    with pytest.raises(CheckFailed, match=r"INC-025: (approved|refused), and written was"):
        workshop.verify_approvals(target, [proposal], QUIET)


def test_a_server_that_does_not_make_the_approved_call_is_found_out(
    server: ApprovingServer, proposal: Proposal
) -> None:
    server.decided = lambda *_: None
    with pytest.raises(WorkshopError, match="not what was decided") as wrong:
        proposal.approve("Elif")
    assert "written: nothing" in wrong.value.state


def test_what_is_written_before_a_decision_is_found_out(
    target: LocalTarget, agent: Agent, server: ApprovingServer
) -> None:
    server.before = write(target, "INC-008", status="resolved")
    proposal = workshop.propose_change(agent, ASKED)
    early = "Something was written before anybody decided. incidents INC-008: status = 'resolved'"
    assert proposal.state == early
    with pytest.raises(WorkshopError, match="Something was written before anybody decided"):
        proposal.approve("Elif")
    proposal.refuse("Elif")
    with pytest.raises(CheckFailed, match="INC-025: nothing was written before a decision"):
        workshop.verify_approvals(target, [proposal], QUIET)


def test_a_server_that_breaks_off_leaves_a_true_audit(
    target: LocalTarget, server: ApprovingServer, proposal: Proposal
) -> None:
    server.fails = True
    with pytest.raises(EndpointError):
        proposal.approve("Elif")
    [line] = workshop.list_approvals(target)
    assert (line.by, line.wrote) == ("Elif", WROTE)
    with pytest.raises(SettingsError, match="It was approved by Elif already"):
        proposal.refuse("Bruno")


def test_a_decision_without_an_answer_may_still_be_on_its_way(
    target: LocalTarget, server: ApprovingServer, proposal: Proposal
) -> None:
    server.decided, server.fails = lambda *_: None, True
    with pytest.raises(EndpointError):
        proposal.approve("Elif")
    assert [line.wrote for line in workshop.list_approvals(target)] == ["not known"]
    with pytest.raises(WorkshopError, match="not what was decided") as shown:
        proposal.decide("approve", by="Elif")
    assert "written: not known; the agent: no answer" in shown.value.state


def test_an_mcp_writer_that_has_ended_is_named(
    target: LocalTarget, agent: Agent, server: ApprovingServer
) -> None:
    server.fails = True
    writer = target.find(mcp_writer.PART)
    target.store.save_endpoint(mcp_writer.PART, replace(writer, token=Secret("wrong")))
    try:
        with pytest.raises(EndpointError, match="The MCP writer: ") as named:
            workshop.propose_change(agent, ASKED)
    finally:
        target.store.save_endpoint(mcp_writer.PART, writer)
    assert named.value.hint == "run 11_approve_a_change again"


def test_an_incident_that_has_changed_since_is_proposed_again(
    target: LocalTarget, server: ApprovingServer, proposal: Proposal
) -> None:
    write(target, "INC-025", assignee="Bruno")()
    with pytest.raises(WorkshopError) as refused:
        proposal.approve("Elif")
    assert refused.value.what == "The incident is not as it was when the change was proposed."
    assert refused.value.state == "incidents INC-025: assignee = 'Bruno'"
    assert len(server.asked) == 1
    assert workshop.list_approvals(target) == []
    # What will not be made needs no second look.
    assert proposal.refuse("Elif").wrote == NOTHING


def test_a_decision_has_a_name_and_is_made_once(proposal: Proposal) -> None:
    with pytest.raises(SettingsError, match="A decision needs a name") as unnamed:
        proposal.approve(" ")
    assert unnamed.value.hint == "the audit says who decided: write your name"
    with pytest.raises(StepMissing, match="Nobody has decided yet") as waiting:
        proposal.decide("", by="Elif")
    assert waiting.value.hint == "press Approve or Refuse above, then run this cell again"
    with pytest.raises(SettingsError, match="'perhaps' is no decision"):
        proposal.decide("perhaps", by="Elif")
    with pytest.raises(SettingsError, match="A decision needs a name"):
        proposal.decide("refuse", by="")
    made = proposal.decide("refuse", by="Elif")
    assert made.by == "Elif, by DECISION"
    assert proposal.decide("approve", by="Bruno") is made
    with pytest.raises(SettingsError, match="It was refused by Elif, by DECISION already"):
        proposal.approve("Bruno")


def test_a_proposal_that_nobody_decided_fails_the_checkpoint(
    target: LocalTarget, proposal: Proposal
) -> None:
    with pytest.raises(CheckFailed, match="INC-025: somebody decided") as failed:
        workshop.verify_approvals(target, [proposal], QUIET)
    assert failed.value.hint == "run the cell that decides"


def test_an_audit_without_the_decision_fails_the_checkpoint(
    target: LocalTarget, proposal: Proposal
) -> None:
    proposal.refuse("Elif")
    target.store.remember("approvals", None)
    with pytest.raises(CheckFailed, match="INC-025: the audit says who decided"):
        workshop.verify_approvals(target, [proposal], QUIET)


def test_an_instruction_that_is_obeyed_shows_and_is_removed_again(
    target: LocalTarget, agent: Agent, server: ApprovingServer
) -> None:
    server.before = write(target, "INC-008", status="resolved")
    seen = workshop.try_injection(agent)
    assert seen.wrote == "incidents INC-008: status = 'resolved'"
    assert not seen.read
    assert workshop.query_mongodb(target, "incidents", {"_id": PLANTED["_id"]}) == []
    with pytest.raises(CheckFailed) as failed:
        workshop.verify_approvals(target, [], seen)
    assert "the agent read an instruction in a document" in str(failed.value)
    assert "what the instruction made the agent write: expected nothing" in str(failed.value)


def test_somebodys_own_document_of_that_name_is_left_alone(
    target: LocalTarget, agent: Agent
) -> None:
    with mongodb.connected(target.find("mongodb")) as database:
        database.incidents.insert_one({"_id": PLANTED["_id"], "title": "mine"})
        try:
            with pytest.raises(EndpointError, match="The database failed"):
                workshop.try_injection(agent)
            assert database.incidents.find_one({"_id": PLANTED["_id"]})["title"] == "mine"
        finally:
            database.incidents.delete_one({"_id": PLANTED["_id"]})


def test_an_agent_that_waits_says_so_when_it_is_asked(agent: Agent) -> None:
    with workshop.core.progress.stages("Agent") as stage:
        [call] = agent.say(ASKED, timeout=20, stage=stage).tool_calls
    assert (call.name, call.ok) == (TOOL, False)
    assert call.result == "it was not made: a person must approve it"
    assert call.hint == "propose_change asks for it"
    assert call.arguments == CHANGE.arguments


def test_an_agent_without_a_database_may_say_that_it_changes_nothing(
    target: LocalTarget, server: ApprovingServer
) -> None:
    server.proposes, server.text = (), "I cannot delete incidents."
    answer = Agent(target, "", [], timeout=20).ask("Delete all incidents.")
    assert answer.proof == "nothing was written, and it said so"


def test_a_server_that_offers_more_fails_the_checkpoint(target: LocalTarget) -> None:
    writer = target.find(mcp_writer.PART)
    workshop.deploy_mcp_server(target)
    target.store.save_endpoint(mcp_writer.PART, target.find(mcp_server.PART))
    checks = Checks("MCP writer")
    try:
        mcp_writer.check(target, checks)
    finally:
        target.store.save_endpoint(mcp_writer.PART, writer)
    tools, secret, user = checks
    assert not tools.ok
    assert "find" in tools.seen
    assert secret.ok
    assert user.seen.startswith(("refused", "not limited: FerretDB"))


def test_without_the_server_that_writes_there_is_no_agent_that_proposes(
    tmp_path: Path, agent: Agent
) -> None:
    empty = LocalTarget(Settings(state=tmp_path), ALL)
    with pytest.raises(StepMissing, match="mcp-writer was not deployed yet"):
        mcp_writer.tool(empty)


def test_its_secrets_are_rotated(target: LocalTarget) -> None:
    old = target.find(mcp_writer.PART)
    rotated = rotate_credential(target, mcp_writer.PART)
    assert rotated.old.startswith("refused: ")
    assert target.find(mcp_writer.PART).token != old.token
    assert mcp_server.refusal(target.find(mcp_writer.PART), old.token).startswith("unauthorized")
    assert mcp.list_tools(target.find(mcp_writer.PART), mcp_server.PATH)[0].name == TOOL


def test_a_person_decides_by_a_button(target: LocalTarget, proposal: Proposal) -> None:
    box = workshop.approval_widget(proposal)
    assert "The time zone was ignored" in box.page.value
    box.start(proposal.approve).join(20)
    assert "A decision needs a name." in box.page.value
    assert not box.approve.disabled
    box.person.value = "Elif"
    box.approve.click()
    assert box.approve.disabled
    made = proposal.decide("refuse", by="somebody else")
    assert (made.decision, made.by) == ("approved", "Elif")
    wait_for(
        "the page", lambda: "State: approved by Elif" in box.page.value or NotYet(""), timeout=5
    )
    assert box.refuse.disabled
    assert workshop.approval_widget(proposal).approve.disabled


def test_a_person_presses_the_button_in_jupyterlab(
    target: LocalTarget, server: ApprovingServer, tmp_path: Path
) -> None:
    code = BOX.format(state=str(target.settings.state), asked=ASKED)
    name = jupyter_lab.notebook(tmp_path, code)
    home = tmp_path / "home"
    with jupyter_lab.started(tmp_path, home) as lab, jupyter_lab.shown("approval") as page:
        lab.open(page, name)
        assert lab.run(page, 1)[-1]["output_type"] == "execute_result"
        approve = page.get_by_role("button", name="Approve")
        approve.click()
        expect(page.get_by_text("A decision needs a name.")).to_be_visible()
        page.get_by_label("Your name:").fill("Elif")
        approve.click()
        expect(page.get_by_text("State: approved by Elif")).to_be_visible()
        expect(approve).to_be_disabled()
    assert incident(target)["root_cause"] == CHANGE.root_cause
    assert [line.by for line in workshop.list_approvals(target)] == ["Elif"]
