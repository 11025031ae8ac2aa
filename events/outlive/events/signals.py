"""Signals: what is said to a thread or a run from outside, checked once, at the door.

A signal that was accepted can always be stored and shown to a model: names are XML names and
values are JSON before anything is written. So nobody who signals can break a thread for others.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from functools import cache
from typing import Final, Literal, TypeAlias, cast

import msgspec
from msgspec.structs import replace

from outlive.events.errors import InvalidSignal, UnserialisableValue
from outlive.events.run.parts import Input, InputPart, TextPart, text_and_parts
from outlive.events.sizes import check_size
from outlive.events.values import Value, to_plain

SignalType: TypeAlias = Literal["user", "notification", "reactive", "state"]
"""Who speaks: a person, something that has happened, the system, or a state that has changed."""

_TYPES: Final[dict[str, SignalType]] = {
    "user": "user",
    "notification": "notification",
    "reactive": "reactive",
    "system-reminder": "reactive",
    "state": "state",
}
_TAGS: Final[dict[SignalType, str]] = {
    "user": "user",
    "notification": "notification",
    "reactive": "system-reminder",
    "state": "state",
}

# The production `Name` of XML 1.0, fifth edition.
_START: Final = (
    ":A-Z_a-z\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u02ff\u0370-\u037d\u037f-\u1fff\u200c\u200d"
    "\u2070-\u218f\u2c00-\u2fef\u3001-\ud7ff\uf900-\ufdcf\ufdf0-\ufffd\U00010000-\U000effff"
)
_NAME: Final = f"[{_START}][{_START}.0-9\u00b7\u0300-\u036f\u203f\u2040-]*"
_LONGEST_NAME: Final = 100
# What may stand nowhere in XML, escaped or not.
_NO_CHARACTER: Final = "[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]"
_ESCAPES: Final = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;"})
_QUOTED: Final = str.maketrans({'"': "&quot;", "\n": "&#10;", "\t": "&#9;"})


class Signal(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Something to be told to a model. Made by `new_signal`, which checks it."""

    text: str
    parts: tuple[InputPart, ...] = ()  # text, images and files, if it is more than text
    type: SignalType = "notification"
    tag_name: str = ""  # that of its type, if it is empty
    attributes: dict[str, Value] = {}
    provider_options: dict[str, Value] = {}
    transient: bool = False  # shown once, and not kept in the thread

    @property
    def tag(self) -> str:
        """The name of the element that a model sees; empty for a user's plain text."""
        if self.type == "user" and not (self.tag_name or self.attributes):
            return ""
        return self.tag_name or _TAGS[self.type]

    def rendered(self) -> tuple[str, tuple[InputPart, ...]]:
        """Return what a model is shown: text, and parts if it is more than text.

        `<tag attr="...">...</tag>`, escaped, so that nothing in the contents can end the
        element; attributes that are not text are JSON. What a person says without attributes
        is shown as it is.
        """
        tag = self.tag
        if not tag:
            return self.text, self.parts
        begin = f"<{tag}{''.join(map(_attribute, self.attributes.items()))}>"
        end = f"</{tag}>"
        text = f"{begin}{_escaped(self.text)}{end}"
        if not self.parts:
            return text, ()
        inner = [
            TextPart(_escaped(part.text)) if isinstance(part, TextPart) else part
            for part in self.parts
        ]
        return text, (TextPart(begin), *inner, TextPart(end))

    def with_attributes(self, more: Mapping[str, Value]) -> Signal:
        """Return the signal with these attributes merged over its own."""
        return replace(self, attributes={**self.attributes, **more})


class IfActive(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What becomes of a signal when a run is active on the thread.

    `deliver`: the next model call of that run sees it. `persist`: it is kept in the thread, for
    the next run. `discard`: it is dropped. `attributes` are merged over those of the signal.
    """

    behaviour: Literal["deliver", "persist", "discard"] = "deliver"
    attributes: dict[str, Value] = {}


class IfIdle(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What becomes of a signal when no run is active on the thread.

    `wake`: it starts a run, with `request_context`. `persist`: it is kept in the thread, for the
    next run. `discard`: it is dropped. `attributes` are merged over those of the signal.
    """

    behaviour: Literal["wake", "persist", "discard"] = "wake"
    attributes: dict[str, Value] = {}
    request_context: dict[str, Value] = {}


def new_signal(
    contents: Input,
    *,
    type: SignalType | Literal["system-reminder"] = "notification",
    tag_name: str | None = None,
    attributes: Mapping[str, object] | None = None,
    provider_options: Mapping[str, object] | None = None,
    transient: bool = False,
) -> Signal:
    """Return a signal that can be stored and shown.

    Args:
        contents: text, or a list of `TextPart`, `ImagePart` and `FilePart`; not empty.
        type: who speaks. `system-reminder` is another word for `reactive`.
        tag_name: an XML name of at most 100 characters, in the place of the type's.
        attributes: JSON values under XML names.
        provider_options: JSON that reaches the model.
        transient: show it once, and do not keep it in the thread.

    Raises:
        InvalidSignal: one of them cannot be; its `field` tells which.
        EventTooLarge: all of it together cannot be stored.
    """
    if type not in tuple(_TYPES):  # It may be anything, which a dict could not look up.
        raise InvalidSignal("type", f"one of {', '.join(_TYPES)}, not {type!r:.80}")
    if not isinstance(transient, bool):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidSignal("transient", f"True or False, not {transient!r:.80}")
    text, parts = _contents(contents)
    signal = Signal(
        text=text,
        parts=parts,
        type=_TYPES[type],
        tag_name="" if tag_name is None else _name("tag_name", tag_name),
        attributes=checked_attributes("attributes", attributes),
        provider_options=checked_json("provider_options", provider_options),
        transient=transient,
    )
    check_size(signal)
    return signal


def check_if_active(given: IfActive) -> IfActive:
    """Return what is to become of a signal on an active thread. Raises InvalidSignal."""
    if not isinstance(given, IfActive):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidSignal("if_active", f"IfActive(...), not {given!r:.80}")
    if given.behaviour not in ("deliver", "persist", "discard"):
        raise InvalidSignal(
            "if_active", f"deliver, persist or discard, not {given.behaviour!r:.80}"
        )
    return IfActive(
        given.behaviour, attributes=checked_attributes("if_active.attributes", given.attributes)
    )


def check_if_idle(given: IfIdle) -> IfIdle:
    """Return what is to become of a signal on an idle thread. Raises InvalidSignal."""
    if not isinstance(given, IfIdle):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidSignal("if_idle", f"IfIdle(...), not {given!r:.80}")
    if given.behaviour not in ("wake", "persist", "discard"):
        raise InvalidSignal("if_idle", f"wake, persist or discard, not {given.behaviour!r:.80}")
    if given.request_context and given.behaviour != "wake":
        raise InvalidSignal("if_idle.request_context", "of a run, and only wake starts one")
    return IfIdle(
        given.behaviour,
        attributes=checked_attributes("if_idle.attributes", given.attributes),
        request_context=checked_json("if_idle.request_context", given.request_context),
    )


def checked_attributes(field: str, given: Mapping[str, object] | None) -> dict[str, Value]:
    """Return JSON values under XML names. Raises InvalidSignal."""
    attributes = checked_json(field, given)
    for name in attributes:
        _name(field, name)
    return attributes


def checked_json(field: str, given: Mapping[str, object] | None) -> dict[str, Value]:
    """Return a mapping of text to JSON values. Raises InvalidSignal."""
    if given is None:
        return {}
    if not (isinstance(given, Mapping) and all(isinstance(key, str) for key in given)):  # type: ignore[redundant-expr]  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidSignal(field, f"a mapping of names to JSON values, not {given!r:.80}")
    try:
        plain = cast("dict[str, Value]", to_plain(dict(given)))
    except UnserialisableValue as error:
        raise InvalidSignal(field, f"JSON values, and this is none: {error}") from None
    for name, value in plain.items():
        if not _is_json(value):
            raise InvalidSignal(field, f"JSON values, and that of {name!r:.80} is none")
    return plain


def _is_json(value: Value) -> bool:
    match value:
        case bytes():
            return False
        case float():
            return math.isfinite(value)
        case list():
            return all(map(_is_json, value))
        case dict():
            return all(map(_is_json, value.values()))
        case _:
            return True


def _contents(contents: Input) -> tuple[str, tuple[InputPart, ...]]:
    try:
        text, parts = text_and_parts(contents)
    except (TypeError, ValueError) as error:
        raise InvalidSignal("contents", str(error)) from None
    if not (text or parts):
        raise InvalidSignal("contents", "what is to be told; it is empty")
    return text, parts


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    """Compile at the first use: 12 ms, of a process that may never be told of a signal."""
    return re.compile(pattern)


def _name(field: str, name: str) -> str:
    if not (isinstance(name, str) and _compiled(_NAME).fullmatch(name)):  # type: ignore[redundant-expr]  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidSignal(field, f"XML names (as 'ticket-id'), which {name!r:.80} is not")
    if len(name) > _LONGEST_NAME:
        raise InvalidSignal(field, f"names of at most {_LONGEST_NAME} characters, not {len(name)}")
    return name


def _escaped(text: str) -> str:
    return _compiled(_NO_CHARACTER).sub("\ufffd", text).translate(_ESCAPES)


def _attribute(named: tuple[str, Value]) -> str:
    name, value = named
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return f' {name}="{_escaped(text).translate(_QUOTED)}"'
