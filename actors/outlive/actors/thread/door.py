"""From a request to the thread and the command that carry it out: with what only the owner has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from msgspec.structs import replace

from outlive.actors.run.carrying_out import start_command
from outlive.actors.run.commands import StartRun
from outlive.actors.run.door import Prepared
from outlive.actors.run.kind import Runs
from outlive.actors.surroundings import Surroundings
from outlive.actors.thread.carrying_out import thread_command
from outlive.actors.thread.commands import NOTHING_SAID, Copied, ThreadCommand
from outlive.actors.thread.kind import Threads
from outlive.actors.thread.moment import NOTHING_SPECIAL, moment_of
from outlive.actors.thread.submitted import (
    AskRunRequest,
    CreateThreadRequest,
    SignalRequest,
    ThreadRequest,
)
from outlive.events import (
    AgentNotFound,
    AssistantMessage,
    EventLog,
    ForkPoint,
    InvalidOffset,
    Message,
    OpenEntry,
    Refused,
    StreamId,
    ThreadNotFound,
    ThreadPlace,
    ThreadState,
    ToolMessage,
    run_stream,
    thread_stream,
)
from outlive.events.ids import id_of
from outlive.projections.threads.history import whole


class ThreadDoor:
    """Where what people and programs want of threads comes in.

    Args:
        threads, runs: those of this owner.
        log: its log.
        surroundings: what the entities share.
        start_again: returns what carries out the start of a run that has begun before.
    """

    def __init__(
        self,
        threads: Threads,
        runs: Runs,
        *,
        log: EventLog,
        surroundings: Surroundings,
        start_again: Callable[[StreamId, StartRun], Prepared | None],
    ) -> None:
        self._threads: Final = threads
        self._runs = runs
        self._log = log
        self._agents = surroundings.agents
        self._clock = surroundings.clock
        self._start_again = start_again

    def prepare(self, stream: StreamId, request: ThreadRequest) -> Prepared | None:
        """Return the actor that a request is for, and the command; None if nothing is left to do.

        Raises:
            ThreadNotFound: there is no such thread, and this is no beginning of one.
            AgentNotFound: nobody of that name can answer here.
            Refused: the thread is quarantined; or what else the request is refused with.
        """
        if isinstance(request, AskRunRequest):
            start = start_command(request.wish, self._agents)
            run = run_stream(request.run_id)
            if self._runs.resident(run) is not None or self._log.version(run):
                place = ThreadPlace(thread_id=id_of(stream), resource_id=request.resource_id)
                return self._start_again(run, replace(start, thread=place))
        if not begins(request) and not self._is_there(stream):
            raise ThreadNotFound(id_of(stream))
        thread = self._threads.at(stream)
        if isinstance(thread, OpenEntry):
            if thread.status != "blocked":
                raise Refused(f"thread {id_of(stream)!r} is {thread.status}: {thread.reason}")
            thread = self._threads.at_as_it_is(stream)  # What is said waits for its agent, too.
        return thread.actor, self._command(id_of(stream), request, thread.actor.state)

    def _is_there(self, stream: StreamId) -> bool:
        return self._threads.resident(stream) is not None or self._log.version(stream) > 0

    def _command(self, thread_id: str, request: ThreadRequest, state: ThreadState) -> ThreadCommand:
        moment, copied = NOTHING_SPECIAL, NOTHING_SAID
        if isinstance(request, SignalRequest):
            self._check_agent(request, state)
            if state.active is not None:
                moment = moment_of(self._log, state.active.run_id)
        elif isinstance(request, CreateThreadRequest):
            fork = request.forked_from
            if fork is not None and not state.exists:
                copied = self._copy_of(fork)
        return thread_command(
            thread_id, request, now_ns=self._clock.now_ns(), moment=moment, copied=copied
        )

    def _check_agent(self, request: SignalRequest, state: ThreadState) -> None:
        agent_id = request.agent_id
        if not agent_id and state.active is None and request.if_idle.behaviour == "wake":
            agent_id = state.agent_id or state.last_agent_id
        if agent_id and agent_id not in self._agents:
            raise AgentNotFound(agent_id, tuple(self._agents))

    def _copy_of(self, fork: ForkPoint) -> Copied:
        head = self._log.version(thread_stream(fork.thread_id))
        if not head:
            raise ThreadNotFound(fork.thread_id)
        if fork.version > head:
            raise InvalidOffset(fork.version, head)
        said, summary = whole(self._log, fork.thread_id, until=fork.version)
        messages = _with_all_answers(tuple(one.message for one in said))
        if summary is None:
            return Copied(messages=messages)
        condensed = sum(one.version <= summary.upto for one in said)
        return Copied(
            messages=messages, condensed=min(condensed, len(messages)), summary=summary.text
        )


def begins(request: ThreadRequest) -> bool:
    """Whether a request may begin the thread that it is for."""
    match request:
        case CreateThreadRequest():
            return True
        case AskRunRequest() | SignalRequest():
            return bool(request.resource_id)
        case _:
            return False


def _with_all_answers(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """Return the messages without a last step in which a call has no answer yet."""
    for index in range(len(messages) - 1, -1, -1):
        message = messages[index]
        if isinstance(message, AssistantMessage):
            asked = {call.call_id for call in message.tool_calls}
            later = (one for one in messages[index + 1 :] if isinstance(one, ToolMessage))
            missing = asked - {one.call_id for one in later}
            return messages[:index] if missing else messages
    return messages
