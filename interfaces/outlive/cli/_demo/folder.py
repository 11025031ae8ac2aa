"""The folder of the demo's log: a temporary one is removed, unless a question in it is open."""

from __future__ import annotations

import shlex
import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from outlive.cli._demo.agent import AGENT_ID
from outlive.cli._demo.model import Wish, wish_of
from outlive.cli._exit import Wrong, complain
from outlive.events import ApprovalRequested, LmdbReader, LogNotFound, RunStarted
from outlive.events.ids import id_of
from outlive.projections import read_run


class Left(msgspec.Struct, frozen=True):
    """A run that was left after its question was asked: what is left of it needs no site."""

    run_id: str
    input: str
    wish: Wish


@contextmanager
def demo_folder(data: Path | None, *, keep: bool) -> Generator[Path, None, None]:
    """Yield the folder of the log. A run that is left in it with its question is told of.

    Raises:
        Wrong: there are unfinished runs of others in it, which the demo's worker would go on with.
    """
    if data is not None:
        _refuse_runs_of_others(data)
    folder = data or Path(tempfile.mkdtemp(prefix="outlive-demo-"))
    left: Left | None = None
    try:
        try:
            yield folder
        finally:
            left = left_asking(folder)
    finally:
        if left is not None:
            _tell_how_to_go_on(left, folder)
        elif data is None and not keep:
            shutil.rmtree(folder, ignore_errors=True)


def left_asking(data: Path) -> Left | None:
    """Return the first run in a log that was left after its question was asked, if there is one."""
    try:
        log = LmdbReader(data)
    except LogNotFound:
        return None
    try:
        for stream, entry in log.open_entries():
            if entry.kind != "run" or entry.summary.get("agent_id") != AGENT_ID:
                continue
            events = [recorded.event for recorded in read_run(log, id_of(stream))]
            inputs = [event.input for event in events if isinstance(event, RunStarted)]
            wish = wish_of(inputs[0])
            if wish is not None and any(isinstance(event, ApprovalRequested) for event in events):
                return Left(id_of(stream), inputs[0], wish)
    finally:
        log.close()
    return None


def _tell_how_to_go_on(left: Left, folder: Path) -> None:
    data = shlex.quote(str(folder))
    complain(f"run {left.run_id} is left in {data}, with its question: nothing is lost")
    complain(f"how to answer: outlive runs pending --data {data}")
    complain(f"to go on with it: outlive demo --approve --data {data}")


def _refuse_runs_of_others(data: Path) -> None:
    """The demo's worker goes on with all that is unfinished in its log: only its own, please."""
    try:
        log = LmdbReader(data)
    except LogNotFound:
        return
    try:
        rows = [entry for _, entry in log.open_entries() if entry.kind in ("run", "task")]
        agents = {entry.summary.get("agent_id", "") for entry in rows}
    finally:
        log.close()
    if agents - {AGENT_ID}:
        raise Wrong(f"{str(data)!r} holds unfinished runs of other agents: choose another folder")
