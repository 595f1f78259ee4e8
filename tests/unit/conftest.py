"""A real database for what is held against pymongo's own reading."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from workshop.core.errors import SetupError
from workshop.core.progress import Stages
from workshop.core.settings import Settings
from workshop.parts.catalog import ALL
from workshop.parts.mongodb import deploy_mongodb, load_sample_data
from workshop.setup import locate
from workshop.targets.base import Deployed, Endpoint, Part
from workshop.targets.local.target import LocalTarget


class Elsewhere(LocalTarget):
    """The local target on ports that nobody else wants: the architecture's may be in use."""

    def ensure(
        self, part: Part, *, ready: Callable[[Endpoint], object], timeout: float, stage: Stages
    ) -> Deployed:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port: int = probe.getsockname()[1]
        extra = {name: port + 1 + place for place, name in enumerate(part.extra_ports)}
        moved = replace(part, port=port, extra_ports=extra)
        return super().ensure(moved, ready=ready, timeout=timeout, stage=stage)


@pytest.fixture(scope="session")
def elsewhere() -> Callable[[Path], LocalTarget]:
    """Makes a local target with its state in this folder; skips where there is no database."""
    try:
        locate("mongodb")
    except SetupError as error:
        pytest.skip(f"{error.what} {error.hint}")
    return lambda folder: Elsewhere(Settings(state=folder / "state"), ALL)


@pytest.fixture(scope="session")
def database_target(
    elsewhere: Callable[[Path], LocalTarget], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalTarget]:
    """A target whose database runs and has the sample data."""
    target = elsewhere(tmp_path_factory.mktemp("database"))
    try:
        deploy_mongodb(target, timeout=60)
        load_sample_data(target)
        yield target
    finally:
        target.clean_up(data=True)


@pytest.fixture
def database(database_target: LocalTarget) -> Endpoint:
    """How to reach the database."""
    return database_target.find("mongodb")
