"""What a task's effects are done to: its tool, and the run that has asked for it."""

from __future__ import annotations

from functools import lru_cache, partial
from typing import Final, assert_never

from outlive.actors.background import retry_of
from outlive.actors.heartbeat.told import parcel_to_heartbeat, task_end
from outlive.actors.logs import told
from outlive.actors.mail import Deliver, Parcel
from outlive.actors.noting import NotingWorld
from outlive.actors.run.commands import CallTool, ReceiveBackgroundResult
from outlive.actors.run.messages_to_thread import told_to_thread
from outlive.actors.run.model_call import cut, failure
from outlive.actors.surroundings import Address, Surroundings
from outlive.actors.task.commands import CallHooks, ConcludeHooks, Effect
from outlive.actors.task.hooks import hooks_for
from outlive.actors.task.notes import End, TaskNotes
from outlive.actors.tool_attempt import Limits
from outlive.events import (
    Failure,
    MessageId,
    Position,
    TaskCancelled,
    TaskFailed,
    TaskLimits,
    TaskRejected,
    TaskSucceeded,
    TaskTimedOut,
    task_stream,
)
from outlive.events.ids import kind_of
from outlive.events.logger import get_logger
from outlive.projections import task_info
from outlive.projections.messages import task_result

_log: Final = get_logger()


class TaskWorld(NotingWorld[TaskNotes]):
    """Performs one task's effects. Fulfils `entity.World`."""

    def __init__(self, task_id: str, surroundings: Surroundings) -> None:
        self._task_id = task_id
        super().__init__(task_stream(task_id), surroundings)

    def _no_notes(self) -> TaskNotes:
        return TaskNotes()

    def perform(self, effect: Effect, cause: Position) -> None:
        """Start an effect, unless it runs already. Raises LogError."""
        if isinstance(effect, Deliver):
            self._courier.start(effect, partial(self._pack, effect), cause)
            return
        if self._all.effects.get(self._stream, effect) is not None:
            return
        home = Address(self._all, self._stream, effect, cause)
        if isinstance(effect, CallHooks):
            self._all.effects.start(
                self._stream,
                effect,
                partial(self._call_hooks, effect, home),
                failed=lambda reason: self._hooks_failed(effect, home, reason),
            )
            return
        notes = self._read_notes()
        self._all.effects.start(
            self._stream,
            effect,
            partial(self._call_tool, effect, home, notes),
            failed=lambda reason: self._failed(effect, home, reason),
        )

    async def _call_tool(self, effect: CallTool, home: Address, notes: TaskNotes) -> None:
        tool = self._all.tool(notes.agent_id, effect.name)
        assert tool is not None, "a task without its tool is blocked"
        await self._calls.make(
            effect,
            tool,
            notes.call,
            home,
            limits=_limits(notes.limits, self._all.progress_throttle),
            spread_by=self._stream,
            memos=notes.memos,
            answers=notes.answers,
            owner=notes.run_id or self._stream,
            agent_id=notes.agent_id,
            request_context=notes.request_context,
            thread_id=notes.thread_id or None,
            resource_id=notes.resource_id or None,
        )

    def _failed(self, effect: CallTool, home: Address, reason: str) -> None:
        """The attempt has ended without an outcome: that is how it ended."""
        if not self._all.effects.given_up(self._stream, effect):
            self._calls.failed(effect, home, Failure(kind="error", message=cut(reason)))

    async def _call_hooks(self, effect: CallHooks, home: Address) -> None:
        info = task_info(self._all.log, self._task_id, end=effect.end)
        failures: list[Failure] = []
        for hook in hooks_for(self._all.layers_of_hooks(info.agent_id, info.tool), info.status):
            try:
                await hook(info)
            except Exception as error:  # noqa: BLE001  # a hook's end is not the task's
                _log.error("task_hook_failed", stream=self._stream, error=told(error))
                failures.append(failure("error", error))
        home.conclude(ConcludeHooks(end=effect.end, number=effect.number, failures=tuple(failures)))

    def _hooks_failed(self, effect: CallHooks, home: Address, reason: str) -> None:
        if not self._all.effects.given_up(self._stream, effect):
            error = Failure(kind="error", message=cut(reason))
            home.conclude(ConcludeHooks(end=effect.end, number=effect.number, failures=(error,)))

    def _pack(self, message: Deliver) -> Parcel:
        """Return what the run is told, or the thread, or the heartbeat: how the task has ended."""
        notes = self._read_notes()
        if kind_of(message.to) == "heartbeat":
            return parcel_to_heartbeat(
                message, self._stream, self._all, lambda: task_end(notes.ends[0])
            )
        number = int(message.about or 1)
        told = _told(self._task_id, notes, notes.ends[number - 1])
        if kind_of(message.to) != "thread":
            return Parcel(told)
        again = f", try {number}" if number > 1 else ""
        text = task_result(
            self._task_id, notes.call.name, told.status, result=told.result, error=told.error
        )
        return Parcel(
            told_to_thread(
                text,
                thread=message.to,
                message=MessageId(sender=self._stream, sequence=message.sequence),
                about=f"task {self._task_id}{again}",
                agent_id=notes.agent_id,
                on_complete=notes.on_complete,
                resource_id=notes.resource_id,
                now_ns=self._all.clock.now_ns(),
            )
        )

    def give_up(self, effect: Effect) -> None:
        """Stop an effect that is owed no more, if it still runs."""
        if isinstance(effect, CallTool):
            self._calls.give_up(effect)
        else:
            self._all.effects.settle(self._stream, effect)


@lru_cache(maxsize=256)
def _limits(limits: TaskLimits, progress_throttle: float) -> Limits:
    """Return what an attempt may take. Most tasks have one of a few limits."""

    def seconds(length_ns: int | None) -> float | None:
        return None if length_ns is None else length_ns / 1e9

    return Limits(
        timeout=seconds(limits.timeout_ns),
        retry=retry_of(limits),
        stall_timeout=seconds(limits.stall_timeout_ns),
        progress_throttle=progress_throttle,
    )


def _told(task_id: str, notes: TaskNotes, end: End) -> ReceiveBackgroundResult:
    def received(**outcome: object) -> ReceiveBackgroundResult:
        return ReceiveBackgroundResult(
            call_id=notes.call.call_id,
            task_id=task_id,
            **outcome,  # type: ignore[arg-type]
        )

    match end:
        case TaskSucceeded():
            return received(status="succeeded", result=end.result, elapsed_ms=end.elapsed_ms)
        case TaskFailed():
            return received(status="failed", error=end.error, elapsed_ms=end.elapsed_ms)
        case TaskTimedOut():
            return received(status="timed_out", error=end.error, elapsed_ms=end.elapsed_ms)
        case TaskCancelled():
            error = Failure(kind="cancelled", message=end.reason or "it was cancelled")
            return received(status="cancelled", error=error)
        case TaskRejected():
            return received(status="rejected", error=Failure(kind="rejected", message=end.reason))
        case _:
            assert_never(end)
