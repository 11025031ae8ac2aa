"""What the sender of a command is told, in the form in which it is kept in the log."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from outlive.actors.logs import shortened
from outlive.events import AgentNotFound, CorruptLog, OutliveError, Refused, RunExists, Value


class _Reply(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    error: str = ""  # the name of its type; empty: it was obeyed
    message: str = ""
    facts: dict[str, Value] = {}


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(_Reply).decode

_FACTS: Final[Mapping[str, tuple[str, ...]]] = {
    "AgentNotFound": ("agent_id", "known"),
    "RunExists": ("run_id",),
}

_REBUILD: Final[Mapping[str, Callable[[Mapping[str, object]], OutliveError]]] = {
    "AgentNotFound": lambda facts: AgentNotFound(
        msgspec.convert(facts["agent_id"], str),
        msgspec.convert(facts["known"], tuple[str, ...]),
    ),
    "RunExists": lambda facts: RunExists(msgspec.convert(facts["run_id"], str)),
}

OBEYED: Final = _encode(_Reply())
"""The reply to a command that was obeyed."""


def refusal(error: BaseException) -> bytes:
    """Return the reply to a command that was refused with `error`."""
    name = type(error).__name__
    facts: dict[str, Value] = {key: getattr(error, key) for key in _FACTS.get(name, ())}
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
        rebuild = _REBUILD.get(reply.error)
        error = Refused(reply.message) if rebuild is None else rebuild(reply.facts)
    except (msgspec.MsgspecError, KeyError) as damage:
        raise CorruptLog("a reply", str(damage)) from None
    raise error
