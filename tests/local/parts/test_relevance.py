"""The embedder, as it is served: which runbook is nearest, and where the proof's threshold lies."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from workshop.agent import proof
from workshop.clients import http
from workshop.core.errors import EndpointError
from workshop.core.progress import Stages
from workshop.core.settings import Settings
from workshop.parts import embedder
from workshop.parts.catalog import ALL
from workshop.parts.runbooks import CHUNKS
from workshop.targets.base import Endpoint
from workshop.targets.local.target import LocalTarget

pytestmark = pytest.mark.timeout(120)

DATA = Path(__file__).resolve().parents[3] / "data"
QUESTIONS = yaml.safe_load((DATA / "relevance.yaml").read_text())
ANSWERED = [(name, one) for name, asked in QUESTIONS["answered"].items() for one in asked]


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalTarget]:
    target = LocalTarget(Settings(state=tmp_path_factory.mktemp("embedder") / "local"), ALL)
    yield target
    target.stop(embedder.PART)


@pytest.fixture(scope="module")
def served(target: LocalTarget) -> Endpoint:
    return deployed(target)


def deployed(target: LocalTarget) -> Endpoint:
    part, stage = embedder.part_of(target), Stages("test")
    return target.ensure(part, ready=embedder.ready, timeout=60, stage=stage).endpoint


def vectors(served: Endpoint, texts: list[str]) -> list[list[float]]:
    body = {"model": embedder.PART, "input": texts}
    reply = http.call(served, "/v1/embeddings", json=body, timeout=60)
    return [one["embedding"] for one in reply.json["data"]]


def test_the_nearest_runbook_is_the_right_one_and_the_threshold_parts_the_questions(
    served: Endpoint,
) -> None:
    runbooks = sorted((DATA / "runbooks").glob("*.md"))
    ways = vectors(served, [file.read_text() for file in runbooks])
    assert len(ways[0]) == embedder.dimension(served)
    assert all(math.isclose(math.hypot(*way), 1, abs_tol=1e-3) for way in ways)

    def nearest(question: list[float]) -> tuple[float, str]:
        near = [sum(map(float.__mul__, question, way)) for way in ways]
        return max(zip(near, (file.stem for file in runbooks), strict=True))

    asked = vectors(served, [question for _, question in ANSWERED])
    found = [nearest(one) for one in asked]
    assert [name for _, name in found] == [name for name, _ in ANSWERED]
    open_ = [nearest(one)[0] for one in vectors(served, QUESTIONS["open"])]
    assert max(open_) < proof.NEAR < min(near for near, _ in found)


def test_a_piece_of_a_runbook_in_any_language_fits(served: Endpoint) -> None:
    """A server cuts a file into pieces by its own tokens, of about four letters each."""
    german = "Wenn die Datenbank nicht mehr schreiben kann, vergrößern Sie zuerst das Volume. "
    letters = 3 * CHUNKS["max_chunk_size_tokens"]
    assert vectors(served, [(german * 20)[:letters]])


def test_a_text_that_is_too_long_is_refused_and_says_so(served: Endpoint) -> None:
    with pytest.raises(EndpointError, match="too large to process"):
        vectors(served, ["A step of many. " * 400])


@pytest.mark.skipif(sys.platform != "linux", reason="threads are pinned on Linux")
@pytest.mark.usefixtures("served")
def test_its_threads_have_a_core_each_unless_they_are_fewer(
    target: LocalTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    cores = os.sched_getaffinity(0)
    assert pinned(target) == cores
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    deployed(target)
    assert pinned(target) == (cores if len(cores) == 1 else set())


def pinned(target: LocalTarget) -> set[int]:
    """The cores that are the only one of a thread of the embedder's."""
    record = target.process("embedder").record()
    assert record
    tasks = Path(f"/proc/{record.pid}/task").iterdir()
    allowed = [os.sched_getaffinity(int(task.name)) for task in tasks]
    return {core for cores in allowed if len(cores) == 1 for core in cores}
