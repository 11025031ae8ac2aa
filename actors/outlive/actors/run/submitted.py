"""What is asked of an entity, as it lies in the inbox: ids and data, nothing more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal, TypeAlias

import msgspec
from msgspec.structs import asdict

from outlive.actors.heartbeat.submitted import HeartbeatRequest
from outlive.actors.task.submitted import TaskRequest
from outlive.actors.thread.submitted import ThreadRequest
from outlive.events import CallId, CorruptLog, RunWish, Signal, UnserialisableValue, Value


class StartRequest(RunWish, frozen=True, kw_only=True, tag="start-run", gc=False):
    """A run is to be started. What its agent is made of is the owner's to know."""

    @property
    def thread(self) -> None:
        """It is on no thread: what is goes to the thread first."""
        return

    @classmethod
    def of(cls, wish: RunWish) -> StartRequest:
        """Return the request for a run on no thread."""
        return cls(**asdict(wish))


class SignalRunRequest(msgspec.Struct, frozen=True, kw_only=True, tag="signal-run", gc=False):
    """Something is said to a run."""

    signal_id: str
    signal: Signal


class AnswerRequest(msgspec.Struct, frozen=True, kw_only=True, tag="answer", gc=False):
    """A person answers what a run asks."""

    value: Value
    suspension: str | None = None
    by: str = ""


class DecisionRequest(msgspec.Struct, frozen=True, kw_only=True, tag="decide-approval", gc=False):
    """A person agrees to a tool call, or does not."""

    call_id: CallId
    granted: bool
    digest: str | None = None
    arguments: dict[str, Value] | None = None
    note: str = ""
    by: str = ""


class ResolveRequest(msgspec.Struct, frozen=True, kw_only=True, tag="resolve", gc=False):
    """A person says what became of a tool call in doubt."""

    call_id: CallId
    outcome: Literal["completed", "failed", "retry"]
    result: Value = None
    note: str = ""
    by: str = ""


class CancelRequest(msgspec.Struct, frozen=True, kw_only=True, tag="cancel-run", gc=False):
    """The run is not wanted any more."""

    reason: str = ""
    by: str = ""


class ReleaseRequest(msgspec.Struct, frozen=True, kw_only=True, tag="release-run", gc=False):
    """A run, thread or heartbeat is quarantined, and is to be tried once more."""


RunRequest: TypeAlias = (
    StartRequest
    | SignalRunRequest
    | AnswerRequest
    | DecisionRequest
    | ResolveRequest
    | CancelRequest
)
"""What a run decides by its state alone."""

Request: TypeAlias = RunRequest | ReleaseRequest | TaskRequest | ThreadRequest | HeartbeatRequest

_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final[Callable[[bytes], Request]] = msgspec.msgpack.Decoder(Request).decode


def encode_request(request: Request) -> bytes:
    """Return the request as it is put into the inbox."""
    return _encode(request)


def checked_request(request: Request) -> Request:
    """Return the request as it would be read from the inbox, whoever carries it out.

    Callers are not held to the types of what they pass. A wrong one that was stored could never
    be read again, and its stream would stand still.

    Raises:
        TypeError: a value is not of its type; the message says where.
        UnserialisableValue: a value cannot be stored.
    """
    try:
        return _decode(_encode(request))
    except msgspec.ValidationError as error:
        raise TypeError(str(error)) from None
    except RecursionError:
        raise UnserialisableValue("a value contains itself or is nested too deeply") from None
    except (TypeError, ValueError, OverflowError, msgspec.MsgspecError) as error:
        raise UnserialisableValue(str(error)) from None


def decode_request(data: bytes) -> Request:
    """Return the request in the inbox.

    Raises:
        CorruptLog: it cannot be read, or a later release put it there.
    """
    try:
        return _decode(data)
    except msgspec.MsgspecError as error:
        raise CorruptLog("a command in the inbox", str(error)) from None
