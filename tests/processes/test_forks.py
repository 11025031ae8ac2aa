"""A process that is forked off one with a log open: nothing that it does reaches its parent."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.events.programs import Program

PARENT = """
    import gc, os, sys
    from outlive.actors import Agent, EchoModel, SyncRuntime
    from outlive.events import LmdbLog, LmdbReader, LmdbVisitor, LogClosed, LogInUse, OutliveError

    folder, kind, deed = sys.argv[1:]
    LmdbLog(folder).close()
    rt = log = None
    if kind == "runtime":
        rt = SyncRuntime(folder, agents=[Agent("echo", model=EchoModel())]).__enter__()
        rt.run("echo", "x", run_id="before")
        rt.runs.get("before")
        records = rt.subscription("mine")
        next(records)
        records.save()
        events = rt.observe("before")
        next(events)
    else:
        log = {"log": LmdbLog, "reader": LmdbReader, "visitor": LmdbVisitor}[kind](folder)
        log.read_all()


    def told(work):
        try:
            work()
        except OutliveError as error:
            return type(error).__name__
        return "nothing"


    def child():
        global rt, log, records, events
        match deed:
            case "exit":
                return
            case "close":
                print(told((rt or log).close), flush=True)
            case "forget":
                rt = log = records = events = None
                gc.collect()
            case "open":
                print(told(lambda: LmdbReader(folder)), flush=True)
            case "use":
                for work in (
                    lambda: rt.start("echo", "y"),
                    lambda: rt.result("before"),
                    lambda: rt.runs.get("before"),
                    lambda: rt.runs.list(),
                    lambda: rt.log,
                    lambda: next(records),
                    lambda: records.save(),
                    lambda: next(events),
                    lambda: rt.subscription("other"),
                    lambda: rt.read_view("runs", list),
                    lambda: rt.compact(),
                ):
                    print(told(work), flush=True)


    wakers = sorted(os.listdir(os.path.join(folder, "wake")))
    forked = os.fork()
    if not forked:
        child()
        sys.exit()
    assert os.waitpid(forked, 0)[1] == 0
    if rt is None:
        log.read_all()
        log.close()
    else:
        assert sorted(os.listdir(os.path.join(folder, "wake"))) == wakers
        assert rt.role == "owner"
        assert rt.run("echo", "x", run_id="after").status == "completed"
        assert len(rt.runs.list().runs) == 2
        assert next(records)
        rt.close()
    print("whole", flush=True)
"""


@pytest.mark.parametrize("deed", ["exit", "close", "forget"])
@pytest.mark.parametrize("kind", ["log", "reader", "visitor", "runtime"])
def test_a_child_that_ends_takes_nothing_from_its_parent(
    tmp_path: Path, kind: str, deed: str
) -> None:
    with Program(PARENT, tmp_path, kind, deed) as parent:
        assert [line for line in parent.lines() if line != "nothing"] == ["whole"]


def test_a_child_is_told_that_what_it_inherited_is_its_parents(tmp_path: Path) -> None:
    with Program(PARENT, tmp_path, "runtime", "use") as parent:
        assert parent.lines() == ["LogClosed"] * 11 + ["whole"]


@pytest.mark.parametrize("kind", ["log", "reader", "visitor", "runtime"])
def test_a_child_cannot_open_what_it_inherited(tmp_path: Path, kind: str) -> None:
    with Program(PARENT, tmp_path, kind, "open") as parent:
        assert parent.lines() == ["LogInUse", "whole"]
