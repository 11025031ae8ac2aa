"""What a run came to: folded from its events, for people and programs that ask."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, TypeVar, cast

import msgspec

from outlive.events import (
    Event,
    Failure,
    LogError,
    LogReader,
    Message,
    OpenEntry,
    Recorded,
    RunNotFound,
    RunState,
    RunUnsuccessful,
    UnserialisableValue,
    Usage,
    Value,
    from_plain,
    run_stream,
)
from outlive.events.run import RunEvent, evolve
from outlive.projections.messages import Transcript
from outlive.projections.to_the_end import read_stream

T = TypeVar("T")

STANDING_STILL: Final = ("blocked", "quarantined")
"""The statuses of runs that go on only when somebody does something about their trouble."""


class RunResult(msgspec.Struct, frozen=True, kw_only=True):
    """A run at rest: over, or standing still until somebody does something.

    `status` is `completed`, `failed`, `cancelled`, `suspended` (it waits for a person, see
    `RunsQuery.pending`), `blocked` (its agent or a tool is not registered) or `quarantined` (it
    cannot be read, or keeps taking its process down). `steps` counts model answers, and `usage`
    includes that of child runs that are over. `output` is the text of the last answer, and `data`
    what it says, in plain values, for an agent with an output type.
    """

    run_id: str
    status: str
    output: str = ""
    finish_reason: str = ""
    error: Failure | None = None
    messages: tuple[Message, ...] = ()
    usage: Usage = Usage()
    steps: int = 0
    data: Value = None

    def output_as(self, type: type[T]) -> T:
        """Return what a completed run's output says: the agent's `output_type`, rebuilt.

        Raises:
            RunUnsuccessful: the run failed or stands still.
            UnserialisableValue: it is not of this type, or there is none: the run has ended by
                a condition to stop, or its agent has no output type.
        """
        self.unwrap()
        validate = getattr(type, "model_validate", None)  # a pydantic model
        if validate is None or self.data is None:
            return cast("T", from_plain(self.data, type))
        try:
            return cast("T", validate(self.data))
        except ValueError as error:
            raise UnserialisableValue(str(error)) from None

    def unwrap(self) -> str:
        """Return the output of a completed run.

        Raises:
            RunUnsuccessful: the run failed or stands still; the message says why.
        """
        if self.status != "completed":
            error = self.error or Failure(kind=self.status)
            raise RunUnsuccessful(
                self.run_id, self.status, f"{error.kind}: {error.message}".rstrip(": ")
            )
        return self.output


def result_of(
    run_id: str, state: RunState, transcript: Transcript, entry: OpenEntry | None = None
) -> RunResult:
    """Put a run's folded parts together."""
    status: str = state.status
    error = state.error
    if state.waiting:
        status = "waiting"
    if entry is not None and entry.status in STANDING_STILL:
        status, error = entry.status, Failure(kind=entry.status, message=entry.reason)
    return RunResult(
        run_id=run_id,
        status=status,
        output=transcript.output,
        finish_reason=state.finish_reason if state.over else "",
        error=error,
        messages=transcript.all(),
        usage=state.usage,
        steps=state.step,
        data=transcript.data,
    )


def fold_run(events: Iterable[Event]) -> tuple[RunState, Transcript]:
    """Fold a run's events into its state and its messages."""
    state, transcript = RunState(), Transcript()
    for event in events:
        if isinstance(event, RunEvent):
            state = evolve(state, event)
            transcript.apply(event)
    return state, transcript


def status_now(log: LogReader, run_id: str) -> str:
    """Return the status of a run, also of one that stands still. Raises RunNotFound."""
    entry = log.open_entry(run_stream(run_id))
    if entry is not None:
        return entry.status
    return fold_run(recorded.event for recorded in read_run(log, run_id))[0].status


def read_run(log: LogReader, run_id: str) -> list[Recorded]:
    """Return all events of a run. Raises RunNotFound."""
    found = read_stream(log, run_stream(run_id))
    if not found:
        raise RunNotFound(run_id)
    return found


def standing_result(log: LogReader, run_id: str, entry: OpenEntry) -> RunResult:
    """Return what a run that stands still came to so far, as far as it can be read."""
    try:
        return run_result(log, run_id, entry=entry)
    except LogError:
        error = Failure(kind=entry.status, message=entry.reason)
        return RunResult(run_id=run_id, status=entry.status, error=error)


def run_result(log: LogReader, run_id: str, *, entry: OpenEntry | None = None) -> RunResult:
    """Return what a run came to so far. Raises RunNotFound.

    `entry` is its row of the open table, where the caller knows better than the log.
    """
    state, transcript = fold_run(recorded.event for recorded in read_run(log, run_id))
    return result_of(run_id, state, transcript, entry or log.open_entry(run_stream(run_id)))
