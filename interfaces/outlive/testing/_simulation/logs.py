"""What simulated processes log: kept, in the place of being printed."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Generator, Iterable, Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any, Final

import structlog

from outlive.testing._simulation.clock import SimulatedClock
from outlive.testing._simulation.process import here

_KEPT: Final = 1_000
_TROUBLE: Final = ("warning", "error", "critical", "exception")


class LogLine:
    """One line: when, by which process, and what."""

    __slots__ = ("event", "facts", "level", "process", "seconds")

    def __init__(self, seconds: float, level: str, event: str, facts: dict[str, Any]) -> None:
        process = here()
        self.seconds = seconds
        self.process = 0 if process is None else process.number
        self.level = level
        self.event = event
        self.facts = facts

    @property
    def is_trouble(self) -> bool:
        """Whether it is a warning or worse."""
        return self.level in _TROUBLE

    def __str__(self) -> str:
        """Write it."""
        facts = " ".join(f"{name}={value}" for name, value in self.facts.items())
        return f"{self.seconds:.3f} s, process {self.process}: {self.event} {facts}"


class _Listening(threading.local):
    """Which simulation this thread works for, if any."""

    logs: Logs | None = None


_listening: Final = _Listening()


class _Diverted:
    """The processors that structlog is given, in the place of its own, for all threads.

    Its own are put back by the last one who lets go, whoever came first.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._processors: list[Any] = []
        self._own: list[Any] = []

    def begin(self) -> None:
        """Another simulation listens."""
        with self._lock:
            self._users += 1
            if self._users > 1:
                return
            # In place: loggers that were made before hold this very list.
            configured: Iterable[Any] = structlog.get_config()["processors"]
            processors = configured if isinstance(configured, list) else [*configured]
            if processors is not configured:
                structlog.configure(processors=processors)
            self._processors, self._own = processors, processors.copy()
            processors[:] = [self._hear]

    def end(self) -> None:
        """One listens no more."""
        with self._lock:
            self._users -= 1
            if not self._users:
                self._processors[:] = self._own

    def _hear(self, logger: Any, level: str, facts: Any) -> Any:
        logs = _listening.logs
        if logs is not None:
            return logs.keep(level, facts)
        for process in self._own:  # It is no simulation's.
            facts = process(logger, level, facts)
        return facts


_diverted: Final = _Diverted()


def listening() -> Logs | None:
    """Return who keeps what this thread logs."""
    return _listening.logs


@contextmanager
def kept_by(logs: Logs | None) -> Generator[None]:
    """Have what this thread logs in this `with` kept; None: by nobody."""
    before, _listening.logs = _listening.logs, logs
    try:
        yield
    finally:
        _listening.logs = before


class Logs:
    """The last 1,000 lines, oldest first."""

    def __init__(self, clock: SimulatedClock) -> None:
        self._clock = clock
        self._lines: deque[LogLine] = deque(maxlen=_KEPT)

    def __iter__(self) -> Iterator[LogLine]:
        """Go through the lines."""
        return iter(self._lines)

    def keep(self, level: str, facts: MutableMapping[str, Any]) -> Any:
        """Keep a line. Raises DropEvent: it is not printed."""
        event = str(facts.pop("event", ""))
        seconds = self._clock.monotonic_ns() / 1e9
        self._lines.append(LogLine(seconds, level, event, dict(facts)))
        raise structlog.DropEvent

    @contextmanager
    def kept(self) -> Generator[None]:
        """Keep what this thread logs in this `with`, and the threads that it hands on to."""
        _diverted.begin()
        try:
            with kept_by(self):
                yield
        finally:
            _diverted.end()
