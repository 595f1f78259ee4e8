"""The whole chain, once for the tests of a file: run by the runner, in a folder of its own.

Nothing here is a stand-in: the real model, Llama Stack, database, MCP server and agent, brought up
by the unpatched notebooks. The first test that asks for ``chain`` pays for it.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from chain import Chain
from testcluster import software


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    """The sequence 00 to 11, run once; the parts keep running until the tests are over."""
    home = tmp_path_factory.mktemp("chain")
    chain = Chain(home, "", 0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORKSHOP_HOME", str(home))
        try:
            done = chain.run("run", timeout=1500)
            chain.output, chain.code = done.stdout, done.returncode
            software.keep_what_was_read(home / "local" / "model")
            yield chain
        finally:
            chain.target.clean_up(data=True)
