"""What an acknowledgement is worth: asked for at the opening, and refused if there is no such."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lmdb
import pytest

from outlive.actors import Runtime, SyncRuntime
from outlive.events import InvalidDefinition, MemoryLog
from outlive.events.lmdb_store import LmdbLog
from outlive.events.lmdb_store.durability import Durability
from outlive.testing.log_contract.filling import A, Filler, run, texts


def flags(log: Any) -> dict[str, bool]:
    found: dict[str, bool] = log._opened.env.flags()
    return found


class Flushes:
    """An environment that counts how often it is flushed for its own sake."""

    def __init__(self, inner: lmdb.Environment) -> None:
        self._inner = inner
        self.forced = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def sync(self, force: bool = False) -> None:
        self.forced += force
        self._inner.sync(force)


@pytest.mark.parametrize(("durability", "flushes"), [("sync", 0), ("relaxed", 1)])
def test_relaxed_leaves_the_root_to_the_system_until_the_log_is_closed(
    tmp_path: Path, durability: Durability, flushes: int
) -> None:
    log = LmdbLog(tmp_path, durability=durability)
    assert flags(log)["sync"]  # The pages are flushed with each commit, in both.
    assert flags(log)["metasync"] == (durability == "sync")
    counting = Flushes(log._opened.env)  # pyright: ignore[reportPrivateUsage]
    log._writer._env = counting  # type: ignore[assignment]  # a stand-in
    Filler(log).numbered(20)
    assert counting.forced == 0
    log.close()
    assert counting.forced == flushes
    log = LmdbLog(tmp_path)
    assert log.clean
    assert texts(log.read(A)) == [str(number) for number in range(1, 21)]
    log.close()


def test_a_durability_that_there_is_not_is_refused_at_construction(tmp_path: Path) -> None:
    for wrong in ("none", "", "SYNC", None, True):
        durability: Any = wrong
        with pytest.raises(InvalidDefinition, match="durability is 'sync' or 'relaxed'"):
            LmdbLog(tmp_path / "log", durability=durability)
        with pytest.raises(InvalidDefinition, match="durability is 'sync' or 'relaxed'"):
            Runtime(tmp_path / "log", durability=durability)
        with pytest.raises(InvalidDefinition, match="durability is 'sync' or 'relaxed'"):
            SyncRuntime(tmp_path / "log", durability=durability)
    assert list(tmp_path.iterdir()) == []


def test_a_durability_without_a_folder_of_its_own_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidDefinition, match="give a path, and no log"):
        Runtime(None, durability="relaxed")
    with pytest.raises(InvalidDefinition, match="give a path, and no log"):
        Runtime(tmp_path, durability="relaxed", log=MemoryLog())


def test_a_runtime_opens_its_log_as_it_is_told(tmp_path: Path) -> None:
    async def work(durability: Durability) -> bool:
        async with Runtime(tmp_path, durability=durability) as rt:
            return flags(rt.log)["metasync"]

    assert run(work("sync"))
    assert not run(work("relaxed"))
