"""The embedder, as it is served: which runbook is nearest, and where the proof's threshold lies."""

from __future__ import annotations

import math
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
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    target = LocalTarget(Settings(state=tmp_path_factory.mktemp("embedder") / "local"), ALL)
    yield embedder.deploy(target, 60, Stages("test"))
    target.stop(embedder.NAME)


def vectors(served: Endpoint, texts: list[str]) -> list[list[float]]:
    body = {"model": embedder.NAME, "input": texts}
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
