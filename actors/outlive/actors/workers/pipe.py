"""What an owner and a worker say to each other: msgpack, each message after its length.

A worker asks (`Step`, `Ask`, `Progress`) and is answered (`Answer`), and says in the end how the
call ended (`Ended`). The first message is the owner's: the job.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Final, TypeAlias

import msgspec

from outlive.actors.workers.port import Job
from outlive.events import Failure, Value

MAX_BYTES: Final = 1 << 28
"""Of one message. What may be stored is far less: more than this is nobody's result."""


class Step(msgspec.Struct, frozen=True, tag=True):
    """A step is to be recorded."""

    number: int
    key: str
    value: Value
    elapsed_ms: int


class Ask(msgspec.Struct, frozen=True, tag=True):
    """A person is to be asked."""

    number: int
    key: str
    payload: Value
    answer_schema: dict[str, Value] | None


class Progress(msgspec.Struct, frozen=True, tag=True):
    """Progress is to be passed on."""

    number: int
    done: float
    total: float | None
    note: str


class Ended(msgspec.Struct, frozen=True, tag=True):
    """The call has ended: with a result, or a failure."""

    result: Value = None
    failure: Failure | None = None
    types: tuple[str, ...] = ()  # that the tool's exception is of


class Answer(msgspec.Struct, frozen=True, tag=True):
    """What was asked is done; or the attempt is over, and it was refused."""

    number: int
    over: bool = False


Said: TypeAlias = Step | Ask | Progress | Ended
_encode: Final = msgspec.msgpack.Encoder().encode
decode_said: Final = msgspec.msgpack.Decoder(Said).decode
decode_job: Final = msgspec.msgpack.Decoder(Job).decode
decode_answer: Final = msgspec.msgpack.Decoder(Answer).decode


def send(pipe: socket.socket, message: Said | Answer | Job) -> None:
    """Send a message. Raises OSError."""
    data = _encode(message)
    pipe.sendall(len(data).to_bytes(8, "big") + data)


def receive(pipe: socket.socket, wait: Callable[[], bool] = lambda: True) -> bytes | None:
    """Return the next message; None at the end, and for what is no message. Raises OSError.

    `wait` is called before each read, and says whether there will be anything.
    """
    head = _exactly(pipe, 8, wait)
    length = 0 if head is None else int.from_bytes(head, "big")
    return None if head is None or length > MAX_BYTES else _exactly(pipe, length, wait)


def _exactly(pipe: socket.socket, size: int, wait: Callable[[], bool]) -> bytes | None:
    parts = bytearray()
    while len(parts) < size:
        piece = wait() and pipe.recv(min(size - len(parts), 1 << 20))
        if not piece:
            return None
        parts += piece
    return bytes(parts)
