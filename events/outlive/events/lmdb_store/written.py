"""The records of a batch that was written, made when somebody looks at them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import overload

from outlive.events.lmdb_store.batch import Written
from outlive.events.record import Record


class WrittenRecords(Sequence[Record]):
    """Records as they will be read, in order. At least one.

    The writer pushes them while an event loop waits for the GIL, to go on with what is durable
    now: what they cost is for those who follow to pay, when they come for them.
    """

    __slots__ = ("_count", "_epoch", "_made", "_written")

    def __init__(self, written: Sequence[Written], epoch: int) -> None:
        self._written = written
        self._epoch = epoch
        self._count = len(written)
        self._made: list[Record] | None = None

    def __len__(self) -> int:
        """How many they are."""
        return self._count

    @overload
    def __getitem__(self, index: int) -> Record: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Record]: ...
    def __getitem__(self, index: int | slice) -> Record | Sequence[Record]:
        """Return some of them."""
        return self._records()[index]

    def __iter__(self) -> Iterator[Record]:
        """Go through them."""
        return iter(self._records())

    def _records(self) -> list[Record]:
        # In this order: another thread may be at it, which empties the one after it has set the
        # other. Two may make them; they are equal.
        written, made = self._written, self._made
        if made is None:
            epoch = self._epoch
            made = self._made = [
                Record(
                    position=answer.position,
                    stream=commit.stream,
                    first_version=answer.first_version,
                    recorded_at_ns=commit.recorded_at_ns,
                    epoch=epoch,
                    commit_id=commit_id,
                    events=tuple(commit.events),
                    hash=hash,
                    cause=commit.cause,
                    correlation_id=commit.correlation_id,
                )
                for commit, answer, commit_id, hash in written
            ]
            self._written = ()
        return made
