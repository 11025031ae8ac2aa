"""The folder of the demo's log: what is left in it unfinished, and how to go on with that.

A temporary one is removed, unless a question in it is open.
"""

from __future__ import annotations

import shlex
import shutil
import tempfile
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from outlive.cli._demo.agent import AGENT_ID
from outlive.cli._demo.following import read_family
from outlive.cli._demo.model import Wish, wish_of
from outlive.cli._demo.worker import Setting
from outlive.cli._exit import Wrong, complain
from outlive.events import ApprovalRequested, LmdbReader, LogNotFound, Recorded, RunStarted
from outlive.events.ids import id_of


class Left(msgspec.Struct, frozen=True):
    """A run that was left before it was done. With `asked`, its question waits for an answer.

    `owner` is the last epoch of the log in which it was worked on.
    """

    run_id: str
    input: str
    wish: Wish
    setting: Setting
    asked: bool
    owner: int


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
            left = left_in(folder)
    finally:
        if data is None and not keep and (left is None or not left.asked):
            shutil.rmtree(folder, ignore_errors=True)
        elif left is not None:
            _tell_how_to_go_on(left, folder)


def left_in(data: Path) -> Left | None:
    """Return the first run of the demo in a log that is not over, if there is one."""
    try:
        log = LmdbReader(data)
    except LogNotFound:
        return None
    try:
        for stream, entry in log.open_entries():
            if entry.kind == "run" and entry.summary.get("agent_id") == AGENT_ID:
                return _left(read_family(log, id_of(stream)), id_of(stream))
    finally:
        log.close()
    return None


def _left(events: Sequence[Recorded], run_id: str) -> Left | None:
    started = next((r.event for r in events if isinstance(r.event, RunStarted)), None)
    wish = None if started is None else wish_of(started.input)
    if started is None or wish is None:
        return None
    return Left(
        run_id,
        started.input,
        wish,
        setting=msgspec.convert(started.request_context, Setting),
        asked=any(isinstance(recorded.event, ApprovalRequested) for recorded in events),
        owner=max(recorded.epoch for recorded in events),
    )


def _tell_how_to_go_on(left: Left, folder: Path) -> None:
    data = shlex.quote(str(folder))
    question = ", with its question" if left.asked else ""
    complain(f"run {left.run_id} is left in {data}{question}: nothing is lost")
    if left.asked:
        complain(f"how to answer: outlive runs pending --data {data}")
    approve = "--approve " if left.wish.publish_to else ""
    complain(f"to go on with it: outlive demo {approve}--data {data}")


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
