"""Prints what a server's own file search makes of one found runbook; runs in that server's Python.

The search is the server's; the vector store behind it is a stand-in that finds the text that comes
on standard input, under the ids and the score given there.
"""

import asyncio
import importlib
import json
import sys
from types import SimpleNamespace


class Found:
    """A vector store that finds one chunk."""

    def __init__(self, hit: dict[str, object]) -> None:
        self.hit = SimpleNamespace(**hit, content=[SimpleNamespace(text=hit["text"])])

    async def openai_search_vector_store(self, **_: object) -> SimpleNamespace:
        return SimpleNamespace(data=[self.hit])


async def main() -> None:
    package, asked = sys.argv[1], json.load(sys.stdin)
    types = importlib.import_module(f"{package}.core.datatypes")
    tools = importlib.import_module(
        f"{package}.providers.inline.responses.builtin.responses.tool_executor"
    )
    tool = tools.OpenAIResponseInputToolFileSearch(
        type="file_search", vector_store_ids=["vs_1"], max_num_results=1
    )
    executor = tools.ToolExecutor(
        None, None, Found(asked["hit"]), types.VectorStoresConfig(**asked["vector_stores"])
    )
    result = await executor._execute_file_search_via_vector_store("GPU", tool)
    sys.stdout.write("".join(item.text for item in result.content))


asyncio.run(main())
