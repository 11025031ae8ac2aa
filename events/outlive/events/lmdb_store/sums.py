"""Checksums of the rows that the chain of hashes does not cover.

    row = CRC-32 of key and content (4), then the content

The key is in it: a row under another key than its own is as damaged as one with another content.
"""

from __future__ import annotations

from typing import Final
from zlib import crc32

SUM_BYTES: Final = 4


def summed(key: bytes, content: bytes) -> bytes:
    """Return a row with its checksum."""
    return crc32(content, crc32(key)).to_bytes(SUM_BYTES, "big") + content


def content_of(key: bytes, row: bytes | memoryview | None) -> bytes | None:
    """Return what a row holds; None if there is none, or it is not what was written."""
    if row is None or len(row) < SUM_BYTES:
        return None
    content = bytes(row[SUM_BYTES:])
    return content if crc32(content, crc32(key)) == int.from_bytes(row[:SUM_BYTES], "big") else None
