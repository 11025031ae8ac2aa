"""What happens in the demo, as the terminal learns of it: the one source of all its output."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

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
    """A page is in the log. `done` counts those of all attempts, `total` those known of."""

    version: int
    path: str
    title: str
    skipped: str
    attempt: int
    done: int
    total: int


class ToolTold(Moment, frozen=True, kw_only=True, tag="tool-told"):
    """The tool told how far it is."""

    version: int
    done: int
    total: int | None
    note: str


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
    """A worker was killed. What was in flight is read from the log after its death."""

    number: int
    pid: int
    signal: str
    in_flight: str
    version: int  # the last that survived
    pages: int
    characters: int  # of the answer, so far
    fetched_unrecorded: tuple[str, ...]  # fetched, but not recorded yet: fetched again
    asking: bool = False  # it waited for a person, and nothing was in flight


class Recovered(Moment, frozen=True, kw_only=True, tag="recovered"):
    """The next process took the run up. `silent_ms`: since the last event of the one before."""

    version: int
    number: int
    pid: int
    owner: int
    silent_ms: int
    pages_kept: int


class Failed(Moment, frozen=True, kw_only=True, tag="failed"):
    """A call of the run failed."""

    version: int
    what: str
    reason: str


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """Something that should hold, whether it did, and by what figures."""

    name: str
    holds: bool
    says: str


class KillFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A kill, in the report."""

    pid: int
    signal: str
    in_flight: str
    next_pid: int | None
    silent_ms: int | None  # None: the run waited for a person, and was not taken up


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
    tool_attempts: int
    model_answers: int
    model_attempts: int
    model_abandoned: int
    input_tokens: int
    output_tokens: int
    recoveries: int
    versions: int
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
    | ToolTold
)
