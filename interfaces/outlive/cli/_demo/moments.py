"""What happens in the demo, as the terminal learns of it: the one source of all its output."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from outlive.cli._demo.facts import Check, KillFacts, TaskFacts
from outlive.events import Value


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """Something worth telling. `at_ms` counts from the start of the demo."""

    at_ms: int


class Begun(Moment, frozen=True, kw_only=True, tag="begun"):
    """The stage is set. `served` says whether the demo serves the site itself, and counts."""

    run_id: str
    question: str
    site: str
    title: str
    served: bool
    model: str
    data: str
    kept: bool
    kills: int
    max_pages: int
    publish_to: str = ""  # the file that the brief is published as, if a person agrees
    goes_on: bool = False  # with a run that was left when its question was asked


class WorkerStarted(Moment, frozen=True, kw_only=True, tag="worker-started"):
    """A process was started to do the work. `number` counts from 1."""

    number: int
    pid: int


class PageRecorded(Moment, frozen=True, kw_only=True, tag="page-recorded"):
    """A page is in the log. `done` counts those of all attempts, `total` those known of.

    `task` is the number of the task that has read it; 0: the model had it read at once.
    """

    version: int
    task: int
    path: str
    title: str
    skipped: str
    attempt: int
    done: int
    total: int


class TaskQueuedUp(Moment, frozen=True, kw_only=True, tag="task-queued-up"):
    """A task waits for its turn. `number` counts from 1, `pages` are those that it is to read."""

    task_id: str
    version: int
    number: int
    pages: int


class TaskBegun(Moment, frozen=True, kw_only=True, tag="task-begun"):
    """An attempt at a task began. `kept` are the pages that earlier ones have recorded."""

    task_id: str
    version: int
    number: int
    attempt: int
    kept: int


class TaskTold(Moment, frozen=True, kw_only=True, tag="task-told"):
    """A task told how far it is."""

    task_id: str
    version: int
    number: int
    done: int
    total: int | None
    note: str


class TaskOver(Moment, frozen=True, kw_only=True, tag="task-over"):
    """A task has ended. `error` says why without a result."""

    task_id: str
    version: int
    number: int
    status: str
    error: str


class OutcomeHeard(Moment, frozen=True, kw_only=True, tag="outcome-heard"):
    """The outcome of a task is in the conversation. `version` is the run's."""

    task_id: str
    version: int
    number: int
    status: str


class AnswerBegun(Moment, frozen=True, kw_only=True, tag="answer-begun"):
    """The model is asked for the brief."""

    version: int
    attempt: int


class AnswerGrew(Moment, frozen=True, kw_only=True, tag="answer-grew"):
    """A piece of the brief came in. It is void if `AnswerVoid` follows."""

    version: int
    attempt: int
    text: str


class AnswerVoid(Moment, frozen=True, kw_only=True, tag="answer-void"):
    """What came in of this attempt is void: its process died. The answer starts anew."""

    version: int
    attempt: int
    characters: int


class Answered(Moment, frozen=True, kw_only=True, tag="answered"):
    """The brief is complete, and in the log."""

    version: int
    attempt: int
    text: str


class Asked(Moment, frozen=True, kw_only=True, tag="asked"):
    """A tool call waits for consent: what a person has to know, and what else answers it."""

    run_id: str
    call_id: str
    tool: str
    arguments: dict[str, Value]
    digest: str
    commands: tuple[str, ...]
    here: bool  # it can be answered at this terminal, too


class Decided(Moment, frozen=True, kw_only=True, tag="decided"):
    """A person has agreed, or has not. `arguments` are those that the person put in their place."""

    version: int
    granted: bool
    by: str
    note: str
    arguments: dict[str, Value] | None = None


class Published(Moment, frozen=True, kw_only=True, tag="published"):
    """The brief is in a file."""

    version: int
    path: str


class Concluded(Moment, frozen=True, kw_only=True, tag="concluded"):
    """The model's last word on what came of publishing."""

    version: int
    text: str


class Killed(Moment, frozen=True, kw_only=True, tag="killed"):
    """A worker was killed. What was in flight is read from the log after its death.

    `owner` is the epoch of the log in which it worked.
    """

    number: int
    pid: int
    signal: str
    in_flight: str
    version: int  # the last that survived
    pages: int
    characters: int  # of the answer, so far
    owner: int
    tasks: tuple[int, ...] = ()  # that ran, by their numbers
    asking: bool = False  # it waited for a person, and nothing was in flight


class Recovered(Moment, frozen=True, kw_only=True, tag="recovered"):
    """The next process took the work up. `silent_ms`: since the last event of the one before.

    `tasks` are those that ran when that one died, by their numbers.
    """

    version: int
    number: int
    pid: int
    owner: int
    silent_ms: int
    pages_kept: int
    tasks: tuple[int, ...] = ()


class Failed(Moment, frozen=True, kw_only=True, tag="failed"):
    """A call of the run failed."""

    version: int
    what: str
    reason: str


class Report(Moment, frozen=True, kw_only=True, tag="report"):
    """What survived, counted."""

    run_id: str
    ok: bool
    status: str
    checks: tuple[Check, ...]
    kills: tuple[KillFacts, ...]
    pages: int
    pages_skipped: int
    fetches: dict[str, int] | None  # by path, as the server counted; None: not our server
    tasks: tuple[TaskFacts, ...]
    tool_attempts: int
    model_answers: int
    model_attempts: int
    model_abandoned: int
    input_tokens: int
    output_tokens: int
    recoveries: int
    events: int
    elapsed_ms: int


AnyMoment: TypeAlias = (
    Begun
    | WorkerStarted
    | PageRecorded
    | AnswerBegun
    | AnswerGrew
    | AnswerVoid
    | Answered
    | Asked
    | Decided
    | Published
    | Concluded
    | Killed
    | Recovered
    | Failed
    | Report
    | TaskQueuedUp
    | TaskBegun
    | TaskTold
    | TaskOver
    | OutcomeHeard
)
