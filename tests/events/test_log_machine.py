"""A log beside a plain model of it; dying is a step like any other."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from outlive.events import (
    Committed,
    OpenEntry,
    StreamId,
    Version,
    WrongExpectedVersion,
    run_stream,
)
from tests.events.chain import first_broken
from tests.events.lmdb_files import stored_records
from tests.events.log_contract import Store, delta, texts
from tests.events.test_lmdb_log import LmdbStore
from tests.events.test_memory_log import MemoryStore

streams = st.sampled_from([run_stream(name) for name in "abc"])
some_texts = st.lists(st.text(max_size=5), max_size=4)
entries = st.sampled_from(
    [OpenEntry(kind="run", status="running"), OpenEntry(kind="run", status="waiting", owes=True)]
)
commit_ids = st.integers(0, 3).map(lambda number: number.to_bytes(16, "big"))


class LogMachine(RuleBasedStateMachine):
    store: Store

    def __init__(self) -> None:
        super().__init__()
        self.epoch = 1
        self.clean = True
        self.known: dict[StreamId, list[str]] = {}
        self.open: dict[StreamId, OpenEntry] = {}
        self.order: list[StreamId] = []
        self.records: list[tuple[StreamId, int, int]] = []
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
            stream, delta(*new), expected_version=Version(len(known) + off), commit_id=commit_id
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
                self.records.append((stream, len(known) + 1, len(known) + len(new)))
                self.known[stream] = [*known, *new]
                self.last[stream] = (commit_id or b"its own", done)
            assert done.position == len(self.records)

    def _begin(self, stream: StreamId) -> None:
        if stream not in self.order:
            self.order.append(stream)

    @rule(stream=streams, entry=entries, new=some_texts)
    def set_the_row(self, stream: StreamId, entry: OpenEntry, new: list[str]) -> None:
        known = self.known.get(stream, [])
        done = self.store.log.append(
            stream, delta(*new), expected_version=Version(len(known)), entry=entry
        ).result(5)
        self._begin(stream)
        self.open[stream] = entry
        if new:
            self.records.append((stream, len(known) + 1, len(known) + len(new)))
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

    @rule(stream=streams, after=st.integers(0, 20), limit=st.integers(1, 10))
    def read_a_part(self, stream: StreamId, after: int, limit: int) -> None:
        found = texts(self.store.log.read(stream, after=Version(after), limit=limit))
        assert found == self.known.get(stream, [])[after : after + limit]

    @invariant()
    def every_stream_is_what_was_acknowledged(self) -> None:
        log = self.store.log
        assert (log.epoch, log.clean) == (self.epoch, self.clean)
        for stream in (run_stream(name) for name in "abc"):
            known = self.known.get(stream, [])
            assert texts(log.read(stream)) == known
            assert log.version(stream) == len(known)
            assert log.open_entry(stream) == self.open.get(stream)
        records = log.read_all()
        assert [(one.stream, one.first_version, one.last_version) for one in records] == (
            self.records
        )
        assert log.head == len(self.records)
        assert log.open_entries() == [
            (stream, self.open[stream]) for stream in self.order if stream in self.open
        ]


class MemoryLogMachine(LogMachine):
    def __init__(self) -> None:
        super().__init__()
        self.store = MemoryStore()


class LmdbLogMachine(LogMachine):
    def __init__(self) -> None:
        super().__init__()
        self._path = Path(tempfile.mkdtemp())
        self.store = LmdbStore(self._path)

    def teardown(self) -> None:
        self.store.log.close()
        assert first_broken(stored_records(self._path)) is None
        shutil.rmtree(self._path)


TestMemoryLogMachine = MemoryLogMachine.TestCase
TestMemoryLogMachine.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)
TestLmdbLogMachine = LmdbLogMachine.TestCase
TestLmdbLogMachine.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)
