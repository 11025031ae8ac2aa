"""What people have said to a run and its child runs, taken from the log, to be said once more."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, Final

from msgspec.structs import replace

from outlive.actors.tool_attempt import idempotency_key
from outlive.events import (
    ApprovalDenied,
    ApprovalGranted,
    ApprovalRequested,
    CallId,
    Event,
    ModelCallCompleted,
    NotFound,
    RequestedToolCall,
    RunCancelled,
    RunId,
    RunResumed,
    ToolCallCompleted,
    ToolCallFailed,
    ToolCallInDoubt,
    ToolCallResolved,
    ToolCallSuspended,
    Value,
)
from outlive.events.run.state import suspension
from outlive.events.values import canonical, digest
from outlive.projections import RunResult, ToolMessage
from outlive.testing._retold_task import NO_THREADS, RetoldTask
from outlive.testing._simulation.client import Client

_AT_FIRST: Final = 1_000  # looks whether a child run or a task has begun, one each second
_LATER: Final = 10_000  # looks after that: a tool may take hours, and be tried again
_LATER_EACH: Final = 30.0  # seconds: an answer that comes so late is in time


class Retold:
    """What people have said to a run and all below it, by their ids, `run_id` first.

    That is its child runs, and the background tasks of all of them. Said to the same run again,
    it comes to the same. But for what is not known to have happened: where a person has said
    what became of a call in doubt, it need not have come to that. And for tasks that were called
    off: at which instant that was said is not repeated.
    """

    def __init__(
        self,
        run_id: str,
        events: Mapping[str, Iterable[Event]],
        tasks: Mapping[str, Iterable[Event]],
    ) -> None:
        self._run_id = run_id
        self._members = {id: _Heard(each) for id, each in events.items()}
        self.tasks: Final = {id: RetoldTask(id, each) for id, each in tasks.items()}
        """Its background tasks, and those of its child runs."""
        self.cancelled: Final = self._members[run_id].cancelled
        """Whether the run was."""
        said = [(id, each.key) for id, each in self._members.items()]
        said += [(id, each.key) for id, each in self.tasks.items()]
        self.key: Final = digest(*(part.encode() for each in said for part in each))
        """Another one where something else was said."""

    @property
    def disturbed(self) -> bool:
        """Whether it has met what it does not meet alone.

        That is what people have said of its tasks and cannot say again in the same way; or that
        no thread was left for a tool, as others have abandoned as many as a process may have.
        """
        tasks = self.tasks.values()
        return any(each.called_off or each.vouched or each.without_a_thread for each in tasks) or (
            any(heard.without_a_thread for heard in self._members.values())
        )

    def again(self, log_id: str) -> Iterator[tuple[str, int]]:
        """Yield the idempotency keys of all calls, and how often people wanted a repeat."""
        for id, heard in self._members.items():
            for key, call_id in heard.keys(log_id, id):
                yield key, heard.again[call_id]
        for task in self.tasks.values():
            yield task.idempotency_key(log_id), task.again

    def required(self, log_id: str, effects: Iterable[tuple[str, str]]) -> Iterator[Any]:
        """Yield those effects that must have happened: those that nobody vouches for.

        Nor those of calls that there was no thread for. The key of a step does not tell whose it
        is: none is required where there is any such call.
        """
        calls = {
            key: heard.vouched_for(call_id) or call_id in heard.without_a_thread
            for id, heard in self._members.items()
            for key, call_id in heard.keys(log_id, id)
        }
        for task in self.tasks.values():
            calls[task.idempotency_key(log_id)] = task.may_not_have_happened
        excused = any(calls.values())
        for name, key in effects:
            if not excused or not calls.get(key, True):
                yield name, key

    def with_what_people_vouch_for(self, calm: RunResult, stormy: RunResult) -> RunResult:
        """Return `calm`, with what people said came of calls in doubt, as `stormy` has it.

        That is so, too, of calls that were answered by runs to which it was said.
        """
        above = f"{self._run_id}:"
        vouched = set(self._members[self._run_id].vouched())
        for id, heard in self._members.items():
            if id.startswith(above) and any(heard.vouched()):
                vouched.add(CallId(id.removeprefix(above).partition(":")[0]))
        said = {
            message.call_id: message
            for message in stormy.messages
            if isinstance(message, ToolMessage) and message.call_id in vouched
        }
        messages = tuple(
            said.get(message.call_id, message) if isinstance(message, ToolMessage) else message
            for message in calm.messages
        )
        return replace(calm, messages=messages)

    async def say_again(self, client: Client) -> None:
        """Say it to runs and tasks that are as these were, whenever they ask, until they end."""
        said = [
            *(partial(each.say_again, client, id) for id, each in self._members.items()),
            *(partial(each.say_again, client) for each in self.tasks.values()),
        ]
        await asyncio.gather(*(say_once_it_is_there(client, say) for say in said))


async def say_once_it_is_there(client: Client, say: Callable[[], Awaitable[None]]) -> None:
    """Say something to a run or a task that may not have begun yet, or never will."""
    for look in range(_AT_FIRST + _LATER):
        try:
            await say()
        except NotFound:  # A child run, or a task: nobody has got there yet.
            await client.sleep(1 if look < _AT_FIRST else _LATER_EACH)
        else:
            return


class _Heard:
    """What people have said to one run."""

    def __init__(self, events: Iterable[Event]) -> None:
        self.cancelled = False
        self.again: Final[Counter[CallId]] = Counter()
        """How often people wanted a call to be repeated."""
        self.without_a_thread: Final[set[CallId]] = set()
        """Calls that no thread was left for, at one time or another."""
        self._answers: dict[str, Value] = {}
        self._decisions: dict[CallId, ApprovalGranted | ApprovalDenied] = {}
        self._resolved: dict[CallId, ToolCallResolved] = {}
        self._results: dict[CallId, Value] = {}
        self._calls: dict[CallId, RequestedToolCall] = {}
        for event in events:
            self._take(event)
        decided = [str(each) for each in (*self._decisions.values(), *self._resolved.values())]
        self.key: Final = digest(
            canonical(self._answers),
            canonical(list(self._results.values())),
            *map(str.encode, decided),
        )
        """Another one where something else was said."""

    def _take(self, event: Event) -> None:
        match event:
            case ModelCallCompleted():
                self._calls |= {call.call_id: call for call in event.tool_calls}
            case RunResumed():
                self._answers[suspension(event.call_id, event.key)] = event.value
            case ApprovalGranted() | ApprovalDenied():
                self._decisions[event.call_id] = event
                arguments = getattr(event, "arguments", None)
                if arguments is not None:
                    asked = self._calls[event.call_id]
                    self._calls[event.call_id] = replace(asked, arguments=arguments)
            case ToolCallResolved():
                self._resolved[event.call_id] = event
                if event.outcome == "retry":
                    self.again[event.call_id] += 1
            case ToolCallCompleted(call_id=call_id) if call_id in self._resolved:
                self._results[call_id] = event.result
            case ToolCallFailed(call_id=call_id) if event.error.kind == NO_THREADS:
                self.without_a_thread.add(call_id)
            case RunCancelled():
                self.cancelled = True
            case _:
                pass

    def keys(self, log_id: str, run_id: str) -> Iterator[tuple[str, CallId]]:
        """Yield the calls of the run with their idempotency keys."""
        for call_id, call in self._calls.items():
            yield idempotency_key(log_id, RunId(run_id), call), call_id

    def vouched(self) -> Iterator[CallId]:
        """Yield the calls of which it is a person who has said what came of them."""
        return (id for id, resolved in self._resolved.items() if resolved.outcome != "retry")

    def vouched_for(self, call_id: CallId) -> bool:
        """Whether that call is one of them."""
        return call_id in self.vouched()

    async def say_again(self, client: Client, run_id: str) -> None:
        """Say it to a run that is as this one was, whenever it asks, until it is over."""
        async for event in client.observe(run_id):
            match event:
                case ToolCallSuspended():
                    name = suspension(event.call_id, event.key)
                    if name in self._answers:
                        await client.resume(run_id, self._answers[name], suspension=name)
                case ApprovalRequested():
                    await self._decide(client, run_id, event.call_id)
                case ToolCallInDoubt():
                    await self._resolve(client, run_id, event.call_id)
                case _:
                    pass

    async def _decide(self, client: Client, run_id: str, call_id: CallId) -> None:
        match self._decisions.get(call_id):
            case ApprovalGranted(arguments=arguments):
                await client.approve(run_id, call_id, args=arguments)
            case ApprovalDenied(expired=False, reason=reason):
                await client.decline(run_id, call_id, reason=reason)
            case _:
                return  # It will expire, or nobody has ever said anything.

    async def _resolve(self, client: Client, run_id: str, call_id: CallId) -> None:
        resolved = self._resolved.get(call_id)
        if resolved is None:
            return
        match resolved.outcome:
            case "retry":
                await client.resolve(run_id, call_id, retry=True)
            case "failed":
                await client.resolve(run_id, call_id, error=resolved.note)
            case "completed":
                await client.resolve(run_id, call_id, outcome=self._results[call_id])
