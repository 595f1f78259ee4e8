"""The agent: a model that answers by calling tools, and a proof of each answer."""

import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import InitVar, dataclass, field, replace
from typing import Any

from workshop.agent import answer as answers
from workshop.agent import failure, prompt, proof, questions
from workshop.agent.answer import FILE_SEARCH, Answer, NotAsked, ToolCall
from workshop.clients import llama_stack as stack_client
from workshop.core import progress
from workshop.core.errors import (
    AnswerNotGrounded,
    EndpointError,
    SettingsError,
    Stopped,
    WorkshopError,
)
from workshop.core.progress import Stages, stages
from workshop.core.settings import DATA
from workshop.core.table import counted
from workshop.core.wait import NotYet, wait_for
from workshop.parts import llama_stack, mcp_server, mcp_writer, mongodb, runbooks
from workshop.targets.base import Target
from workshop.targets.spec import choices_of

ROUNDS = 4
"""How often the model may call a tool before it must answer: a lookup across two collections takes
two, and a model that goes in circles ends."""

LOOK = 2.0  # Seconds between two looks at whether all parts still run, while an answer is awaited.
SHOWN = 300  # Characters of an answer that is still being written: its end.
NO_ANSWER = "The agent got no answer."
WARM_UP = "Search the runbooks: help."  # Its call is short, and is waited for.
FOUND = 1  # Runbook chunks of a search: each is a whole runbook, 250 tokens to read.


@dataclass(frozen=True)
class Request:
    """What Llama Stack is asked: a question, or the items of ``input`` in its Responses API."""

    asked: str | list[dict[str, Any]]
    mark: str = ""  # A word that stands beside it in the logs of its server and the MCP server.


@dataclass(repr=False, eq=False)
class Agent:
    """Asks the model, which calls tools; made by ``create_agent``."""

    target: Target
    instructions: str
    tools: InitVar[list[dict[str, Any]]]
    temperature: float = 0.0
    timeout: float = stack_client.TIMEOUT
    answers: list[Answer] = field(default_factory=list)  # All, the ungrounded ones too.
    unanswered: dict[str, str] = field(default_factory=dict)  # Why a question got none.

    def __post_init__(self, tools: list[dict[str, Any]]) -> None:
        self._tools = tools
        self._store = str(choices_of(self.target, llama_stack.PART).get("vector_store", ""))
        self._server = self.target.store.recall("server") or ""
        self._endpoint = self.target.find(llama_stack.PART)
        self._client = stack_client.client(self._endpoint)
        # Whether it can ask the MCP server, and for a change that a person approves.
        self.has_database = any(tool["type"] == "mcp" for tool in tools)
        self.may_propose = any(tool.get("require_approval") == "always" for tool in tools)

    def ask(
        self,
        question: str,
        *,
        mark: str = "",
        quiet: bool = False,
        timeout: float | None = None,
        stop: threading.Event | None = None,
    ) -> Answer | NotAsked:
        """Ask one question; gives the grounded answer.

        Gives ``NotAsked`` for a question of the workshop about the database when there is none.

        Args:
            question: One of the workshop's, whose true values are known, or any other.
            mark: A word of letters, digits and hyphens that should stand beside this question in
                the logs of Llama Stack and of the MCP server.
            quiet: Show neither progress nor an answer that is not grounded.
            timeout: Seconds; None: as the agent was created with.
            stop: Ends the question, and the model's work, when another thread sets it.

        Raises:
            Stopped: ``stop`` was set.
            AnswerNotGrounded: No tool was called, a call failed, or values differ. The answer is
                shown before, and kept in ``answers``.
            EndpointError: A part did not answer; names the one that ended.
            PartTooSlow: There was no answer in time.
        """
        timeout = self.timeout if timeout is None else timeout
        known = questions.known(question)
        if known in questions.DATABASE_QUESTIONS and not self.has_database:
            return NotAsked(question, questions.WITHOUT_DATABASE)
        before: mongodb.Documents = {}
        if self.has_database and proof.asks_for_change(question):
            with self._reading() as database:
                before = mongodb.documents(database)
        with stages("Agent", quiet=quiet) as stage:
            try:
                said = self.say(question, mark=mark, timeout=timeout, stage=stage, stop=stop)
            except WorkshopError as error:
                self.unanswered[question] = f"{error.what} {error.state}".strip()
                raise
            self.unanswered.pop(question, None)
            try:
                # Found again: a database that ended while the question was asked is named.
                with self._reading() as database:
                    after = mongodb.documents(database) if before else {}
                    grounds = proof.prove(
                        said,
                        database=database,
                        runbooks=DATA / "runbooks",
                        truth=known.truth(database) if known else (),
                        changed=mongodb.differences(before, after),
                    )
            except AnswerNotGrounded as error:
                answer = replace(said, proof=error.what)
                self.answers.append(answer)
                if not quiet:
                    progress.show(answer)
                raise self._with_cause(error) from None
            answer = replace(said, grounded=True, proof=grounds)
            self.answers.append(answer)
            stage(f"answered after {counted(len(said.tool_calls), 'tool call')}, grounded")
            return answer

    def warm_up(self) -> threading.Thread:
        """Have the model read the instructions and the tools now, in the background.

        The server keeps what was read, so the first question waits for less. Nothing is answered,
        and no tool is called. Where this fails, the first question says why.
        """

        def read() -> None:
            quiet = suppress(EndpointError, *stack_client.api_error())
            with quiet, self._events(Request(WARM_UP)) as events:
                next(filter(_item, events), None)

        thread = threading.Thread(target=read, name="warm-up", daemon=True)
        thread.start()
        return thread

    def say(
        self,
        question: str,
        *,
        mark: str = "",
        timeout: float,
        stage: Stages,
        stop: threading.Event | None = None,
    ) -> Answer:
        """What the agent says, without a proof. Raises as ``ask`` does where it says nothing."""
        began = time.monotonic()
        response = self.respond(Request(question, mark), timeout, stage, stop)
        text, calls = answers.read(response, self._store)
        calls = failure.explained(self.target, calls, self._tools)
        calls = tuple(self._measured(question, call) for call in calls)
        seconds, cut = time.monotonic() - began, answers.cut(response, ROUNDS)
        tokens = answers.tokens(response, self._server)
        return Answer(question, text, seconds, calls, cut=cut, tokens=tokens)

    def _measured(self, question: str, call: ToolCall) -> ToolCall:
        """A search for a few words says little: then it is asked how near the question is."""
        if call.nearness is None or call.nearness >= proof.NEAR:
            return call
        store = runbooks.store_id(self.target)
        asked = proof.TO_SEARCH.sub("", question)
        whole = runbooks.nearness(self._endpoint, store, self._store, asked)
        return replace(call, nearness=max(call.nearness, whole or 0.0))

    def _reading(self) -> AbstractContextManager[Any]:
        """The database, to hold answers against; None when the agent was made without one."""
        found = mongodb.find(self.target) if self.has_database else None
        return mongodb.connected(found) if found else nullcontext()

    def respond(
        self, request: Request, timeout: float, stage: Stages, stop: threading.Event | None = None
    ) -> Any:
        """Send the request, and show what happens until the response is there, as it came.

        Raises as ``ask`` does where there is none.
        """
        state, written = ["the model reads the question"], [""]
        given_up = threading.Event()
        worker = ThreadPoolExecutor(1, thread_name_prefix="ask")
        asked: Future[Any] = worker.submit(self._stream, request, state, written, given_up)
        looked, shown = time.monotonic(), 0

        def done() -> Any:
            nonlocal looked, shown
            if stop and stop.is_set():
                raise Stopped("The question was stopped.")
            if asked.done():
                return asked.result()
            if shown < (shown := len(state)):
                stage.keep()
            if time.monotonic() - looked >= LOOK:
                # Llama Stack waits minutes for a tool server that has died: no need to wait along.
                looked = time.monotonic()
                ended = failure.ended(self.target, self.has_database)
                if ended is not None and not asked.done():
                    raise EndpointError(
                        NO_ANSWER, where=self._endpoint.url, state=written[0] or state[-1]
                    )
            return NotYet(written[0] or state[-1])

        try:
            return wait_for(
                "the answer",
                done,
                timeout=timeout,
                stage=stage,
                every=0.03,
                where=self._endpoint.url,
                hint="raise TIMEOUT_SECONDS; workshop status; workshop logs model",
            )
        except stack_client.api_error() as error:
            explained = stack_client.explained(error, self._endpoint, NO_ANSWER)
            raise self._with_cause(explained) from error
        except EndpointError as error:
            raise self._with_cause(error) from None
        finally:
            given_up.set()
            worker.shutdown(wait=False, cancel_futures=True)

    def _events(self, request: Request) -> Any:
        """What Llama Stack tells while it answers."""
        tools, mark = self._tools, request.mark
        if mark:
            # The MCP server writes this header to its log, and Llama Stack the query of a URL.
            tools = [t | {"headers": {"x-request-id": mark}} if t["type"] == "mcp" else t
                     for t in tools]  # fmt: skip
        return stack_client.events(
            self._client,
            query={"mark": mark} if mark else None,
            model=llama_stack.model_id(self.target),
            input=request.asked,
            instructions=self.instructions,
            tools=tools,
            temperature=self.temperature,
            parallel_tool_calls=False,
            include=["file_search_call.results"],
            max_infer_iters=ROUNDS,
        )

    def _stream(
        self, request: Request, state: list[str], written: list[str], given_up: threading.Event
    ) -> Any:
        """Read the answer; ``state`` gets each stage, and ``written[0]`` the end of the text."""
        where, text = self._endpoint.url, ""
        with self._events(request) as events:
            for event in events:
                if given_up.is_set():
                    break  # The next question need not wait.
                item, told = _item(event), event["type"]
                if item and told == "response.output_item.added":
                    tool = item.get("name", item["type"])
                    does = "proposes" if item["type"] == answers.WAITS else "calls"
                    state.append("it writes" if item["type"] == "message" else f"it {does} {tool}")
                elif told == "response.output_text.delta":
                    text += event["delta"]
                    written[0] = f"it writes: {' '.join(text.split())[-SHOWN:]}"
                elif item and told == "response.output_item.done" and item["type"] != "message":
                    state.append("the model reads the result")
                    written[0] = ""
                elif told in ("response.completed", "response.incomplete"):
                    return event["response"]
                elif told == "response.failed":
                    error = event["response"].get("error")
                    reason = str(error.get("message") if error else error)
                    raise EndpointError(
                        NO_ANSWER, where=where, state=reason, hint=stack_client.SERVERS
                    ).of_kind("server error")
        raise EndpointError("The answer is cut off.", where=where, hint="workshop logs llama-stack")

    def _with_cause[E: WorkshopError](self, error: E) -> E:
        late = failure.LATE if isinstance(error, EndpointError) else 0.0
        found = failure.of(self.target, self.has_database, late=late)
        if found is None:
            return stack_client.with_log(error, self.target, llama_stack.PART)
        said = f"{found.what} {found.state}".strip().removesuffix(".")
        state = "; ".join(filter(None, (said, error.state)))
        return error.but(where=found.where, state=state, log=found.log, hint=found.hint)


def _item(event: dict[str, Any]) -> dict[str, Any] | None:
    """What the model writes, an answer or a call; None before it has read."""
    item: dict[str, Any] | None = event.get("item")
    # Llama Stack lists the tools before the model reads.
    return None if item and item["type"] == "mcp_list_tools" else item


def create_agent(
    target: Target,
    *,
    use_mongodb: bool = True,
    may_propose: bool = False,
    temperature: float = 0.0,
    timeout: float = stack_client.TIMEOUT,
) -> Agent:
    """Create an agent with the registered MCP server's tools and a search of the runbooks.

    Args:
        target: Where the parts run.
        use_mongodb: False: the runbooks alone.
        may_propose: Whether it may propose a change to the database, by ``propose_change``.
        temperature: Of the model's choice of words; 0 takes the likeliest each time.
        timeout: Seconds that an answer may take.

    Raises:
        SettingsError: It may propose changes, and has no database.
        StepMissing: Llama Stack, its runbooks or the registered MCP server is missing; with
            ``may_propose``, the MCP server that writes.
    """
    if may_propose and not use_mongodb:
        raise SettingsError("Without MongoDB there is nothing to change.", hint="use_mongodb=True")
    tools: list[dict[str, Any]] = []
    described = ""
    if use_mongodb:
        tools.append(mcp_server.tool(target))
        with mongodb.connected(mongodb.find(target)) as database:
            described = prompt.describe(database)
        if may_propose:
            tools.append(mcp_writer.tool(target))
    stores = [runbooks.store_id(target)]
    tools.append({"type": FILE_SEARCH, "vector_store_ids": stores, "max_num_results": FOUND})
    instructions = prompt.text(described, may_propose=may_propose)
    return Agent(target, instructions, tools, temperature, timeout)
