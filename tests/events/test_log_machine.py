"""A log beside a plain model of it; dying is a step like any other."""

from __future__ import annotations

import os
import shutil
import tempfile
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from outlive.events import (
    Committed,
    Event,
    ModelCallCompleted,
    ModelDelta,
    OpenEntry,
    Position,
    Recorded,
    StreamId,
    Version,
    WrongExpectedVersion,
    run_stream,
)
from outlive.events.lmdb_store.verify import verify_here
from outlive.testing.log_contract import Store
from tests.events.test_lmdb_log import LmdbLogs
from tests.events.test_memory_log import MemoryLogs

streams = st.sampled_from([run_stream(name) for name in "abc"])
some_texts = st.lists(st.text(max_size=5), max_size=4)
entries = st.sampled_from(
    [OpenEntry(kind="run", status="running"), OpenEntry(kind="run", status="waiting", owes=True)]
)
commit_ids = st.integers(0, 3).map(lambda number: number.to_bytes(16, "big"))


END = "the end of the answer"


def events_of(texts: list[str]) -> list[Event]:
    return [ModelCallCompleted() if text == END else ModelDelta(text=text) for text in texts]


def read_texts(found: list[Recorded]) -> list[tuple[int, str]]:
    return [
        (one.version, one.event.text if isinstance(one.event, ModelDelta) else END) for one in found
    ]


class LogMachine(RuleBasedStateMachine):
    store: Store

    def __init__(self) -> None:
        super().__init__()
        self.epoch = 1
        self.clean = True
        self.known: dict[StreamId, list[str]] = {}  # an answer's end is a text of its own
        self.gone: dict[StreamId, set[int]] = {}  # versions
        self.open: dict[StreamId, OpenEntry] = {}
        self.order: list[StreamId] = []
        self.records: list[tuple[int, StreamId, int, int]] = []
        self.head = 0
        self.last: dict[StreamId, tuple[bytes, Committed]] = {}

    @rule(stream=streams, new=some_texts, off=st.sampled_from([0, 0, 0, 1, -1]))
    def append(self, stream: StreamId, new: list[str], off: int) -> None:
        self._append(stream, new, off, None)

    @rule(stream=streams, new=some_texts, commit_id=commit_ids)
    def append_with_an_id(self, stream: StreamId, new: list[str], commit_id: bytes) -> None:
        self._append(stream, new, 0, commit_id)

    def _append(self, stream: StreamId, new: list[str], off: int, commit_id: bytes | None) -> None:
        known = self.known.get(stream, [])
        commit = self.store.log.append(
            stream, events_of(new), expected_version=Version(len(known) + off), commit_id=commit_id
        )
        if commit_id is not None and self.last.get(stream, (b"",))[0] == commit_id:
            assert commit.result(5) == self.last[stream][1]
        elif off:
            with pytest.raises(WrongExpectedVersion) as refused:
                commit.result(5)
            assert refused.value.actual == len(known)
        else:
            done = commit.result(5)
            assert done.last_version == len(known) + len(new)
            if new:
                self._begin(stream)
                self._record(stream, len(known) + 1, len(known) + len(new))
                self.known[stream] = [*known, *new]
                self.last[stream] = (commit_id or b"its own", done)
            assert done.position == self.head

    def _record(self, stream: StreamId, first: int, last: int) -> None:
        self.head += 1
        self.records.append((self.head, stream, first, last))

    def _begin(self, stream: StreamId) -> None:
        if stream not in self.order:
            self.order.append(stream)

    @rule(stream=streams, entry=entries, new=some_texts)
    def set_the_row(self, stream: StreamId, entry: OpenEntry, new: list[str]) -> None:
        known = self.known.get(stream, [])
        done = self.store.log.append(
            stream, events_of(new), expected_version=Version(len(known)), entry=entry
        ).result(5)
        self._begin(stream)
        self.open[stream] = entry
        if new:
            self._record(stream, len(known) + 1, len(known) + len(new))
            self.known[stream] = [*known, *new]
            self.last[stream] = (b"its own", done)

    @rule(stream=streams)
    def remove_the_row(self, stream: StreamId) -> None:
        version = Version(len(self.known.get(stream, [])))
        self.store.log.append(stream, [], expected_version=version, entry=None).result(5)
        self.open.pop(stream, None)

    @rule(clean=st.booleans())
    def reopen(self, clean: bool) -> None:
        self.store.reopen(clean=clean)
        self.epoch += 1
        self.clean = clean

    @rule(stream=streams)
    def end_an_answer(self, stream: StreamId) -> None:
        self._append(stream, [END], 0, None)

    @rule()
    def compact(self) -> None:
        stay: list[tuple[int, StreamId, int, int]] = []
        for record in self.records:
            _, stream, first, last = record
            texts = self.known[stream]
            if END in texts[last:] and END not in texts[first - 1 : last]:
                self.gone.setdefault(stream, set()).update(range(first, last + 1))
            else:
                stay.append(record)
        done = self.store.log.compact()
        assert done.records == len(self.records) - len(stay)
        self.records = stay
        positions = [0, *(record[0] for record in stay)]
        assert done.gaps == sum(after - one > 1 for one, after in pairwise(positions))

    def _left(self, stream: StreamId) -> list[tuple[int, str]]:
        gone = self.gone.get(stream, set())
        numbered = enumerate(self.known.get(stream, []), 1)
        return [(version, text) for version, text in numbered if version not in gone]

    @rule(stream=streams, after=st.integers(0, 20), limit=st.integers(1, 10))
    def read_a_part(self, stream: StreamId, after: int, limit: int) -> None:
        found = read_texts(self.store.log.read(stream, after=Version(after), limit=limit))
        assert found == [one for one in self._left(stream) if one[0] > after][:limit]

    @rule(after=st.integers(0, 20), limit=st.integers(1, 10))
    def read_a_part_of_all(self, after: int, limit: int) -> None:
        found = self.store.log.read_all(after=Position(after), limit=limit)
        there = [position for position, *_ in self.records if position > after]
        assert [record.position for record in found] == there[:limit]

    @invariant()
    def every_stream_is_what_was_acknowledged(self) -> None:
        log = self.store.log
        assert (log.epoch, log.clean) == (self.epoch, self.clean)
        for stream in (run_stream(name) for name in "abc"):
            known = self.known.get(stream, [])
            assert read_texts(log.read(stream)) == self._left(stream)
            assert log.version(stream) == len(known)
            assert log.open_entry(stream) == self.open.get(stream)
        records = log.read_all()
        assert [
            (one.position, one.stream, one.first_version, one.last_version) for one in records
        ] == self.records
        assert log.head == self.head
        assert log.open_entries() == [
            (stream, self.open[stream]) for stream in self.order if stream in self.open
        ]


class MemoryLogMachine(LogMachine):
    def __init__(self) -> None:
        super().__init__()
        self.store = Store(MemoryLogs(), Path())


class LmdbLogMachine(LogMachine):
    def __init__(self) -> None:
        super().__init__()
        self._path = Path(tempfile.mkdtemp(dir=os.environ.get("PYTEST_DEBUG_TEMPROOT")))
        self.store = Store(LmdbLogs(), self._path)

    def teardown(self) -> None:
        self.store.log.close()
        assert verify_here(self._path).ok
        shutil.rmtree(self._path)


EXAMPLES = settings().max_examples  # of the profile
TestMemoryLogMachine = MemoryLogMachine.TestCase
TestMemoryLogMachine.settings = settings(max_examples=EXAMPLES, stateful_step_count=30)
TestLmdbLogMachine = LmdbLogMachine.TestCase
TestLmdbLogMachine.settings = settings(max_examples=EXAMPLES, stateful_step_count=30)
