"""Which part of a list is wanted: between which times, from which end, from where on."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Final, Literal, NamedTuple, TypeAlias, get_args

from outlive.events import InvalidCursor, InvalidId
from outlive.projections.lists.kept import WHEN_BYTES, when_key

MOST: Final = 1_000
"""How many a page has at most."""
_CHECK_BYTES: Final = 5
_AFTER_ALL: Final = b"\xff" * WHEN_BYTES
_START: Final = datetime(1970, 1, 1, tzinfo=UTC)

Order: TypeAlias = Literal["newest", "oldest"]
"""What comes first."""


class Span(NamedTuple):
    """The places of a list with `first <= place < last`, the last ones first if `newest`."""

    first: bytes
    last: bytes
    newest: bool

    def beyond(self, place: bytes) -> Span:
        """Return the part that comes after a place."""
        if self.newest:
            return self._replace(last=min(self.last, place))
        return self._replace(first=max(self.first, place + b"\0"))


def span(since: datetime | None, until: datetime | None, order: Order) -> Span:
    """Return the span from `since` to before `until`. Raises ValueError, TypeError."""
    if order not in get_args(Order):
        raise ValueError(f"an order is {' or '.join(get_args(Order))}, not {order!r}")
    return Span(
        b"" if since is None else when_key(_nanoseconds(since, "since"), 0),
        _AFTER_ALL if until is None else when_key(_nanoseconds(until, "until"), 0),
        order == "newest",
    )


class Cursors:
    """Places of a list as texts that only the list itself can have handed out."""

    def __init__(self, log_id: str, use: str) -> None:
        self._key = log_id.encode()[:64]
        self._use = use.encode()

    def seal(self, place: bytes) -> str:
        """Return the cursor of a place."""
        return urlsafe_b64encode(place + self._check(place)).decode()

    def open(self, cursor: str) -> bytes:
        """Return the place of a cursor. Raises InvalidCursor."""
        try:
            data = urlsafe_b64decode(cursor)
        except (Base64Error, ValueError, TypeError):
            data = b""
        place = data[:WHEN_BYTES]
        if len(data) != WHEN_BYTES + _CHECK_BYTES or data[WHEN_BYTES:] != self._check(place):
            raise InvalidCursor(f"{cursor!r} is no cursor of this log: pass one of a page back")
        return place

    def _check(self, place: bytes) -> bytes:
        return blake2b(place + self._use, key=self._key, digest_size=_CHECK_BYTES).digest()


def check_limit(limit: int) -> None:
    """Raise ValueError unless so many may be asked for."""
    if type(limit) is not int or not 1 <= limit <= MOST:
        raise ValueError(f"a limit is 1 to {MOST:,}, not {limit!r}")


def check_text(name: str, text: object) -> None:
    """Raise InvalidId unless something may be named by this text."""
    if not isinstance(text, str):
        raise InvalidId(f"{name} is text, not {type(text).__name__}")
    if not text:
        raise InvalidId(f"{name} must not be empty")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidId(f"{name} {text!r} is not valid Unicode") from None


def utc(at_ns: int) -> datetime:
    """Return an instant as a time in UTC."""
    return _START + timedelta(microseconds=at_ns // 1_000)


def _nanoseconds(at: datetime, name: str) -> int:
    """Return an aware time in nanoseconds since 1970."""
    if not isinstance(at, datetime):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"{name} is a datetime, not {type(at).__name__}")
    if at.tzinfo is None or at.utcoffset() is None:
        raise ValueError(f"{name} has no time zone: use datetime(..., tzinfo=UTC), for one")
    return (at - _START) // timedelta(microseconds=1) * 1_000
