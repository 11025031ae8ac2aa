"""When to try again what has failed."""

from __future__ import annotations

from datetime import timedelta
from hashlib import blake2b
from typing import Final, cast

import msgspec

from outlive.events import Failure
from outlive.events.errors import InvalidDefinition

_NS: Final = 1_000_000_000


_MAX_RETRIES: Final = 1_000_000
_MAX_DELAY: Final = 366 * 24 * 3600.0  # a year
_MAX_FACTOR: Final = 1_000


def _require(name: str, value: object, least: float, most: float) -> None:
    if type(value) not in (int, float) or not least <= cast("float", value) <= most:
        raise InvalidDefinition(f"{name} is a number from {least:g} to {most:g}, not {value!r}")


LONGEST: Final = 100 * 366 * 24 * 3600.0  # a hundred years
"""The longest duration in seconds: the instant at which it is over can be stored, as any other."""


def seconds(name: str, value: float | timedelta) -> float:
    """Return a duration in seconds.

    Raises:
        InvalidDefinition: it is not above zero, or longer than a hundred years.
    """
    length = value.total_seconds() if isinstance(value, timedelta) else value
    if type(length) not in (int, float) or not 0 < length <= LONGEST:
        raise InvalidDefinition(
            f"{name} is a duration above zero in seconds, a hundred years at most, not {value!r}"
        )
    return length


OF_TOOLS: Final = ("timeout", "error", "no_threads", "worker_died")
"""The kinds of failures for which a tool is called again, unless it says otherwise."""


class Retry(msgspec.Struct, frozen=True):
    """Try again up to `max_retries` times, waiting longer each time.

    The wait before retry n is `delay * factor ** (n - 1)` seconds, at most `max_delay`, spread
    by up to `jitter` (a share, 0.1 = 10 %) in either direction. `retry_on` names kinds of
    failure (`"timeout"`, `"error"`) or exception types (`"ConnectionError"`, without module),
    with all that inherit from them; None: what may pass, that is errors and timeouts of a tool,
    and of a model what it says. An attempt that is cut off at its deadline is a `"timeout"`, and
    no exception; a `TimeoutError` that a tool raises itself is an `"error"`.
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
    retry_on: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot hold."""
        if type(self.max_retries) is not int or not 0 <= self.max_retries <= _MAX_RETRIES:
            raise InvalidDefinition(
                f"max_retries is a count from 0 to {_MAX_RETRIES:,}, not {self.max_retries!r}"
            )
        _require("delay", self.delay, 0, _MAX_DELAY)
        _require("max_delay", self.max_delay, 0, _MAX_DELAY)
        _require("factor", self.factor, 1, _MAX_FACTOR)
        _require("jitter", self.jitter, 0, 1)
        if not isinstance(self.retry_on, tuple | None):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidDefinition("retry_on is a tuple of names, such as ('timeout',)")
        for name in self.retry_on or ():
            if not isinstance(name, str):  # pyright: ignore[reportUnnecessaryIsInstance]
                raise InvalidDefinition(f"retry_on holds names, 'ConnectionError', not {name!r}")

    def covers(
        self, error: Failure, usual: tuple[str, ...] = OF_TOOLS, *, types: tuple[str, ...] = ()
    ) -> bool:
        """Whether this kind of failure is worth another try; `usual` if it was not said.

        `types` are the names of all types that the exception is of.
        """
        retry_on = usual if self.retry_on is None else self.retry_on
        return any(name in retry_on for name in (error.kind, error.exception, *types))

    def delay_ns(self, retry: int, key: str, *, at_least_ns: int = 0) -> int:
        """Return the wait before the `retry`-th retry (from 1) of what `key` names.

        Those who were told the same `at_least_ns` do not all come back at the same instant.
        """
        exponent = min(retry - 1, 1_000)
        try:
            wait = min(self.delay * self.factor**exponent, self.max_delay)
        except OverflowError:
            wait = self.max_delay
        drawn = blake2b(f"{key}/{retry}".encode(), digest_size=8).digest()
        spread = int.from_bytes(drawn, "big") / 2**63 - 1  # -1 to 1
        wait_ns = int(wait * (1 + self.jitter * spread) * _NS)
        if wait_ns >= at_least_ns:
            return wait_ns
        return at_least_ns + int(wait * self.jitter * abs(spread) * _NS)


NO_RETRY: Final = Retry(0)


def as_retry(value: int | Retry, name: str = "retry") -> Retry:
    """Return a `Retry`; an int means that many retries with the default waits.

    Raises:
        InvalidDefinition: it is neither. `name` is what it is said to be.
    """
    if isinstance(value, Retry):
        return value
    if type(value) is not int or not 0 <= value <= _MAX_RETRIES:
        raise InvalidDefinition(
            f"{name} is Retry(...), or a count from 0 to {_MAX_RETRIES:,}, not {value!r}"
        )
    return Retry(value)
