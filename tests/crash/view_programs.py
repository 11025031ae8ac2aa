"""Processes that are killed while they keep views, or that look at damaged ones."""

from __future__ import annotations

import asyncio
import logging
import random
import sys
from multiprocessing.connection import Connection
from pathlib import Path
from unittest.mock import patch

import structlog

from outlive.events import LmdbLog, LmdbReader
from outlive.projections import RunsView, ViewReader, ViewRunner
from outlive.projections.views import following
from tests.support.views import Dump, dump, end_run, fresh, start_run


def owner(pipe: Connection, folder: str, seed: int) -> None:
    """Append to a log and keep its view, with a commit at nearly every chance, until killed."""
    with patch.object(following, "_COMMIT_AFTER", 0.001):
        asyncio.run(_owner(Path(folder), pipe, random.Random(seed)))


async def _owner(folder: Path, pipe: Connection, rng: random.Random) -> None:
    log = LmdbLog(folder)
    views = ViewRunner(log, [RunsView()], folder=folder / "views")
    views.start()
    pipe.send(("open",))
    number = int(log.head)
    while True:
        number += 1
        start_run(log, f"r{number}", agent_id=f"a{number % 3}")
        if rng.random() < 0.7:
            end_run(log, f"r{number}", failed=rng.random() < 0.3)
        if rng.random() < 0.2:
            await views.read("runs", dump)
        if rng.random() < 0.02:
            await views.close()
            views = ViewRunner(log, [RunsView()], folder=folder / "views")
            views.start()
        await asyncio.sleep(0.001 * rng.random())


def owners_view(folder: Path) -> tuple[Dump, Dump]:
    """Return what the owner's view holds, and a fresh fold."""

    async def look(log: LmdbLog) -> Dump:
        views = ViewRunner(log, [RunsView()], folder=folder / "views")
        views.start()
        try:
            return await views.read("runs", dump)
        finally:
            await views.close()

    log = LmdbLog(folder)
    try:
        return asyncio.run(look(log)), fresh(log)
    finally:
        log.close()


def visitors_view(folder: Path) -> tuple[Dump, Dump]:
    """Return what a visitor is told by the view, and a fresh fold."""
    log = LmdbReader(folder)
    views = ViewReader(log, [RunsView()], folder=folder / "views")
    try:
        return asyncio.run(views.read("runs", dump)), fresh(log)
    finally:
        views.close()
        log.close()


def damage_and_look(pipe: Connection, folder: str, whole: bytes, seed: int, times: int) -> None:
    """Damage the newest view's file in random places, and look at it; again and again."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    rng = random.Random(seed)
    pages = len(whole) // 4_096
    for number in range(times):
        data = bytearray(whole)
        page = (seed * times + number) % pages
        for _ in range(rng.choice((1, 1, 3))):
            # Headers and pointers are at the start of a page: that is where it hurts.
            at = page * 4_096 + rng.randrange(rng.choice((64, 256, 4_096)))
            data[at] ^= 1 << rng.randrange(8)
        views = Path(folder) / "views" / "runs"
        (newest,) = views.iterdir()
        (newest / "data.mdb").write_bytes(data)
        if rng.random() < 0.8:
            (newest / "clean.json").unlink(missing_ok=True)
        pipe.send(
            ("damaged", page, bytes(a ^ b for a, b in zip(data, whole, strict=True)).count(0))
        )
        found, expected = visitors_view(Path(folder))
        assert found == expected, f"a visitor, page {page}"
        found, expected = owners_view(Path(folder))
        assert found == expected, f"the owner, page {page}"
    pipe.send(("done",))
    sys.stdout.flush()
