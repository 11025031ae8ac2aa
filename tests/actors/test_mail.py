"""Messages on their way: told again until they are acknowledged, refused, or of no use."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

import pytest

from outlive.actors.effects import EffectTable
from outlive.actors.loop_actor import LoopFuture, MailboxClosed
from outlive.actors.mail import Acknowledge, Courier, Deliver, Parcel, Post, deliveries
from outlive.events import (
    Fenced,
    LogParked,
    OutliveError,
    Position,
    Refused,
    StreamId,
)
from outlive.events.mail import NO_MAIL, Letter, post
from tests.support import run_virtual

SENDER, RECEIVER = StreamId("toy-s"), StreamId("toy-r")
MESSAGE = Deliver(1, RECEIVER, "hello")
CAUSE = Position(7)
Answer = OutliveError | Exception | None


@dataclass
class House:
    """The addresses of both: answers as it is told to, and notes what comes and when."""

    answers: list[Answer]  # None: acknowledged; past the end: no answer
    state: str = "the state after it"

    def __post_init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.came: list[tuple[float, object, bool]] = []
        self.told: list[object] = []
        self.taken_back: list[object] = []
        self.effects = EffectTable(self.loop)
        postal = Post()
        postal.serve("toy", self)
        self.courier = Courier(SENDER, post=postal, effects=self.effects)

    @property
    def initial(self) -> object:
        return "not begun"

    def send(
        self,
        stream: StreamId,
        command: object,
        *,
        reply: LoopFuture[object] | None = None,
        cause: Position | None = None,
    ) -> None:
        assert (stream, reply, cause) == (SENDER, None, CAUSE)
        self.told.append(command)

    def deliver(
        self,
        stream: StreamId,
        message: object,
        *,
        reply: LoopFuture[object],
        cause: Position | None = None,
        ends: bool = False,
    ) -> None:
        assert (stream, cause) == (RECEIVER, CAUSE)
        self.came.append((round(self.loop.time(), 1), message, ends))
        if len(self.came) > len(self.answers):
            return
        answer = self.answers[len(self.came) - 1]
        if answer is None:
            reply.set(self.state)
        else:
            reply.fail(answer)

    def take_back(self, stream: StreamId, reply: LoopFuture[object]) -> None:
        assert stream == RECEIVER
        self.taken_back.append(reply)

    def look_at(self, stream: StreamId) -> None:
        raise AssertionError(f"a message is all that {stream!r} is sent")

    def passed(self, stream: StreamId) -> None:
        raise AssertionError(f"{stream!r} waits for no turn")

    def start(self, pack: Callable[[], Parcel] = lambda: Parcel("hello")) -> None:
        self.courier.start(MESSAGE, pack, CAUSE)

    @property
    def times(self) -> list[float]:
        return [at for at, _, _ in self.came]


def house(
    *answers: Answer,
    play: Callable[[House], Awaitable[None]],
    state: str = "the state after it",
) -> House:
    async def run() -> House:
        made = House(list(answers), state)
        await play(made)
        await made.effects.close()
        return made

    return run_virtual(run())


async def wait(house: House, seconds: float = 1000.0) -> None:
    house.start()
    await asyncio.sleep(seconds)


def test_what_a_state_owes_are_its_messages_one_to_each_receiver() -> None:
    mail = post(
        post(NO_MAIL, Letter(to=RECEIVER, subject="hello")), Letter(to=RECEIVER, subject="x")
    )
    assert deliveries(mail) == {MESSAGE: None}
    assert deliveries(NO_MAIL) == {}


def test_an_acknowledged_message_is_told_once_and_its_sender_hears_of_it() -> None:
    made = house(None, play=wait)
    assert len(made.came) == 1
    assert made.told == [Acknowledge(sequence=1)]


def test_until_then_it_is_told_again_after_longer_and_longer_pauses_of_a_minute_at_most() -> None:
    made = house(*[MailboxClosed("gone")] * 8, None, play=wait)
    start = made.times[0]
    assert [round(at - start, 1) for at in made.times] == [
        0.0,
        0.1,
        0.5,
        2.1,
        8.5,
        34.1,
        94.1,
        154.1,
        214.1,
    ]
    assert made.told == [Acknowledge(sequence=1)]


def test_what_is_no_answer_of_the_receiver_is_not_taken_for_one() -> None:
    made = house(LogParked("log", "full"), ValueError("a defect"), None, play=wait)
    assert len(made.came) == 3
    assert made.told == [Acknowledge(sequence=1)]


@pytest.mark.parametrize("state", ["not begun", "the state after it"])
def test_a_receiver_that_has_never_begun_is_logged_and_owed_nothing(
    state: str, logs: list[MutableMapping[str, Any]]
) -> None:
    made = house(None, play=wait, state=state)
    assert made.told == [Acknowledge(sequence=1)]
    heard = [entry["event"] for entry in logs]
    assert heard == (["message_without_receiver"] if state == "not begun" else [])


def test_a_receiver_that_does_not_answer_is_waited_for() -> None:
    made = house(play=wait)
    assert (len(made.came), made.told) == (1, [])


def test_a_refusal_is_an_answer() -> None:
    assert house(Refused("no"), play=wait).told == [Acknowledge(sequence=1)]


def test_the_sender_may_be_told_of_a_refusal_in_its_own_words() -> None:
    async def play(made: House) -> None:
        made.start(lambda: Parcel("hello", refused=lambda error: f"refused: {error}"))
        await asyncio.sleep(1)

    assert house(Refused("no"), play=play).told == ["refused: no"]


def test_what_cannot_be_said_now_is_said_later() -> None:
    tries: list[int] = []

    def pack() -> Parcel:
        tries.append(1)
        if len(tries) < 3:
            raise LogParked("log", "cannot read what it says")
        return Parcel("hello", ends=True)

    async def play(made: House) -> None:
        made.start(pack)
        await asyncio.sleep(10)

    made = house(None, play=play)
    assert [(message, ends) for _, message, ends in made.came] == [("hello", True)]


def test_it_is_not_told_twice_at_a_time() -> None:
    async def play(made: House) -> None:
        made.start()
        made.start()
        await asyncio.sleep(1)
        made.start()

    assert len(house(play=play).came) == 1


def test_one_that_was_given_up_is_told_anew_when_its_sender_comes_back_at_once() -> None:
    async def play(made: House) -> None:
        made.start()
        await asyncio.sleep(1)
        made.effects.settle(SENDER, MESSAGE)
        made.start()
        await asyncio.sleep(1)

    assert len(house(play=play).came) == 2


def test_one_that_was_given_up_is_taken_back_where_it_lies() -> None:
    async def play(made: House) -> None:
        made.start()
        await asyncio.sleep(1)
        assert made.taken_back == []
        made.effects.settle(SENDER, MESSAGE)
        await asyncio.sleep(1)

    assert len(house(play=play).taken_back) == 1


def test_an_owner_that_was_replaced_tells_nobody_anything() -> None:
    made = house(Fenced(1, 2), play=wait)
    assert (len(made.came), made.told) == (1, [])


def test_one_whose_task_somebody_has_cancelled_is_told_again() -> None:
    async def play(made: House) -> None:
        made.start()
        await asyncio.sleep(1)
        entry = made.effects.get(SENDER, MESSAGE)
        assert entry is not None
        entry.task.cancel()
        await asyncio.sleep(10)

    assert len(house(play=play).came) == 2
