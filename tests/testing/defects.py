"""Mistakes to plant into the runtime, each as small as it would be made: does the kit see them?"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from outlive.actors import tool_attempt
from outlive.actors.addresses import Addresses
from outlive.actors.context import ToolContext
from outlive.actors.event_sourced import EventSourcedActor
from outlive.actors.run import decide, entity
from outlive.actors.run.commands import CallTool, Command, Effect, FailToolCall
from outlive.actors.snapshots import StateCodec
from outlive.actors.task import world
from outlive.actors.task.commands import CallHooks, ConcludeHooks
from outlive.actors.task.world import TaskWorld
from outlive.actors.timers import Timers
from outlive.events import CallId, Failure, RunState, StreamId, Value
from outlive.events.memory_store import MemoryStore
from outlive.projections import ToolMessage, Transcript, observe_run

Defect = Callable[[pytest.MonkeyPatch], None]


def _right(owner: object, name: str) -> Any:
    """What the mistake stands in for."""
    return getattr(owner, name)


def effect_before_commit(patch: pytest.MonkeyPatch) -> None:
    """Effects are started when their intent is appended, not when that is durable."""
    append = _right(EventSourcedActor, "_append")

    def act_at_once(self: Any, *args: Any) -> None:
        append(self, *args)
        pending = self._pending[-1]
        self._world.committed(pending.events, self._version)
        pending.events = ()
        self._act(pending.state, pending.entry, self._log.head)

    patch.setattr(EventSourcedActor, "_append", act_at_once)


def reply_before_commit(of: type[Command]) -> Defect:
    """Who sent a command is answered when its events are appended, not when they are durable."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        append = _right(EventSourcedActor, "_append")

        def answer_at_once(self: Any, *args: Any) -> None:
            append(self, *args)
            if isinstance(self._pending[-1].envelope.message, of):
                self._pending[-1].give()
                self._pending[-1].envelope.reply_to = None

        patch.setattr(EventSourcedActor, "_append", answer_at_once)

    return plant


def hooks_are_forgotten(patch: pytest.MonkeyPatch) -> None:
    """That hooks were called is recorded before they are."""
    call, kept = _right(TaskWorld, "_call_hooks"), list[Any]()

    async def conclude_first(self: Any, effect: CallHooks, home: Any) -> None:
        home.conclude(ConcludeHooks(end=effect.end, number=effect.number))
        kept.append(asyncio.create_task(call(self, effect, home)))

    patch.setattr(TaskWorld, "_call_hooks", conclude_first)


def end_of_the_other_try(patch: pytest.MonkeyPatch) -> None:
    """Hooks are told of a task as it is when they are called."""
    right = _right(world, "task_info")

    def as_it_is(log: Any, task_id: str, *, end: int) -> Any:
        return right(log, task_id)

    patch.setattr(world, "task_info", as_it_is)


def forgotten_in_outstanding(patch: pytest.MonkeyPatch) -> None:
    """A tool call that is entered again is not counted among what is owed."""
    right = entity.outstanding

    def first_attempts_only(state: RunState) -> dict[Effect, None]:
        return {
            effect: None
            for effect in right(state)
            if not isinstance(effect, CallTool) or effect.attempt == 1
        }

    patch.setattr(entity.RUN, "outstanding", first_attempts_only)


def forgotten_in_the_shell(patch: pytest.MonkeyPatch) -> None:
    """Of the effects that one commit makes outstanding, only the first is started."""
    act = _right(EventSourcedActor, "_act")

    def act_on_one(self: Any, state: Any, entry: Any, cause: Any) -> None:
        perform = self._world.perform
        begun: list[Any] = []

        def perform_one(effect: Any, cause: Any) -> None:
            if not begun:
                begun.append(effect)
                perform(effect, cause)

        self._world.perform = perform_one
        try:
            act(self, state, entry, cause)
        finally:
            self._world.perform = perform

    patch.setattr(EventSourcedActor, "_act", act_on_one)


def effects_of_the_actor(patch: pytest.MonkeyPatch) -> None:
    """What runs is remembered by the actor object, and forgotten when it is built anew."""
    rebuild = _right(EventSourcedActor, "_rebuild")

    def forget(self: Any) -> None:
        self._owed = {}
        self._world._all.effects._running.pop(self.stream, None)
        rebuild(self)

    patch.setattr(EventSourcedActor, "_rebuild", forget)


def key_of_the_attempt(patch: pytest.MonkeyPatch) -> None:
    """The idempotency key depends on the attempt."""

    def context(attempt: Any, *, idempotency_key: str, number: int, **facts: Any) -> ToolContext:
        key = f"{idempotency_key}-{number}"
        return ToolContext(attempt, idempotency_key=key, number=number, **facts)

    patch.setattr(tool_attempt, "ToolContext", context)


def commit_id_forgotten(patch: pytest.MonkeyPatch) -> None:
    """A store does not keep which commit was a stream's last."""
    add = _right(MemoryStore, "_add")

    def forget(self: Any, admitted: Any, *args: Any) -> None:
        add(self, admitted, *args)
        self._streams[admitted[0].stream].commit_id = b""

    patch.setattr(MemoryStore, "_add", forget)


def row_left_as_it_was(patch: pytest.MonkeyPatch) -> None:
    """The row of the open table is written when a run begins and ends, not in between."""
    append = _right(EventSourcedActor, "_append")

    def leave_the_row(self: Any, envelope: Any, events: Any, state: Any, *args: Any) -> None:
        entry = self._entity.open_entry(state)
        if self._row is not None and entry is not None:
            self._row = entry
        append(self, envelope, events, state, *args)

    patch.setattr(EventSourcedActor, "_append", leave_the_row)


def saved_without_its_memory(**lost: Any) -> Defect:
    """A saved state does not hold what repeats are known by."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        encode = _right(StateCodec, "encode")

        def lose(self: Any, state: RunState) -> Any:
            return encode(self, replace(state, **lost))

        patch.setattr(StateCodec, "encode", lose)

    return plant


def in_the_order_of_arrival(patch: pytest.MonkeyPatch) -> None:
    """The answers of parallel tool calls stand in the order in which they came."""

    def answer(self: Any, call_id: CallId, result: Value, error: Failure | None) -> None:
        call = self.calls[call_id]
        message = ToolMessage(call_id=call_id, name=call.name, result=result, error=error)
        self.messages.append(message)

    patch.setattr(Transcript, "_answer", answer)


def clock_in_decide(patch: pytest.MonkeyPatch) -> None:
    """A retry is due by the machine's clock, read while deciding."""
    fail = _right(decide, "_fail_tool_call")

    def by_the_clock(state: RunState, command: FailToolCall) -> Any:
        return fail(state, replace(command, now_ns=time.time_ns()))

    patch.setattr(decide, "_fail_tool_call", by_the_clock)


def observer_one_back(patch: pytest.MonkeyPatch) -> None:
    """An observer that comes again is shown once more what it saw last."""

    def one_back(log: Any, run_id: str, *, after: int, **more: Any) -> Any:
        return observe_run(log, run_id, after=max(after - 1, 0), **more)

    patch.setattr("outlive.actors.observing.observe_run", one_back)


def wake_up_not_watched(patch: pytest.MonkeyPatch) -> None:
    """An entity says when it wants to wake, and nobody watches the clock for it."""

    def forget(self: Timers, stream: StreamId, wake_at_ns: int | None) -> None:
        """Set nothing."""

    patch.setattr(Timers, "set", forget)


def wake_up_forgotten_by_who_leaves(patch: pytest.MonkeyPatch) -> None:
    """An entity that leaves memory takes the instant that it waits for along."""
    set_right = _right(Timers, "set")
    idle = _right(Addresses, "_idle")

    def leave(self: Any, stream: StreamId) -> None:
        idle(self, stream)
        if stream not in self._residents:
            set_right(self._timers, stream, None)

    patch.setattr(Addresses, "_idle", leave)


def wake_up_lost_at_opening(patch: pytest.MonkeyPatch) -> None:
    """Opening a log brings in what owes something, and forgets who only waits for an instant."""
    bring_in_all = _right(Addresses, "bring_in_all")

    def only_what_owes(self: Any, rows: Sequence[tuple[StreamId, Any]]) -> None:
        kept: Iterable[tuple[StreamId, Any]] = (row for row in rows if row[1].owes)
        bring_in_all(self, list(kept))

    patch.setattr(Addresses, "bring_in_all", only_what_owes)


def wake_up_not_in_the_row(patch: pytest.MonkeyPatch) -> None:
    """The row of the open table does not say when the entity wants to wake."""
    right = entity.open_entry

    def without(state: RunState) -> Any:
        row = right(state)
        return None if row is None else replace(row, wake_at_ns=None)

    patch.setattr(entity.RUN, "open_entry", without)
