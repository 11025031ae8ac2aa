"""What a run may be asked besides text."""

from __future__ import annotations

from typing import TypeAlias

import msgspec


class TextPart(msgspec.Struct, frozen=True, tag="text", gc=False):
    """A piece of text."""

    text: str


class ImagePart(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="image"):
    """An image: its bytes, or where they are."""

    media_type: str
    """As `image/png`."""
    data: bytes = b""
    url: str = ""


class FilePart(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="file"):
    """A file: its bytes, or where they are."""

    media_type: str
    """As `application/pdf`."""
    data: bytes = b""
    url: str = ""
    name: str = ""


InputPart: TypeAlias = TextPart | ImagePart | FilePart
