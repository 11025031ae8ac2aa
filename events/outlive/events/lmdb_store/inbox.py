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

The rows of all three tables have checksums (sums.py). A command that is not what was put is not
carried out; a reply that is not what was stored is an error for who asks, until its command is
answered again; one whose age is unknown is kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from outlive.events.errors import CorruptLog
from outlive.events.ids import StreamId
from outlive.events.lmdb_store.layout import Tables, number_key
from outlive.events.lmdb_store.meta import put_submitted, submitted_of
from outlive.events.lmdb_store.sums import content_of, summed
from outlive.events.submitted import Submitted

if TYPE_CHECKING:
    from outlive.events.lmdb_store.layout import Txn

REPLIES_KEPT_NS: Final = 24 * 3_600 * 1_000_000_000

_WAITS: Final = b"\0"
_ANSWERED: Final = b"\1"
_HEAD_BYTES: Final = 9
_PURGE_AT_ONCE: Final = 4


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(Submitted).decode
_UNREADABLE: Final = Submitted(command_id="", stream=StreamId(""), data=b"", submitted_at_ns=0)


def put_command(txn: Txn, tables: Tables, command: Submitted) -> None:
    """Put a command into the inbox, behind all others; nothing if it waits or is answered.

    Raises:
        CorruptLog: how many there were before cannot be told.
    """
    key = command.command_id.encode()
    if txn.get(key, db=tables.replies) is not None:
        return
    # Counted apart from the rows, so that no number comes twice when they are all done.
    number = submitted_of(txn, tables) + 1
    put_submitted(txn, tables, number)
    number_row = number_key(number)
    if not txn.put(
        number_row, summed(number_row, _encode(command)), db=tables.inbox, overwrite=False
    ):
        raise CorruptLog(f"command {number}", "it is in the inbox before it was put")
    txn.put(key, summed(key, _WAITS + number_row), db=tables.replies)


def decode_command(key: bytes, row: bytes | memoryview) -> Submitted | None:
    """Return a command as it was put; None if it is not."""
    content = content_of(key, row)
    if content is None:
        return None
    try:
        command = _decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None  # Of a later release.
    return msgspec.structs.replace(command, number=int.from_bytes(key, "big"))


def commands(txn: Txn, tables: Tables, *, after: int = 0, limit: int = 1_000) -> list[Submitted]:
    """Return at most `limit` commands that wait, the oldest first, beyond a number.

    One that is not what was put has no id and no stream: it stays where it is, and holds up
    nobody.
    """
    found: list[Submitted] = []
    with txn.cursor(tables.inbox) as cursor:
        if not cursor.set_range(number_key(after + 1)):
            return found
        for key, row in cursor.iternext():
            if len(found) == limit:
                break
            number = int.from_bytes(key, "big")
            command = decode_command(bytes(key), row)
            found.append(command or msgspec.structs.replace(_UNREADABLE, number=number))
    return found


def answer(txn: Txn, tables: Tables, command_id: str, reply: bytes, now_ns: int) -> None:
    """Take a command out of the inbox and store its reply."""
    key = command_id.encode()
    row = txn.get(key, db=tables.replies)
    before = content_of(key, row)
    if before is not None and before[:1] == _WAITS:
        txn.delete(before[1:], db=tables.inbox)
    elif before is not None:
        txn.delete(before[1:_HEAD_BYTES] + key, db=tables.expiries)
    elif row is not None:
        _take_out(txn, tables, command_id)
    at = number_key(max(now_ns, 0))
    txn.put(key, summed(key, _ANSWERED + at + reply), db=tables.replies)
    txn.put(at + key, summed(at + key, b""), db=tables.expiries)
    _purge(txn, tables, now_ns)


def _take_out(txn: Txn, tables: Tables, command_id: str) -> None:
    """Take a command out of the inbox whose number is not known any more."""
    with txn.cursor(tables.inbox) as cursor:
        for key, row in cursor.iternext():
            command = decode_command(bytes(key), row)
            if command is not None and command.command_id == command_id:
                cursor.delete()
                return


def _purge(txn: Txn, tables: Tables, now_ns: int) -> None:
    """Take out a few replies that are older than a day."""
    old = number_key(max(now_ns - REPLIES_KEPT_NS, 0))
    with txn.cursor(tables.expiries) as cursor:
        more = cursor.first()
        for _ in range(_PURGE_AT_ONCE):
            key = bytes(cursor.key()) if more else old
            if key[:8] >= old:
                return
            if content_of(key, cursor.value()) is None:
                more = cursor.next()  # Who knows how old the reply is: it stays.
                continue
            cursor.delete()
            more = bool(cursor.key())
            txn.delete(key[8:], db=tables.replies)


def state_of(key: bytes, row: bytes | memoryview) -> tuple[bool, int, bytes]:
    """Return whether a command is answered; its number, or when it was; and the reply.

    Raises:
        CorruptLog: the row of `replies` is not what was written.
    """
    content = content_of(key, row)
    if content is None or content[:1] not in (_WAITS, _ANSWERED) or len(content) < _HEAD_BYTES:
        raise CorruptLog(f"the reply to command {key.decode(errors='replace')!r}", "it is damaged")
    number = int.from_bytes(content[1:_HEAD_BYTES], "big")
    return content[:1] == _ANSWERED, number, content[_HEAD_BYTES:]


def waits(txn: Txn, tables: Tables, command_id: str) -> bool:
    """Whether a command is in the inbox. Raises CorruptLog."""
    key = command_id.encode()
    row = txn.get(key, db=tables.replies)
    return row is not None and not state_of(key, row)[0]


def reply_to(txn: Txn, tables: Tables, command_id: str) -> bytes | None:
    """Return the reply to a command; None while there is none, or when it is too old.

    Raises:
        CorruptLog: it is not what was stored.
    """
    key = command_id.encode()
    row = txn.get(key, db=tables.replies)
    if row is None:
        return None
    answered, _, reply = state_of(key, row)
    return reply if answered else None
