"""What a call in a worker process is, to the runtime that has it made."""

from __future__ import annotations

from typing import Protocol

import msgspec

from outlive.events import Failure, Value


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt of a tool call, as it goes to a worker: data only."""

    module: str
    qualname: str
    arguments: dict[str, Value]
    memos: dict[str, Value]
    answers: dict[str, Value]
    run_id: str
    agent_id: str
    call_id: str
    attempt: int
    idempotency_key: str
    request_context: dict[str, Value] = {}
    thread_id: str | None = None
    resource_id: str | None = None


class Desk(Protocol):
    """Who keeps what a worker asks to have recorded: the attempt, on its loop."""

    async def record_step(self, key: str, value: Value, elapsed_ms: int) -> None:
        """Record a step; returns once that is durable. Raises AttemptEnded."""
        ...

    async def suspend(
        self, key: str, payload: Value, answer_schema: dict[str, Value] | None
    ) -> None:
        """Record that a person is asked; the attempt is over then. Raises AttemptEnded."""
        ...

    def report_progress(self, done: float, total: float | None, note: str) -> None:
        """Pass progress on, throttled. Raises AttemptEnded."""
        ...


class CallFailed(Exception):
    """A call in a worker came to no result. `failure` is what the log keeps of it.

    `types` are the names of those that the tool's exception is of, if it has raised one. With
    `in_doubt` the worker has died: nobody knows what it had done by then.
    """

    def __init__(
        self, failure: Failure, *, types: tuple[str, ...] = (), in_doubt: bool = False
    ) -> None:
        super().__init__(failure.message)
        self.failure = failure
        self.types = types
        self.in_doubt = in_doubt


class Workers(Protocol):
    """Makes calls in processes of their own."""

    async def run(self, job: Job, desk: Desk) -> Value:
        """Make a call and return its plain result. Cancelled, the worker is killed.

        Raises:
            CallFailed: the tool raised, or its process died.
        """
        ...

    async def close(self) -> None:
        """Kill what still runs."""
        ...
