"""What lies in the inbox is carried out in its order, or refused; none of it is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from outlive.actors.clerk import Clerk
from outlive.actors.loop_actor import LoopFuture, MailboxClosed
from outlive.actors.run.submitted import CancelRequest, Request, encode_request
from outlive.events import (
    LogFailed,
    MailboxFull,
    MemoryLog,
    StreamId,
    Submitted,
    Version,
    WrongExpectedVersion,
)
from tests.support import run_virtual

ONE, TWO = StreamId("run-1"), StreamId("run-2")


@dataclass
class Office:
    """Those who are asked: answers as it is told to, and notes what it was asked."""

    room: dict[StreamId, int] = field(default_factory=dict[StreamId, int])
    errors: list[Exception] = field(default_factory=list[Exception])
    asked: list[str] = field(default_factory=list[str])
    closing: bool = False

    def __post_init__(self) -> None:
        self.clerk = Clerk(MemoryLog(), self.ask, closing=lambda: self.closing)

    def ask(self, stream: StreamId, request: Request, command_id: str) -> LoopFuture[Any]:
        if not self.room.get(stream, 1):
            raise MailboxFull(0)
        self.asked.append(command_id)
        reply = LoopFuture[Any]()
        if self.errors:
            reply.fail(self.errors.pop(0))
        else:
            reply.set("the state after it")
        return reply


def command(number: int, stream: StreamId = ONE) -> Submitted:
    return Submitted(
        number=number,
        command_id=f"c{number}",
        stream=stream,
        data=encode_request(CancelRequest()),
        submitted_at_ns=0,
    )


def play(body: Callable[[Office], Awaitable[None]]) -> Office:
    async def run() -> Office:
        office = Office()
        await body(office)
        await asyncio.sleep(10)
        return office

    return run_virtual(run())


def test_those_that_there_is_no_room_for_wait_in_their_order_and_the_others_do_not() -> None:
    async def body(office: Office) -> None:
        office.room[ONE] = 0
        office.clerk.hear([command(1), command(2), command(3, TWO)])
        await asyncio.sleep(5)
        office.clerk.hear([command(4), command(5, TWO)])
        await asyncio.sleep(5)
        assert office.asked == ["c3", "c5"]
        office.room[ONE] = 1

    assert play(body).asked == ["c3", "c5", "c1", "c2", "c4"]


@pytest.mark.parametrize(
    "error", [MailboxClosed("gone"), WrongExpectedVersion(ONE, Version(1), Version(2))]
)
def test_what_nobody_has_decided_is_asked_again(error: Exception) -> None:
    async def body(office: Office) -> None:
        office.errors = [error, error]
        office.clerk.hear([command(1)])

    assert play(body).asked == ["c1"] * 3


def test_what_the_log_could_not_take_stays_in_the_inbox() -> None:
    async def body(office: Office) -> None:
        office.errors = [LogFailed("the disk is gone")]
        office.clerk.hear([command(1)])

    assert play(body).asked == ["c1"]


def test_nothing_is_taken_any_more_by_one_that_closes() -> None:
    async def body(office: Office) -> None:
        office.room[ONE] = 0
        office.clerk.hear([command(1)])
        await asyncio.sleep(1)
        office.room[ONE], office.closing = 1, True
        office.clerk.hear([command(2)])

    assert play(body).asked == []
