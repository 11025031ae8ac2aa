"""The floor of the log: the same rows, written to LMDB in one thread, and nothing else.

Same tables, keys and values as `LmdbLog`: records with header and hash, packed into the same
rows, the streams' last records, names, entrances. What is left out is what makes it a log:
nobody is checked, waited for, answered or told.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import lmdb

from outlive.events import CODEC, Event
from outlive.events.lmdb_store.layout import (
    entrance_key,
    is_entrance,
    number_key,
    open_environment,
    open_tables,
)
from outlive.events.lmdb_store.rows import pack
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
        self._streams: dict[int, tuple[int, bytes]] = {}  # number: last version, last position

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
        first, before, tables, streams = self._position, self._hash, self._tables, self._streams
        position, schema = first, CODEC.schema
        records: list[bytes] = []
        entrances: list[tuple[bytes, bytes]] = []
        begun: list[tuple[bytes, bytes]] = []
        moved: dict[bytes, bytes] = {}
        for number, events, recorded_at_ns in commits:
            position += 1
            key, stream_key, name = number_key(position), number_key(number), b"run-%d" % number
            version, last = streams.get(number, (0, bytes(8)))
            if not version:
                begun.append((name, stream_key))
            payload = CODEC.encode(events)
            commit_id = next_commit_id(1, position)
            header = pack_header(
                0, len(events), schema, 1, number, version + 1, recorded_at_ns, commit_id
            )
            before = link_hash(before, position, header, payload_digest(payload))
            records.append(last + header + before + payload)
            moved[stream_key] = key + name
            if is_entrance(version + 1, version + len(events)):
                entrances.append((entrance_key(number, version + 1), key))
            streams[number] = (version + len(events), key)
        with self._env.begin(write=True) as txn:
            rows = [(number_key(first + 1 + index), row) for index, row in pack(records)]
            _put(txn, tables.log, rows, append=True)
            _put(txn, tables.ids, begun)
            _put(txn, tables.entrances, entrances)
            _put(txn, tables.streams, list(moved.items()))
        self._position, self._hash = position, before


def _put(
    txn: lmdb.Transaction,
    table: lmdb._Database,
    rows: list[tuple[bytes, bytes]],
    *,
    append: bool = False,
) -> None:
    if rows:
        with txn.cursor(table) as cursor:
            cursor.putmulti(rows, append=append)
