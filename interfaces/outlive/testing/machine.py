"""A state machine that starts runs of your agents and lets all go wrong that can go wrong."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Collection
from typing import Any, ClassVar, Literal, TypeAlias, cast

from outlive.testing._extra import explained

try:
    from hypothesis import note
    from hypothesis import strategies as st
    from hypothesis.stateful import (
        Bundle,
        initialize,
        invariant,
        precondition,
        rule,
    )
except ModuleNotFoundError as error:
    raise explained(error, __name__) from None

from outlive.actors import BackgroundTasks, UntilIdle
from outlive.actors.kind import SUSPENDED
from outlive.events import LogParked, RunExists, RunNotFound
from outlive.events.lmdb_store.durability import Durability
from outlive.projections import RunResult, TaskInfo
from outlive.testing._failure import history
from outlive.testing._machine_talks import TalkRules
from outlive.testing._outcome import same_result
from outlive.testing._reference import Effects, KnownRun, Reference
from outlive.testing._reference_tasks import same_end
from outlive.testing._simulation.points import Fate, check_names
from outlive.testing._simulation.simulation import Agents, Simulation
from outlive.testing.strategies import durations, fates

__all__ = ["AgentMachine"]


def _agents_of(machine: AgentMachine) -> st.SearchStrategy[Agents]:
    agents: Any = getattr(type(machine), "agents", None)
    if agents is None:
        raise TypeError(f"{type(machine).__name__} has no `agents`: see AgentMachine")
    if not isinstance(agents, st.SearchStrategy):
        return st.just(agents)
    return cast("st.SearchStrategy[Agents]", agents)


Start: TypeAlias = tuple[str, str] | tuple[str, str, bool | UntilIdle]


def _in_full(start: Start) -> tuple[str, str, bool | UntilIdle]:
    return (start[0], start[1], False) if len(start) == 2 else start


def _starts_of(machine: AgentMachine) -> st.SearchStrategy[Start]:
    starts: Any = getattr(machine, "starts", None)
    if not isinstance(starts, st.SearchStrategy):
        raise TypeError(f"{type(machine).__name__} has no strategy `starts`: see AgentMachine")
    return cast("st.SearchStrategy[Start]", starts)


class AgentMachine(TalkRules):
    """Drives a `Simulation` of your agents, with a plain model of it beside it.

    A subclass says which agents there are and what they are started with::

        class Mine(AgentMachine):
            agents = staticmethod(make_agents)
            starts = st.tuples(st.just("poet"), st.sampled_from(["spring", "autumn"]))

        TestMine = Mine.TestCase

    Hypothesis then plays sequences of these rules: runs are started, also again, also with
    something else under the same id; results are waited for and runs are observed; time passes;
    processes are killed, stopped for a while, or closed in good order, at any point; power is
    lost; the disk fails, stalls, is full; the wall clock is set. People answer what tools ask,
    agree to calls or not, resolve what is in doubt and cancel runs, also twice, wrongly, too
    late, and against what was said before. They answer background tasks, call them off and want
    them tried again. Runs work on threads, in all ways in which they can come after each other,
    threads are signalled, heartbeats are created and steered, where `talks` and `heartbeats`
    say with what.

    After every step of the simulation its invariants hold, and after every rule what clients
    were told is in the log; a refusal is one that the run was good for when it was told. In the
    end all is mended, what people are still asked is answered, and once nothing happens any
    more, every run has come to what it comes to alone, when nothing goes wrong and people say
    the same to it, or is cancelled; so have its tasks; its effects have happened; clients were
    told; and nothing is left in between.

    A failure shows the fewest and simplest rules that lead to it, and the end of the log. Rules
    and invariants of your own use `simulation`, and the ids of runs from the bundle `runs`.
    """

    agents: ClassVar[Any]
    """As for `Simulation`: a function of the `World` (in `staticmethod`), or a list; or a
    strategy that draws one of these."""
    starts: ClassVar[st.SearchStrategy[Start]]
    """What runs are started with: the agent's id, and the input; and `until_idle`, if you like."""
    at_most_once: ClassVar[Collection[str]] = ()
    """Names of effects that must not be repeated, as for tools with `in_doubt="fail"`. Say
    `judge` and `judge_task` as well, as their runs may come out differently."""
    background_tasks: ClassVar[BackgroundTasks] = BackgroundTasks(default_timeout=None)
    """As for `Runtime`. Tasks for which nobody says a timeout have none here, as disks stall."""

    runs: ClassVar[Bundle[str]] = Bundle("runs")

    def __init__(self) -> None:
        super().__init__()
        self._simulation: Simulation | None = None
        self._power_lost = False

    def judge(self, calm: RunResult, stormy: RunResult) -> None:
        """Compare what a run came to with what it comes to when nothing goes wrong.

        They are the same here, token counts aside. For another promise, override it.

        Raises:
            AssertionError: it is not what was promised.
        """
        same_result(calm, stormy)

    def judge_task(self, calm: TaskInfo, stormy: TaskInfo) -> None:
        """Compare what a background task came to with what it comes to when nothing goes wrong.

        They have the same status, result and error here. For another promise, override it.

        Raises:
            AssertionError: it is not what was promised.
        """
        same_end(calm, stormy)

    @initialize(
        agents=st.runner().flatmap(_agents_of),
        seed=st.integers(0, 2**32 - 1),
        durability=st.sampled_from(["sync", "relaxed"]),
    )
    def begin(self, agents: Agents, seed: int, durability: Durability) -> None:
        """Nothing has happened yet."""
        check_names("at_most_once", self.at_most_once)
        self._simulation = Simulation(
            agents,
            seed=seed,
            durability=durability,
            max_recoveries=None,
            background_tasks=self.background_tasks,
        )
        self._reference = Reference(agents, self.background_tasks)

    # -- what clients do. They wait in the background.

    @rule(target=runs, start=st.runner().flatmap(_starts_of))
    def start(self, start: Start) -> str:
        """Start a run."""
        agent, input, until_idle = _in_full(start)
        run_id = f"run{len(self._reference.runs) + 1}"
        starting = self.simulation.spawn(self._start(run_id, agent, input, until_idle))
        self._reference.runs[run_id] = KnownRun(run_id, agent, input, starting, until_idle)
        return run_id

    @rule(run_id=runs)
    def start_again(self, run_id: str) -> None:
        """Repeat a start."""
        run = self._reference.runs[run_id]
        run.others.append(self.simulation.spawn(self._start_as(run)))

    @rule(run_id=runs, start=st.runner().flatmap(_starts_of))
    def start_another_under_the_same_id(self, run_id: str, start: Start) -> None:
        """Start another run under the id of one that has begun: it is refused."""
        run = self._reference.runs[run_id]
        agent, input, _ = _in_full(start)
        if (agent, input) == (run.agent, run.input):
            input = f"{input} and more"
        run.others.append(self.simulation.spawn(self._start_another(run, agent, input)))

    @rule(run_id=runs)
    def wait_for_the_result(self, run_id: str) -> None:
        """Wait for a result."""
        run = self._reference.runs[run_id]
        run.waiting.append(self.simulation.spawn(self._wait_for(run)))

    @rule(run_id=runs, after=st.integers(0, 5))
    def observe(self, run_id: str, after: int) -> None:
        """Observe a run, from its beginning or further on."""
        run = self._reference.runs[run_id]
        run.others.append(self.simulation.spawn(self._observe(run, after)))

    def _has_runs(self) -> bool:
        """Before there is a run, there is nothing that could suffer."""
        return self._simulation is not None and bool(self._reference.runs)

    @precondition(_has_runs)
    @rule()
    def ask_for_a_run_that_does_not_exist(self) -> None:
        """There is an answer at once."""
        try:
            self.simulation.run(lambda rt: rt.result("nobody", timeout=60))
        except RunNotFound:
            return
        raise AssertionError("a run that was never started has a result")

    # -- time

    @precondition(_has_runs)
    @rule(steps=st.integers(1, 60))
    def go_on(self, steps: int) -> None:
        """Let as little happen as can be told apart."""
        self.simulation.go_on(steps)

    @precondition(_has_runs)
    @rule(steps=st.integers(20, 300))
    def go_on_for_a_while(self, steps: int) -> None:
        """Let a little more happen."""
        self.simulation.go_on(steps, at_most=60.0)

    @precondition(_has_runs)
    @rule(seconds=durations())
    def let_time_pass(self, seconds: float) -> None:
        """Let time pass."""
        self.simulation.advance(seconds)

    @precondition(_has_runs)
    @rule(seconds=durations(), back=st.booleans())
    def set_the_wall_clock(self, seconds: float, back: bool) -> None:
        """Set the wall clock forward or back."""
        self.simulation.jump_clock(-seconds if back else seconds)

    # -- how processes end

    @precondition(_has_runs)
    @rule()
    def kill(self) -> None:
        """Kill the process that is up."""
        self.simulation.crash()

    @precondition(_has_runs)
    @rule(points=st.integers(1, 12), fate=fates())
    def end_at_a_point_to_come(self, points: int, fate: Fate) -> None:
        """Kill or freeze whichever process comes by a point that is so many points ahead."""
        came_by = self.simulation.points
        came_by.fates[len(came_by.passed) + points] = fate

    @precondition(_has_runs)
    @rule()
    def lose_power(self) -> None:
        """The machine goes down, clients and all, and they all begin again."""
        sim = self.simulation
        self._reference.forget_what_was_told(sim)
        before = sim.disk.store.head
        sim.crash(power_loss=True)
        self._power_lost = self._power_lost or sim.disk.store.head < before
        for run in self._reference.runs.values():
            run.starting = sim.spawn(self._start_as(run))
        self._ask_again()

    def _is_up(self) -> bool:
        return self._has_runs() and self.simulation.life is not None

    @precondition(_is_up)
    @rule()
    def freeze(self) -> None:
        """Stop the process that is up; another one takes over."""
        self.simulation.freeze()

    def _has_frozen(self) -> bool:
        return self._simulation is not None and self._simulation.frozen > 0

    @precondition(_has_frozen)
    @rule()
    def thaw(self) -> None:
        """Let frozen processes go on."""
        self.simulation.thaw()

    @precondition(_is_up)
    @rule()
    def close(self) -> None:
        """Close the runtime in good order."""
        self.simulation.stop()

    # -- the disk

    @precondition(_has_runs)
    @rule(after_write=st.booleans())
    def let_a_write_fail(self, after_write: bool) -> None:
        """The next write fails."""
        self.simulation.disk.fail(after_write=after_write)

    @rule(trouble=st.sampled_from(["none", "full", "stalled"]))
    def set_the_disk(self, trouble: Literal["none", "full", "stalled"]) -> None:
        """The disk is full, or slow beyond measure; or neither."""
        disk = self.simulation.disk
        match trouble:
            case "none":
                disk.free()
                disk.go_on()
            case "full":
                disk.fill()
            case "stalled":
                disk.stall()

    # -- what holds

    @invariant()
    def what_clients_were_told_is_true(self) -> None:
        """Whatever was acknowledged is in the log."""
        self._reference.check_told(self.simulation)

    @invariant()
    def nothing_happens_too_often(self) -> None:
        """Effects that must not be repeated are not."""
        if not self._power_lost:  # What it took may have been the intent.
            self._reference.check_effects_so_far(self.simulation, self._effects, self.at_most_once)

    @invariant()
    def nothing_fails_unseen(self) -> None:
        """No callback and no task has failed of which nobody knows."""
        self.simulation.check_unhandled()

    def teardown(self) -> None:
        """Mend everything, let all come to its end, and look at it."""
        failed = sys.exc_info()[1]  # Of a rule or an invariant, which is on its way out.
        if self._simulation is None:
            return
        try:
            if failed is None:
                self._finish(self._simulation)
        except BaseException as error:
            failed = error
            raise
        finally:
            if isinstance(failed, Exception):
                note("\n".join(history(self._simulation)))
            self._simulation.close()

    def _finish(self, sim: Simulation) -> None:
        fates = sim.points.fates
        for ahead in [number for number in fates if number > len(sim.points.passed)]:
            del fates[ahead]
        sim.disk.mend()
        sim.thaw()
        self._let_heartbeats_rest()
        sim.run_until_idle()
        self._answer_everything()
        self.what_clients_were_told_is_true()
        self.nothing_happens_too_often()
        self._reference.check_over(
            sim,
            judge=self.judge,
            judge_task=self.judge_task,
            effects=self._effects,
            at_most_once=self.at_most_once,
        )
        self._check_talks()
        sim.close()
        sim.check_unhandled()

    @property
    def _effects(self) -> Effects:
        return Counter((entry.name, entry.key) for entry in self.simulation.world.ledger)

    # -- clients

    async def _start_as(self, run: KnownRun) -> None:
        await self._start(run.run_id, run.agent, run.input, run.until_idle)

    async def _start(
        self, run_id: str, agent: str, input: str, until_idle: bool | UntilIdle
    ) -> None:
        client, pause = self.simulation.client, 1.0
        while True:
            try:
                await client.start(agent, input, run_id=run_id, until_idle=until_idle)
            except LogParked:
                await client.sleep(pause)
                pause = min(2 * pause, 3_600.0)
            else:
                return

    async def _start_another(self, run: KnownRun, agent: str, input: str) -> None:
        await asyncio.shield(run.starting)
        try:
            await self._start(run.run_id, agent, input, run.until_idle)
        except RunExists:
            return
        raise AssertionError(f"{run.run_id} was started twice, with other inputs")

    async def _wait_for(self, run: KnownRun) -> RunResult:
        await asyncio.shield(run.starting)
        client = self.simulation.client
        while True:
            seen = len(self.simulation.events(run.run_id))
            result = await client.result(run.run_id)
            if result.status != SUSPENDED:
                return result
            await client.wait_for_more(run.run_id, after=seen)

    async def _observe(self, run: KnownRun, after: int) -> None:
        await asyncio.shield(run.starting)
        after = min(after, len(self.simulation.events(run.run_id)))
        async for _ in self.simulation.client.observe(run.run_id, after=after):
            pass
