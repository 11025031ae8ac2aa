"""Commands from other processes: put by a visitor, carried out by the owner, answered once.

A visitor puts a command with an id that it draws, in a transaction of its own. The owner takes
it up, and the one transaction that writes what the command causes also takes it out of the inbox
and stores its reply. So it is done exactly once, whoever dies when:

- before the visitor's commit: there is no such command.
- after it: the command is in the inbox, until it is done. A visitor that does not know whether
  its commit is in puts the same command again, which changes nothing.
- the owner dies with the command in its hands: the next owner finds it in the inbox.
- after the owner's commit: the command is out of the inbox, and the reply waits for who asks.

Replies are kept for 24 hours, then they are taken out by and by, as others are put in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from outlive.events.ids import StreamId
from outlive.events.lmdb_store.layout import SUBMITTED, Tables, number_key
from outlive.events.submitted import Submitted

if TYPE_CHECKING:
    from outlive.events.lmdb_store.layout import Txn

REPLIES_KEPT_NS: Final = 24 * 3_600 * 1_000_000_000

_WAITS: Final = b"\0"
_ANSWERED: Final = b"\1"
_PURGE_AT_ONCE: Final = 4


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(Submitted).decode
_UNREADABLE: Final = Submitted(command_id="", stream=StreamId(""), data=b"", submitted_at_ns=0)


def put_command(txn: Txn, tables: Tables, command: Submitted) -> None:
    """Put a command into the inbox, behind all others; nothing if it waits or is answered."""
    key = command.command_id.encode()
    if txn.get(key, db=tables.replies) is not None:
        return
    # Counted apart from the rows, so that no number comes twice when they are all done.
    number = int.from_bytes(txn.get(SUBMITTED, b"", db=tables.meta), "big") + 1
    txn.put(SUBMITTED, number_key(number), db=tables.meta)
    txn.put(number_key(number), _encode(command), db=tables.inbox)
    txn.put(key, _WAITS + number_key(number), db=tables.replies)


def commands(txn: Txn, tables: Tables, *, after: int = 0, limit: int = 1_000) -> list[Submitted]:
    """Return at most `limit` commands that wait, the oldest first, beyond a number.

    One that cannot be read has no id and no stream: it stays where it is, and holds up nobody.
    """
    found: list[Submitted] = []
    with txn.cursor(tables.inbox) as cursor:
        if not cursor.set_range(number_key(after + 1)):
            return found
        for key, row in cursor.iternext():
            if len(found) == limit:
                break
            number = int.from_bytes(key, "big")
            try:
                command = _decode(row)
            except (msgspec.DecodeError, UnicodeDecodeError):
                command = _UNREADABLE
            found.append(msgspec.structs.replace(command, number=number))
    return found


def answer(txn: Txn, tables: Tables, command_id: str, reply: bytes, now_ns: int) -> None:
    """Take a command out of the inbox and store its reply."""
    key = command_id.encode()
    before = bytes(txn.get(key, b"", db=tables.replies))
    if before[:1] == _WAITS:
        txn.delete(before[1:], db=tables.inbox)
    at = number_key(max(now_ns, 0))
    txn.put(key, _ANSWERED + at + reply, db=tables.replies)
    txn.put(at + key, b"", db=tables.expiries)
    _purge(txn, tables, now_ns)


def _purge(txn: Txn, tables: Tables, now_ns: int) -> None:
    """Take out a few replies that are older than a day."""
    old = number_key(max(now_ns - REPLIES_KEPT_NS, 0))
    with txn.cursor(tables.expiries) as cursor:
        for _ in range(_PURGE_AT_ONCE):
            if not cursor.first():
                return
            key = bytes(cursor.key())
            if key[:8] >= old:
                return
            cursor.delete()
            txn.delete(key[8:], db=tables.replies)


def waits(txn: Txn, tables: Tables, command_id: str) -> bool:
    """Whether a command is in the inbox."""
    return bytes(txn.get(command_id.encode(), b"", db=tables.replies))[:1] == _WAITS


def reply_to(txn: Txn, tables: Tables, command_id: str) -> bytes | None:
    """Return the reply to a command; None while there is none, or when it is too old."""
    row = bytes(txn.get(command_id.encode(), b"", db=tables.replies))
    return row[9:] if row[:1] == _ANSWERED else None
