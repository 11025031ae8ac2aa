"""What is said of a command that is refused, however much its sender has sent."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from outlive.actors import Agent, EchoModel, Runtime
from outlive.actors.logs import told
from outlive.actors.replies import check_reply
from outlive.actors.run.submitted import StartRequest, encode_request
from outlive.events import InvalidId, Refused, run_stream
from outlive.events.lmdb_store import LmdbLog, LmdbVisitor

A_LOT = 1_000_000
LONG_AGENT = encode_request(StartRequest(agent_id="x" * A_LOT, input="hi", metadata={}))
SPACES = encode_request(StartRequest(agent_id=" " + "x" * A_LOT, input="hi", metadata={}))


@pytest.mark.parametrize("data", [LONG_AGENT, SPACES, b"\xd9" * A_LOT], ids=["long", "odd", "junk"])
def test_neither_the_log_nor_the_reply_repeats_all_of_it(tmp_path: Path, data: bytes) -> None:
    LmdbLog(tmp_path).close()
    visitor = LmdbVisitor(tmp_path)
    visitor.submit("c", run_stream("r"), data)
    visitor.close()

    async def work() -> None:
        log = LmdbLog(tmp_path)
        async with Runtime(tmp_path, agents=[Agent("echo", model=EchoModel())], log=log):
            async with asyncio.timeout(20):
                while True:
                    if not log.submitted():
                        break
                    await asyncio.sleep(0.01)
        log.close()

    with capture_logs() as lines:
        asyncio.run(work())
    (refused,) = (line for line in lines if line["event"] == "command_refused")
    assert 0 < len(refused["reason"]) <= 2_000
    visitor = LmdbVisitor(tmp_path)
    reply = visitor.reply("c")
    visitor.close()
    assert reply is not None
    assert len(reply) < 3_000
    with pytest.raises((Refused, InvalidId)):
        check_reply(reply)


def test_a_line_of_the_log_has_an_end() -> None:
    assert len(told(Refused("x" * A_LOT))) == 2_000
    trace = told(ZeroDivisionError("x" * A_LOT + "end"))
    assert len(trace) == 8_000
    assert trace.endswith("end\n")
