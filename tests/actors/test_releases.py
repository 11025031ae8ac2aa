"""A folder in which another release of Outlive has worked."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import pytest

from outlive.actors import Agent, EchoModel, Runtime, ScriptedModel, ToolCall, Turn, tool
from outlive.events import (
    CODEC,
    ApprovalGranted,
    Codec,
    Event,
    NotSuspended,
    Refused,
    RunStarted,
    RunUnsuccessful,
    Version,
    ViewFailed,
    run_stream,
)
from outlive.events.commit import OpenEntry
from outlive.events.ids import CallId, StreamId
from outlive.events.lmdb_store import LmdbLog, LmdbReader
from outlive.projections import RunsQuery, RunsView, ViewReader

echo = Agent("echo", model=EchoModel())
FIRST = CallId("0.0")


@tool(requires_approval=True, idempotent=True)
async def publish(text: str) -> str:
    """Publish a text."""
    return text


def clerk() -> Agent:
    asks = Turn(tool_calls=[ToolCall("publish", {"text": "hi"})])
    return Agent(
        "clerk",
        model=ScriptedModel(lambda request: Turn("done") if request.step else asks),
        tools=[publish],
    )


class Dreamt(Event, tag="dreamt", frozen=True, kw_only=True):
    of: str = "sheep"


ROW = OpenEntry(kind="run", status="running", owes=True, summary={"agent": "echo"})
SAME_EDITION = Codec([*CODEC.types.values(), Dreamt])
NEXT_EDITION = Codec([*CODEC.types.values(), Dreamt], schema=CODEC.schema + 1)


def left_by(path: Path, codec: Codec, *events: Event) -> StreamId:
    """A run that another release has left unfinished."""
    stream = run_stream("r")
    log = LmdbLog(path, codec=codec)
    log.append(stream, events, expected_version=Version(0), entry=ROW).result(5)
    log.close()
    return stream


@pytest.mark.parametrize(
    ("codec", "events", "reason"),
    [
        (SAME_EDITION, [RunStarted(agent_id="echo", input="hi"), Dreamt()], "'dreamt'"),
        (NEXT_EDITION, [RunStarted(agent_id="echo", input="hi")], "upgrade outlive"),
    ],
)
def test_a_run_of_a_later_release_stands_still_until_that_release_is_back(
    tmp_path: Path, codec: Codec, events: list[Event], reason: str
) -> None:
    stream = left_by(tmp_path, codec, *events)

    async def this_release() -> None:
        for _ in range(2):  # Tried again each time, and told the same.
            async with Runtime(tmp_path, agents=[echo]) as rt:
                assert (await rt.run(echo, "other")).output == "other"  # The others go on.
                entry = rt.log.open_entry(stream)
                assert entry is not None
                assert (entry.status, entry.owes, entry.try_again) == ("quarantined", True, True)
                assert reason in entry.reason
                with pytest.raises(Refused, match=f"cannot be taken up: .*{reason}"):
                    await rt.release("r")
                assert rt.log.open_entry(stream) == entry
                assert rt.log.version(stream) == len(events)

    asyncio.run(this_release())

    async def that_release() -> None:
        log = LmdbLog(tmp_path, codec=Codec(CODEC.types.values(), schema=CODEC.schema + 1))
        async with Runtime(tmp_path, agents=[echo], log=log) as rt:
            assert (await rt.result("r")).output == "hi"
            assert rt.log.open_entry(stream) is None
        log.close()

    if codec is NEXT_EDITION:
        asyncio.run(that_release())


def test_a_list_of_runs_says_what_it_cannot_read_and_the_runs_go_on(tmp_path: Path) -> None:
    left_by(tmp_path, SAME_EDITION, RunStarted(agent_id="echo", input="hi"), Dreamt())

    async def work() -> None:
        async with Runtime(tmp_path, agents=[echo]) as rt:
            assert (await rt.run(echo, "other")).output == "other"
            for _ in range(2):
                with pytest.raises(ViewFailed, match=r"record 1 of stream 'run-r'.*'dreamt'"):
                    await rt.runs.list()
            assert (await rt.run(echo, "another")).output == "another"
        log = LmdbReader(tmp_path)
        views = ViewReader(log, [RunsView()], folder=tmp_path / "views")
        with pytest.raises(ViewFailed, match=r"record 1 of stream 'run-r'.*'dreamt'"):
            await RunsQuery(log, views).list()
        views.close()
        log.close()

    asyncio.run(work())


def test_the_result_of_a_run_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    left_by(tmp_path, SAME_EDITION, RunStarted(agent_id="echo", input="hi"), Dreamt())

    async def work() -> None:
        async with Runtime(tmp_path, agents=[echo]) as rt:
            result = await rt.result("r")
            assert result.status == "quarantined"
            with pytest.raises(RunUnsuccessful, match="'dreamt'"):
                result.unwrap()

    asyncio.run(work())


@pytest.mark.parametrize("taken_up", [False, True])
@pytest.mark.parametrize(
    ("codec", "later"),
    [(SAME_EDITION, [Dreamt()]), (NEXT_EDITION, [ApprovalGranted(call_id=FIRST, digest="")])],
)
def test_what_cannot_be_read_keeps_nobody_from_answering_the_others(
    tmp_path: Path,
    codec: Codec,
    later: list[Event],
    taken_up: bool,
    logs: list[MutableMapping[str, Any]],
) -> None:
    # given two runs that wait for a person, one of which a later release has written on
    async def both() -> None:
        async with Runtime(tmp_path, agents=[clerk()]) as rt:
            for run_id in ("r", "good"):
                assert (await rt.run("clerk", "hi", run_id=run_id)).status == "suspended"

    asyncio.run(both())
    log, stream = LmdbLog(tmp_path, codec=codec), run_stream("r")
    row = log.open_entry(stream)
    log.append(stream, later, expected_version=log.version(stream), entry=row).result(5)
    log.close()

    async def answer() -> None:
        async with Runtime(tmp_path, agents=[clerk()]) as rt:
            if taken_up:
                with pytest.raises(NotSuspended, match="it is quarantined"):
                    await rt.approve("r", FIRST)
            # when somebody asks what waits
            (question,) = await rt.runs.pending()
            # then the other one is told, and can be answered
            assert question.run_id == "good"
            await rt.approve("good", question.call_id)
            assert (await rt.result("good")).output == "done"
            assert await rt.runs.pending() == []

    asyncio.run(answer())
    # and what is left out as long as its row says that it waits, is said
    missed = [line["stream"] for line in logs if line["event"] == "pending_unreadable"]
    assert missed == ([] if taken_up else [stream] * 2)
