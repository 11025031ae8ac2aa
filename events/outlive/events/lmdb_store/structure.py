"""Whether LMDB may be trusted with a data file: looked at from outside, by reading it only.

LMDB trusts its file: a flipped bit in a page can stop the process that reads it, and one in the
list of free pages lets the next writer overwrite what is in use. The binding's verifier walks
the pages in Python and finds both. It is meant for a file at rest. Here the number of the last
transaction is compared before and after, which serves as well: as long as that is the same,
a writer has touched no page that belongs to it.

The verifier takes the root with the higher number, as LMDB does. Both roots are in order, the last
one and the one before: a changed number would give back the log as it was a commit ago, and no
page would tell. But each transaction enters the pages that it sets free into the list of free
pages, under its own number. In an environment with tables there are some in each but the first,
for each replaces the page from which the tables are reached. So the last entry in a root's list
is the root's number.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from struct import Struct
from struct import error as StructError
from typing import BinaryIO, Final, cast

import lmdb.verify

_verify: Final = cast("Callable[[str], list[str]]", lmdb.verify.verify)  # pyright: ignore[reportUnknownMemberType]  # it has no annotations
_TRIES: Final = 3
_PAGE_BYTES_AT: Final = 40
_TRANSACTION_AT: Final = 144
_FREE_ROOT_AT: Final = 80
_NO_PAGE: Final = (1 << 64) - 1
_BRANCH: Final = 1
_MOST_LEVELS: Final = 32
_FIRST: Final = 1
_PAGE: Final = Struct("=10xHH")  # flags, end of the node pointers
_NODE: Final = Struct("=HHHH")  # low, high, flags, bytes of the key
_U16: Final = Struct("=H")
_U32: Final = Struct("=I")
_U64: Final = Struct("=Q")


def structure_faults(data_file: Path, *, roots: bool = True) -> list[str] | None:
    """Return what is wrong with the pages of a data file; None if an owner kept on writing.

    `roots`: their numbers too, of an environment with tables.

    Takes 0.2 s for a file of 200 MB whose rows are large, 1 s where they are small.
    """
    for _ in range(_TRIES):
        before = last_transaction(data_file)
        faults: list[str]
        try:
            faults = _verify(str(data_file)) or (_root_faults(data_file) if roots else [])
        except OSError:
            raise
        except Exception as error:  # noqa: BLE001  # whatever a walk over garbage stumbles upon
            faults = [str(error)]
        if last_transaction(data_file) == before:
            return faults
    return None


def _root_faults(data_file: Path) -> list[str]:
    """Return which root has another number than its list of free pages tells."""
    faults: list[str] = []
    with data_file.open("rb") as file:
        (page_bytes,) = _U32.unpack_from(file.read(_PAGE_BYTES_AT + 4), _PAGE_BYTES_AT)
        for number in (0, 1):
            file.seek(number * page_bytes)
            root = file.read(_TRANSACTION_AT + 8)
            (transaction,) = _U64.unpack_from(root, _TRANSACTION_AT)
            (page,) = _U64.unpack_from(root, _FREE_ROOT_AT)
            last = _last_freed(file, page_bytes, page)
            if last != transaction and not (last is None and transaction <= _FIRST):
                faults.append(f"root {number} has the number {transaction}, its content {last}")
    return faults


def _last_freed(file: BinaryIO, page_bytes: int, number: int) -> int | None:
    """Return the last transaction in a list of free pages; None if there is none."""
    for _ in range(_MOST_LEVELS):
        if number == _NO_PAGE:
            return None
        file.seek(number * page_bytes)
        page = file.read(page_bytes)
        flags, pointers_end = _PAGE.unpack_from(page)
        (at,) = _U16.unpack_from(page, pointers_end - 2)
        low, high, node_flags, _ = _NODE.unpack_from(page, at)
        if not flags & _BRANCH:
            return int(_U64.unpack_from(page, at + _NODE.size)[0])
        number = low | high << 16 | node_flags << 32
    return None


def named(faults: list[str]) -> str:
    """Return what is told of faults: the first one, and how many there are."""
    return faults[0] + (f" (and {len(faults) - 1} more)" if len(faults) > 1 else "")


def last_transaction(data_file: Path) -> int:
    """Return the number of the last transaction, as either of the two roots tells it."""
    try:
        with data_file.open("rb") as file:
            first = file.read(_TRANSACTION_AT + 8)
            file.seek(_U32.unpack_from(first, _PAGE_BYTES_AT)[0])
            second = file.read(_TRANSACTION_AT + 8)
        return max(int(_U64.unpack_from(page, _TRANSACTION_AT)[0]) for page in (first, second))
    except StructError:
        return -1  # It is cut off: then it has no transaction.
