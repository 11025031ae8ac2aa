"""What simulated processes log: kept, in the place of being printed."""

from __future__ import annotations

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


class Logs:
    """The last 1,000 lines, oldest first."""

    def __init__(self, clock: SimulatedClock) -> None:
        self._clock = clock
        self._lines: deque[LogLine] = deque(maxlen=_KEPT)

    def __iter__(self) -> Iterator[LogLine]:
        """Go through the lines."""
        return iter(self._lines)

    def _keep(self, _: object, level: str, facts: MutableMapping[str, Any]) -> Any:
        event = str(facts.pop("event", ""))
        seconds = self._clock.monotonic_ns() / 1e9
        self._lines.append(LogLine(seconds, level, event, dict(facts)))
        raise structlog.DropEvent

    @contextmanager
    def kept(self) -> Generator[None]:
        """Keep what is logged in this `with`."""
        # In place: loggers that were made before hold this very list.
        configured: Iterable[Any] = structlog.get_config()["processors"]
        processors = configured if isinstance(configured, list) else [*configured]
        if processors is not configured:
            structlog.configure(processors=processors)
        before = processors.copy()
        processors[:] = [self._keep]
        try:
            yield
        finally:
            processors[:] = before
