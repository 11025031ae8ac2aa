"""What is found by the process after the one that died, and how it goes on from there."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable
from functools import cache
from typing import Literal

import pytest

from outlive.actors import (
    Agent,
    EchoModel,
    Finish,
    ModelPart,
    ModelRequest,
    Retry,
    Runtime,
    ScriptedModel,
    SyncToolContext,
    TextDelta,
    ToolCall,
    ToolCallPart,
    ToolContext,
    Turn,
    tool,
)
from outlive.events import (
    Event,
    LogFailed,
    ModelCallStarted,
    RunExists,
    RunNotFound,
    RunRecovered,
    ToolCallFailed,
    ToolCallStarted,
    ToolStepCompleted,
    Usage,
    run_stream,
)
from outlive.projections import RunResult, ToolMessage, UserMessage
from outlive.testing import fold
from tests.support import (
    SECOND,
    FailingLog,
    Machine,
    clock,
    open_runtime,
    run_virtual,
    tag,
)

pytestmark = pytest.mark.usefixtures("saved_every")


class Silent:
    """A model that never answers."""

    name = "silent"

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelPart]:
        await asyncio.get_running_loop().create_future()
        yield Finish()


echo = Agent("echo", model=EchoModel())
deaf = Agent("echo", model=Silent())  # the same agent, on a day on which its model hangs


async def start(rt: Runtime) -> None:
    await rt.start("echo", "hi", run_id="r1")
    await asyncio.sleep(1)


async def result(rt: Runtime) -> RunResult:
    return await rt.result("r1")


def started(machine: Machine) -> list[tuple[str, int]]:
    """Return call ids and attempts of the tool calls started."""
    return [
        (event.call_id, event.attempt)
        for event in machine.events("r1")
        if isinstance(event, ToolCallStarted)
    ]


# -- model calls --


def test_a_model_call_that_was_cut_off_is_abandoned_and_made_again() -> None:
    machine = Machine()
    machine.crash(start, deaf)
    requests: list[ModelRequest] = []

    def script(request: ModelRequest) -> Turn:
        requests.append(request)
        return Turn("there")

    found = machine.run(result, Agent("echo", model=ScriptedModel(script)))
    assert (found.status, found.output) == ("completed", "there")
    assert machine.kinds("r1") == [
        "run-started",
        "model-call-started",
        "run-recovered",
        "model-attempt-abandoned",
        "model-call-started",
        "model-call-completed",
        "run-completed",
    ]
    (request,) = requests
    assert (request.step, request.attempt) == (0, 2)
    assert request.messages == (UserMessage(text="hi"),), "the user's message is there once"


def test_a_recovery_and_what_it_settles_are_one_commit() -> None:
    machine = Machine()
    machine.crash(start, deaf)
    machine.run(result, echo)
    commits = [[tag(event) for event in record.events] for record in machine.log.read_all()]
    assert commits[1] == ["run-recovered", "model-attempt-abandoned", "model-call-started"]


def test_a_recovery_names_the_epoch_of_the_owner_that_goes_on() -> None:
    machine = Machine()
    for _ in range(3):
        machine.crash(start, deaf)
    machine.run(result, echo)
    recoveries = [event for event in machine.events("r1") if isinstance(event, RunRecovered)]
    assert [(event.epoch, event.attempt, event.clean) for event in recoveries] == [
        (2, 1, False),
        (3, 2, False),
        (4, 3, False),
    ]


def test_a_run_that_was_taken_up_again_is_followed_live() -> None:
    machine = Machine()
    machine.crash(start, deaf)

    async def body(rt: Runtime) -> list[str]:
        return [tag(recorded.event) async for recorded in rt.observe("r1", after=2)]

    assert machine.run(body, echo)[0] == "run-recovered"


# -- tools --


def tool_agent(log: list[str], *, hangs: bool, in_doubt: Literal["retry", "fail"]) -> Agent:
    @tool(in_doubt=in_doubt)
    async def pay(amount: int, ctx: ToolContext) -> str:
        """Pay."""
        log.append(f"{ctx.call_id} {ctx.attempt} {ctx.idempotency_key}")
        if hangs:
            await asyncio.get_running_loop().create_future()
        return f"paid {amount}"

    @tool(read_only=True)
    async def ask() -> str:
        log.append("ask")
        return "asked"

    calls = [ToolCall("ask"), ToolCall("pay", {"amount": 5}), ToolCall("pay", {"amount": 5})]
    return Agent(
        "echo",
        model=ScriptedModel([Turn(tool_calls=calls), Turn("done")]),
        tools=[
            pay,
            ask,
        ],
    )


def test_a_tool_that_was_cut_off_is_called_again_with_the_same_key_if_it_may_be() -> None:
    machine, log = Machine(), list[str]()
    for _ in range(2):
        machine.crash(start, tool_agent(log, hangs=True, in_doubt="retry"))
    found = machine.run(result, tool_agent(log, hangs=False, in_doubt="retry"))

    answers = [message for message in found.messages if isinstance(message, ToolMessage)]
    assert [message.result for message in answers] == ["asked", "paid 5", "paid 5"]
    assert log.count("ask") == 1, "a completed call is never made again"
    keys = defaultdict[str, set[str]](set)
    for line in log:
        if line != "ask":
            call_id, _, key = line.split()
            keys[call_id].add(key)
    assert [len(found) for found in keys.values()] == [1, 1]
    assert keys["0.1"] != keys["0.2"], "two equal calls of one step are two calls"
    assert started(machine) == [
        ("0.0", 1),
        *[(call, attempt) for attempt in (1, 2, 3) for call in ("0.1", "0.2")],
    ]


def test_keys_differ_from_run_to_run_and_from_log_to_log() -> None:
    keys: set[str] = set()
    for machine in (Machine(), Machine()):
        if keys:
            machine.log._log_id = "another"  # pyright: ignore[reportPrivateUsage]
        log: list[str] = []

        async def body(rt: Runtime) -> None:
            await rt.run("echo", "hi")
            await rt.run("echo", "hi")

        machine.run(body, tool_agent(log, hangs=False, in_doubt="retry"))
        keys |= {line.split()[2] for line in log if line != "ask"}
    assert len(keys) == 2 * 2 * 2


def test_a_tool_that_was_cut_off_and_must_not_be_repeated_is_an_error_to_the_model() -> None:
    machine, log = Machine(), list[str]()
    machine.crash(start, tool_agent(log, hangs=True, in_doubt="fail"))
    before = len(log)
    found = machine.run(result, tool_agent(log, hangs=False, in_doubt="fail"))

    assert len(log) == before, "no tool was called again"
    assert found.status == "completed"
    answers = [message for message in found.messages if isinstance(message, ToolMessage)]
    assert [message.error.kind if message.error else None for message in answers] == [
        None,
        "in_doubt",
        "in_doubt",
    ]


def test_the_policy_is_that_of_the_tool_that_is_registered_now() -> None:
    machine, log = Machine(), list[str]()
    machine.crash(start, tool_agent(log, hangs=True, in_doubt="retry"))
    found = machine.run(result, tool_agent(log, hangs=False, in_doubt="fail"))
    assert isinstance(found.messages[3], ToolMessage)
    assert found.messages[3].error is not None


def test_calls_that_had_not_begun_are_started_as_the_limit_allows() -> None:
    def agent(*, hangs: bool) -> Agent:
        @tool(read_only=True)
        async def look(n: int) -> int:
            if hangs and n == 1:
                await asyncio.get_running_loop().create_future()
            return n

        calls = [ToolCall("look", {"n": n}) for n in range(4)]
        script = [Turn(tool_calls=calls), Turn("done")]
        return Agent("echo", model=ScriptedModel(script), tools=[look], tool_concurrency=1)

    machine = Machine()
    machine.crash(start, agent(hangs=True))
    assert started(machine) == [("0.0", 1), ("0.1", 1)]
    machine.run(result, agent(hangs=False))
    assert started(machine) == [("0.0", 1), ("0.1", 1), ("0.1", 2), ("0.2", 1), ("0.3", 1)]


def test_steps_that_were_done_are_given_to_the_next_attempt_with_their_type() -> None:
    done: list[str] = []

    def agent(*, dies_at: int | None) -> Agent:
        @tool(read_only=True)
        async def crawl(ctx: ToolContext) -> int:
            found: list[set[int]] = []
            for number in range(4):
                if number == dies_at:
                    await asyncio.get_running_loop().create_future()

                def page(number: int = number) -> set[int]:
                    done.append(f"async {number}")
                    return {number}

                found.append(await ctx.step(f"page-{number}", page))
            assert found == [{0}, {1}, {2}, {3}]
            return len(found)

        @tool(read_only=True)
        def dig(ctx: SyncToolContext) -> int:
            found: list[tuple[int, ...]] = []
            for number in range(3):

                def layer(number: int = number) -> tuple[int, ...]:
                    done.append(f"sync {number}")
                    return (number,)

                found.append(ctx.step(f"layer-{number}", layer))
            assert found == [(0,), (1,), (2,)]
            if dies_at is not None and ctx.attempt == 1:
                raise SystemExit("a retry keeps the steps too")
            return len(found)

        script = [Turn(tool_calls=[ToolCall("crawl"), ToolCall("dig")]), Turn("done")]
        retried = tool(read_only=True, retry=Retry(1, delay=100))(dig.fn)
        return Agent("echo", model=ScriptedModel(script), tools=[crawl, retried])

    machine = Machine()
    machine.crash(start, agent(dies_at=3))
    machine.crash(start, agent(dies_at=3))
    found = machine.run(result, agent(dies_at=None))
    assert [message.result for message in found.messages if isinstance(message, ToolMessage)] == [
        4,
        3,
    ]
    assert sorted(done) == [
        *(f"async {number}" for number in range(4)),
        *(f"sync {number}" for number in range(3)),
    ]


def down_once(note: Callable[[], None], *, delay: float) -> Agent:
    """Its tool takes note of each call, and fails once; it is called again after `delay`."""

    @tool(read_only=True, retry=Retry(1, delay=delay, max_delay=delay, jitter=0))
    async def flaky(ctx: ToolContext) -> str:
        note()
        if ctx.attempt == 1:
            raise ConnectionError("down")
        return "up"

    script = [Turn(tool_calls=[ToolCall("flaky")]), Turn("ok")]
    return Agent("echo", model=ScriptedModel(script), tools=[flaky])


def test_what_is_left_of_a_retrys_wait_is_waited_for_after_a_restart() -> None:
    at: list[float] = []
    agent = down_once(lambda: at.append(clock().seconds), delay=20)
    machine = Machine()

    async def begin(rt: Runtime) -> None:
        await rt.start("echo", "hi", run_id="r1")
        await asyncio.sleep(8)

    machine.crash(begin, agent)
    machine.clock.advance(5)  # nobody was there
    found = machine.run(result, agent)
    assert found.status == "completed"
    assert at == [0.0, 20.0]
    assert "run-recovered" not in machine.kinds("r1"), "nothing was in flight"


def test_a_retry_that_came_due_while_nobody_was_there_is_made_at_once() -> None:
    at: list[float] = []
    agent = down_once(lambda: at.append(clock().seconds), delay=20)
    machine = Machine()
    machine.crash(start, agent)
    machine.clock.advance(3_600)
    assert machine.run(result, agent).status == "completed"
    assert at == [0.0, 3_601.0]


def test_a_wall_clock_that_is_set_forward_brings_a_retry_forward_within_a_minute() -> None:
    at: list[int] = []
    agent = down_once(lambda: at.append(clock().now_ns()), delay=10_000)

    async def body(rt: Runtime) -> None:
        await rt.start("echo", "hi", run_id="r1")
        await asyncio.sleep(1)
        clock().set_forward(9_990)
        await rt.result("r1")
        assert clock().seconds <= 61
        assert at[1] - at[0] >= 10_000 * SECOND

    Machine().run(body, agent)


def test_a_run_that_waited_for_a_retry_goes_on_with_the_model_it_has_now() -> None:
    @tool(read_only=True, retry=Retry(1, delay=20, jitter=0))
    async def flaky(ctx: ToolContext) -> str:
        if ctx.attempt == 1:
            raise ConnectionError("down")
        return "up"

    script = [Turn(tool_calls=[ToolCall("flaky")]), Turn("ok")]
    machine = Machine()
    machine.crash(start, Agent("echo", model=ScriptedModel(script, name="old"), tools=[flaky]))
    machine.run(result, Agent("echo", model=ScriptedModel(script, name="new"), tools=[flaky]))
    names = [event.model for event in machine.events("r1") if isinstance(event, ModelCallStarted)]
    assert names == ["old", "new"]


def test_a_run_whose_model_has_changed_goes_on_with_the_new_one() -> None:
    machine = Machine()
    machine.crash(start, deaf)
    found = machine.run(result, echo)
    names = [event.model for event in machine.events("r1") if isinstance(event, ModelCallStarted)]
    assert names == ["silent", "echo"]
    assert found.output == "hi"


# -- a death after every single commit --


class World:
    """What happened outside, and the agent that did it.

    It has parallel calls, steps, a retry, calls that cannot be made, and two answers that are
    streamed: enough commits to die after.
    """

    def __init__(self) -> None:
        self.steps: Counter[str] = Counter()
        self.keys: dict[str, set[str]] = defaultdict(set)
        self.entered: Counter[str] = Counter()
        self.agent = self._agent()

    def _enter(self, ctx: ToolContext | SyncToolContext) -> None:
        self.keys[ctx.call_id].add(ctx.idempotency_key)
        self.entered[ctx.call_id] += 1

    def _step(self, ctx: ToolContext | SyncToolContext, name: str) -> tuple[str, int]:
        self.steps[f"{ctx.call_id} {name}"] += 1
        return (name, len(name))

    def _agent(self) -> Agent:
        @tool(idempotent=True)
        async def read(pages: list[str], ctx: ToolContext) -> dict[str, int]:
            self._enter(ctx)
            found: list[tuple[str, int]] = []
            for page in pages:
                await ctx.progress(done=len(found), total=len(pages))

                async def step(page: str = page) -> tuple[str, int]:
                    await asyncio.sleep(1)
                    return self._step(ctx, page)

                found.append(await ctx.step(page, step))
            return dict(found)

        @tool(idempotent=True)
        def count(words: str, ctx: SyncToolContext) -> dict[str, int]:
            self._enter(ctx)
            return dict([ctx.step(word, self._step, ctx, word) for word in words.split()])

        @tool(idempotent=True, retry=Retry(2, delay=5))
        async def flaky(ctx: ToolContext) -> str:
            self._enter(ctx)
            await asyncio.sleep(1)
            if ctx.attempt < 2:
                raise ConnectionError("down")
            return "up"

        script = [
            Turn(
                "one two three",
                delay=0.1,
                tool_calls=[
                    ToolCall("read", {"pages": ["a", "bb", "ccc"]}),
                    ToolCall("count", {"words": "x yy"}),
                    ToolCall("ghost"),
                    ToolCall("flaky"),
                    ToolCall("count", {"words": 5}),
                ],
                usage=Usage(input_tokens=3, output_tokens=4),
            ),
            Turn(
                "and",
                tool_calls=[ToolCall("count", {"words": "x yy"})] * 2,
                usage=Usage(input_tokens=5, output_tokens=6),
            ),
            Turn("that is all", delay=0.1, usage=Usage(input_tokens=7, output_tokens=8)),
        ]
        return Agent(
            "echo",
            model=ScriptedModel(script),
            tools=[read, count, flaky],
            tool_concurrency=3,
        )


async def start_and_wait(rt: Runtime) -> RunResult:
    run = await rt.start("echo", "hi", run_id="r1")
    return await run.result()


@cache
def undisturbed() -> tuple[RunResult, int]:
    machine = Machine()
    found = machine.run(start_and_wait, World().agent)
    return found, machine.log.head


def check(machine: Machine, world: World, found: RunResult, deaths: int) -> None:
    """What must be true of a run that came to its end after some deaths."""
    wanted, _ = undisturbed()
    assert found.messages == wanted.messages
    assert (found.status, found.output, found.usage) == (
        wanted.status,
        wanted.output,
        wanted.usage,
    )
    assert machine.log.open_entries() == []
    kinds = Counter(machine.kinds("r1"))
    assert kinds["run-started"] == kinds["run-completed"] == 1
    assert kinds["run-recovered"] <= deaths
    events: list[Event] = machine.events("r1")
    assert fold(*events).over
    assert all(len(keys) == 1 for keys in world.keys.values())
    assert len({next(iter(keys)) for keys in world.keys.values()}) == len(world.keys)
    for call_id, entered in world.entered.items():
        attempts = sum(
            isinstance(event, ToolCallStarted) and event.call_id == call_id for event in events
        )
        assert entered <= attempts, "no body is entered without a start on record"
    recorded = Counter(
        (event.call_id, event.key) for event in events if isinstance(event, ToolStepCompleted)
    )
    assert all(count == 1 for count in recorded.values())
    assert all(count <= 1 + deaths for count in world.steps.values())
    failed = [event for event in events if isinstance(event, ToolCallFailed)]
    assert [event.call_id for event in failed if event.attempt == 0] == ["0.2", "0.4"]


@pytest.mark.parametrize("acknowledged", [True, False], ids=["heard", "unheard"])
def test_a_process_may_die_after_any_commit(*, acknowledged: bool) -> None:
    _, commits = undisturbed()
    assert commits > 20
    for after in range(1, commits + 3):
        machine, world = Machine(), World()
        died = machine.crash(start_and_wait, world.agent, commits=after, acknowledged=acknowledged)
        assert died is (after < commits or (after == commits and not acknowledged))
        found = machine.run(start_and_wait, world.agent)
        check(machine, world, found, deaths=1)


@pytest.mark.parametrize("again_after", [1, 2, 3, 5])
def test_a_process_may_die_again_while_it_recovers(again_after: int) -> None:
    _, commits = undisturbed()
    for after in range(1, commits):
        machine, world = Machine(), World()
        machine.crash(start_and_wait, world.agent, commits=after)
        machine.crash(start_and_wait, world.agent, commits=again_after, acknowledged=False)
        found = machine.run(start_and_wait, world.agent)
        check(machine, world, found, deaths=2)


@pytest.mark.parametrize("commits", [4, 5, 7])
def test_processes_may_die_one_after_the_other_after_a_few_commits_each(commits: int) -> None:
    machine, world = Machine(), World()
    deaths = 0
    while machine.crash(start_and_wait, world.agent, commits=commits, max_recoveries=None):
        deaths += 1
        assert deaths < 100, "no progress"
    found = machine.run(result, world.agent)
    check(machine, world, found, deaths)


@pytest.mark.parametrize("lag", [0.03, 0.4])
def test_a_process_may_die_at_any_instant_while_commits_are_on_their_way(lag: float) -> None:
    machine = Machine()
    wanted, _ = undisturbed()
    assert machine.run(start_and_wait, World().agent, lag=lag).messages == wanted.messages
    whole = machine.clock.seconds
    for number in range(100):
        machine, world = Machine(), World()

        async def until(rt: Runtime, instant: float = whole * number / 100) -> None:
            waiting = asyncio.ensure_future(start_and_wait(rt))
            await asyncio.sleep(instant)
            waiting.cancel()

        machine.crash(until, world.agent, lag=lag)
        found = machine.run(start_and_wait, world.agent, lag=lag)
        check(machine, world, found, deaths=1)


@pytest.mark.parametrize("lag", [0.03, 0.4, 3.0])
def test_steps_are_done_once_and_effects_begin_after_their_commit_however_slow_the_log(
    lag: float,
) -> None:
    machine, world = Machine(), World()
    found = machine.run(start_and_wait, world.agent, lag=lag)
    check(machine, world, found, deaths=0)
    assert all(count == 1 for count in world.steps.values())
    assert machine.clock.seconds > 10 * lag


def test_a_start_is_acknowledged_once_it_is_durable_and_observers_see_nothing_before() -> None:
    machine = Machine()

    async def body(rt: Runtime) -> None:
        starting = asyncio.ensure_future(rt.start("echo", "hi", run_id="r1"))
        waiting = asyncio.ensure_future(rt.result("r1"))
        await asyncio.sleep(0.5)
        assert not starting.done()
        with pytest.raises(RunNotFound):
            await anext(rt.observe("r1"))
        await asyncio.sleep(0.6)
        assert starting.done()
        assert (await waiting).status == "completed"

    machine.run(body, echo, lag=1.0)


def test_the_end_of_the_loop_without_a_close_is_as_a_crash() -> None:
    """`asyncio.run` cancels all tasks at its end: no model or tool has failed because of that."""

    @tool(read_only=True)
    async def work() -> str:
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            raise ConnectionError("closed") from None
        return "done"

    class Converting:
        name = "converting"

        async def stream(self, request: ModelRequest) -> AsyncIterator[ModelPart]:
            if request.step == 0:
                yield ToolCallPart("work", {})
            elif request.attempt == 1:
                try:
                    await asyncio.sleep(100)
                finally:
                    raise ConnectionError("closed")
            yield Finish()

    agent = Agent("echo", model=Converting(), tools=[work])
    machine = Machine()
    for seconds, last in ((1, "tool-call-started"), (150, "model-call-started")):

        async def process(seconds: float = seconds) -> None:
            runtime = open_runtime(agent, log=machine.log)
            await runtime.__aenter__()
            await runtime.start("echo", "hi", run_id="r1")
            await asyncio.sleep(seconds)

        run_virtual(process(), clock=machine.clock)  # it ends as `asyncio.run` does
        machine.log = machine.log.reopened()
        assert machine.kinds("r1")[-1] == last
    assert machine.run(result, agent).status == "completed"


# -- a log that fails --


def test_a_log_that_fails_tells_who_waits_and_the_run_goes_on_when_it_is_opened_again() -> None:
    wanted, commits = undisturbed()
    for after in range(1, commits):
        machine, world = Machine(), World()

        async def body(log: FailingLog, world: World) -> None:
            async with open_runtime(world.agent, log=log) as rt:
                with pytest.raises(LogFailed):
                    await start_and_wait(rt)
                with pytest.raises(LogFailed):
                    await rt.result("r1", timeout=60)
                with pytest.raises(LogFailed):
                    await rt.start("echo", "another", run_id="r2")

        run_virtual(body(FailingLog(machine.log, after), world), clock=machine.clock)
        machine.log = machine.log.reopened()
        assert "run-failed" not in machine.kinds("r1")
        found = machine.run(start_and_wait, world.agent)
        assert found.messages == wanted.messages


@pytest.mark.parametrize("reads", [False, True])
def test_a_log_that_fails_for_a_while_quarantines_nothing(*, reads: bool) -> None:
    machine = Machine()
    machine.crash(start, deaf)

    async def body() -> None:
        log = FailingLog(machine.log, 1_000)
        async with open_runtime(echo, log=log) as rt:
            log._left = 0  # pyright: ignore[reportPrivateUsage]
            log._reads = reads  # pyright: ignore[reportPrivateUsage]
            with pytest.raises(LogFailed):
                await rt.result("r1", timeout=60)
            with pytest.raises(LogFailed):
                await rt.start("echo", "another", run_id="r2")
            log.repaired = True
            assert (await rt.result("r1", timeout=60)).status == "completed"
            assert (await rt.run("echo", "another", run_id="r2")).status == "completed"

    run_virtual(body(), clock=machine.clock)
    assert machine.log.open_entries() == []


def test_a_start_that_was_not_acknowledged_is_found_or_not_but_never_half() -> None:
    machine = Machine()
    machine.crash(start_and_wait, echo, commits=0)
    assert machine.log.head == 0
    machine.crash(start_and_wait, echo, commits=1, acknowledged=False)
    assert machine.kinds("r1") == ["run-started", "model-call-started"]
    assert machine.run(start_and_wait, echo).output == "hi"
    assert machine.kinds("r1").count("run-started") == 1


def test_a_clean_restart_at_any_time_changes_nothing_and_does_not_count() -> None:
    wanted, _ = undisturbed()
    machine, world = Machine(), World()

    async def a_while(rt: Runtime) -> RunResult | None:
        await rt.start("echo", "hi", run_id="r1")
        try:
            return await rt.result("r1", timeout=1.7)
        except TimeoutError:
            return None

    found = None
    for _ in range(100):
        found = machine.run(a_while, world.agent, max_recoveries=0)
        if found is not None:
            break
    assert found is not None
    assert found.messages == wanted.messages
    assert all(event.clean for event in machine.events("r1") if isinstance(event, RunRecovered))


# -- blocked --


def test_a_run_whose_agent_is_missing_is_blocked_and_goes_on_when_it_is_registered_again() -> None:
    machine = Machine()
    machine.crash(start, deaf)
    for _ in range(10):
        found = machine.run(result, max_recoveries=2)
        assert found.status == "blocked"
        assert found.error is not None
        assert "'echo'" in found.error.message
        assert machine.status("r1") == "blocked"
        machine.log = machine.log.reopened()
    assert "run-recovered" not in machine.kinds("r1"), "no attempt was counted"

    assert machine.run(result, echo, max_recoveries=2).output == "hi"
    assert machine.log.open_entries() == []


def test_a_run_that_misses_a_tool_is_blocked_and_names_it() -> None:
    machine, log = Machine(), list[str]()
    machine.crash(start, tool_agent(log, hangs=True, in_doubt="retry"))
    found = machine.run(result, echo)
    assert found.status == "blocked"
    assert found.error is not None
    assert "'pay'" in found.error.message
    assert [message.result for message in found.messages if isinstance(message, ToolMessage)] == [
        "asked"
    ], "what there is of it is shown"
    assert machine.run(result, tool_agent(log, hangs=False, in_doubt="retry")).status == "completed"


def test_a_blocked_run_may_be_observed_and_asked_for_again_by_its_start() -> None:
    machine, log = Machine(), list[str]()
    machine.crash(start, tool_agent(log, hangs=True, in_doubt="retry"))

    async def body(rt: Runtime) -> None:
        for _ in range(2):
            run = await rt.start("echo", "hi", run_id="r1")
            assert (await run.result()).status == "blocked"
        with pytest.raises(RunExists):
            await rt.start("echo", "ho", run_id="r1")
        assert tag((await anext(rt.observe("r1"))).event) == "run-started"
        assert (await rt.run("echo", "hello")).output == "hello"

    machine.run(body, echo)


def test_a_missing_agent_holds_up_nobody_else() -> None:
    machine = Machine()
    one, two = Agent("one", model=Silent()), Agent("two", model=Silent())

    async def begin(rt: Runtime) -> None:
        for number in range(50):
            await rt.start("one", "hi", run_id=f"one{number}")
            await rt.start("two", "hi", run_id=f"two{number}")

    machine.crash(begin, one, two)

    async def body(rt: Runtime) -> None:
        for number in range(50):
            assert (await rt.result(f"two{number}")).status == "completed"
            assert (await rt.result(f"one{number}")).status == "blocked"

    machine.run(body, Agent("two", model=EchoModel()))
    assert {entry.status for _, entry in machine.log.open_entries()} == {"blocked"}


def test_a_blocked_run_whose_retry_comes_due_does_not_hang_the_process() -> None:
    @tool(read_only=True, retry=Retry(1, delay=10))
    async def flaky() -> str:
        raise ConnectionError("down")

    agent = Agent(
        "echo",
        model=ScriptedModel([Turn(tool_calls=[ToolCall("flaky")]), Turn("ok")]),
        tools=[flaky],
    )
    machine = Machine()
    machine.crash(start, agent)
    reads = 0
    read = machine.log.open_entry

    def counted(stream: object) -> object:
        nonlocal reads
        reads += 1
        assert reads < 1_000, "it goes round and round"
        return read(stream)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

    machine.log.open_entry = counted  # type: ignore[method-assign, assignment]  # pyright: ignore[reportAttributeAccessIssue]

    async def body(rt: Runtime) -> None:
        await asyncio.sleep(60)

    machine.run(body)
    assert machine.status("r1") == "blocked"


# -- quarantine --


def test_a_run_that_keeps_taking_its_process_down_is_quarantined_and_others_go_on() -> None:
    machine = Machine()

    async def begin(rt: Runtime) -> None:
        await rt.start("echo", "hi", run_id="r1")
        await rt.start("echo", "hi", run_id="r2")
        await asyncio.sleep(1)

    machine.crash(begin, deaf, max_recoveries=2)
    for _ in range(2):
        machine.crash(lambda _: asyncio.sleep(1), deaf, max_recoveries=2)

    async def body(rt: Runtime) -> None:
        found = await rt.result("r1")
        assert found.status == "quarantined"
        assert found.error is not None
        assert "2 times" in found.error.message
        assert (await rt.run("echo", "hello")).output == "hello"

    for _ in range(2):  # and it stays so
        machine.run(body, echo, max_recoveries=2)
        assert machine.status("r1") == "quarantined"
        entry = machine.log.open_entry(run_stream("r1"))
        assert entry is not None
        assert entry.reason
    assert machine.kinds("r1").count("run-recovered") == 2


def test_progress_between_two_deaths_keeps_a_run_out_of_quarantine() -> None:
    machine, world = Machine(), World()
    deaths = 0
    while machine.crash(start_and_wait, world.agent, commits=4, max_recoveries=2):
        deaths += 1
        assert deaths < 50
    assert deaths > 4
    assert machine.run(result, world.agent).status == "completed"


def test_a_quarantined_run_may_be_asked_for_again_by_its_start() -> None:
    machine = Machine()
    machine.crash(start, deaf, max_recoveries=0)
    assert machine.run(result, echo, max_recoveries=0).status == "quarantined"
    assert machine.run(start_and_wait, echo, max_recoveries=0).status == "quarantined"


def test_a_start_that_meets_a_run_on_its_way_into_quarantine_is_answered() -> None:
    machine = Machine()
    machine.crash(start, deaf, max_recoveries=0)
    assert machine.run(start_and_wait, echo, max_recoveries=0).status == "quarantined"


def damage(machine: Machine, run_id: str) -> None:
    """Let the last record of a run be unreadable."""
    log = machine.log
    records = log.store.records
    position = log.read(run_stream(run_id))[-1].position
    records[position - 1] = records[position - 1][:-3] + b"\xc1" * 3


def test_a_run_that_cannot_be_read_is_quarantined_and_others_go_on() -> None:
    machine = Machine()

    async def begin(rt: Runtime) -> None:
        for number in range(3):
            await rt.start("echo", "hi", run_id=f"r{number}")

    machine.crash(begin, deaf)
    damage(machine, "r1")

    async def body(rt: Runtime) -> None:
        for run_id in ("r0", "r2"):
            assert (await rt.result(run_id)).status == "completed"

    machine.run(body, echo)
    assert machine.status("r1") == "quarantined"


def test_the_result_of_a_run_that_cannot_be_read_is_its_quarantine() -> None:
    machine = Machine()
    machine.crash(start, deaf)
    damage(machine, "r1")
    found = machine.run(result, echo)
    assert found.status == "quarantined"


# -- many --


def test_many_interrupted_runs_are_taken_up_by_themselves() -> None:
    machine = Machine()

    async def begin(rt: Runtime) -> None:
        for number in range(300):
            await rt.start("echo", f"hi {number}", run_id=f"r{number}")

    machine.crash(begin, deaf)
    machine.run(lambda _: asyncio.sleep(1), echo)
    assert machine.log.open_entries() == []
    for number in range(300):
        assert machine.kinds(f"r{number}")[-1] == "run-completed"


def test_a_model_that_hangs_in_one_run_holds_up_no_other() -> None:
    machine = Machine()

    async def begin(rt: Runtime) -> None:
        for number in range(100):
            await rt.start("echo", f"hi {number}", run_id=f"r{number}")

    machine.crash(begin, deaf)

    class Moody:
        name = "moody"

        async def stream(self, request: ModelRequest) -> AsyncIterator[ModelPart]:
            if request.run_id == "r7":
                await asyncio.get_running_loop().create_future()
            yield TextDelta("ok")
            yield Finish()

    async def body(rt: Runtime) -> None:
        for number in range(100):
            if number != 7:
                assert (await rt.result(f"r{number}", timeout=1)).output == "ok"
        with pytest.raises(TimeoutError):
            await rt.result("r7", timeout=1)

    machine.run(body, Agent("echo", model=Moody()))


def test_a_run_that_finished_before_its_turn_to_be_taken_up_is_not_brought_in_again() -> None:
    machine = Machine()
    many = 1_000

    async def begin(rt: Runtime) -> None:
        for number in range(many):
            await rt.start("echo", "hi", run_id=f"r{number}")

    machine.crash(begin, deaf)

    async def body(rt: Runtime) -> None:
        last = f"r{many - 1}"
        assert (await rt.result(last, timeout=60)).status == "completed"
        await asyncio.sleep(60)
        assert (await rt.result(last, timeout=60)).status == "completed"

    machine.run(body, echo)
