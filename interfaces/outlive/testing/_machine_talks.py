"""The rules of an `AgentMachine` about threads, signals and heartbeats."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar, Final, TypeVar, cast

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from outlive.actors import IfActive, IfIdle, Runtime, SignalAccepted
from outlive.actors.thread.submitted import OnBusy
from outlive.events import (
    HeartbeatExists,
    HeartbeatState,
    LogParked,
    NotFound,
    Refused,
    SignalReceived,
    ThreadBusy,
    ThreadRunAsked,
    heartbeat_stream,
)
from outlive.testing._machine_tasks import TaskRules

T = TypeVar("T")

_THREADS: Final = ("talk_a", "talk_b")
_OF: Final = "somebody"
_MOST_FIRES: Final = 3
_MOST_HEARTBEATS: Final = 3
_ON_BUSY: Final[tuple[OnBusy, ...]] = ("queue", "deliver", "reject", "cancel_previous")
_STEERING: Final = ("pause", "resume", "run", "delete")


@dataclass
class KnownTalk:
    """A run on a thread, or a signal to one, and what its client was told."""

    key: str
    thread: str
    agent: str
    text: str
    if_active: IfActive = field(default_factory=IfActive)
    if_idle: IfIdle = field(default_factory=IfIdle)
    acknowledged: bool = False
    told: list[SignalAccepted] = field(default_factory=list[SignalAccepted])


class TalkRules(TaskRules):
    """What is said on threads, and what is due."""

    talks: ClassVar[st.SearchStrategy[tuple[str, str]] | None] = None
    """What is said on threads: to which agent, and what. What a run on a thread comes to depends
    on what was said before; so it is only looked at whether it comes to its end."""
    heartbeats: ClassVar[st.SearchStrategy[Mapping[str, Any]] | None] = None
    """What heartbeats are created with, without an id; there are three at most. They fire three
    times at most, unless `max_fires` is said."""

    def __init__(self) -> None:
        super().__init__()
        self._asked_on_threads: list[KnownTalk] = []
        self._signals: list[KnownTalk] = []
        self._beats: list[str] = []

    def _talks_here(self) -> bool:
        return self.talks is not None and self._has_begun()

    def _beats_here(self) -> bool:
        few = len(self._beats) < _MOST_HEARTBEATS
        return self.heartbeats is not None and few and self._has_begun()

    def _has_begun(self) -> bool:
        """Before there is a run, nothing goes wrong: it would only become more and more."""
        return self._simulation is not None and bool(self._reference.runs)

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        self._reference.begins_others = True
        self._reference.others.append(self.simulation.spawn(work))

    async def _call(self, work: Callable[[Runtime], Awaitable[T]]) -> T:
        """Do something with whatever runtime is up, once there is space."""
        client, pause = self.simulation.client, 1.0

        async def call(rt: Runtime) -> T:
            return await work(rt)

        while True:
            try:
                return await client.call(call)
            except LogParked:
                await client.sleep(pause)
                pause = min(2 * pause, 3_600.0)

    # -- threads

    @precondition(lambda self: bool(self._talks_here()))
    @rule(data=st.data(), thread=st.sampled_from(_THREADS), on_busy=st.sampled_from(_ON_BUSY))
    def start_on_a_thread(self, data: st.DataObject, thread: str, on_busy: OnBusy) -> None:
        """Start a run on a thread."""
        assert self.talks is not None
        agent, text = data.draw(self.talks)
        talk = KnownTalk(f"talk{len(self._asked_on_threads) + 1}", thread, agent, text)
        self._asked_on_threads.append(talk)
        self._do(self._start_talk(talk, on_busy))

    async def _start_talk(self, talk: KnownTalk, on_busy: OnBusy) -> None:
        async def start(rt: Runtime) -> None:
            await rt.start(
                talk.agent,
                talk.text,
                run_id=talk.key,
                thread_id=talk.thread,
                resource_id=_OF,
                on_busy=on_busy,
            )

        try:
            await self._call(start)
        except ThreadBusy:
            assert on_busy == "reject", f"{talk.key} was to wait, and was rejected"
            return
        talk.acknowledged = True

    @precondition(lambda self: bool(self._talks_here()))
    @rule(
        data=st.data(),
        thread=st.sampled_from(_THREADS),
        active=st.sampled_from(["deliver", "deliver", "persist", "discard"]),
        idle=st.sampled_from(["wake", "wake", "persist", "discard"]),
    )
    def signal_a_thread(self, data: st.DataObject, thread: str, active: str, idle: str) -> None:
        """Say something to whoever works on a thread."""
        assert self.talks is not None
        agent, text = data.draw(self.talks)
        talk = KnownTalk(
            f"signal{len(self._signals) + 1}",
            thread,
            agent,
            text,
            IfActive(cast("Any", active)),
            IfIdle(cast("Any", idle)),
        )
        self._signals.append(talk)
        self._do(self._signal(talk))

    @precondition(lambda self: bool(self._signals))
    @rule(data=st.data())
    def signal_it_again(self, data: st.DataObject) -> None:
        """Repeat a signal: it has the same answer, and is read once."""
        self._do(self._signal(data.draw(st.sampled_from(self._signals))))

    async def _signal(self, talk: KnownTalk) -> None:
        async def signal(rt: Runtime) -> SignalAccepted:
            return await rt.signal(
                talk.text,
                thread_id=talk.thread,
                resource_id=_OF,
                agent=talk.agent,
                if_active=talk.if_active,
                if_idle=talk.if_idle,
                idempotency_key=talk.key,
            )

        talk.told.append(await self._call(signal))

    @precondition(lambda self: bool(self._talks_here()))
    @rule(thread=st.sampled_from(_THREADS))
    def take_back_what_waits(self, thread: str) -> None:
        """Take back what waits its turn on a thread."""
        self._do(self._take_back(thread))

    async def _take_back(self, thread: str) -> None:
        with suppress(NotFound, Refused):
            await self._call(lambda rt: rt.threads.cancel_queued(thread, reason="not needed"))

    # -- heartbeats

    @precondition(lambda self: bool(self._beats_here()))
    @rule(data=st.data())
    def create_a_heartbeat(self, data: st.DataObject) -> None:
        """Have something be due, again and again."""
        assert self.heartbeats is not None
        fields = {"max_fires": _MOST_FIRES, **data.draw(self.heartbeats)}
        self._beats.append(f"hb_beat{len(self._beats) + 1}")
        self._do(self._create(self._beats[-1], fields))

    async def _create(self, id: str, fields: dict[str, Any]) -> None:
        with suppress(HeartbeatExists):  # By the one who has died before it was told.
            await self._call(lambda rt: rt.heartbeats.create(id=id, **fields))

    @precondition(lambda self: bool(self._beats))
    @rule(data=st.data(), how=st.sampled_from(_STEERING))
    def steer_a_heartbeat(self, data: st.DataObject, how: str) -> None:
        """Pause, resume or delete a heartbeat, or have it fire now."""
        self._do(self._steer(data.draw(st.sampled_from(self._beats)), how))

    async def _steer(self, id: str, how: str) -> None:
        with suppress(NotFound, Refused):  # It may not be there yet, or be over.
            await self._call(partial(_steered, id=id, how=how))

    def _let_heartbeats_rest(self) -> None:
        """Have nothing be due any more: there would be no end of it."""
        for id in self._beats:
            self.simulation.drive(self._steer(id, "pause"))

    # -- what holds

    def _ask_again(self) -> None:
        super()._ask_again()
        for talk in (*self._asked_on_threads, *self._signals):
            talk.acknowledged = False
            talk.told.clear()

    def _check_talks(self) -> None:
        """Nothing that was taken is lost, or there twice, and no fire is left in between.

        Raises:
            AssertionError: it is.
        """
        invariants = self.simulation.invariants
        asked: list[str] = []
        answers: dict[str, list[SignalReceived]] = {}
        for thread in _THREADS:
            for event in self.simulation.thread_events(thread):
                match event:
                    case ThreadRunAsked(run_id=run_id):
                        asked.append(run_id)
                    case SignalReceived(signal_id=signal_id) as received:
                        answers.setdefault(signal_id, []).append(received)
                    case _:
                        continue
        for talk in self._asked_on_threads:
            assert asked.count(talk.key) <= 1, f"{talk.key} was asked for twice"
            assert not talk.acknowledged or talk.key in asked, f"{talk.key} is lost"
        for talk in self._signals:
            told = talk.told
            assert all(one == told[0] for one in told), f"{talk.key} has several answers: {told}"
            for one in told[:1]:
                found = [received.action for received in answers.get(one.signal_id, ())]
                assert found == [one.action], f"{talk.key} was {one.action}, the log has {found}"
        for id in self._beats:
            if heartbeat_stream(id) not in self.simulation.disk.store.index:
                continue  # Power was lost before it was there.
            state = cast("HeartbeatState", invariants.state(heartbeat_stream(id)))
            left = [*state.claims, *(n for n, one in state.going.items() if not one.suspended)]
            assert not left, f"{id} waits for fires {left}, and nothing happens any more"


async def _steered(rt: Runtime, *, id: str, how: str) -> None:
    await getattr(rt.heartbeats, how)(id)
