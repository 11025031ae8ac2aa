"""Whether LMDB may be trusted with a data file: looked at from outside, by reading it only.

LMDB trusts its file: a flipped bit in a page can stop the process that reads it, and one in the
list of free pages lets the next writer overwrite what is in use. The binding's verifier walks
the pages in Python and finds both. It is meant for a file at rest. Here the number of the last
transaction is compared before and after, which serves as well: as long as that is the same,
a writer has touched no page that belongs to it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from struct import Struct
from struct import error as StructError
from typing import Final, cast

import lmdb.verify

_verify: Final = cast("Callable[[str], list[str]]", lmdb.verify.verify)  # pyright: ignore[reportUnknownMemberType]  # it has no annotations
_TRIES: Final = 3
_PAGE_BYTES_AT: Final = 40
_TRANSACTION_AT: Final = 144
_U32: Final = Struct("=I")
_U64: Final = Struct("=Q")


def structure_faults(data_file: Path) -> list[str] | None:
    """Return what is wrong with the pages of a data file; None if an owner kept on writing.

    Takes 0.2 s for a file of 200 MB whose rows are large, 1 s where they are small.
    """
    for _ in range(_TRIES):
        before = last_transaction(data_file)
        faults: list[str]
        try:
            faults = _verify(str(data_file))
        except OSError:
            raise
        except Exception as error:  # noqa: BLE001  # whatever a walk over garbage stumbles upon
            faults = [str(error)]
        if last_transaction(data_file) == before:
            return faults
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
