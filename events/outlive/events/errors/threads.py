"""What a thread refuses, and a run on it."""

from __future__ import annotations

from outlive.events.errors.refused import Refused


class ThreadExists(Refused):
    """A thread with this id was created otherwise: with another resource, title, agent, ..."""

    def __init__(self, thread_id: str) -> None:
        super().__init__(f"thread {thread_id!r} exists already, and was created otherwise")
        self.thread_id = thread_id


class SignalExists(Refused):
    """A signal with this idempotency key says something else."""

    def __init__(self, thread_id: str, signal_id: str) -> None:
        super().__init__(f"thread {thread_id!r} has another signal under {signal_id!r}")
        self.thread_id = thread_id
        self.signal_id = signal_id


class ThreadBusy(Refused):
    """A run is active on the thread, and this one was not to wait for it."""

    def __init__(self, thread_id: str, run_id: str) -> None:
        super().__init__(f"run {run_id!r} is active on thread {thread_id!r}")
        self.thread_id = thread_id
        self.run_id = run_id


class NotQueued(Refused):
    """The run does not wait its turn: it has begun, or was taken back before."""

    def __init__(self, thread_id: str, run_id: str) -> None:
        super().__init__(f"nothing waits as {run_id!r} on thread {thread_id!r}")
        self.thread_id = thread_id
        self.run_id = run_id


class OtherResource(Refused):
    """The thread belongs to another resource. Nothing of it is told."""

    def __init__(self, thread_id: str, resource_id: str) -> None:
        super().__init__(f"thread {thread_id!r} does not belong to resource {resource_id!r}")
        self.thread_id = thread_id
        self.resource_id = resource_id


class NobodyAnswers(Refused):
    """Nobody is known who is to answer on the thread: say which agent is."""

    def __init__(self, thread_id: str) -> None:
        super().__init__(f"no agent has answered on thread {thread_id!r} yet: say which one is to")
        self.thread_id = thread_id


class RunOver(Refused):
    """The run has come to its end: it reads no signals any more. `status` is which."""

    def __init__(self, run_id: str, status: str) -> None:
        super().__init__(f"run {run_id!r} is {status} already: nobody reads a signal to it")
        self.run_id = run_id
        self.status = status
