"""What has to hold of threads, signals and heartbeats when everything is over."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping

from outlive.events import OpenEntry, Record, SignalReceived, StreamId, thread_stream
from outlive.testing._conversations import Conversations
from outlive.testing._pulses import Pulses


class Talks:
    """Follows the records of a log, in order."""

    def __init__(self) -> None:
        self._conversations = Conversations()
        self._pulses = Pulses()
        self._taken: dict[tuple[str, str], list[str]] = defaultdict(list)

    def take(self, record: Record) -> None:
        """Take the next record."""
        self._conversations.hear(record)
        self._pulses.hear(record)
        for event in record.events:
            if isinstance(event, SignalReceived):
                self._taken[record.stream, event.signal_id].append(event.action)

    def problems(
        self,
        signalled: Mapping[tuple[str, str], set[str]],
        rows: Mapping[StreamId, OpenEntry],
    ) -> Iterator[str]:
        """Yield what does not hold.

        Args:
            signalled: what was told of signals, by thread and id.
            rows: what is open still.
        """
        found = (
            self._conversations.problem(),
            self._conversations.unread(rows),
            self._pulses.problem(),
        )
        for problem in filter(None, found):
            yield ": ".join(problem)
        for (stream, signal_id), actions in self._taken.items():
            if len(actions) > 1:
                yield f"signal {signal_id} was taken {len(actions)} times by {stream}"
        for (thread, signal_id), told in signalled.items():
            taken = self._taken.get((thread_stream(thread), signal_id), [])
            for action in sorted(told - {*taken}):
                yield f"signal {signal_id} was told to be {action} on {thread}, it is {taken}"
        for stream, row in rows.items():
            if row.kind == "thread" or (row.kind == "heartbeat" and row.owes):
                yield f"{stream} is {row.status}, and not at rest {row.reason}".strip()
