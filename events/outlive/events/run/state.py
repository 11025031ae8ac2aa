"""The state that a run's events fold into: positions and counters, never messages."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

import msgspec

from outlive.events.background import BackgroundCall
from outlive.events.event import ChildRun, Failure, Usage
from outlive.events.fires import FireOf
from outlive.events.ids import CallId
from outlive.events.mail import NO_MAIL, Mail
from outlive.events.run.background import IdlePolicy, OpenTask
from outlive.events.run.children import ParentCall
from outlive.events.run.stopping import StopCondition, StopFunction
from outlive.events.run.thread import ThreadPlace
from outlive.events.values import Value

RunStatus: TypeAlias = Literal["none", "running", "suspended", "completed", "failed", "cancelled"]
CallStatus: TypeAlias = Literal[
    "waiting", "started", "retrying", "asked", "suspended", "in_doubt", "child", "task"
]
FOR_A_PERSON: Final = frozenset({"asked", "suspended", "in_doubt"})
"""The statuses of calls that wait for a person."""
FOR_MESSAGES: Final = frozenset({"child", "task"})
"""The statuses of calls that wait for another entity."""
SIGNALS_KEPT: Final = 100
"""So many signals of a run are known again when they are repeated."""


class ModelAttempt(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The model call in flight. Its step is the state's."""

    attempt: int = 1
    messages: int = 0


class ModelWait(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A model call that has failed and is made again at `wake_at_ns`."""

    attempt: int  # the one that failed
    messages: int = 0
    wake_at_ns: int


class Call(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An open tool call. `attempt` is the last one started, 0 when none was.

    `failures` counts attempts that failed and were retried; those that a crash cut off are
    not among them.
    """

    name: str
    status: CallStatus = "waiting"
    attempt: int = 0
    failures: int = 0
    wake_at_ns: int | None = None  # of the next try, or when nobody has agreed until then
    asks: dict[str, dict[str, Value] | None] = {}  # keys that wait, and schemas of their answers
    digest: str = ""  # of the arguments that wait for consent
    child: ChildRun | None = None  # the run that answers it; "child": it has been started
    task: BackgroundCall | None = None  # that answers it; "task": it has been asked for


class RunState(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A run between two events.

    `step` counts completed model calls. `calls` holds the open calls of the last of them, in
    the order in which the model asked; a call that is over is in it no more, and a call of an
    earlier step never comes back. Its dict is never changed in place.
    """

    status: RunStatus = "none"
    agent_id: str = ""
    request: str = ""  # digest of what the run was started with
    max_steps: int = 20
    tool_concurrency: int = 10
    step: int = 0
    messages: int = 0
    model: str = ""
    model_attempt: ModelAttempt | None = None
    model_wait: ModelWait | None = None  # in the place of an attempt in flight
    model_failures: int = 0  # of this model in this step, that were or will be retried
    calls: dict[CallId, Call] = {}
    usage: Usage = Usage()  # with that of its child runs
    model_calls: int = 0  # attempts included
    recoveries: int = 0  # unclean ones, since something new was recorded
    finish_reason: str = ""
    error: Failure | None = None
    answers: dict[str, str] = {}  # by suspension: the digest of what a person has said
    stop_when: tuple[StopCondition, ...] = ()
    stop: str = ""  # the condition that is met: the run ends with its step
    repairs: int = 0  # answers that were not of the output type, and were to be given anew
    rejected: Failure | None = None  # what is wrong with the last answer
    until_idle: IdlePolicy | None = None
    rests: bool = False  # the model has answered, and results of tasks are waited for,
    rests_until_ns: int | None = None  # so long
    untold: int = 0  # results that have come since the model was called last
    wakes: tuple[CallId, ...] = ()  # those of them for which its thread is to be woken
    tasks: dict[CallId, OpenTask] = {}  # deferred, and not over yet as far as the run knows
    checks: int = 0  # recoveries while registered functions were asked whether to stop
    parent: ParentCall | None = None
    thread: ThreadPlace | None = None
    unread: int = 0  # signals that have come since the model was called last
    signals: tuple[str, ...] = ()  # the last ones, to be known when they are repeated
    fire: FireOf | None = None  # of a heartbeat, which is told how it goes
    cut_off: dict[CallId, int] = {}  # attempts that went on when it was cancelled: they may end yet
    mail: Mail = NO_MAIL

    @property
    def checking(self) -> bool:
        """Whether a step is over, and registered functions are to say if the run goes on."""
        return (
            self.status == "running"
            and not self.calls
            and self.model_attempt is None
            and self.model_wait is None
            and not self.rests
            and any(isinstance(condition, StopFunction) for condition in self.stop_when)
        )

    @property
    def waiting(self) -> bool:
        """Whether nothing goes on but child runs and tasks; a person may be waited for besides."""
        others = False
        for call in self.calls.values():
            if call.status in FOR_MESSAGES:
                others = True
            elif call.status not in FOR_A_PERSON and call.status != "waiting":
                return self.rests  # One that waits for its turn waits for those.
        return self.rests or (others and self.status == "running")

    @property
    def over(self) -> bool:
        """Whether the run has come to its end."""
        return self.status in ("completed", "failed", "cancelled")


def suspension(call_id: CallId, key: str) -> str:
    """Return the name of what a tool asks under a key."""
    return f"{call_id}/{key}"
