"""The sequence on plain Kubernetes: the unpatched notebooks, to grounded answers, and back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import workshop
from network_runs import assert_three_agree
from runs import ASKED, STEPS, Run, checked, run_all, when_closed
from scaled import (
    assert_a_client_stays_with_its_session,
    assert_a_later_step_keeps_the_replicas,
    assert_a_replica_that_goes_loses_no_question,
    assert_a_service_spreads,
    assert_an_autoscaler_comes_and_goes,
    assert_each_replica_of_the_mcp_server_is_watched,
    assert_the_log_is_that_of_all_replicas,
    pods_of,
    thing,
)
from testcluster import software
from testcluster.node import Node
from testcluster.place import Place

pytestmark = pytest.mark.timeout(2400)


@pytest.fixture(scope="module")
def done(node: Node, place: Place, home: Path) -> Iterator[Run]:
    software.add_mcp_server(place)
    software.add_mongodb(place)
    software.add_vllm(place)
    software.add_llama_stack(place)
    software.add_llama_stack(place, server="ogx")
    software.add_prometheus(place)
    software.add_postgresql(place)
    # Notebook 09 asks one question, 10 simulates two users; the local sequence has the defaults.
    # Not 11: it passes here, but beside other tests the model's reading starves the kubelet.
    words = ("--to", "10", "-p", "QUESTIONS=1", "-p", "MOST_USERS=2")
    with (
        when_closed(node, "plain", *software.PAGE_OPENED),
        run_all(node, "plain", home, software.PAGE, words=words) as run,
    ):
        yield run


def test_every_step_passes_and_every_answer_is_grounded(done: Run) -> None:
    statuses = checked(done, STEPS[:-1])
    assert statuses.pop("01_add_gpu_nodes") == "skipped"
    assert set(statuses.values()) == {"passed"}


def test_prometheus_reads_every_page_and_the_report_plots_what_it_read(done: Run) -> None:
    pages = {page.part: page.state for page in workshop.list_scrape_targets(done.target)}
    parts = ("llama-stack", "model", "embedder", "mcp-server", "mongodb")
    assert pages == dict.fromkeys(parts, "read")
    (plot,) = (p for p in done.report["plots"] if p["notebook"] == "09_watch_the_system")
    panels = {panel["title"]: panel["lines"][0]["points"] for panel in plot["panels"]}
    for title in ("Questions to Llama Stack", "Tool calls at the MCP server", "Queries of MongoDB"):
        assert max(value for _when, value in panels[title]) > 0, title


def test_the_pods_are_restricted_and_never_restarted(done: Run) -> None:
    pods = done.pods(jobs=True)
    assert "mongodb-users" in {pod["metadata"]["labels"]["app"] for pod in pods}
    for pod in pods:
        for one in pod["status"]["containerStatuses"]:
            assert one["restartCount"] == 0, pod["metadata"]["name"]
        security = pod["spec"]["securityContext"]
        assert security["runAsNonRoot"] is True
        for container in pod["spec"]["containers"]:
            assert container["securityContext"]["readOnlyRootFilesystem"] is True


def test_no_credential_is_shown_anywhere(done: Run) -> None:
    done.assert_no_credential_is_shown()


def test_declared_tried_and_analysed_agree_on_every_way(done: Run, analyst: Path) -> None:
    pairs = assert_three_agree(done, analyst)
    assert ("notebook", "mongodb") in {(p.source, p.destination) for p in pairs if p.allowed}


def test_parts_were_begun_side_by_side(done: Run) -> None:
    # The Deployments: notebooks 08 and 10 have made pods anew.
    began = {
        name: thing(done, "deployment", name)["metadata"]["creationTimestamp"]
        for name in ("mongodb", "llama-stack")
    }
    assert began["mongodb"] < began["llama-stack"]


def test_a_pod_deleted_while_the_agent_asks_is_named_and_the_next_question_answered(
    done: Run,
) -> None:
    done.assert_a_deleted_pod_is_survived("deployment/mongodb-mcp-server")


def test_both_replicas_of_llama_stack_are_asked(done: Run) -> None:
    assert_a_service_spreads(done, "llama-stack-service", "llama-stack", "/v1/models")


def test_the_log_of_a_part_is_that_of_all_its_replicas(done: Run) -> None:
    assert_the_log_is_that_of_all_replicas(done)


def test_a_client_of_the_mcp_server_stays_with_its_session(done: Run) -> None:
    assert_a_client_stays_with_its_session(done)


def test_prometheus_reads_each_replica_of_the_mcp_server(done: Run) -> None:
    assert_each_replica_of_the_mcp_server_is_watched(done)


def test_an_autoscaler_comes_and_goes(done: Run) -> None:
    assert_an_autoscaler_comes_and_goes(done)


def test_a_replica_that_goes_loses_no_question(done: Run) -> None:
    assert_a_replica_that_goes_loses_no_question(done)


def test_a_later_step_keeps_the_replicas_and_the_agent_is_grounded(done: Run) -> None:
    assert_a_later_step_keeps_the_replicas(done)


def test_the_doctor_names_nobody_when_all_is_well(done: Run) -> None:
    shown = done.command("doctor").stdout
    assert "cause: " not in shown, shown
    assert "[ OK ] llama-stack" in shown, shown


def test_llama_stack_takes_the_place_of_ogx_with_both_replicas_on_the_same_storage(
    done: Run,
) -> None:
    # While a third pod starts beside two, this node has too little CPU for everything.
    done.target.stop("prometheus")
    again = done.command("run", "--only", "03", "-p", "SERVER=llama-stack")
    assert again.returncode == 0, again.stdout
    assert "the other replicas do not know the new vector store" in again.stdout
    assert len(pods_of(done, "llama-stack")) == 2
    agent = workshop.create_agent(done.target)
    for question in ASKED:
        assert any(call.ok for call in agent.ask(question.text).tool_calls)
    assert len(workshop.verify_answers(agent)) == len(ASKED)


def test_clean_up_leaves_nothing(done: Run) -> None:
    done.assert_clean_up_leaves_nothing()
