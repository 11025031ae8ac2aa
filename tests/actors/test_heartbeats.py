"""Heartbeats in a runtime: what they run, how that is linked, and what survives a crash."""

import asyncio
import math
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final

import pytest
from msgspec import UNSET

from outlive.actors import (
    SKIP,
    Agent,
    Background,
    EchoModel,
    Heartbeat,
    HeartbeatContext,
    HeartbeatHooks,
    ModelRequest,
    Runtime,
    ScriptedModel,
    SyncRuntime,
    SyncToolContext,
    TextPart,
    ToolCall,
    Turn,
    tool,
)
from outlive.events import (
    AgentNotFound,
    AlreadyOver,
    HeartbeatExists,
    HeartbeatFired,
    HeartbeatNotFound,
    HookNotFound,
    HookRan,
    IfIdle,
    InvalidCron,
    InvalidCursor,
    InvalidDefinition,
    InvalidHeartbeat,
    InvalidId,
    NotSuspended,
    RunStarted,
    ToolNotFound,
    UnserialisableValue,
    heartbeat_stream,
)
from outlive.projections import FireInfo, FirePage, HeartbeatInfo
from outlive.testing import Simulation, World
from tests.support.people import agent, ask
from tests.support.simulated_heartbeats import create, fires

START = datetime(2030, 1, 1, tzinfo=UTC)


def research(model: Any = None, **more: Any) -> Agent:
    return Agent("research", model=model or EchoModel(), **more)


def get(sim: Simulation, id: str = "h") -> HeartbeatInfo:
    return sim.run(lambda rt: rt.heartbeats.get(id))


def told(found: list[FireInfo]) -> list[tuple[str, float, str | None]]:
    """Return decisions, their minutes after the start, and outcomes."""
    return [
        (one.decision, (one.due_at - START) / timedelta(minutes=1), one.outcome) for one in found
    ]


@tool(read_only=True)
async def work() -> str:
    """Work on and on."""
    await asyncio.get_running_loop().create_future()
    return ""


def asks() -> Agent:
    """Return one that asks a person, and is done with the answer."""
    return agent([ask], id="research")


def works() -> Agent:
    """Return one whose tool never ends."""
    return research(ScriptedModel([Turn(tool_calls=(ToolCall("work", {}),))]), tools=[work])


# ---- what it is created with


@pytest.mark.parametrize(
    ("given", "id"),
    [
        ("My Weird ID!!", "hb_my-weird-id"),
        ("hb_my-weird-id", "hb_my-weird-id"),
        ("  daily  ", "hb_daily"),
        ("daily_report", "hb_daily_report"),
        ("Täglich", "hb_taglich"),
        ("a--b..c", "hb_a-b-c"),
    ],
)
def test_an_id_is_made_a_handle_wherever_it_is_given(given: str, id: str) -> None:
    with Simulation([research()]) as sim:
        assert create(sim, id=given).id == id
        assert get(sim, given).id == get(sim, id).id == id
        with pytest.raises(HeartbeatExists):
            create(sim, id=given)
        sim.run(lambda rt: rt.heartbeats.pause(given))
        assert get(sim, id).status == "paused"


@pytest.mark.parametrize("given", ["", "!!", "hb_", "   ", "x" * 161, "x" * 300, None, 5])
def test_an_id_of_which_nothing_is_left_is_refused(given: Any) -> None:
    with Simulation([research()]) as sim, pytest.raises(InvalidId):
        sim.run(lambda rt: rt.heartbeats.get(given))


def test_an_id_is_drawn_where_none_is_given() -> None:
    with Simulation([research()]) as sim:
        one, other = create(sim, id=None), create(sim, id=None)
        assert one.id.startswith("hb_")
        assert one.id != other.id


@pytest.mark.parametrize(
    ("field", "value", "error"),
    [
        ("agent_id", "nobody", AgentNotFound),
        ("agent_id", "", InvalidHeartbeat),
        ("agent_id", 5, InvalidHeartbeat),
        ("task", "", InvalidHeartbeat),
        ("prompt", "", InvalidHeartbeat),
        ("prompt", "  ", InvalidHeartbeat),
        ("prompt", [], InvalidHeartbeat),
        ("prompt", [TextPart(" ")], InvalidHeartbeat),
        ("prompt", 5, InvalidHeartbeat),
        ("prompt", None, InvalidHeartbeat),
        ("args", {"a": 1}, InvalidHeartbeat),
        ("cron", "* * * * *", InvalidHeartbeat),  # besides `every`
        ("at", START, InvalidHeartbeat),  # besides `every`
        ("every", 0, InvalidHeartbeat),
        ("every", -1, InvalidHeartbeat),
        ("every", math.nan, InvalidHeartbeat),
        ("every", math.inf, InvalidHeartbeat),
        ("every", 1e300, InvalidHeartbeat),
        ("every", "60", InvalidHeartbeat),
        ("every", True, InvalidHeartbeat),
        ("every", timedelta(0), InvalidHeartbeat),
        ("every", None, InvalidHeartbeat),  # no schedule at all
        ("every", 1e-9, InvalidHeartbeat),
        ("timezone", "", InvalidHeartbeat),
        ("timezone", "UTC", InvalidHeartbeat),  # besides `every`
        ("name", 5, InvalidHeartbeat),
        ("name", "\ud800", InvalidHeartbeat),
        ("metadata", 5, InvalidHeartbeat),
        ("metadata", {"a": object()}, InvalidHeartbeat),
        ("metadata", {1: 2}, InvalidHeartbeat),
        ("request_context", [1], InvalidHeartbeat),
        ("provider_options", "x", InvalidHeartbeat),
        ("starts_at", datetime(2030, 1, 1), InvalidHeartbeat),  # noqa: DTZ001  # without a zone
        ("starts_at", "2030-01-01", InvalidHeartbeat),
        ("starts_at", datetime.max.replace(tzinfo=UTC), InvalidHeartbeat),
        ("starts_at", datetime.min.replace(tzinfo=UTC), InvalidHeartbeat),
        ("by", 5, TypeError),
        ("by", "\ud800", UnserialisableValue),
        ("ends_at", datetime(2029, 1, 1, tzinfo=UTC), InvalidHeartbeat),  # never due
        ("max_fires", 0, InvalidHeartbeat),
        ("max_fires", 1.5, InvalidHeartbeat),
        ("max_fires", True, InvalidHeartbeat),
        ("misfire", "never", InvalidHeartbeat),
        ("misfire", 1, InvalidHeartbeat),
        ("grace", -1, InvalidHeartbeat),
        ("overlap", "both", InvalidHeartbeat),
        ("jitter", -1, InvalidHeartbeat),
        ("jitter", 60, InvalidHeartbeat),  # as long as `every`
        ("timeout", 0, InvalidHeartbeat),
        ("max_failures", 0, InvalidHeartbeat),
        ("tools", "look", InvalidHeartbeat),
        ("tools", [5], InvalidHeartbeat),
        ("tools", ["\ud800"], InvalidHeartbeat),
        ("tools", ["nothing"], ToolNotFound),
        ("budget", 5, InvalidHeartbeat),  # no such field
    ],
)
def test_a_field_that_cannot_hold_is_refused_by_its_name(
    field: str, value: object, error: type[Exception]
) -> None:
    with Simulation([research()]) as sim:
        with pytest.raises(error) as refused:
            create(sim, **{field: value})
        if (
            error is InvalidHeartbeat
            and value is not None
            and field not in ("cron", "at", "ends_at")
        ):
            assert field in str(refused.value)
        assert sim.run(lambda rt: rt.heartbeats.list()).heartbeats == ()


def test_a_schedule_that_cannot_be_read_is_refused_with_the_reason() -> None:
    with Simulation([research()]) as sim:
        for cron, timezone, reason in [
            ("61 * * * *", "UTC", "minute"),
            ("0 0 30 2 *", "UTC", "no such day"),
            ("@daily", "Mars/Base", "no time zone"),
        ]:
            with pytest.raises(InvalidCron, match=reason):
                create(sim, every=None, cron=cron, timezone=timezone)
        create(sim)
        with pytest.raises(InvalidCron, match="minute"):
            sim.run(lambda rt: rt.heartbeats.update("h", cron="61 * * * *"))


def test_every_field_is_told_as_it_was_said() -> None:
    fields: dict[str, Any] = {
        "cron": "0 9 * * MON-FRI",
        "timezone": "America/New_York",
        "every": None,
        "name": "digest",
        "metadata": {"team": ["a", 1]},
        "starts_at": START + timedelta(days=1),
        "ends_at": START + timedelta(days=90),
        "max_fires": 9,
        "provider_options": {"effort": "low"},
        "request_context": {"user": "u"},
        "misfire": "all",
        "overlap": "queue",
        "jitter": timedelta(minutes=5),
        "timeout": timedelta(hours=1),
        "max_failures": 3,
    }
    with Simulation([research()]) as sim:
        info = create(sim, **fields)
        for name, value in fields.items():
            assert getattr(info, name) == value, name
        assert info.grace == timedelta(hours=1)  # that of `all`
        assert get(sim) == info
        assert create(sim, id="i", misfire="all", grace=math.inf).grace is None


def test_the_next_fires_are_told_in_advance() -> None:
    with Simulation([research()]) as sim:
        create(sim, every=None, cron="0 9 * * *", timezone="Europe/Berlin", max_fires=2)
        at_eight = START + timedelta(hours=8)
        upcoming = sim.run(lambda rt: rt.heartbeats.upcoming("h", 5))
        assert upcoming == [at_eight, at_eight + timedelta(days=1)]
        assert get(sim).next_at == at_eight
        sim.run(lambda rt: rt.heartbeats.pause("h"))
        assert sim.run(lambda rt: rt.heartbeats.upcoming("h")) == []


# ---- what it fires


def test_each_fire_is_a_run_of_its_own_and_linked_to_it() -> None:
    with Simulation([research()]) as sim:
        create(sim, metadata={"for": "x"}, request_context={"user": "u"})
        sim.advance("181s")
        found = fires(sim)
        assert told(found) == [("fired", n, "succeeded") for n in (1, 2, 3)]
        [started, *_] = sim.events(found[0].run_id or "")
        assert isinstance(started, RunStarted)
        assert (started.input, started.metadata) == ("p", {"for": "x"})
        assert started.request_context == {"user": "u"}
        assert started.fire is not None
        assert (started.fire.heartbeat_id, started.fire.fire) == ("hb_h", 1)
        last = get(sim).last
        assert last is not None
        assert (last.fire, last.outcome, last.run_id) == (3, "succeeded", "hb_h:3")


def test_the_outcome_is_that_of_the_run() -> None:
    failing = ScriptedModel([])  # it has nothing to say
    with Simulation([research(failing)]) as sim:
        create(sim, max_failures=2)
        sim.advance("5m")
        found = fires(sim)
        assert told(found) == [("fired", 1, "failed"), ("fired", 2, "failed")]
        assert found[0].error is not None
        info = get(sim)
        assert info.status == "paused"
        assert info.reason.startswith("2 failures in a row; the last one: ")


def test_a_run_that_waits_for_a_person_is_suspended_and_its_end_is_told_later() -> None:
    with Simulation([asks()]) as sim:
        create(sim, max_fires=1)
        sim.advance("2m")
        assert told(fires(sim)) == [("fired", 1, "suspended")]
        sim.run(lambda rt: rt.resume("hb_h:1", "this"))
        sim.advance("1s")
        assert told(fires(sim)) == [("fired", 1, "succeeded")]


def test_a_run_that_goes_on_after_a_person_has_answered_is_told_to_do_so() -> None:
    def answer(request: ModelRequest) -> Turn:
        asked = len(request.messages) == 1
        return Turn(tool_calls=(ToolCall("ask", {}),)) if asked else Turn("done", delay=60)

    with Simulation([research(ScriptedModel(answer), tools=[ask])]) as sim:
        create(sim, max_fires=1)
        sim.advance("2m")
        sim.run(lambda rt: rt.resume("hb_h:1", "this"))
        sim.advance("1s")
        last = get(sim).last
        assert last is not None
        assert (told(fires(sim)), last.outcome) == ([("fired", 1, "running")], "running")
        sim.advance("60s")
        assert told(fires(sim)) == [("fired", 1, "succeeded")]


def test_what_takes_too_long_is_cancelled_and_has_timed_out() -> None:
    with Simulation([works()]) as sim:
        create(sim, timeout=30, max_fires=1)
        sim.advance("2m")
        [found] = fires(sim)
        assert found.outcome == "timed_out"
        assert found.duration is not None
        assert timedelta(seconds=30) <= found.duration < timedelta(seconds=31)
        assert sim.result("hb_h:1").status == "cancelled"


def test_a_run_that_is_cancelled_was_aborted() -> None:
    with Simulation([asks()]) as sim:
        create(sim, max_fires=1)
        sim.advance("2m")
        sim.run(lambda rt: rt.cancel("hb_h:1", "enough"))
        sim.advance("1s")
        [found] = fires(sim)
        assert found.outcome == "aborted"
        assert found.error is not None
        assert found.error.message == "enough"


def test_only_the_tools_that_it_may_use_are_offered_and_called() -> None:
    @tool(read_only=True)
    def look() -> str:
        """Look."""
        return "seen"

    @tool(read_only=True)
    def delete() -> str:
        """Delete all."""
        raise AssertionError("it must not be called unattended")

    offered: list[str] = []

    def said(request: ModelRequest) -> Turn:
        offered[:] = [each.name for each in request.tools]
        calls = (ToolCall("delete", {}), ToolCall("look", {}))
        return Turn(text="done") if request.step else Turn(tool_calls=calls)

    model = ScriptedModel(said)
    with Simulation([research(model, tools=[look, delete])]) as sim:
        create(sim, tools=["look"], max_fires=1)
        sim.advance("2m")
        assert told(fires(sim)) == [("fired", 1, "succeeded")]
        assert offered == ["look"]
        assert "there is no tool 'delete'" in str(sim.result("hb_h:1").messages)


def test_a_tool_is_called_in_the_background_without_any_model() -> None:
    @tool(read_only=True, background=Background(timeout=5))
    def sync(ctx: SyncToolContext, table: str) -> str:
        """Sync a table."""
        if table == "bad":
            raise ValueError("no such table")
        return f"{table} done"

    with Simulation([research(ScriptedModel([]), tools=[sync])]) as sim:
        info = create(sim, agent_id=None, prompt=None, task="sync", args={"table": "t"})
        assert (info.agent_id, info.task, info.args) == ("research", "sync", {"table": "t"})
        with pytest.raises(InvalidHeartbeat, match="args"):
            create(sim, id="x", agent_id=None, prompt=None, task="sync", args={"table": 5})
        create(sim, id="bad", agent_id=None, prompt=None, task="sync", args={"table": "bad"})
        sim.advance("61s")
        [found] = fires(sim)
        assert (found.outcome, found.run_id, found.task_id) == ("succeeded", None, "hb_h:1")
        task = sim.run(lambda rt: rt.tasks.get("hb_h:1"))
        assert task.result == "t done"
        assert [one.outcome for one in fires(sim, "bad")] == ["failed"]


def test_it_can_call_a_tool_by_an_update_and_run_an_agent_by_another_one() -> None:
    @tool(read_only=True)
    def look() -> str:
        """Look."""
        return "seen"

    with Simulation([research(tools=[look])]) as sim:
        create(sim)
        with pytest.raises(InvalidHeartbeat, match="prompt"):
            sim.run(lambda rt: rt.heartbeats.update("h", task="look"))
        with pytest.raises(InvalidHeartbeat, match="prompt"):
            sim.run(lambda rt: rt.heartbeats.update("h", prompt=None))
        sim.run(lambda rt: rt.heartbeats.update("h", task="look", prompt=None))
        sim.advance("61s")
        sim.run(lambda rt: rt.heartbeats.update("h", task=None, prompt="p"))
        sim.advance("60s")
        assert [(one.task_id, one.run_id, one.outcome) for one in fires(sim)] == [
            ("hb_h:1", None, "succeeded"),
            (None, "hb_h:2", "succeeded"),
        ]


def test_a_run_of_its_id_that_somebody_else_has_started_is_a_failure() -> None:
    with Simulation([research()]) as sim:
        sim.run(lambda rt: rt.start("research", "mine", run_id="hb_h:1"))
        create(sim, max_fires=1)
        sim.advance("2m")
        [found] = fires(sim)
        assert found.outcome == "failed"
        assert found.error is not None
        assert found.error.kind == "refused"


def test_it_fires_now_when_somebody_wants_it_also_when_paused() -> None:
    with Simulation([research()]) as sim:
        create(sim)
        sim.run(lambda rt: rt.heartbeats.pause("h", "for now"))
        run_id = sim.run(lambda rt: rt.heartbeats.run("h"))
        assert sim.result(run_id).output == "p"
        sim.advance("5m")
        [found] = fires(sim)
        assert (found.kind, found.run_id, found.outcome) == ("manual", run_id, "succeeded")
        assert get(sim).status == "paused"


def test_a_late_fire_makes_up_for_what_was_missed_while_nobody_was_there() -> None:
    with Simulation([research()], restart_after=600) as sim:
        create(sim)
        sim.advance("90s")
        sim.crash()
        sim.advance("11m")
        assert told(fires(sim))[:4] == [
            ("fired", 1, "succeeded"),
            ("coalesced", 2, None),
            ("fired", 11, "succeeded"),
            ("fired", 12, "succeeded"),
        ]
        assert fires(sim)[1].count == 9


def test_all_that_was_missed_is_made_up_for_also_after_a_crash_in_between() -> None:
    """With the default overlap: each waits for the end of the one before."""
    slow = research(ScriptedModel(lambda _: Turn("so", delay=10.0)))
    with Simulation([slow], restart_after=200) as sim:
        create(sim, misfire="all")
        sim.crash()
        sim.advance("5s")
        assert told(fires(sim)) == [("fired", 1, "running"), ("waiting", 2, None)]
        sim.crash()
        sim.advance("15s")
        made_up: list[Any] = [("fired", 1, "succeeded"), ("fired", 2, "running")]
        assert told(fires(sim)) == [*made_up, ("waiting", 3, None)]
        sim.advance("90s")
        assert told(fires(sim))[:8] == [("fired", n, "succeeded") for n in range(1, 9)]


@pytest.mark.parametrize("seconds", [-3600, 3600])
def test_a_clock_that_is_set_gives_each_instant_one_decision(seconds: int) -> None:
    with Simulation([research()]) as sim:
        create(sim)
        sim.advance("150s")
        sim.jump_clock(seconds)
        sim.advance("10m")
        instants: list[datetime] = []
        for one in fires(sim):
            assert one.due_at not in instants
            instants.append(one.due_at)
        assert len([one for one in fires(sim) if one.decision == "fired"]) > 5 or seconds < 0


YEARS: Final = 10 * 365 * 86_400


async def _resumed(rt: Runtime) -> None:
    await rt.heartbeats.pause("h")
    await rt.heartbeats.resume("h")


async def _updated(rt: Runtime) -> None:
    await rt.heartbeats.update("h", every=120)


async def _made_anew(rt: Runtime) -> None:
    await rt.heartbeats.delete("h")
    await rt.heartbeats.create(id="h", agent_id="research", prompt="p", every=60)


@pytest.mark.parametrize("said", [_resumed, _updated, _made_anew])
@pytest.mark.parametrize("crash", [False, True], ids=["", "restarted"])
def test_what_a_clock_has_decided_that_was_far_ahead_holds_until_somebody_says_when_to_begin(
    said: Any, crash: bool
) -> None:
    with Simulation([research()]) as sim:
        create(sim)
        sim.jump_clock(YEARS)
        sim.advance("2m")
        sim.jump_clock(-YEARS)
        sim.advance("2m")
        if crash:
            sim.crash()
        before = get(sim).fires
        sim.advance("10m")
        # It cannot be told which of the clocks is wrong, and nothing may fire twice.
        assert get(sim).fires == before
        assert get(sim).next_at is not None
        assert str(get(sim).next_at) > "2039"
        sim.run(said)
        sim.run(said)
        sim.advance("4m 30s")
        assert get(sim).fires == before + (2 if said is _updated else 4)
        instants = [one.due_at for one in fires(sim) if one.decision == "fired"]
        assert len(set(instants)) == len(instants)
        sim.crash()
        sim.advance("2m")
        assert get(sim).fires == before + (3 if said is _updated else 6)


def test_a_clock_that_was_an_hour_ahead_makes_nothing_fire_twice_whatever_is_said() -> None:
    with Simulation([research()]) as sim:
        create(sim, cron="* * * * *", timezone="UTC", every=None)
        sim.advance("10m")
        fired = get(sim).fires
        sim.jump_clock(-3600)
        sim.run(_resumed)
        sim.advance("50m")
        assert get(sim).fires == fired
        sim.advance("20m")
        assert get(sim).fires > fired


@pytest.mark.parametrize("changed", [False, True])
def test_code_does_not_begin_anew_with_what_a_clock_has_decided_that_is_ahead(
    changed: bool,
) -> None:
    """A machine may begin with an old clock, and set it when it has found the network."""
    declared = [Heartbeat("h", agent_id="research", prompt="p", cron="@hourly", timezone="UTC")]
    with Simulation([research()], heartbeats=declared) as sim:
        sim.advance("3h")
        fired = get(sim).fires
        sim.crash()
        sim.jump_clock(-YEARS)
        if changed:
            declared[0] = Heartbeat(
                "h", agent_id="research", prompt="p", cron="30 * * * *", timezone="UTC"
            )
        sim.advance("3h")
        assert get(sim).fires == fired
        sim.jump_clock(YEARS)
        sim.advance("3h")
        assert 3 <= get(sim).fires - fired <= 4


def test_pages_of_decisions_lead_back_to_the_first_one() -> None:
    with Simulation([research()], invariants=False) as sim:
        create(sim, every=1)
        sim.advance("100s")
        seen: list[int | None] = []
        cursor = None
        while True:
            page = sim.run(partial(_page, cursor=cursor))
            seen += [one.fire for one in page.fires]
            assert all(one.outcome == "succeeded" for one in page.fires[1:])
            cursor = page.cursor
            if cursor is None:
                break
        assert seen == list(range(100, 0, -1))


async def _page(rt: Runtime, cursor: str | None) -> FirePage:
    return await rt.heartbeats.fires("h", limit=7, cursor=cursor)


# ---- its life


def test_one_whose_agent_is_gone_is_blocked_and_comes_back_with_it() -> None:
    here = [True]

    def agents(_: World) -> list[Agent]:
        return [research()] if here[0] else [Agent("other", model=EchoModel())]

    with Simulation(agents) as sim:
        create(sim)
        sim.advance("90s")
        here[0] = False
        sim.stop()
        sim.advance("10m")
        info = get(sim)
        assert (info.status, info.reason) == ("blocked", "agent 'research' is not registered")
        assert sim.run(lambda rt: rt.heartbeats.list(status="blocked")).heartbeats == (info,)
        with pytest.raises(NotSuspended):
            sim.run(lambda rt: rt.heartbeats.run("h"))
        here[0] = True
        sim.stop()
        sim.advance("1m")
        assert get(sim).status == "active"
        decisions = [one.decision for one in fires(sim)]
        assert decisions == ["fired", "coalesced", "fired", "fired"]


def test_one_that_is_blocked_can_be_given_another_agent_or_be_deleted() -> None:
    here = [True]

    def agents(_: World) -> list[Agent]:
        return [research()] if here[0] else [Agent("other", model=EchoModel())]

    with Simulation(agents) as sim:
        for id in ("h", "i", "j"):
            create(sim, id=id)
        here[0] = False
        sim.stop()
        sim.advance("1s")
        sim.run(lambda rt: rt.heartbeats.delete("i"))
        sim.run(lambda rt: rt.heartbeats.update("h", agent_id="other"))
        sim.advance("2m")
        assert (get(sim, "h").status, get(sim, "i").status) == ("active", "deleted")
        assert get(sim, "j").status == "blocked"
        assert [one.outcome for one in fires(sim, "h")][-1] == "succeeded"


def test_what_was_deleted_keeps_its_history_and_fires_no_more() -> None:
    with Simulation([research()]) as sim:
        create(sim)
        sim.advance("90s")
        sim.run(lambda rt: rt.heartbeats.delete("h"))
        sim.advance("10m")
        assert told(fires(sim)) == [("fired", 1, "succeeded")]
        assert get(sim).status == "deleted"
        listing = sim.run(lambda rt: rt.heartbeats.list())
        assert listing.heartbeats == ()
        deleted = sim.run(lambda rt: rt.heartbeats.list(status="deleted")).heartbeats
        assert [each.id for each in deleted] == ["hb_h"]
        for work in _all_on("h"):
            with pytest.raises(HeartbeatNotFound):
                sim.run(work)


def test_one_that_is_created_again_goes_on_with_the_history_of_what_was_deleted() -> None:
    with Simulation([research()]) as sim:
        first = create(sim)
        sim.advance("90s")
        sim.run(lambda rt: rt.heartbeats.delete("h"))
        again = create(sim, prompt="q")
        assert again == get(sim)
        assert (again.status, again.prompt, again.fires) == ("active", "q", 1)
        assert again.created_at == first.created_at != again.updated_at


def _all_on(id: str) -> list[Callable[[Runtime], Any]]:
    return [
        lambda rt: rt.heartbeats.pause(id),
        lambda rt: rt.heartbeats.resume(id),
        lambda rt: rt.heartbeats.run(id),
        lambda rt: rt.heartbeats.update(id, prompt="q"),
    ]


def test_of_one_that_never_was_there_is_nothing_to_be_had() -> None:
    with Simulation([research()]) as sim:
        all_else: list[Callable[[Runtime], Any]] = [
            lambda rt: rt.heartbeats.get("nobody"),
            lambda rt: rt.heartbeats.delete("nobody"),
            lambda rt: rt.heartbeats.fires("nobody"),
            lambda rt: rt.heartbeats.upcoming("nobody"),
        ]
        for work in _all_on("nobody") + all_else:
            with pytest.raises(HeartbeatNotFound):
                sim.run(work)


def test_a_page_of_heartbeats_is_of_those_that_are_asked_for() -> None:
    with Simulation([research(), Agent("other", model=EchoModel())]) as sim:
        create(sim, id="a", name="one")
        create(sim, id="b", agent_id="other")
        create(sim, id="c", name="one", max_fires=1)
        sim.run(lambda rt: rt.heartbeats.pause("b"))
        sim.advance("2m")

        def ids(**asked: Any) -> list[str]:
            found = sim.run(lambda rt: rt.heartbeats.list(**asked)).heartbeats
            return [each.id.removeprefix("hb_") for each in found]

        assert ids() == ["c", "b", "a"]
        assert ids(order="oldest") == ["a", "b", "c"]
        assert ids(name="one") == ["c", "a"]
        assert ids(agent_id="other") == ["b"]
        assert ids(status="active") == ["a"]
        assert ids(status="paused") == ["b"]
        assert ids(status="completed") == ["c"]
        first = sim.run(lambda rt: rt.heartbeats.list(limit=2))
        rest = sim.run(lambda rt: rt.heartbeats.list(limit=2, cursor=first.cursor))
        assert [each.id for each in rest.heartbeats] == ["hb_a"]
        with pytest.raises(AlreadyOver):
            sim.run(lambda rt: rt.heartbeats.resume("c"))


def test_what_is_no_text_is_refused_and_leaves_it_as_it_is() -> None:
    asked: list[Callable[[Runtime], Any]] = [
        lambda rt: rt.heartbeats.pause("h", 5),  # type: ignore[arg-type]
        lambda rt: rt.heartbeats.pause("h", by=None),  # type: ignore[arg-type]
        lambda rt: rt.heartbeats.resume("h", by=5),  # type: ignore[arg-type]
        lambda rt: rt.heartbeats.update("h", by=5, every=9),  # type: ignore[arg-type]
        lambda rt: rt.heartbeats.run("h", by=5),  # type: ignore[arg-type]
        lambda rt: rt.heartbeats.delete("h", by=5),  # type: ignore[arg-type]
    ]
    with Simulation([research()]) as sim:
        info = create(sim)
        for ask_for in asked:
            with pytest.raises(TypeError):
                sim.run(ask_for)
        assert get(sim) == info
        with pytest.raises(InvalidCursor):
            fires(sim, cursor=5)


def test_what_happens_to_it_can_be_followed() -> None:
    async def follow(rt: Runtime) -> list[str]:
        seen: list[str] = []
        async for recorded in rt.heartbeats.observe("h"):
            seen.append(type(recorded.event).__name__)
            if isinstance(recorded.event, HeartbeatFired):
                await rt.heartbeats.delete("h")
        return seen

    with Simulation([research()]) as sim:
        create(sim)
        seen = sim.run(follow)
        assert seen[:4] == ["HeartbeatCreated", "FireScheduled", "FireClaimed", "HeartbeatFired"]
        assert "HeartbeatDeleted" in seen


def test_one_that_waits_is_a_row_and_not_in_memory() -> None:
    with Simulation([research()]) as sim:
        for n in range(20):
            create(sim, id=f"h{n}", every=3_600)
        sim.advance("10s")
        assert sim.runtime.live() == []
        sim.stop()
        sim.advance("10s")
        assert sim.runtime.live() == []


# ---- declared in code


def test_what_is_declared_is_created_updated_and_paused_with_the_code() -> None:
    declared = [Heartbeat("daily", agent_id="research", every=60, prompt="one")]
    with Simulation([research()], heartbeats=declared) as sim:
        sim.advance("90s")
        info = get(sim, "daily")
        assert (info.prompt, info.declared, info.status) == ("one", True, "active")
        version = info.version
        sim.stop()
        sim.advance("1s")
        assert get(sim, "daily").version == version  # nothing has changed

        declared[0] = Heartbeat("daily", agent_id="research", every=60, prompt="two")
        sim.stop()
        sim.advance("1s")
        assert get(sim, "daily").prompt == "two"

        kept = declared.pop()
        sim.stop()
        sim.advance("1s")
        info = get(sim, "daily")
        assert (info.status, info.reason) == ("paused", "the code declares it no more")

        declared.append(kept)
        sim.stop()
        sim.advance("1s")
        assert get(sim, "daily").status == "active"

        sim.run(lambda rt: rt.heartbeats.pause("daily"))
        sim.stop()
        sim.advance("1s")
        assert get(sim, "daily").status == "paused"  # the user's pause is kept


def test_a_declaration_that_cannot_hold_is_refused_at_construction() -> None:
    with pytest.raises(InvalidDefinition, match="every"):
        Heartbeat("x", agent_id="a", prompt="p", every=-1)
    one = Heartbeat("x", agent_id="a", prompt="p", every=1)
    with pytest.raises(InvalidDefinition, match="two heartbeats"):
        Runtime(None, heartbeats=[one, one])
    with pytest.raises(InvalidDefinition, match="Heartbeat"):
        Runtime(None, heartbeats=["x"])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]


# ---- hooks


class Calls:
    """What was called, with what it was told."""

    def __init__(self) -> None:
        self.all: list[tuple[str, HeartbeatContext]] = []

    def hooks(self, said: Callable[[HeartbeatContext], object] | None = None) -> HeartbeatHooks:
        async def on_finish(context: HeartbeatContext) -> None:
            self.all.append(("on_finish", context))

        return HeartbeatHooks(
            prepare=said,
            on_finish=on_finish,
            on_error=lambda context: self.all.append(("on_error", context)),
            on_abort=lambda context: self.all.append(("on_abort", context)),
        )

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.all]


def raises(_: HeartbeatContext) -> object:
    raise ValueError("no")


def says(said: object) -> Callable[[HeartbeatContext], object]:
    return lambda _: said


SAID: list[tuple[Callable[[HeartbeatContext], object], str, str | None, list[str]]] = [
    (says(None), "fired", "succeeded", ["on_finish"]),
    (says({"prompt": "other"}), "fired", "succeeded", ["on_finish"]),
    (says(SKIP), "skipped", None, []),
    (raises, "skipped", None, ["on_error"]),
    (says({"nonsense": 1}), "skipped", None, ["on_error"]),
    (says(5), "skipped", None, ["on_error"]),
]


@pytest.mark.parametrize("restarts", [False, True], ids=["", "restarted"])
@pytest.mark.parametrize(("said", "decision", "outcome", "called"), SAID)
def test_what_is_said_before_decides_what_is_done_and_who_is_told(
    said: Any, decision: str, outcome: str | None, called: list[str], restarts: bool
) -> None:
    calls = Calls()
    with Simulation([research()], heartbeat_hooks=calls.hooks(said)) as sim:
        create(sim, max_fires=1 if decision == "fired" else None)
        if restarts:
            sim.advance("60s")
            sim.crash()
        sim.advance("90s" if not restarts else "30s")
        found = fires(sim)[0]
        assert (found.decision, found.outcome) == (decision, outcome)
        assert list(dict.fromkeys(calls.names)) == called
        for _, context in calls.all:
            assert context.agent_id == "research"
            assert context.heartbeat.id == "hb_h"
            assert (context.trigger.id, context.trigger.kind) == ("hb_h:1", "schedule")
            assert context.trigger.due_at == START + timedelta(minutes=1)
            assert context.phase == ("run" if decision == "fired" else "prepare")
            if decision == "fired":
                assert (context.run_id, context.outcome) == ("hb_h:1", "succeeded")
                assert context.result is not None
                output = "other" if called and said(context) else "p"
                assert getattr(context.result, "output") == output  # noqa: B009  # of a run


def answers(text: str) -> Agent:
    """Return one that takes ten seconds for its answer."""
    return research(ScriptedModel(lambda _: Turn(text, delay=10.0)))


def fails() -> Agent:
    """Return one that takes ten seconds to fail."""

    def refuse(_: ModelRequest) -> Turn:
        raise ValueError("no")

    def answer(request: ModelRequest) -> Turn:
        if len(request.messages) == 1:
            return Turn(tool_calls=(ToolCall("rest", {}),))
        return refuse(request)

    return research(ScriptedModel(answer), tools=[rest])


@tool(read_only=True)
async def rest() -> str:
    """Take ten seconds."""
    await asyncio.sleep(10)
    return "rested"


@tool(read_only=True)
async def breaks() -> str:
    """Take ten seconds, and break."""
    await asyncio.sleep(10)
    raise ValueError("no")


ON_A_THREAD: dict[str, Any] = {"thread_id": "t", "resource_id": "u"}
CALLS: dict[str, Any] = {"prompt": None, "agent_id": None}
ENDS: list[tuple[Callable[[], Agent], dict[str, Any], str, str]] = [
    (lambda: answers("so"), {}, "succeeded", "on_finish"),
    (fails, {}, "failed", "on_error"),
    (works, {"timeout": 20}, "timed_out", "on_error"),
    (works, {}, "aborted", "on_abort"),
    (asks, {}, "suspended", "on_finish"),
    (lambda: answers("so"), ON_A_THREAD, "succeeded", "on_finish"),
    (fails, ON_A_THREAD, "failed", "on_error"),
    (works, {**ON_A_THREAD, "timeout": 20}, "timed_out", "on_error"),
    (works, ON_A_THREAD, "aborted", "on_abort"),
    (asks, ON_A_THREAD, "suspended", "on_finish"),
    (
        lambda: answers("so"),
        {**ON_A_THREAD, "if_idle": IfIdle("persist")},
        "persisted",
        "on_finish",
    ),
    (
        lambda: answers("so"),
        {**ON_A_THREAD, "if_idle": IfIdle("discard")},
        "discarded",
        "on_finish",
    ),
    (lambda: research(tools=[rest]), {**CALLS, "task": "rest"}, "succeeded", "on_finish"),
    (lambda: research(tools=[breaks]), {**CALLS, "task": "breaks"}, "failed", "on_error"),
    (
        lambda: research(tools=[work]),
        {**CALLS, "task": "work", "timeout": 20},
        "timed_out",
        "on_error",
    ),
    (lambda: research(tools=[work]), {**CALLS, "task": "work"}, "aborted", "on_abort"),
]


@pytest.mark.parametrize("dies", ["", "fired", "working", "ended"])
@pytest.mark.parametrize(
    ("agent", "fields", "outcome", "called"),
    ENDS,
    ids=[
        f"{end[2]}-{'task' if end[1].get('task') else end[1].get('thread_id', 'run')}"
        for end in ENDS
    ],
)
def test_each_end_has_its_function_whenever_the_process_dies(
    agent: Callable[[], Agent], fields: dict[str, Any], outcome: str, called: str, dies: str
) -> None:
    calls = Calls()
    with Simulation(lambda _: [agent()], heartbeat_hooks=lambda _: calls.hooks()) as sim:
        create(sim, max_fires=1, **fields)
        sim.advance("60s")
        if dies == "fired":
            sim.crash()
        sim.advance("5s")
        if dies == "working":
            sim.crash()
        sim.advance("1s")
        if outcome == "aborted":
            sim.run(_cancel_task if "task" in fields else _cancel)
        if dies == "ended":
            sim.crash()
        sim.advance("60s")
        assert [one.outcome for one in fires(sim)] == [outcome]
        assert set(calls.names) == {called}
        assert {context.trigger.id for _, context in calls.all} == {"hb_h:1"}
        ran = [event for [event] in _records(sim, "hb_h") if isinstance(event, HookRan)]
        assert [event.hook for event in ran] == [called]  # of which it is known that it has ended
        sim.crash()
        before = len(calls.names)
        sim.advance("60s")
        assert len(calls.names) == before


async def _cancel_task(rt: Runtime) -> bool:
    return await rt.tasks.cancel("hb_h:1")


async def _cancel(rt: Runtime) -> bool:
    return await rt.cancel("hb_h:1", "enough")


def test_a_function_that_raises_is_recorded_and_changes_nothing() -> None:
    with Simulation([research()], heartbeat_hooks=HeartbeatHooks(on_finish=raises)) as sim:
        create(sim)
        sim.advance("130s")
        assert told(fires(sim)) == [("fired", 1, "succeeded"), ("fired", 2, "succeeded")]
        events = [recorded for record in _records(sim, "hb_h") for recorded in record]
        ran = [event for event in events if type(event).__name__ == "HookRan"]
        assert [event.error.message for event in ran if event.error] == ["ValueError: no"] * 2


def _records(sim: Simulation, id: str) -> list[tuple[Any, ...]]:
    async def read(rt: Runtime) -> list[tuple[Any, ...]]:
        return [(each.event,) for each in rt.log.read(heartbeat_stream(id))]

    return sim.run(read)


async def hangs(_: HeartbeatContext) -> object:
    await asyncio.sleep(10_000)
    return None


async def refuses_to_end(_: HeartbeatContext) -> object:
    while True:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(10_000)


@pytest.mark.parametrize("waits", [hangs, refuses_to_end])
@pytest.mark.parametrize(
    ("timeout", "by_name", "decided"),
    [
        (UNSET, UNSET, 120),
        (10, UNSET, 10),
        (timedelta(seconds=20), UNSET, 20),
        (10, 30, 30),
        (10, None, None),
        (None, UNSET, None),
    ],
)
def test_a_function_that_takes_too_long_is_waited_for_no_more_and_the_next_one_fires(
    waits: Any, timeout: Any, by_name: Any, decided: int | None
) -> None:
    calls = Calls()
    first = [waits]

    async def once(context: HeartbeatContext) -> object:
        return await first.pop()(context) if first else None

    own = HeartbeatHooks(prepare=once, timeout=by_name)
    known = HeartbeatHooks(
        on_error=calls.hooks().on_error, timeout=timeout, named={"mine": own, "other": own}
    )
    with Simulation([research()], heartbeat_hooks=known) as sim:
        create(sim, hook="mine")
        sim.advance(60 + (decided or 1_000) - 1)
        assert ("claimed", 1, None) in told(fires(sim))
        sim.advance(2)
        if decided is None:
            assert calls.all == []  # It is waited for still, and what is due meanwhile overlaps.
            assert {one.reason for one in fires(sim) if one.decision == "skipped"} == {"overlap"}
            return
        [(name, context)] = calls.all
        assert (name, context.phase, context.outcome) == ("on_error", "prepare", "failed")
        assert context.error == f"timeout: it took longer than {decided} seconds"
        sim.advance(60)
        assert {one.outcome for one in fires(sim) if one.decision == "fired"} == {"succeeded"}


def test_one_that_is_told_of_the_end_may_take_so_long_too() -> None:
    hooks = HeartbeatHooks(on_finish=refuses_to_end, timeout=10)
    with Simulation([research()], heartbeat_hooks=hooks) as sim:
        create(sim, max_fires=1)
        sim.advance(60 + 9)
        assert _ran(sim) == []
        sim.advance(2)
        [ran] = _ran(sim)
        assert ran.error is not None
        assert (ran.hook, ran.error.kind) == ("on_finish", "timeout")
        sim.crash()
        sim.advance(100)
        assert len(_ran(sim)) == 1


@pytest.mark.parametrize("raised", [SystemExit, asyncio.CancelledError, KeyboardInterrupt])
def test_what_would_end_a_process_is_a_failure_of_the_function(
    raised: type[BaseException],
) -> None:
    def exits(_: HeartbeatContext) -> object:
        raise raised

    hooks = HeartbeatHooks(prepare=exits, on_error=exits)
    with Simulation([research()], heartbeat_hooks=hooks) as sim:
        create(sim)
        sim.advance(61)
        assert told(fires(sim)) == [("skipped", 1, None)]
        errors = [(ran.hook, ran.error.message) for ran in _ran(sim) if ran.error]
        raises = f"RuntimeError: it has raised {raised.__name__}"
        assert errors == [("prepare", raises), ("on_error", raises)]


def test_of_an_end_for_which_there_is_no_function_none_is_said_to_have_run() -> None:
    with Simulation([research()], heartbeat_hooks=HeartbeatHooks(on_error=raises)) as sim:
        create(sim, max_fires=1)
        sim.advance(61)
        assert [ran.hook for ran in _ran(sim)] == [""]


def _ran(sim: Simulation) -> list[HookRan]:
    events = [event for record in _records(sim, "hb_h") for event in record]
    return [event for event in events if isinstance(event, HookRan)]


@pytest.mark.parametrize("timeout", [0, -1, "5", float("nan"), True])
def test_a_timeout_of_functions_is_a_duration(timeout: Any) -> None:
    with pytest.raises(InvalidDefinition, match="timeout"):
        HeartbeatHooks(timeout=timeout)


def test_what_is_no_function_is_refused() -> None:
    with pytest.raises(InvalidDefinition, match="on_error"):
        HeartbeatHooks(on_error="x")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    with pytest.raises(InvalidDefinition, match="heartbeat_hooks"):
        Runtime(None, heartbeat_hooks=5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


# ---- hooks by name


def test_one_that_names_hooks_has_those_in_the_place_of_the_ones_for_all() -> None:
    called: list[str] = []

    def calls(name: str) -> Callable[[HeartbeatContext], object]:
        return lambda context: called.append(f"{name} {context.heartbeat.id}")

    own = HeartbeatHooks(prepare=says({"prompt": "own"}), on_finish=calls("own"))
    hooks = HeartbeatHooks(
        prepare=says({"prompt": "all"}),
        on_finish=calls("all"),
        on_error=calls("all failed"),
        named={"digest": own},
    )
    failing = Agent("failing", model=ScriptedModel([]))
    with Simulation([research(), failing], heartbeat_hooks=hooks) as sim:
        create(sim, id="a", max_fires=1)
        assert create(sim, id="b", max_fires=1, hook="digest").hook == "digest"
        create(sim, id="c", agent_id="failing", max_fires=1, hook="digest")
        sim.advance("70s")
        assert sorted(called) == ["all failed hb_c", "all hb_a", "own hb_b"]
        for id, prompt in (("hb_a:1", "all"), ("hb_b:1", "own")):
            run = sim.run(lambda rt, id=id: rt.result(id))  # type: ignore[misc]
            assert run.output == prompt


def test_hooks_that_are_not_there_are_refused_at_the_door() -> None:
    hooks = HeartbeatHooks(named={"digest": HeartbeatHooks()})
    with Simulation([research()], heartbeat_hooks=hooks) as sim:
        with pytest.raises(HookNotFound, match="known: 'digest'"):
            create(sim, hook="report")
        with pytest.raises(HeartbeatNotFound):
            get(sim)
        create(sim, hook="digest")
        with pytest.raises(HookNotFound):
            sim.run(lambda rt: rt.heartbeats.update("h", hook="report"))
        assert sim.run(lambda rt: rt.heartbeats.update("h", hook=None)).hook is None
        with pytest.raises(InvalidHeartbeat, match="hook"):
            sim.run(lambda rt: rt.heartbeats.update("h", hook=" "))


@pytest.mark.parametrize("crash", [False, True], ids=["closed", "killed"])
def test_one_whose_hooks_are_gone_waits_for_them_and_so_does_what_it_has_fired(
    crash: bool,
) -> None:
    calls = Calls()
    known = [HeartbeatHooks(named={"digest": calls.hooks()})]
    with Simulation([works()], heartbeat_hooks=lambda _: known[0]) as sim:
        create(sim, hook="digest")
        sim.advance("70s")
        known[0] = HeartbeatHooks(on_finish=calls.hooks().on_abort)
        if crash:
            sim.crash()
        else:
            sim.stop()
        sim.advance("120s")
        info = get(sim)
        assert (info.status, info.reason) == (
            "blocked",
            "the runtime has no heartbeat hooks 'digest'",
        )
        sim.run(lambda rt: rt.cancel("hb_h:1", "enough"))
        sim.advance("10s")
        assert get(sim).status == "blocked"
        assert told(fires(sim)) == [("fired", 1, "aborted")]
        known[0] = HeartbeatHooks(named={"digest": calls.hooks()})
        sim.stop()
        sim.advance("1s")
        assert get(sim).status == "active"
        assert calls.names == ["on_abort"]


def test_an_update_brings_back_one_whose_hooks_are_gone() -> None:
    calls = Calls()
    known = [HeartbeatHooks(named={"digest": calls.hooks()})]
    with Simulation([works()], heartbeat_hooks=lambda _: known[0]) as sim:
        create(sim, hook="digest", max_fires=1)
        sim.advance("70s")
        known[0] = calls.hooks()
        sim.crash()
        sim.run(lambda rt: rt.cancel("hb_h:1", "enough"))
        sim.advance("1s")
        assert (get(sim).status, calls.names) == ("blocked", [])
        sim.run(lambda rt: rt.heartbeats.update("h", hook=None))
        sim.advance("1s")
        assert (get(sim).status, calls.names) == ("completed", ["on_abort"])


def test_hooks_that_are_named_later_are_not_there() -> None:
    later: dict[str, HeartbeatHooks] = {"now": HeartbeatHooks()}
    hooks = HeartbeatHooks(named=later)
    later["later"] = HeartbeatHooks(prepare=raises)
    with Simulation([research()], heartbeat_hooks=hooks) as sim:
        create(sim, hook="now")
        with pytest.raises(HookNotFound):
            create(sim, id="other", hook="later")


def test_a_name_of_hooks_is_text_and_names_hooks() -> None:
    for named in (5, {"": HeartbeatHooks()}, {"a": 5}, {5: HeartbeatHooks()}):
        with pytest.raises(InvalidDefinition, match="name"):
            HeartbeatHooks(named=named)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    nested = HeartbeatHooks(named={"a": HeartbeatHooks()})
    with pytest.raises(InvalidDefinition, match="without names"):
        HeartbeatHooks(named={"b": nested})


# ---- without an event loop, and from another process


def test_all_of_it_without_an_event_loop() -> None:
    with SyncRuntime(None, agents=[research()]) as rt:
        info = rt.heartbeats.create(id="h", agent_id="research", prompt="p", every=3_600)
        assert rt.heartbeats.get("h").id == info.id
        assert rt.heartbeats.update("h", prompt="q").prompt == "q"
        assert rt.result(rt.heartbeats.run("h")).output == "q"
        assert rt.heartbeats.pause("h")
        assert rt.heartbeats.resume("h")
        assert len(rt.heartbeats.upcoming("h", 3)) == 3
        assert [each.id for each in rt.heartbeats.list().heartbeats] == ["hb_h"]
        assert rt.heartbeats.delete("h")
        names = [type(each.event).__name__ for each in rt.heartbeats.observe("h")]
        assert names[0] == "HeartbeatCreated"
        assert len(rt.heartbeats.fires("h").fires) == 1
