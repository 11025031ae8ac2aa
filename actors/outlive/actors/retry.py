"""When to try again what has failed."""

from __future__ import annotations

from datetime import timedelta
from hashlib import blake2b
from typing import Final

import msgspec

from outlive.events import Failure
from outlive.events.errors import InvalidDefinition

_NS: Final = 1_000_000_000


def seconds(name: str, value: float | timedelta) -> float:
    """Return a duration in seconds. Raises InvalidDefinition unless it is above zero."""
    length = value.total_seconds() if isinstance(value, timedelta) else float(value)
    if not 0 < length < float("inf"):
        raise InvalidDefinition(f"{name} is a duration above zero in seconds, not {value!r}")
    return length


class Retry(msgspec.Struct, frozen=True):
    """Try again up to `max_retries` times, waiting longer each time.

    The wait before retry n is `delay * factor ** (n - 1)` seconds, at most `max_delay`, spread
    by up to `jitter` (a share, 0.1 = 10 %) in either direction. `retry_on` names kinds of
    failure (`"timeout"`, `"error"`) or exception types (`"ConnectionError"`, without module).
    The spread is drawn from what is being retried, not from a random number, so that a replay
    comes to the same instant.

    Raises:
        InvalidDefinition: a value that cannot hold.
    """

    max_retries: int
    delay: float = 1.0
    factor: float = 2.0
    max_delay: float = 30.0
    jitter: float = 0.1
    retry_on: tuple[str, ...] = ("timeout", "error")

    def __post_init__(self) -> None:
        """Refuse what cannot hold."""
        if not 0 <= self.max_retries <= 1_000_000:
            raise InvalidDefinition(f"max_retries is 0 to 1,000,000, not {self.max_retries!r}")
        if self.delay < 0 or self.max_delay < 0 or self.factor < 1:
            raise InvalidDefinition("delay and max_delay are 0 or more, factor is 1 or more")
        if not 0 <= self.jitter <= 1:
            raise InvalidDefinition(f"jitter is a share from 0 to 1, not {self.jitter!r}")
        if not isinstance(self.retry_on, tuple):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidDefinition("retry_on is a tuple of names, such as ('timeout',)")

    def covers(self, error: Failure) -> bool:
        """Whether this kind of failure is worth another try."""
        return error.kind in self.retry_on or error.exception in self.retry_on

    def delay_ns(self, retry: int, key: str) -> int:
        """Return the wait before the `retry`-th retry (from 1) of what `key` names."""
        exponent = min(retry - 1, 1_000)
        try:
            wait = min(self.delay * self.factor**exponent, self.max_delay)
        except OverflowError:
            wait = self.max_delay
        drawn = blake2b(f"{key}/{retry}".encode(), digest_size=8).digest()
        spread = int.from_bytes(drawn, "big") / 2**63 - 1  # -1 to 1
        return int(wait * (1 + self.jitter * spread) * _NS)


NO_RETRY: Final = Retry(0)


def as_retry(value: int | Retry) -> Retry:
    """Return a `Retry`; an int means that many retries with the default waits."""
    return value if isinstance(value, Retry) else Retry(value)
