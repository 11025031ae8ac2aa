"""The floor of the log: the same rows, written to LMDB in one thread, and nothing else.

Same tables, keys and values as `LmdbLog`: records with header and hash, the streams' last
records, names, entrances. What is left out is what makes it a log: nobody is checked, waited
for, answered or told.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from outlive.events import CODEC, Event
from outlive.events.lmdb_store.layout import (
    entrance_key,
    is_entrance,
    number_key,
    open_environment,
    open_tables,
)
from outlive.events.record import GENESIS, link_hash, pack_header, payload_digest
from outlive.events.store import next_commit_id


class BareLog:
    """Writes records for streams numbered from 1."""

    def __init__(self, folder: Path) -> None:
        self._env: Final = open_environment(folder, readonly=False)
        with self._env.begin(write=True) as txn:
            self._tables: Final = open_tables(self._env, txn, create=True)
        self._position = 0
        self._hash = GENESIS
        self._streams: dict[int, tuple[int, int]] = {}  # number: last version, last position

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the files."""
        self._env.close()

    def write(self, commits: Iterable[tuple[int, Sequence[Event], int]]) -> None:
        """Write commits, each a stream's number, events and the time, in one transaction."""
        position, before, tables = self._position, self._hash, self._tables
        encode, schema = CODEC.encode, CODEC.schema
        with self._env.begin(write=True) as txn:
            put = txn.put
            for number, events, recorded_at_ns in commits:
                position += 1
                key, stream_key = number_key(position), number_key(number)
                version, last = self._streams.get(number, (0, 0))
                name = b"run-%d" % number
                if not version:
                    put(name, stream_key, db=tables.ids)
                payload = encode(events)
                commit_id = next_commit_id(1, position)
                header = pack_header(
                    0, len(events), schema, 1, number, version + 1, recorded_at_ns, commit_id
                )
                before = link_hash(before, position, header, payload_digest(payload))
                put(key, number_key(last) + header + before + payload, db=tables.log)
                put(stream_key, key + name, db=tables.streams)
                if is_entrance(version + 1, version + len(events)):
                    put(entrance_key(number, version + 1), key, db=tables.entrances)
                self._streams[number] = (version + len(events), position)
        self._position, self._hash = position, before
