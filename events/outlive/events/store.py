"""What every store of a log does alike."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from outlive.events.codec import Codec
from outlive.events.errors import UnserialisableValue
from outlive.events.event import Event
from outlive.events.record import MAX_EVENTS


def encode_events(codec: Codec, events: Sequence[Event]) -> bytes:
    """Encode the events of one append. Raises UnserialisableValue."""
    if len(events) > MAX_EVENTS:
        raise UnserialisableValue(f"a commit holds at most {MAX_EVENTS} events, not {len(events)}")
    try:
        return codec.encode(events)
    except (TypeError, ValueError, OverflowError, msgspec.EncodeError) as error:
        raise UnserialisableValue(f"an event cannot be encoded: {error}") from None


def next_commit_id(epoch: int, count: int) -> bytes:
    """Return a commit id that no other commit of the log has: owner's epoch and a counter."""
    return epoch.to_bytes(8, "big") + count.to_bytes(8, "big")


def check_limit(limit: int) -> None:
    """Raise ValueError unless `limit` is what a read may return at most."""
    if not 1 <= limit <= 10_000:  # noqa: PLR2004  # said in the contract
        raise ValueError(f"a limit is 1 to 10,000, not {limit}")
