"""What `verify` asks of the tables that no record tells of: meta, inbox, replies, snapshots.

Each row has a checksum over its key and content. That none lacks is told by its counterpart: a
command that waits has a row in `inbox` and one in `replies`, one that is answered has rows in
`replies` and `expiries`. A snapshot has none: it is a cache.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from outlive.events.errors import CorruptLog
from outlive.events.lmdb_store.broken import Broken
from outlive.events.lmdb_store.inbox import decode_command, state_of
from outlive.events.lmdb_store.layout import Tables, number_key
from outlive.events.lmdb_store.meta import KEYS, clean_of, epoch_of, log_id_of, submitted_of
from outlive.events.lmdb_store.sums import content_of
from outlive.events.snapshot import unpack_snapshot

if TYPE_CHECKING:
    from outlive.events.lmdb_store.layout import Txn


def compare_meta(txn: Txn, tables: Tables, last_epoch: int) -> None:
    """See what the log says of itself; `last_epoch` is that of its last record. Raises Broken."""
    try:
        log_id_of(txn, tables)
        clean_of(txn, tables)
        epoch = epoch_of(txn, tables)
        submitted = submitted_of(txn, tables)
    except CorruptLog as error:
        raise _broken(error) from None
    if epoch < last_epoch:
        raise Broken(None, "the log's epoch is lower than that of its last record")
    if txn.stat(tables.meta)["entries"] != len(KEYS):
        raise Broken(None, "the table meta has other rows than those of a log")
    with txn.cursor(tables.inbox) as cursor:
        if cursor.last() and int.from_bytes(cursor.key(), "big") > submitted:
            raise Broken(None, "the inbox has more commands than were ever put into it")


def compare_commands(txn: Txn, tables: Tables) -> None:
    """See that commands, replies and their ages are what was written. Raises Broken."""
    waiting: dict[str, int] = {}
    with txn.cursor(tables.inbox) as cursor:
        for key, row in cursor.iternext():
            command = decode_command(bytes(key), row)
            if command is None:
                number = int.from_bytes(key, "big")
                raise Broken(None, f"command {number} in the inbox is not what was put there")
            waiting[command.command_id] = command.number
    answered = 0
    with txn.cursor(tables.replies) as cursor:
        for stored, row in cursor.iternext():
            key = bytes(stored)
            name = key.decode(errors="replace")
            try:
                is_answered, number, _ = state_of(key, row)
            except CorruptLog as error:
                raise _broken(error) from None
            if is_answered:
                answered += 1
                age = number_key(number) + key
                if content_of(age, txn.get(age, db=tables.expiries)) is None:
                    raise Broken(None, f"the age of the reply to command {name!r} lacks, or is bad")
            elif waiting.pop(name, None) != number:
                raise Broken(None, f"command {name!r} lacks in the inbox")
    if waiting:
        raise Broken(None, f"command {next(iter(waiting))!r} lacks in the table of replies")
    if txn.stat(tables.expiries)["entries"] != answered:
        raise Broken(None, "the table of expiries has rows of no reply")


def compare_snapshots(txn: Txn, tables: Tables, versions: Mapping[int, int]) -> None:
    """See that saved states are what was saved of streams at these versions. Raises Broken."""
    with txn.cursor(tables.snapshots) as cursor:
        for key, row in cursor.iternext():
            number = int.from_bytes(key, "big")
            found = unpack_snapshot(number, bytes(row)) if len(key) == 8 else None
            if found is None:
                raise Broken(None, f"the snapshot of stream number {number} is damaged")
            if found.version > versions.get(number, 0):
                raise Broken(None, f"the snapshot of stream number {number} is ahead of it")


def _broken(error: CorruptLog) -> Broken:
    return Broken(None, f"{error.where}: {error.reason}")
