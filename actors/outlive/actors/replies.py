"""What the sender of a command is told, in the form in which it is kept in the log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, get_type_hints

import msgspec

from outlive.actors.logs import shortened
from outlive.events import (
    AgentNotFound,
    AlreadyDecided,
    AlreadyOver,
    AlreadyResumed,
    AmbiguousSuspension,
    ArgumentsChanged,
    CorruptLog,
    HeartbeatExists,
    HeartbeatNotFound,
    HookNotFound,
    InvalidCron,
    InvalidHeartbeat,
    InvalidResumeValue,
    NobodyAnswers,
    NotQuarantined,
    NotQueued,
    NotSuspended,
    OtherResource,
    OutliveError,
    Refused,
    ResourceIdRequired,
    RunExists,
    RunNotFound,
    RunOver,
    SignalExists,
    SuspensionNotFound,
    TaskExists,
    TaskNotFound,
    ThreadBusy,
    ThreadExists,
    ThreadlessOption,
    ThreadNotFound,
    ToolNotFound,
    Value,
)


class _Reply(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    error: str = ""  # the name of its type; empty: it was obeyed
    message: str = ""
    facts: dict[str, Value] = {}


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(_Reply).decode

_TOLD: Final[Mapping[str, type[OutliveError]]] = {
    error.__name__: error
    for error in (
        AgentNotFound,
        AlreadyDecided,
        AlreadyOver,
        AlreadyResumed,
        AmbiguousSuspension,
        ArgumentsChanged,
        HeartbeatExists,
        HeartbeatNotFound,
        HookNotFound,
        InvalidResumeValue,
        NobodyAnswers,
        NotQuarantined,
        NotQueued,
        NotSuspended,
        OtherResource,
        RunExists,
        RunNotFound,
        RunOver,
        SignalExists,
        SuspensionNotFound,
        TaskExists,
        TaskNotFound,
        ThreadBusy,
        ThreadExists,
        ThreadNotFound,
        ToolNotFound,
    )
}
"""The errors that their sender gets as what they are: made of what they are constructed with."""

_SAID: Final[Mapping[str, type[OutliveError]]] = {
    error.__name__: error
    for error in (InvalidCron, InvalidHeartbeat, ResourceIdRequired, ThreadlessOption)
}
"""The errors that consist of what they say."""

OBEYED: Final = _encode(_Reply())
"""The reply to a command that was obeyed."""


def refusal(error: BaseException) -> bytes:
    """Return the reply to a command that was refused with `error`."""
    name = type(error).__name__
    facts: dict[str, Value] = {}
    kind = _TOLD.get(name)
    if kind is not None and type(error) is kind:
        facts = {key: getattr(error, key) for key in _parameters(kind)}
    message = str(error) if isinstance(error, OutliveError) else f"{name}: {error}"
    return _encode(_Reply(error=name, message=shortened(message), facts=facts))


def check_reply(data: bytes) -> None:
    """Return if the command was obeyed.

    Raises:
        Refused: or the error of its own type that the command was refused with.
        CorruptLog: the reply cannot be read.
    """
    try:
        reply = _decode(data)
        if not reply.error:
            return
        kind = _TOLD.get(reply.error)
        if reply.error in _SAID:
            raise _SAID[reply.error](reply.message)
        error = Refused(reply.message) if kind is None else _rebuilt(kind, reply.facts)
    except (msgspec.MsgspecError, KeyError) as damage:
        raise CorruptLog("a reply", str(damage)) from None
    raise error


def _parameters(kind: type[OutliveError]) -> dict[str, type]:
    hints = get_type_hints(kind.__init__)
    return {name: hint for name, hint in hints.items() if name != "return"}


def _rebuilt(kind: type[OutliveError], facts: Mapping[str, object]) -> OutliveError:
    return kind(
        **{name: msgspec.convert(facts[name], hint) for name, hint in _parameters(kind).items()}
    )
