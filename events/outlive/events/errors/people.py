"""What is refused of that which a person says to a run or task."""

from __future__ import annotations

from outlive.events.errors.refused import Refused


class NotSuspended(Refused):
    """The run waits for nobody. `status` tells what it does.

    `run_id` is that of the task, if its `kind` is that.
    """

    def __init__(self, run_id: str, status: str, kind: str = "run") -> None:
        super().__init__(f"{kind} {run_id!r} is not suspended: it is {status}")
        self.kind = kind
        self.run_id = run_id
        self.status = status


class AmbiguousSuspension(Refused):
    """The run waits for several answers. Say which one this is.

    `run_id` is that of the task, if its `kind` is that.
    """

    def __init__(self, run_id: str, names: tuple[str, ...], kind: str = "run") -> None:
        super().__init__(
            f"{kind} {run_id!r} waits for several answers, name one: {', '.join(map(repr, names))}"
        )
        self.run_id = run_id
        self.names = names
        self.kind = kind


class AlreadyResumed(Refused):
    """The suspension was answered before, with another value.

    `run_id` is that of the task, if its `kind` is that.
    """

    def __init__(self, run_id: str, suspension: str, kind: str = "run") -> None:
        super().__init__(
            f"suspension {suspension!r} of {kind} {run_id!r} has another answer already"
        )
        self.run_id = run_id
        self.suspension = suspension
        self.kind = kind


class AlreadyDecided(Refused):
    """It was decided before, and otherwise. `decision` is what was decided."""

    def __init__(self, run_id: str, call_id: str, decision: str) -> None:
        super().__init__(f"tool call {call_id!r} of run {run_id!r} is {decision} already")
        self.run_id = run_id
        self.call_id = call_id
        self.decision = decision


class ArgumentsChanged(Refused):
    """The call has other arguments than those that the decision is about. Look again."""

    def __init__(self, run_id: str, call_id: str, expected: str, actual: str) -> None:
        super().__init__(
            f"tool call {call_id!r} of run {run_id!r} has arguments with digest {actual!r}, "
            f"not {expected!r}"
        )
        self.run_id = run_id
        self.call_id = call_id
        self.expected = expected
        self.actual = actual


class InvalidResumeValue(Refused):
    """The answer has not the shape that was asked for. The run is still suspended.

    `run_id` is that of the task, if its `kind` is that.
    """

    def __init__(self, run_id: str, suspension: str, reason: str, kind: str = "run") -> None:
        said = f"the answer to suspension {suspension!r} of" if suspension else "what is said of"
        super().__init__(f"{said} {kind} {run_id!r} does not fit: {reason}")
        self.run_id = run_id
        self.suspension = suspension
        self.reason = reason
        self.kind = kind
