"""What a run may be asked besides text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import msgspec

from outlive.events.values import to_plain


class TextPart(msgspec.Struct, frozen=True, tag="text", gc=False):
    """A piece of text."""

    text: str


class ImagePart(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="image", gc=False
):
    """An image: its bytes, or where they are."""

    media_type: str
    """As `image/png`."""
    data: bytes = b""
    url: str = ""


class FilePart(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="file", gc=False):
    """A file: its bytes, or where they are."""

    media_type: str
    """As `application/pdf`."""
    data: bytes = b""
    url: str = ""
    name: str = ""


InputPart: TypeAlias = TextPart | ImagePart | FilePart

Input: TypeAlias = str | Sequence[InputPart]
"""What a run is asked: text, or text, images and files."""


def text_and_parts(input: Input) -> tuple[str, tuple[InputPart, ...]]:
    """Return the input's text, as lists show it, and its parts if it is more than that.

    Raises:
        TypeError, ValueError: it is no input.
        UnserialisableValue: a text in it cannot be stored.
    """
    if isinstance(input, str):
        to_plain(input)
        return input, ()
    if not isinstance(input, list | tuple):
        raise TypeError(f"the input is text, or a list of parts, not {type(input).__name__}")
    parts = tuple(input)
    if not parts:
        raise ValueError("the input is a list of parts that is not empty")
    check_parts(parts)
    return "\n".join(part.text for part in parts if isinstance(part, TextPart)), parts


def check_parts(parts: Sequence[InputPart]) -> None:
    """Raise TypeError, ValueError or UnserialisableValue unless these can be parts."""
    for part in parts:
        _check(part)


def _check(part: InputPart) -> None:
    match part:
        case TextPart(text=str()):
            to_plain(part.text)
        case ImagePart(media_type=str(), data=bytes(), url=str()):
            _check_source(part)
        case FilePart(media_type=str(), data=bytes(), url=str(), name=str()):
            _check_source(part)
            to_plain(part.name)
        case _:
            raise TypeError(f"a part is a TextPart, an ImagePart or a FilePart, not {part!r:.80}")


def _check_source(part: ImagePart | FilePart) -> None:
    to_plain([part.media_type, part.url])
    kind, _, detail = part.media_type.partition("/")
    if not kind or not detail:
        raise ValueError(f"a media type is as 'image/png', not {part.media_type!r:.80}")
    if bool(part.data) == bool(part.url):
        raise ValueError("a part has either its data or a url")
