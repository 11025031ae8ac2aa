"""`rt.runs` in every role, and while roles change."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from outlive.actors import Agent, Runtime, ScriptedModel, SyncRuntime, Turn
from outlive.events import LmdbVisitor, StreamId
from tests.events.programs import Program

POET = Agent("poet", model=ScriptedModel([Turn("Roses are red.")]))

OWNER = """
    import asyncio, sys
    from outlive.actors import Agent, Runtime, ScriptedModel, Turn

    async def main():
        poet = Agent("poet", model=ScriptedModel([Turn("Roses are red.")]))
        async with Runtime(sys.argv[1], agents=[poet], role="owner") as rt:
            await rt.run("poet", "one", run_id="one")
            print("open", flush=True)
            await asyncio.Event().wait()

    asyncio.run(main())
"""


def test_a_visitor_lists_runs_and_goes_on_as_the_owner_when_it_takes_over(tmp_path: Path) -> None:
    async def body(owner: Program) -> None:
        async with Runtime(tmp_path, agents=[POET]) as rt:
            assert str(rt.role) == "visitor"
            assert [run.run_id for run in (await rt.runs.list()).runs] == ["one"]
            run = await rt.start("poet", "two", run_id="two")
            await run.result(timeout=20)
            assert (await rt.runs.get("two")).status == "completed"

            owner.kill()
            while str(rt.role) == "visitor":
                await asyncio.sleep(0.01)
                assert len((await rt.runs.list()).runs) == 2
            await rt.run("poet", "three", run_id="three")
            listed = (await rt.runs.list()).runs
            assert [run.run_id for run in listed] == ["three", "two", "one"]

    with Program(OWNER, tmp_path) as owner:
        assert owner.line() == "open"
        asyncio.run(body(owner))


def test_a_start_whose_reply_is_forgotten_does_not_wait_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit = LmdbVisitor.submit
    forgotten: set[str] = set()

    def submitted(self: LmdbVisitor, command_id: str, stream: StreamId, data: bytes) -> None:
        submit(self, command_id, stream, data)
        if command_id not in forgotten:  # As if this process had slept for more than a day.
            forgotten.add(command_id)
            while self.reply(command_id) is None:
                continue
            opened = self._opened  # pyright: ignore[reportPrivateUsage]
            with opened.env.begin(write=True) as txn:
                txn.delete(command_id.encode(), db=opened.tables.replies)

    async def body() -> None:
        async with Runtime(tmp_path, agents=[POET]) as rt:
            run = await rt.start("poet", "two", run_id="two")
            assert not run.submitted
            await run.result(timeout=20)
            assert len(forgotten) == 1

    monkeypatch.setattr(LmdbVisitor, "submit", submitted)
    with Program(OWNER, tmp_path) as owner:
        assert owner.line() == "open"
        asyncio.run(body())


def test_without_an_event_loop_it_is_the_same(tmp_path: Path) -> None:
    for path in (tmp_path, None):
        with SyncRuntime(path, agents=[POET]) as rt:
            rt.run("poet", "one", run_id="one")
            assert rt.runs.get("one").status == "completed"
            (run,) = rt.runs.list(status="completed").runs
            assert run.steps == 1
            rows = rt.read_view("runs", lambda rows: [key for key, _ in rows.scan(object)])
            assert b"run-one" in rows
