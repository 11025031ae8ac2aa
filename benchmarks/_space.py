"""How much an LMDB environment has written and holds, asked while nobody has it open."""

from __future__ import annotations

from pathlib import Path

import lmdb
import msgspec


class Space(msgspec.Struct, frozen=True):
    """What a folder's environment holds. Used pages leave out free ones, the file does not."""

    transactions: int
    used_bytes: int
    file_bytes: int


def space(folder: Path) -> Space:
    """Return what the one environment below `folder` holds; views, a cache, do not count."""
    (data_file,) = (file for file in folder.rglob("data.mdb") if "views" not in file.parts)
    with lmdb.open(str(data_file.parent), readonly=True, max_dbs=32) as env:
        pages, page_bytes = 0, env.stat()["psize"]
        with env.begin() as txn:
            stats = [txn.stat()]
            for name in txn.cursor().iternext(values=False):
                stats.append(txn.stat(env.open_db(name, txn, create=False)))
        for stat in stats:
            pages += stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"]
        return Space(
            transactions=env.info()["last_txnid"],
            used_bytes=pages * page_bytes,
            file_bytes=data_file.stat().st_size,
        )
