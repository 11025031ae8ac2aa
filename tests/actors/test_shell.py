"""The shell: decide, evolve, append, and after the commit act, reply, publish.

The entity here is as small as can be, a tally that may owe effects and wait for an instant;
the log settles its commits when the test says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

import pytest
from msgspec import UNSET

from outlive.actors.event_sourced import EventSourcedActor
from outlive.actors.loop_actor import LoopFuture, MailboxClosed
from outlive.events import (
    CorruptLog,
    Event,
    LogClosed,
    LogError,
    LogFailed,
    MemoryLog,
    Position,
    Recorded,
    Refused,
    StreamId,
    UnserialisableValue,
    Version,
    WrongExpectedVersion,
)
from tests.support import ScriptedLog, run_virtual
from tests.support.tally import (
    TALLY_CODEC,
    Added,
    AddOne,
    Command,
    Cursed,
    Do,
    Ended,
    FakeWorld,
    Look,
    Performed,
    Refuse,
    Slept,
    Tally,
    TallyEntity,
    Wanted,
)

STREAM: Final = StreamId("tally-1")


class Scene:
    """An actor, its scripted log, and what it told its surroundings."""

    def __init__(self, log: ScriptedLog | None = None) -> None:
        self.log = log or ScriptedLog(MemoryLog(codec=TALLY_CODEC))
        self.world = FakeWorld()
        self.wakes: list[int | None] = []
        self.idles = 0  # how often it said that nothing is on its way
        self.rests = 0  # how often it could leave memory then, being over
        self.broken: list[BaseException] = []
        self.actor = self.another()

    def another(self) -> EventSourcedActor[Tally, Command, str]:
        actor = EventSourcedActor[Tally, Command, str](
            STREAM,
            TallyEntity(),
            self.log,
            self.world,
            wake_at=lambda _, wake_at_ns: self.wakes.append(wake_at_ns),
            idle=self._idle,
            broken=self._break,
        )
        actor.load()
        actor.run()
        return actor

    def _idle(self, _: StreamId) -> None:
        self.idles += 1
        if self.actor.entry is None:
            self.rests += 1
            self.actor.stop_now()

    def _break(self, _: StreamId, error: BaseException) -> None:
        self.broken.append(error)
        self.actor.stop_now()

    async def ask(self, command: Command) -> Answer:
        """Ask, and let the actor come to it."""
        answer = Answer(self.actor.ask(command))
        await turns()
        return answer

    async def tell(self, command: Command) -> None:
        self.actor.tell(command)
        await turns()

    async def settle(self) -> None:
        self.log.settle()
        await turns()

    @property
    def stored(self) -> list[Event]:
        return [recorded.event for recorded in self.log.read(STREAM)]


class Answer:
    """A reply, looked at without waiting for it."""

    def __init__(self, future: LoopFuture[Tally]) -> None:
        self._future = future
        self._told = False
        future.when_set(self._tell)

    def _tell(self) -> None:
        self._told = True

    @property
    def there(self) -> bool:
        return self._told

    @property
    def state(self) -> Tally:
        assert self._told
        return self._future.get()

    @property
    def error(self) -> BaseException:
        assert self._told
        with pytest.raises(BaseException) as caught:  # noqa: PT011  # what it is, the test says
            self._future.get()
        return caught.value


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def scene(body: Callable[[Scene], Awaitable[None]]) -> None:
    async def play() -> None:
        await body(Scene())

    run_virtual(play())


# -- after the commit --


def test_an_effect_starts_only_after_the_commit_that_owes_it() -> None:
    async def body(scene: Scene) -> None:
        await scene.tell(Do(Wanted(effect="mail")))
        assert scene.world.done == []
        assert scene.world.noted == []

        await scene.settle()
        assert scene.world.done == ["+mail"]
        assert scene.world.noted == [Wanted(effect="mail")]
        assert scene.world.causes == [1]

    scene(body)


def test_a_command_is_answered_with_the_state_after_it_once_that_is_durable() -> None:
    async def body(scene: Scene) -> None:
        one = await scene.ask(Do(Added(by=1)))
        two = await scene.ask(Do(Added(by=2)))
        assert not one.there
        assert scene.actor.state.history == (1, 2)

        await scene.settle()
        assert one.state.history == (1,)
        assert not two.there

        await scene.settle()
        assert two.state.history == (1, 2)

    scene(body)


@pytest.mark.parametrize("command", [Look(), Refuse(), Do(Cursed())], ids=["look", "no", "cursed"])
def test_every_reply_waits_for_the_last_pending_commit(command: Command) -> None:
    async def body(scene: Scene) -> None:
        await scene.tell(Do(Added(by=1)))
        await scene.tell(Do(Added(by=2)))
        asked = await scene.ask(command)

        await scene.settle()
        assert not asked.there, "the second commit, upon which it was decided, is not durable"
        await scene.settle()
        assert asked.there

    scene(body)


def test_replies_come_in_the_order_of_the_commands() -> None:
    async def body(scene: Scene) -> None:
        order: list[int] = []
        commands: list[Command] = [
            Look(),
            Do(Added(by=1)),
            Refuse(),
            Look(),
            Do(Added(by=2)),
            Look(),
        ]

        def note(number: int) -> Callable[[], None]:
            return lambda: order.append(number)

        for number, command in enumerate(commands):
            scene.actor.ask(command).when_set(note(number))
        await turns()
        scene.log.settle_all()
        assert order == [0, 1, 2, 3, 4, 5]

    scene(body)


def test_a_query_with_nothing_on_its_way_is_answered_at_once() -> None:
    async def body(scene: Scene) -> None:
        asked = await scene.ask(Look())
        assert asked.state == Tally()
        assert isinstance((await Scene(scene.log).ask(Refuse())).error, Refused)

    scene(body)


def test_effects_come_before_the_reply_and_the_reply_before_the_next_commit() -> None:
    async def body(scene: Scene) -> None:
        seen: list[list[str]] = []
        for name in ("a", "b"):
            asked = scene.actor.ask(Do(Wanted(effect=name)))
            asked.when_set(lambda: seen.append(list(scene.world.done)))
        await turns()
        scene.log.settle_all()
        assert seen == [["+a"], ["+a", "+b"]]

    scene(body)


# -- pipelining --


def test_commands_are_decided_without_waiting_for_the_disk_and_commit_in_order() -> None:
    async def body(scene: Scene) -> None:
        for _ in range(4):
            scene.actor.tell(AddOne())
        await turns()
        assert [commit.expected_version for commit in scene.log.waiting] == [0, 1, 2, 3]

        scene.log.settle_all()
        assert scene.stored == [Added(by=1), Added(by=2), Added(by=3), Added(by=4)]

    scene(body)


def test_several_events_of_a_command_are_one_commit() -> None:
    async def body(scene: Scene) -> None:
        await scene.tell(Do(Added(by=1), Wanted(effect="a")))
        await scene.tell(Do(Added(by=2)))
        assert [commit.expected_version for commit in scene.log.waiting] == [0, 2]
        scene.log.settle_all()
        assert scene.actor.version == 3 == scene.log.version(STREAM)

    scene(body)


def test_a_commit_names_the_position_that_led_to_it() -> None:
    async def body(scene: Scene) -> None:
        await scene.tell(Do(Wanted(effect="mail")))
        await scene.settle()
        scene.actor.tell(Do(Performed(effect="mail")), cause=Position(scene.world.causes[0]))
        await turns()
        await scene.settle()
        causes = [recorded.cause for recorded in scene.log.read(STREAM)]
        assert causes == [None, 1]

    scene(body)


def test_the_row_is_written_only_when_it_changes() -> None:
    async def body(scene: Scene) -> None:
        for events in (
            [Added(by=1)],
            [Added(by=2)],
            [Wanted(effect="a")],
            [Wanted(effect="b")],
            [Performed(effect="a"), Performed(effect="b")],
            [Ended()],
        ):
            await scene.tell(Do(*events))
        rows = [commit.entry for commit in scene.log.waiting]
        assert [row is not UNSET for row in rows] == [True, False, True, False, True, True]
        assert rows[-1] is None
        scene.log.settle_all()
        assert scene.log.open_entries() == []

    scene(body)


# -- effects --


def test_an_effect_that_is_owed_no_more_is_given_up() -> None:
    async def body(scene: Scene) -> None:
        await scene.tell(Do(Wanted(effect="a"), Wanted(effect="b")))
        await scene.settle()
        await scene.tell(Do(Performed(effect="a")))
        assert scene.world.done == ["+a", "+b"]

        await scene.settle()
        assert scene.world.done == ["+a", "+b", "-a"]
        await scene.tell(Do(Ended()))
        await scene.settle()
        assert scene.world.done == ["+a", "+b", "-a", "-b"]

    scene(body)


def test_an_effect_that_was_owed_and_settled_before_its_commit_was_acknowledged_starts_once() -> (
    None
):
    async def body(scene: Scene) -> None:
        await scene.tell(Do(Wanted(effect="a")))
        await scene.tell(Do(Performed(effect="a")))
        await scene.tell(Do(Wanted(effect="a")))
        scene.log.settle_all()
        assert scene.world.done == ["+a", "-a", "+a"]

    scene(body)


def test_an_effect_owed_in_the_same_commit_that_settles_it_never_starts() -> None:
    async def body(scene: Scene) -> None:
        await scene.tell(Do(Wanted(effect="a"), Performed(effect="a")))
        await scene.settle()
        assert scene.world.done == []

    scene(body)


# -- being woken, and coming to rest --


def test_the_instant_to_be_woken_is_told_when_it_changes_and_once_it_is_durable() -> None:
    async def body(scene: Scene) -> None:
        await scene.tell(Do(Added(by=1)))
        await scene.settle()
        await scene.tell(Do(Slept(until_ns=50)))
        assert scene.wakes == []

        await scene.settle()
        assert scene.wakes == [50]
        for events in ([Added(by=1)], [Slept(until_ns=70)], [Slept(until_ns=None)], [Ended()]):
            await scene.tell(Do(*events))
            await scene.settle()
        assert scene.wakes == [50, 70, None]

    scene(body)


def test_an_end_takes_back_the_instant() -> None:
    async def body(scene: Scene) -> None:
        await scene.tell(Do(Slept(until_ns=50)))
        await scene.tell(Do(Ended()))
        scene.log.settle_all()
        assert scene.wakes == [50, None]

    scene(body)


def test_loading_tells_the_instant_and_what_is_owed_but_performs_nothing_by_itself() -> None:
    async def body(scene: Scene) -> None:
        scene.log.intrude(STREAM, Wanted(effect="a"), Slept(until_ns=50))
        other = Scene(scene.log)
        await turns()
        assert other.wakes == [50]
        assert other.actor.owed
        assert other.actor.version == 2
        assert other.world.done == []
        assert other.world.noted == [Wanted(effect="a"), Slept(until_ns=50)]

    scene(body)


def test_a_long_stream_is_read_to_its_end() -> None:
    async def body(scene: Scene) -> None:
        numbers = list(range(2_500))
        scene.log.intrude(STREAM, *(Added(by=number) for number in numbers))
        assert list(Scene(scene.log).actor.state.history) == numbers

    scene(body)


def test_it_comes_to_rest_once_it_is_over_and_nothing_is_on_its_way() -> None:
    async def body(scene: Scene) -> None:
        await scene.tell(Do(Added(by=1)))
        asked = await scene.ask(Do(Ended()))
        late = await scene.ask(Look())
        await scene.settle()
        assert scene.rests == 0
        await scene.settle()
        assert scene.rests == 1
        assert asked.state.over
        assert late.state.over

    scene(body)


def test_it_comes_to_rest_if_its_first_command_was_refused_or_caused_nothing() -> None:
    async def body(scene: Scene) -> None:
        await scene.ask(Refuse())
        assert scene.rests == 1
        other = Scene(scene.log)
        await other.ask(Look())
        assert other.rests == 1

    scene(body)


def test_it_tells_when_nothing_is_on_its_way_whatever_it_waits_for() -> None:
    async def body(scene: Scene) -> None:
        await scene.tell(Do(Slept(until_ns=5)))
        assert scene.idles == 0  # a commit is on its way
        await scene.settle()
        assert scene.idles == 1
        await scene.ask(Look())
        assert (scene.idles, scene.rests) == (2, 0)

    scene(body)


def test_it_tells_so_also_where_an_answer_raises_as_it_is_heard() -> None:
    def fail() -> None:
        raise ValueError("of who has asked")

    async def body(scene: Scene) -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, __: None)
        await scene.tell(Do(Slept(until_ns=5)))
        await scene.settle()
        scene.actor.ask(Look()).when_set(fail)
        await turns()
        assert scene.idles == 2

    scene(body)


def test_after_it_came_to_rest_messages_are_refused() -> None:
    async def body(scene: Scene) -> None:
        await scene.tell(Do(Ended()))
        await scene.settle()
        with pytest.raises(MailboxClosed):
            scene.actor.ask(Look())

    scene(body)


# -- a write that is refused --


def test_a_refused_write_fails_its_own_command_and_later_ones_are_decided_again_in_order() -> None:
    async def body(scene: Scene) -> None:
        scene.log.intrude(STREAM, *[Added(by=100)] * 9)
        first = await scene.ask(AddOne())
        second = await scene.ask(AddOne())
        third = await scene.ask(AddOne())
        scene.log.settle()
        assert isinstance(first.error, WrongExpectedVersion)
        assert not second.there

        scene.log.settle()
        scene.log.settle()
        await turns()
        scene.log.settle_all()
        assert second.state.history[9:] == (101,)
        assert third.state.history[9:] == (101, 102)
        assert scene.stored[9:] == [Added(by=101), Added(by=102)]
        assert scene.broken == []

    scene(body)


def test_what_is_decided_again_comes_ahead_of_what_arrived_meanwhile() -> None:
    async def body(scene: Scene) -> None:
        scene.log.intrude(STREAM, *[Added(by=100)] * 9)
        for number in (1, 2, 3):
            await scene.ask(Do(Added(by=number)))
        scene.log.settle()
        await scene.ask(Do(Added(by=4)))
        scene.log.settle()
        await scene.ask(Do(Added(by=5)))
        scene.actor.tell(Do(Added(by=6)))
        scene.log.settle()
        await turns()
        scene.log.settle_all()
        assert scene.stored[9:] == [Added(by=number) for number in (2, 3, 4, 5, 6)]

    scene(body)


def test_a_write_may_be_refused_while_those_before_it_are_fine() -> None:
    async def body(scene: Scene) -> None:
        before = await scene.ask(Do(Wanted(effect="a")))
        scene.log.settle()
        scene.log.intrude(STREAM, Added(by=100), Added(by=100))
        refused = await scene.ask(Do(Added(by=1)))
        scene.log.settle()
        again = await scene.ask(Do(Performed(effect="a")))
        scene.log.settle_all()
        assert before.state.owed == ("a",)
        assert isinstance(refused.error, WrongExpectedVersion)
        assert again.state.owed == ()
        assert scene.world.done == ["+a", "-a"]

    scene(body)


def test_a_write_that_is_accepted_behind_a_refused_one_does_not_stop_the_actor_for_ever() -> None:
    async def body(scene: Scene) -> None:
        refused = await scene.ask(Do(Added(by=1)))
        accepted = await scene.ask(Do(Added(by=2)))
        scene.log.intrude(STREAM, Added(by=100))
        scene.log.settle()
        scene.log.settle()
        later = await scene.ask(Do(Added(by=3)))
        scene.log.settle_all()
        assert isinstance(refused.error, WrongExpectedVersion)
        assert accepted.there
        assert later.state.history == (100, 2, 3)

    scene(body)


def test_what_was_told_and_is_accepted_behind_a_refused_write_does_not_stop_it_either() -> None:
    async def body(scene: Scene) -> None:
        refused = await scene.ask(Do(Added(by=1)))
        await scene.tell(Do(Added(by=2)))
        scene.log.intrude(STREAM, Added(by=100))
        scene.log.settle()
        scene.log.settle()
        later = await scene.ask(Do(Added(by=3)))
        scene.log.settle_all()
        assert isinstance(refused.error, WrongExpectedVersion)
        assert later.state.history == (100, 2, 3)

    scene(body)


def test_an_outcome_that_was_told_is_decided_again_and_not_lost() -> None:
    async def body(scene: Scene) -> None:
        await scene.tell(Do(Wanted(effect="a")))
        await scene.settle()
        scene.log.intrude(STREAM, Added(by=100))
        await scene.tell(Do(Performed(effect="a")))
        await scene.settle()
        scene.log.settle_all()
        assert scene.stored[-2:] == [Added(by=100), Performed(effect="a")]
        assert scene.world.done == ["+a", "-a"]
        assert scene.broken == []

    scene(body)


def test_after_a_refused_write_effects_follow_what_the_stream_says() -> None:
    async def body(scene: Scene) -> None:
        await scene.tell(Do(Wanted(effect="a")))
        await scene.settle()
        scene.log.intrude(STREAM, Performed(effect="a"), Wanted(effect="b"), Slept(until_ns=9))
        refused = await scene.ask(Do(Wanted(effect="c")))
        await scene.settle()
        assert isinstance(refused.error, WrongExpectedVersion)
        assert scene.world.done == ["+a", "-a", "+b"]
        assert scene.wakes == [9]
        assert scene.world.noted == scene.stored

    scene(body)


def test_replies_that_waited_for_the_refused_write_are_answered() -> None:
    async def body(scene: Scene) -> None:
        scene.log.intrude(STREAM, Added(by=100))
        await scene.ask(Do(Added(by=1)))
        query, refusal = await scene.ask(Look()), await scene.ask(Refuse())
        await scene.settle()
        scene.log.settle_all()
        assert query.there
        assert isinstance(refusal.error, Refused)

    scene(body)


def test_a_query_that_waited_for_a_refused_write_is_decided_again() -> None:
    async def body(scene: Scene) -> None:
        scene.log.intrude(STREAM, Added(by=100))
        await scene.ask(Do(Added(by=1)))
        query = await scene.ask(Look())
        await scene.settle()
        assert query.state.history == (100,)

    scene(body)


def test_an_entity_that_somebody_else_has_ended_comes_to_rest() -> None:
    async def body(scene: Scene) -> None:
        await scene.tell(Do(Added(by=1)))
        await scene.settle()
        scene.log.intrude(STREAM, Ended())
        await scene.ask(Do(Added(by=2)))
        await scene.settle()
        assert scene.rests == 1

    scene(body)


def test_a_stream_that_cannot_be_read_anew_is_told_to_be_broken() -> None:
    class Damaged(ScriptedLog):
        damaged = False

        def read(
            self, stream: StreamId, *, after: Version = Version(0), limit: int = 1_000
        ) -> list[Recorded]:
            if self.damaged:
                raise CorruptLog("record 1", "test")
            return super().read(stream, after=after, limit=limit)

    async def play() -> None:
        log = Damaged(MemoryLog(codec=TALLY_CODEC))
        scene = Scene(log)
        log.intrude(STREAM, Added(by=100))
        await scene.ask(Do(Added(by=1)))
        behind = await scene.ask(Do(Added(by=2)))
        log.damaged = True
        log.settle()
        log.settle()
        assert [type(error) for error in scene.broken] == [CorruptLog]
        assert behind.there

    run_virtual(play())


def test_an_actor_has_few_enough_attributes_to_do_without_a_dict_of_its_own() -> None:
    async def body(scene: Scene) -> None:
        await scene.ask(Do(Added(by=1)))
        attributes = vars(scene.actor).keys() - {"__orig_class__"}  # of `Scene`, which names types
        assert len(attributes) < 30  # So many CPython keeps in the object.

    scene(body)


# -- a log that fails --


def test_a_failed_log_stops_the_actor_and_everyone_who_waits_is_told() -> None:
    async def body(scene: Scene) -> None:
        first, second = await scene.ask(Do(Added(by=1))), await scene.ask(Do(Added(by=2)))
        query = await scene.ask(Look())
        failed = LogFailed("the disk is gone")
        scene.log.fail(failed)
        late = await scene.ask(Do(Added(by=3)))
        scene.log.fail(failed)
        await turns()
        assert {first.error, second.error, query.error, late.error} == {failed}
        assert scene.broken == [failed]
        assert scene.actor.actor_stopped.is_set()
        with pytest.raises(MailboxClosed):
            scene.actor.ask(Look())

    scene(body)


def test_a_failed_log_is_told_once_also_if_nobody_waits() -> None:
    async def body(scene: Scene) -> None:
        await scene.tell(Do(Wanted(effect="a")))
        await scene.tell(Do(Wanted(effect="b")))
        failed = LogFailed("the disk is gone")
        scene.log.fail(failed)
        scene.log.fail(failed)
        assert scene.broken == [failed]
        assert scene.world.done == []

    scene(body)


def test_a_log_that_is_closed_refuses_the_command_at_once() -> None:
    class Closed(ScriptedLog):
        def append(self, *_: Any, **__: Any) -> Any:
            raise LogClosed("closed")

    async def play() -> None:
        scene = Scene(Closed(MemoryLog(codec=TALLY_CODEC)))
        asked = await scene.ask(Do(Added(by=1)))
        assert isinstance(asked.error, LogClosed)
        assert scene.broken == []

        other = Scene(Closed(MemoryLog(codec=TALLY_CODEC)))
        await other.tell(Do(Added(by=1)))
        assert [type(error) for error in other.broken] == [LogClosed]

    run_virtual(play())


def test_an_actor_that_was_stopped_starts_no_effect_any_more() -> None:
    async def body(scene: Scene) -> None:
        asked = await scene.ask(Do(Wanted(effect="a")))
        scene.actor.stop_now()
        await scene.settle()
        assert asked.state.owed == ("a",), "it is durable, and who asked is told"
        assert scene.world.done == []

    scene(body)


# -- deciding and evolving go wrong --


def test_nothing_is_written_if_evolving_raises_and_the_actor_goes_on() -> None:
    async def body(scene: Scene) -> None:
        asked = await scene.ask(Do(Added(by=1), Cursed()))
        assert isinstance(asked.error, ValueError)
        assert not scene.log.appended
        scene.actor = scene.actor if not scene.rests else scene.another()
        after = await scene.ask(Do(Added(by=2)))
        await scene.settle()
        assert after.state.history == (2,)
        assert scene.broken == []

    scene(body)


def test_an_outcome_that_cannot_be_applied_is_told_to_be_broken() -> None:
    async def body(scene: Scene) -> None:
        await scene.tell(Do(Added(by=1)))
        await scene.settle()
        await scene.tell(Do(Cursed()))
        assert [type(error) for error in scene.broken] == [ValueError]
        assert scene.stored == [Added(by=1)]

    scene(body)


def test_an_event_that_cannot_be_encoded_is_refused_before_anything_is_written() -> None:
    async def play() -> None:
        log = MemoryLog(codec=TALLY_CODEC)
        scene = Scene(log)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        asked = await scene.ask(Do(Added(by=2**70)))
        assert isinstance(asked.error, UnserialisableValue)
        assert log.head == 0

    run_virtual(play())


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit()])
def test_whatever_deciding_raises_goes_to_who_asked(error: BaseException) -> None:
    class Raising(TallyEntity):
        def decide(self, state: Tally, command: Command) -> tuple[Event, ...]:
            raise error

    def never(_stream: StreamId, _wake_at_ns: int | None) -> None:
        raise AssertionError

    async def play() -> None:
        told: list[BaseException] = []
        actor = EventSourcedActor[Tally, Command, str](
            STREAM,
            Raising(),
            ScriptedLog(MemoryLog(codec=TALLY_CODEC)),
            FakeWorld(),
            wake_at=never,
            idle=lambda _: None,
            broken=lambda _, error: told.append(error),
        )
        actor.load()
        actor.run()
        answer = Answer(actor.ask(Look()))
        actor.tell(Look())
        await turns()
        assert answer.error is error
        assert told == [error]

    run_virtual(play())


def test_errors_of_the_log_are_of_one_family() -> None:
    for error in (WrongExpectedVersion, LogFailed, LogClosed, CorruptLog):
        assert issubclass(error, LogError)
