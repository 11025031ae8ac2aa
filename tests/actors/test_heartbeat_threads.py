"""Heartbeats that tell a thread: what becomes of a fire, by what the thread does at that moment."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from outlive.actors import (
    Agent,
    EchoModel,
    Heartbeat,
    HeartbeatContext,
    HeartbeatHooks,
    History,
    ModelRequest,
    Runtime,
    ScriptedModel,
    SyncRuntime,
    ToolCall,
    Turn,
    tool,
)
from outlive.events import (
    AgentNotFound,
    IfActive,
    IfIdle,
    InvalidHeartbeat,
    OtherResource,
    ResourceIdRequired,
    RunId,
    RunNotFound,
    RunStarted,
    SignalReceived,
    ThreadlessOption,
    UserMessage,
    run_stream,
    thread_stream,
)
from outlive.projections import HeartbeatInfo
from outlive.testing import Simulation
from tests.support import simulated_heartbeats
from tests.support.people import ask
from tests.support.simulated_heartbeats import fires
from tests.support.threads import all_texts

ALONE: dict[str, Any] = {"thread_id": None, "resource_id": None}


def create(sim: Simulation, **fields: Any) -> HeartbeatInfo:
    there: dict[str, Any] = {"prompt": "look", "thread_id": "t", "resource_id": "u"}
    return simulated_heartbeats.create(sim, **(there | fields))


def outcomes(sim: Simulation) -> list[str | None]:
    return [one.outcome for one in fires(sim)]


def talk(sim: Simulation, agent: str = "research") -> RunId:
    """Have a run of an agent be active on the thread, and return its id."""

    async def start(rt: Runtime) -> RunId:
        return (await rt.start(agent, "hi", thread_id="t", resource_id="u")).id

    return sim.run(start)


def messages(sim: Simulation) -> list[str]:
    return sim.run(all_texts)


def signals(sim: Simulation) -> list[SignalReceived]:
    read = sim.run(_read)
    return [event for event in read if isinstance(event, SignalReceived)]


async def _read(rt: Runtime) -> list[Any]:
    return [one.event for one in rt.log.read(thread_stream("t"), after=0)]  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def echo(name: str = "research") -> Agent:
    return Agent(name, model=EchoModel())


def slow(name: str = "research", seconds: float = 100) -> Agent:
    """Return one that answers after so long."""

    return Agent(name, model=ScriptedModel(lambda _: Turn("done", delay=seconds)))


def asks() -> Agent:
    """Return one that asks a person, and is done with the answer."""

    def answer(request: ModelRequest) -> Turn:
        if isinstance(request.messages[-1], UserMessage) and len(request.messages) == 1:
            return Turn(tool_calls=(ToolCall("ask", {}),))
        return Turn("done")

    return Agent("research", model=ScriptedModel(answer), tools=[ask])


# ---- what the thread does x what is to become of it


def test_an_idle_thread_is_woken_and_the_outcome_is_that_of_its_run() -> None:
    with Simulation([echo()]) as sim:
        create(sim, attributes={"n": 1}, if_idle=IfIdle(request_context={"user": "u"}))
        sim.advance(130)
        assert [(one.outcome, one.run_id, one.thread_id) for one in fires(sim)] == [
            ("succeeded", "hb_h:1", "t"),
            ("succeeded", "hb_h:2", "t"),
        ]
        assert messages(sim)[::2] == ['<heartbeat n="1">look</heartbeat>'] * 2

        async def started(rt: Runtime) -> Any:
            return rt.log.read(run_stream("hb_h:1"), after=0)[0].event  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

        event = sim.run(started)
        assert isinstance(event, RunStarted)
        assert event.request_context == {"user": "u"}


def test_the_run_of_a_fire_by_hand_can_be_waited_for_at_once() -> None:
    async def fire(rt: Runtime) -> object:
        run_id = RunId(await rt.heartbeats.run("h"))
        return (await rt.result(run_id)).output

    async def fire_in_vain(rt: Runtime) -> object:
        return await rt.result(RunId(await rt.heartbeats.run("h")))

    for seed in range(5):
        with Simulation([echo()], seed=seed) as sim:
            create(sim)
            assert sim.run(fire) == "<heartbeat>look</heartbeat>"
            sim.run(lambda rt: rt.heartbeats.update("h", if_idle=IfIdle("persist")))
            with pytest.raises(RunNotFound):
                sim.run(fire_in_vain)


@pytest.mark.parametrize(
    ("behaviour", "outcome", "kept"),
    [("persist", "persisted", ["<heartbeat>look</heartbeat>"]), ("discard", "discarded", [])],
)
def test_an_idle_thread_need_not_be_woken(behaviour: Any, outcome: str, kept: list[str]) -> None:
    with Simulation([echo()]) as sim:
        create(sim, if_idle=IfIdle(behaviour))
        sim.advance(70)
        assert [(one.outcome, one.run_id) for one in fires(sim)] == [(outcome, None)]
        assert messages(sim) == kept


@pytest.mark.parametrize(
    ("behaviour", "outcome", "told"),
    [
        ("deliver", "delivered", True),
        ("persist", "persisted", False),
        ("discard", "discarded", False),
    ],
)
def test_an_active_thread_is_told_or_not(behaviour: Any, outcome: str, told: bool) -> None:
    with Simulation([slow()]) as sim:
        run_id = talk(sim)
        create(sim, if_active=IfActive(behaviour, attributes={"late": True}))
        sim.advance(70)
        assert [(one.outcome, one.run_id) for one in fires(sim)] == [
            (outcome, run_id if told else None)
        ]
        info = sim.run(lambda rt: rt.heartbeats.get("h"))
        assert info.last is not None
        assert (info.last.outcome, info.last.run_id) == (outcome, run_id if told else None)
        assert info.running == 0
        sim.run(lambda rt: rt.heartbeats.pause("h"))
        sim.advance(300)
        said = '<heartbeat late="true">look</heartbeat>'
        assert (said in messages(sim)) == (behaviour != "discard")


def test_a_run_of_another_agent_is_waited_for() -> None:
    with Simulation([slow("other", 150), echo()]) as sim:
        talk(sim, "other")
        create(sim)
        sim.advance(130)
        assert [(one.decision, one.reason, one.outcome) for one in fires(sim)] == [
            ("fired", "", "running"),
            ("skipped", "overlap", None),
        ]
        sim.advance(30)
        first = fires(sim)[0]
        assert (first.outcome, first.run_id) == ("succeeded", "hb_h:1")


def test_a_run_that_waits_for_a_person_is_told_once_however_often_it_fires() -> None:
    with Simulation([asks()]) as sim:
        run_id = talk(sim)
        create(sim)
        sim.advance(250)
        assert [(one.outcome, one.run_id) for one in fires(sim)] == [("queued", run_id)] * 4
        assert [one.coalesced_into for one in signals(sim)] == ["", *["hb_h:1"] * 3]
        sim.run(lambda rt: rt.heartbeats.pause("h"))
        sim.run(lambda rt: rt.resume(run_id, "this"))
        sim.advance(1)
        assert messages(sim).count("<heartbeat>look</heartbeat>") == 1


def test_a_run_of_its_own_that_waits_for_a_person_is_told_once_too() -> None:
    with Simulation([asks()]) as sim:
        create(sim)
        sim.advance(250)
        assert [(one.outcome, one.run_id) for one in fires(sim)] == [
            ("suspended", "hb_h:1"),
            *[("queued", "hb_h:1")] * 3,
        ]
        sim.run(lambda rt: rt.heartbeats.pause("h"))
        sim.run(lambda rt: rt.resume("hb_h:1", "this"))
        sim.advance(1)
        assert outcomes(sim) == ["succeeded", "queued", "queued", "queued"]
        assert messages(sim).count("<heartbeat>look</heartbeat>") == 2


# ---- what ends a fire in another way


def test_a_fire_whose_turn_has_not_come_in_time_is_taken_back() -> None:
    with Simulation([slow("other", 500), echo()]) as sim:
        talk(sim, "other")
        create(sim, timeout=30, max_fires=1)
        sim.advance(100)
        [fire] = fires(sim)
        assert (fire.outcome, fire.run_id) == ("timed_out", None)
        assert sim.run(lambda rt: rt.threads.get("t")).queued == ()


def test_a_run_on_the_thread_that_takes_too_long_is_cancelled() -> None:
    with Simulation([slow()]) as sim:
        create(sim, timeout=30, max_fires=1)
        sim.advance(100)
        [fire] = fires(sim)
        assert (fire.outcome, fire.run_id) == ("timed_out", "hb_h:1")
        assert sim.run(lambda rt: rt.runs.get(RunId("hb_h:1"))).status == "cancelled"


def test_what_somebody_takes_back_from_the_queue_is_aborted_and_does_not_hold_up_the_next() -> None:
    with Simulation([slow("other", 500), echo()]) as sim:
        talk(sim, "other")
        create(sim)
        sim.advance(70)
        sim.run(lambda rt: rt.threads.cancel_queued("t"))
        sim.advance(1)
        assert outcomes(sim) == ["aborted"]
        sim.advance(60)
        assert outcomes(sim) == ["aborted", "running"]


def test_one_that_cancels_what_was_before_it_begins_a_run_of_its_own() -> None:
    with Simulation([slow()]) as sim:
        create(sim, overlap="cancel_previous", max_fires=2)
        sim.advance(300)
        assert [(one.outcome, one.run_id) for one in fires(sim)] == [
            ("aborted", "hb_h:1"),
            ("succeeded", "hb_h:2"),
        ]


def test_a_thread_that_has_become_somebody_elses_is_an_error() -> None:
    told: list[tuple[str, str | None]] = []
    hooks = HeartbeatHooks(on_error=lambda one: told.append((one.phase, one.outcome)))
    with Simulation([echo()], heartbeat_hooks=hooks) as sim:
        create(sim, max_fires=1)
        sim.run(lambda rt: rt.threads.create(thread_id="t", resource_id="v"))
        sim.advance(70)
        assert outcomes(sim) == ["failed"]
        assert told == [("signal", "failed")]


# ---- hooks, tools and history


def test_prepare_says_what_the_thread_is_told_and_the_end_is_told_with_its_phase() -> None:
    ended: list[tuple[str | None, str, str | None]] = []

    def prepare(context: HeartbeatContext) -> object:
        return {"prompt": f"for {context.trigger.id}", "attributes": {"n": 2}}

    hooks = HeartbeatHooks(
        prepare=prepare,
        on_finish=lambda one: ended.append((one.outcome, one.phase, one.run_id)),
    )
    with Simulation([slow()], heartbeat_hooks=hooks) as sim:
        create(sim, attributes={"m": 1}, overlap="allow", max_fires=2)
        sim.advance(400)
        assert ended == [("delivered", "signal", "hb_h:1"), ("succeeded", "run", "hb_h:1")]
        assert messages(sim)[0] == '<heartbeat n="2">for hb_h:1</heartbeat>'


class Says:
    """Hooks of which the first one says something, and the last ones note how it ended."""

    def __init__(self, said: object) -> None:
        self.said = said
        self.ended: list[tuple[str, str | None, str]] = []

    def note(self, context: HeartbeatContext) -> None:
        self.ended.append((context.phase, context.outcome, context.error))

    @property
    def hooks(self) -> HeartbeatHooks:
        def prepare(_: HeartbeatContext) -> object:
            if isinstance(self.said, Exception):
                raise self.said
            return self.said

        return HeartbeatHooks(prepare=prepare, on_finish=self.note, on_error=self.note)


@pytest.mark.parametrize("alone", [False, True], ids=["on a thread", "alone"])
@pytest.mark.parametrize("crash", [False, True], ids=["", "killed"])
def test_prepare_may_choose_the_thread(alone: bool, crash: bool) -> None:
    says = Says(
        {
            "thread_id": "other",
            "resource_id": "v",
            "tag_name": "news",
            "signal_type": "state",
            "attributes": {"n": 2},
            "request_context": {"c": 3},
            "if_active": IfActive("persist"),
        }
    )
    settings: dict[str, Any] = {**ALONE, "request_context": {"d": 4}} if alone else {}
    with Simulation([echo()], heartbeat_hooks=says.hooks) as sim:
        create(sim, max_fires=1, **settings)
        sim.advance(60)
        if crash:
            sim.crash()
        sim.advance(10)
        assert [(one.thread_id, one.outcome) for one in fires(sim)] == [("other", "succeeded")]
        told = sim.run(lambda rt: rt.threads.messages("other"))
        assert getattr(told[0].message, "text", "") == '<news n="2">look</news>'
        assert sim.run(lambda rt: rt.threads.get("other")).resource_id == "v"
        assert says.ended == [("run", "succeeded", "")]

        async def begun(rt: Runtime) -> object:
            return rt.log.read(run_stream("hb_h:1"), limit=1)[0].event

        started = sim.run(begun)
        assert isinstance(started, RunStarted)
        assert started.request_context == {"c": 3}


class _Odd(Exception):
    def __str__(self) -> str:
        raise ValueError


BAD: list[object] = [
    {"thread_id": None},
    {"resource_id": ""},
    {"thread_id": "theirs", "resource_id": "u"},
    {"thread_id": "", "resource_id": "u"},
    {"thread_id": 5, "resource_id": "u"},
    {"thread_id": "x" * 300, "resource_id": "u"},
    {"attributes": {"1": 2}},
    {"attributes": {"a": float("nan")}},
    {"tag_name": "no name"},
    {"signal_type": "shout"},
    {"if_idle": "wake"},
    {"if_active": IfActive("shout")},  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    {"if_idle": IfIdle("persist"), "request_context": {"a": 1}},
    {"if_idle": IfIdle("persist", request_context={"a": 1})},
    {"request_context": {"a": object()}},
    {"prompt": ""},
    {"prompt": "\udc80"},
    {"prompt": "x" * 70_000_000},
    {"args": {}},
    {"cron": "@daily"},
    {"agent_id": "other"},
    {"metadata": {"a": 1}, "thread_id": "t", "resource_id": "u"},
    {5: 6},
    "look",
    ValueError("\udc80"),
    _Odd(),
]


@pytest.mark.parametrize("alone", [False, True], ids=["on a thread", "alone"])
def test_what_prepare_says_that_cannot_be_is_an_error_and_the_next_one_fires(alone: bool) -> None:
    says = Says(None)
    with Simulation([echo()], heartbeat_hooks=says.hooks, invariants=False) as sim:
        sim.run(lambda rt: rt.threads.create(thread_id="theirs", resource_id="v"))
        create(sim, **ALONE if alone else {})
        # Whose thread is it? And a run may have options that nobody can be told on a thread.
        sim.advance(1)
        odd = [*BAD, {"thread_id": "free"} if alone else {"provider_options": {"a": b"x"}}]
        for said in odd:
            says.said = said
            sim.advance(60)
        says.said = None
        sim.advance(70)
        found = fires(sim)
        decided = [(one.decision, one.reason) for one in found]
        assert decided[: len(odd)] == [("skipped", "failed")] * len(odd)
        assert [one.outcome for one in found[len(odd) :]] == ["succeeded"]
        assert [one[:2] for one in says.ended[:-1]] == [("prepare", "failed")] * len(odd)


@pytest.mark.parametrize(
    ("said", "settings"),
    [
        ({"metadata": {}}, {}),
        ({"request_context": {}}, {"if_idle": IfIdle("persist")}),
        ({"attributes": {}, "tag_name": "x"}, ALONE),
        ({"if_active": IfActive("persist")}, ALONE),
    ],
)
def test_what_would_do_nothing_is_an_error(said: object, settings: dict[str, Any]) -> None:
    says = Says(said)
    with Simulation([echo()], heartbeat_hooks=says.hooks) as sim:
        create(sim, max_fires=1, **settings)
        sim.advance(70)
        assert [(one.decision, one.reason) for one in fires(sim)] == [("skipped", "failed")]


def test_what_does_not_hold_any_more_when_it_was_said_is_an_error() -> None:
    going: list[asyncio.Future[None]] = []

    async def prepare(_: HeartbeatContext) -> object:
        going.append(asyncio.get_running_loop().create_future())
        await going[-1]
        return {"attributes": {"n": 2}}

    with Simulation([echo()], heartbeat_hooks=HeartbeatHooks(prepare=prepare)) as sim:
        create(sim, max_fires=1)
        sim.advance(60)
        sim.run(lambda rt: rt.heartbeats.update("h", **ALONE))

        async def go_on(_: Runtime) -> None:
            going[0].set_result(None)

        sim.run(go_on)
        sim.advance(1)
        [fire] = fires(sim)
        assert (fire.decision, fire.reason) == ("skipped", "failed")
        assert fire.error is not None
        assert "ThreadlessOption" in fire.error.exception


def test_arguments_that_do_not_fit_the_tool_are_an_error_before_it_is_called() -> None:
    @tool(read_only=True)
    async def look(at: int) -> int:
        """Look."""
        return at

    says = Says({"args": {"at": "nowhere"}})
    with Simulation([echo()], tools=[look], heartbeat_hooks=says.hooks) as sim:
        fields: dict[str, Any] = {**ALONE, "agent_id": None, "prompt": None}
        create(sim, task="look", args={"at": 1}, max_fires=1, **fields)
        sim.advance(70)
        assert [(one.decision, one.reason) for one in fires(sim)] == [("skipped", "failed")]
        says.said = {"args": {"at": 2}}
        sim.advance(60)
        assert [one.outcome for one in fires(sim)][1:] == ["succeeded"]


def test_the_run_that_it_begins_may_call_its_tools_only() -> None:
    offered: list[list[str]] = []

    def answer(request: ModelRequest) -> Turn:
        offered.append([one.name for one in request.tools])
        return Turn("done")

    @tool(read_only=True)
    async def look() -> str:
        """Look."""
        return "seen"

    agent = Agent("research", model=ScriptedModel(answer), tools=[ask, look])
    with Simulation([agent]) as sim:
        create(sim, tools=["look"])
        sim.advance(70)
        talk(sim)
        sim.advance(1)
        assert offered == [["look"], ["ask", "look"]]


def test_two_hundred_fires_stay_within_what_the_agent_sees_of_its_thread() -> None:
    seen: list[int] = []

    def answer(request: ModelRequest) -> Turn:
        seen.append(len(request.messages))
        return Turn("ok")

    agent = Agent("research", model=ScriptedModel(answer), history=History(max_messages=6))
    with Simulation([agent], invariants=False) as sim:
        create(sim, max_fires=200)
        sim.advance(201 * 60)
        assert len(seen) == 200
        assert max(seen) <= 7
        assert sim.run(lambda rt: rt.heartbeats.get("h")).status == "completed"


# ---- what can be said


@pytest.mark.parametrize(
    ("fields", "error", "named"),
    [
        ({"resource_id": None}, ResourceIdRequired, "resource_id"),
        ({"thread_id": None}, ThreadlessOption, "resource_id"),
        (ALONE | {"signal_type": "user"}, ThreadlessOption, "signal_type"),
        (ALONE | {"tag_name": "a"}, ThreadlessOption, "tag_name"),
        (ALONE | {"attributes": {"a": 1}}, ThreadlessOption, "attributes"),
        (ALONE | {"if_active": IfActive()}, ThreadlessOption, "if_active"),
        (ALONE | {"if_idle": IfIdle()}, ThreadlessOption, "if_idle"),
        ({"thread_id": "x" * 300}, InvalidHeartbeat, "thread_id"),
        ({"thread_id": ""}, InvalidHeartbeat, "thread_id"),
        ({"thread_id": 5}, InvalidHeartbeat, "thread_id"),
        ({"resource_id": ""}, InvalidHeartbeat, "resource_id"),
        ({"resource_id": 5}, InvalidHeartbeat, "resource_id"),
        ({"signal_type": "shout"}, InvalidHeartbeat, "signal_type"),
        ({"tag_name": "a b"}, InvalidHeartbeat, "tag_name"),
        ({"tag_name": 5}, InvalidHeartbeat, "tag_name"),
        ({"attributes": {"1": 1}}, InvalidHeartbeat, "attributes"),
        ({"attributes": [1]}, InvalidHeartbeat, "attributes"),
        ({"if_active": "persist"}, InvalidHeartbeat, "if_active"),
        ({"if_active": IfActive(attributes={"1": 1})}, InvalidHeartbeat, "if_active.attributes"),
        ({"if_idle": IfIdle("sleep")}, InvalidHeartbeat, "if_idle"),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        ({"provider_options": {"a": b"1"}}, InvalidHeartbeat, "provider_options"),
        ({"request_context": {"a": 1}}, InvalidHeartbeat, "request_context"),
        ({"agent_id": "nobody"}, AgentNotFound, "nobody"),
    ],
)
def test_what_cannot_be_is_refused_by_its_name(
    fields: dict[str, Any], error: type[Exception], named: str
) -> None:
    with Simulation([echo()]) as sim:
        with pytest.raises(error, match=named):
            create(sim, **fields)
        assert sim.run(lambda rt: rt.heartbeats.list()).heartbeats == ()


def test_a_tool_has_no_thread_and_a_thread_of_another_resource_is_refused() -> None:
    @tool(background=True, read_only=True)
    async def sync() -> str:
        """Synchronise."""
        return ""

    with Simulation([Agent("research", model=EchoModel(), tools=[sync])]) as sim:
        with pytest.raises(InvalidHeartbeat, match="thread_id"):
            create(sim, task="sync", agent_id=None, prompt=None)
        sim.run(lambda rt: rt.threads.create(thread_id="t", resource_id="v"))
        with pytest.raises(OtherResource):
            create(sim)


def test_it_is_told_and_found_by_its_thread_and_can_leave_it() -> None:
    with Simulation([echo()]) as sim:
        said: dict[str, Any] = {
            "signal_type": "system-reminder",
            "attributes": {"a": 1},
            "if_active": IfActive("persist"),
        }
        info = create(sim, **said)
        assert (info.thread_id, info.resource_id) == ("t", "u")
        assert (info.signal_type, info.tag_name) == ("reactive", "heartbeat")
        assert (info.if_active, info.if_idle) == (IfActive("persist"), IfIdle())
        for found in ({"thread_id": "t"}, {"resource_id": "u"}):
            page = sim.run(lambda rt, found=found: rt.heartbeats.list(**found))  # type: ignore[misc]
            assert [one.id for one in page.heartbeats] == ["hb_h"]
        assert sim.run(lambda rt: rt.heartbeats.list(thread_id="x")).heartbeats == ()
        with pytest.raises(ThreadlessOption):
            sim.run(lambda rt: rt.heartbeats.update("h", thread_id=None, resource_id=None))
        nothing: dict[str, Any] = dict.fromkeys(["thread_id", "resource_id", *said])
        alone = sim.run(lambda rt: rt.heartbeats.update("h", **nothing))
        assert (alone.thread_id, alone.signal_type, alone.if_idle) == (None, None, None)
        sim.advance(70)
        assert [(one.outcome, one.thread_id) for one in fires(sim)] == [("succeeded", None)]


def test_it_can_be_declared_in_code() -> None:
    said = Heartbeat(
        "h", agent_id="research", prompt="look", every=60, thread_id="t", resource_id="u"
    )
    with SyncRuntime(None, agents=[echo()], heartbeats=[said]) as rt:
        assert [one.id for one in rt.heartbeats.list(thread_id="t").heartbeats] == ["hb_h"]
        run_id = rt.heartbeats.run("h")
        assert rt.result(RunId(run_id)).output == "<heartbeat>look</heartbeat>"
