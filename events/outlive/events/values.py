"""Plain values: what users' tools return, in the one form that is stored.

A value is made plain once, at the door, and is stored as part of its event. What comes back
is always rebuilt from the plain form, the first time too, so that a value read back after a
crash has the same type as the one that was never lost.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import msgspec

from outlive.events.errors import UnserialisableValue

if TYPE_CHECKING:
    Value: TypeAlias = bool | int | float | str | bytes | list["Value"] | dict[str, "Value"] | None
else:
    Value = Any  # msgspec knows no recursive alias; `to_plain` is the guard.


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder().decode


def to_plain(value: object) -> Value:
    """Return `value` as None, bool, int, float, str, bytes, list and dict with text keys.

    Structs and dataclasses become dicts, sets and tuples lists, dates and the like text.

    Raises:
        UnserialisableValue: something in it has no plain form; the message says what.
    """
    if type(value) is str and value.isascii():
        return value  # As nearly all text: there is nothing in it to be refused.
    try:
        builtins = msgspec.to_builtins(value, builtin_types=(bytes,), str_keys=True)
        # There and back: refuses integers past 64 bits and lone surrogates, turns tuples into
        # lists, and shares nothing with the caller, who may change his value later.
        plain: Value = _decode(_encode(builtins))
    except RecursionError:
        raise UnserialisableValue("the value contains itself or is nested too deeply") from None
    except (TypeError, ValueError, OverflowError, msgspec.MsgspecError) as error:
        raise UnserialisableValue(f"{type(value).__name__}: {error}") from None
    return plain


def from_plain(value: Value, type: Any) -> Any:
    """Rebuild a value of `type` from its plain form.

    Raises:
        UnserialisableValue: the plain form does not fit the type; the message says where.
    """
    try:
        return msgspec.convert(value, type, str_keys=True, strict=True, builtin_types=(bytes,))
    except (msgspec.ValidationError, TypeError) as error:
        raise UnserialisableValue(str(error)) from None


def canonical(value: Value) -> bytes:
    """Return the same bytes for the same plain value, whatever the order of its keys."""
    return msgspec.json.encode(value, order="deterministic")


def digest(*parts: bytes, size_bytes: int = 16) -> str:
    """Return a hex digest (BLAKE2b) of the parts, each preceded by its length."""
    state = blake2b(digest_size=size_bytes)
    for part in parts:
        state.update(len(part).to_bytes(8, "big"))
        state.update(part)
    return state.hexdigest()
