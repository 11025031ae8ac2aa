"""Who starts next: the rule as sentences, and against an oracle that looks at everything."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from outlive.actors.task.admission import Admission, Admitted, Backpressure, Granted, Waiting
from outlive.events import StreamId


def waiting(
    task: str, agent: str = "a", tool: str = "t", *, priority: int = 0, place: int = 0
) -> Waiting:
    return Waiting(StreamId(task), agent, tool, priority, place)


def admission(overall: int = 20, per_agent: int = 5, **tools: int) -> Admission:
    return Admission(overall=overall, per_agent=per_agent, tools=tools)


def started(line: Admission, most: int = 100) -> list[str]:
    """Give slots away until nobody may have one."""
    names: list[str] = []
    while len(names) < most and (granted := line.next()) is not None:
        names.append(granted.task)
    return names


# -- the rule --


def test_slots_go_round_the_agents_in_the_order_of_their_names() -> None:
    line = admission()
    for place, task in enumerate(["b1", "b2", "a1", "a2", "c1"]):
        line.wait(waiting(task, agent=task[0], place=place))
    assert started(line) == ["a1", "b1", "c1", "a2", "b2"]


def test_the_next_slot_goes_to_the_agent_after_the_one_last_served() -> None:
    line = admission(overall=1)
    for place, task in enumerate(["a1", "a2", "b1", "c1"]):
        line.wait(waiting(task, agent=task[0], place=place))
    order: list[str] = []
    for _ in range(4):
        [task] = started(line)
        order.append(task)
        line.leave(StreamId(task))
    assert order == ["a1", "b1", "c1", "a2"]


def test_within_an_agent_the_highest_priority_comes_first_then_the_oldest() -> None:
    line = admission()
    line.wait(waiting("young", place=3))
    line.wait(waiting("old", tool="u", place=1))
    line.wait(waiting("urgent", tool="u", priority=1, place=4))
    line.wait(waiting("idle", priority=-1, place=0))
    assert started(line) == ["urgent", "old", "young", "idle"]


def test_no_more_run_than_may_overall_of_an_agent_and_of_a_tool() -> None:
    line = admission(overall=3, per_agent=2, t=1)
    for place, task in enumerate(["a1", "a2", "b1", "b2"]):
        line.wait(waiting(task, agent=task[0], tool="t", place=place))
    for place, task in enumerate(["a3", "a4", "b3", "b4"], start=4):
        line.wait(waiting(task, agent=task[0], tool="u", place=place))
    assert started(line) == ["a1", "b3", "a3"]
    line.leave(StreamId("a1"))
    assert started(line) == ["b1"]
    line.leave(StreamId("b3"))
    assert started(line) == ["a4"]  # the tool is full, and so is neither agent
    line.leave(StreamId("a3"))
    assert started(line) == ["b4"]
    line.leave(StreamId("a4"))
    assert started(line) == []  # b has its two, and a could only have the full tool


def test_an_agent_that_is_at_its_limit_is_passed_over() -> None:
    line = admission(per_agent=1)
    for place, task in enumerate(["a1", "a2", "b1"]):
        line.wait(waiting(task, agent=task[0], place=place))
    assert started(line) == ["a1", "b1"]
    line.leave(StreamId("a1"))
    assert started(line) == ["a2"]


def test_a_full_tool_holds_nobody_up_who_wants_another_one() -> None:
    line = admission(t=1)
    line.wait(waiting("a1", place=0))
    line.wait(waiting("a2", priority=9, place=1))
    line.wait(waiting("a3", tool="u", place=2))
    assert started(line) == ["a2", "a3"]


def test_who_has_left_the_line_is_not_started() -> None:
    line = admission()
    line.wait(waiting("a1", place=0))
    line.wait(waiting("a2", place=1))
    line.leave(StreamId("a1"))
    assert started(line) == ["a2"]
    line.leave(StreamId("nobody"))


def test_a_task_that_comes_back_has_its_old_place() -> None:
    line = admission(overall=1)
    line.wait(waiting("a1", place=0))
    line.wait(waiting("a2", place=1))
    assert started(line) == ["a1"]
    line.leave(StreamId("a1"))  # it waits before it is tried again
    line.wait(waiting("a1", place=0))
    assert started(line) == ["a1"]


def test_more_may_hold_slots_than_there_are_and_nobody_starts_until_enough_have_left() -> None:
    line = admission(overall=1, per_agent=1)
    for task in ["a1", "a2"]:
        line.hold(StreamId(task), "a", "t")
    line.wait(waiting("a3"))
    assert started(line) == []
    line.leave(StreamId("a1"))
    assert started(line) == []
    line.leave(StreamId("a2"))
    assert started(line) == ["a3"]


def test_starts_are_numbered_and_the_numbers_tell_whose_turn_it_is_after_a_restart() -> None:
    line = admission(overall=2)
    for place, task in enumerate(["a1", "b1", "c1", "a2"]):
        line.wait(waiting(task, agent=task[0], place=place))
    assert [line.next(), line.next(), line.next()] == [
        Granted(StreamId("a1"), 1),
        Granted(StreamId("b1"), 2),
        None,
    ]
    again = admission(overall=3)
    again.served("b", 2)
    again.served("a", 1)  # rows come in any order
    again.hold(StreamId("b1"), "b", "t")
    again.hold(StreamId("a1"), "a", "t")
    again.wait(waiting("a2", place=3))
    again.wait(waiting("c1", agent="c", place=2))
    assert again.next() == Granted(StreamId("c1"), 3)
    assert again.turn == (3, "c")


# -- what becomes of a new task --


def ask(
    line: Admission,
    task: str,
    backpressure: Backpressure = "queue",
    most: int | None = None,
    tool: str = "t",
) -> Admitted:
    return line.admit(StreamId(task), task[0], tool, backpressure=backpressure, max_queued=most)


def new(line: Admission, task: str, backpressure: Backpressure, most: int | None = None) -> str:
    return ask(line, task, backpressure, most).verdict


def test_a_new_task_starts_at_once_where_a_slot_is_free_and_nobody_comes_first() -> None:
    line = admission(overall=2, u=1)
    line.hold(StreamId("a0"), "a", "u")
    line.wait(waiting("a1", tool="u"))  # It cannot start: the tool is full.
    assert ask(line, "b1") == Admitted("queue", 1)
    assert line.turn == (1, "b")
    assert ask(line, "c1") == Admitted("queue")
    assert (line.holding, line.queued) == (2, 2)


@pytest.mark.parametrize("recorded", [True, False])
def test_a_new_task_starts_after_those_that_came_before(recorded: bool) -> None:
    line = admission(overall=1)
    line.hold(StreamId("a0"), "a", "t")
    assert ask(line, "a1") == Admitted("queue")
    if recorded:
        line.wait(waiting("a1", place=1))
    line.leave(StreamId("a0"))
    assert ask(line, "a2") == Admitted("queue")  # The slot is kept until both wait.
    line.wait(waiting("a1", place=1))
    line.wait(waiting("a2", place=2))
    assert started(line) == ["a1"]


@pytest.mark.parametrize("backpressure", ["queue", "reject", "run_inline"])
def test_with_a_free_slot_a_task_is_queued_whatever_the_policy(backpressure: Backpressure) -> None:
    line = admission(overall=1)
    assert new(line, "a1", backpressure) == "queue"
    assert line.holding == 1


@pytest.mark.parametrize("backpressure", ["queue", "reject", "run_inline"])
@pytest.mark.parametrize("limits", [{"overall": 1}, {"per_agent": 1}, {"t": 1}], ids=str)
def test_without_a_free_slot_it_is_as_the_policy_says(
    limits: dict[str, int], backpressure: Backpressure
) -> None:
    line = admission(**limits)
    line.hold(StreamId("a0"), "a", "t")
    assert new(line, "a1", backpressure) == backpressure
    assert line.queued == (backpressure == "queue")


def test_a_free_slot_that_was_promised_is_not_promised_twice() -> None:
    line = admission(overall=1)
    assert new(line, "a1", "reject") == "queue"
    assert new(line, "b1", "reject") == "reject"
    line.wait(waiting("a1"))
    assert started(line) == ["a1"]


def test_a_slot_that_is_kept_for_a_task_is_one_of_its_agent_and_of_its_tool() -> None:
    line = admission(per_agent=1, t=1)
    assert line.has_room("a", "t")
    line.wait(waiting("b1", agent="b", tool="u"))
    kept = line.admit(StreamId("a1"), "a", "t", backpressure="reject", max_queued=None)
    assert kept == Admitted("queue"), "b1 comes first"
    assert (line.has_room("a", "u"), line.has_room("c", "t")) == (False, False)
    assert line.has_room("c", "u")


def test_one_that_waits_and_is_asked_for_again_queues_once() -> None:
    line = admission(overall=0)
    line.wait(waiting("a1"))
    line.admit(StreamId("a1"), "a", "t", backpressure="queue", max_queued=None)
    assert line.queued == 1


def test_of_an_agents_tools_the_one_with_the_oldest_task_comes_first() -> None:
    line = admission()
    line.wait(waiting("z", tool="t", place=1))
    line.wait(waiting("b", tool="u", place=2))
    line.wait(waiting("c", tool="v", place=3, priority=1))
    assert started(line) == ["c", "z", "b"]


def test_more_than_max_queued_do_not_queue() -> None:
    line = admission(overall=1)
    line.hold(StreamId("a0"), "a", "t")
    assert [new(line, task, "queue", 2) for task in ("a1", "b1", "c1")] == [
        "queue",
        "queue",
        "reject",
    ]
    line.wait(waiting("a1"))
    assert new(line, "c1", "queue", 2) == "reject"
    line.leave(StreamId("a1"))
    assert new(line, "c1", "queue", 2) == "queue"


def test_with_max_queued_of_none_only_what_can_start_is_taken() -> None:
    line = admission(overall=1)
    assert [new(line, task, "queue", 0) for task in ("a1", "b1")] == ["queue", "reject"]


# -- what it costs --


def lines_run(body: Callable[[], object]) -> int:
    """How many lines of this package's admission `body` runs."""
    count = 0

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal count
        if "admission" not in frame.f_code.co_filename or "test_" in frame.f_code.co_filename:
            return None
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        body()
    finally:
        sys.settrace(before)
    return count


def cost_with(tasks: int) -> int:
    line = admission(overall=1)
    for place in range(tasks):
        line.wait(waiting(f"x{place}", agent=f"a{place % 10}", tool=f"t{place % 3}", place=place))

    def dispatch() -> None:
        for _ in range(20):
            granted = line.next()
            assert granted is not None
            line.leave(granted.task)

    return lines_run(dispatch)


def test_a_dispatch_costs_the_same_however_long_the_queue_is() -> None:
    assert cost_with(5_000) <= cost_with(100) * 1.1


@pytest.mark.parametrize("left", [1, 5, 30, 39])
def test_who_is_in_line_is_served_whoever_has_left_it(left: int) -> None:
    line = admission(overall=100, per_agent=100)
    names = [f"task-{place:02}" for place in range(40)]
    for place, name in enumerate(names):
        line.wait(waiting(name, place=place))
    for name in names[:left]:
        line.leave(StreamId(name))
    assert started(line) == names[left:]


def test_what_has_left_the_line_takes_no_memory_for_long() -> None:
    line = admission(overall=1)
    line.wait(waiting("first", priority=9))
    for place in range(1_000):
        line.wait(waiting(f"x{place}", place=place))
        line.leave(StreamId(f"x{place}"))
    assert sum(len(heap) for heap in line._heaps.values()) < 20  # pyright: ignore[reportPrivateUsage]


# -- who is likely to be next --


def test_those_who_are_likely_to_start_next_are_told_by_turn_priority_and_age() -> None:
    line = admission(overall=1)
    line.served("a", 1)
    for place, (task, priority) in enumerate([("a1", 0), ("a2", 5), ("b1", 0), ("b2", 0)]):
        line.wait(waiting(task, agent=task[0], priority=priority, place=place))
    assert line.upcoming(2) == ["b1", "a2"]
    assert set(line.upcoming(4)) == {"a1", "a2", "b1", "b2"}
    assert started(line) == ["b1"], "looking gives nothing away"


def test_no_more_of_an_agent_or_a_tool_are_likely_than_may_run_at_once() -> None:
    line = admission(overall=20, per_agent=5, t=2)
    for place in range(10):
        line.wait(waiting(f"t{place}", tool="t", priority=9, place=place))
        line.wait(waiting(f"u{place}", tool="u", place=place))
    assert line.upcoming(20) == ["t0", "t1", "u0", "u1", "u2"]


def test_who_is_likely_to_be_next_is_told_whoever_has_left_the_line() -> None:
    line = admission(overall=1, per_agent=100)
    for place in range(40):
        line.wait(waiting(f"x{place:02}", place=place))
    for place in range(10):
        line.leave(StreamId(f"x{place:02}"))
    line.leave(StreamId("x30"))
    line.wait(waiting("x30", place=30))  # It came back: its place is in the heap twice.
    assert line.upcoming(3) == ["x10", "x11", "x12"]
    assert line.upcoming(30) == [f"x{place}" for place in range(10, 40)]


@pytest.mark.parametrize("left", [0, 4_000])
def test_what_it_costs_to_look_who_is_next_does_not_grow_with_the_queue(left: int) -> None:
    def cost(tasks: int) -> int:
        line = admission(overall=1, per_agent=20)
        for place in range(tasks):
            line.wait(waiting(f"x{place}", place=place))
        for place in range(20, 20 + left):
            line.leave(StreamId(f"x{place}"))
        return lines_run(lambda: line.upcoming(20))

    assert cost(20_000) <= cost(5_000) * 1.1


# -- against an oracle --

AGENTS, TOOLS = "abcd", "tuv"


class Oracle:
    """The rule, said as slowly as it can be."""

    def __init__(self) -> None:
        self.waiting: dict[str, Waiting] = {}
        self.holding: dict[str, tuple[str, str]] = {}
        self.served: str | None = None

    def may_start(self, agent: str, tool: str) -> bool:
        held = self.holding.values()
        agents, tools = Counter(one for one, _ in held), Counter(one for _, one in held)
        most = {"t": 1, "u": 3}.get(tool, 1_000)
        return len(self.holding) < 4 and agents[agent] < 2 and tools[tool] < most

    def could_start(self) -> list[Waiting]:
        return [task for task in self.waiting.values() if self.may_start(task.agent, task.tool)]

    def next(self) -> str | None:
        fitting = self.could_start()
        if not fitting:
            return None
        agents = sorted({task.agent for task in fitting})
        after = [agent for agent in agents if self.served is not None and agent > self.served]
        agent = (after or agents)[0]
        own = [task for task in fitting if task.agent == agent]
        chosen = min(own, key=lambda task: (-task.priority, task.place))
        del self.waiting[chosen.task]
        self.holding[chosen.task] = (agent, chosen.tool)
        self.served = agent
        return chosen.task


class AdmissionMachine(RuleBasedStateMachine):
    """Tasks come, start, wait again and leave; now and then the process does."""

    def __init__(self) -> None:
        super().__init__()
        self.line = Admission(overall=4, per_agent=2, tools={"t": 1, "u": 3})
        self.oracle = Oracle()
        self.known: dict[str, Waiting] = {}
        self.turns: dict[str, int] = {}

    @rule(agent=st.sampled_from(AGENTS), tool=st.sampled_from(TOOLS), priority=st.integers(-1, 1))
    def come(self, agent: str, tool: str, priority: int) -> None:
        place = len(self.known)
        task = waiting(f"x{place}", agent, tool, priority=priority, place=place)
        self.known[task.task] = self.oracle.waiting[task.task] = task
        self.line.wait(task)
        self.line.wait(task)  # said twice is said once

    @precondition(lambda self: not self.oracle.could_start())
    @rule(agent=st.sampled_from(AGENTS), tool=st.sampled_from(TOOLS))
    def ask(self, agent: str, tool: str) -> None:
        """One that starts at once is one that would have been given a slot in the line."""
        place = len(self.known)
        task = waiting(f"x{place}", agent, tool, place=place)
        self.known[task.task] = self.oracle.waiting[task.task] = task
        verdict, turn = self.line.admit(
            task.task, agent, tool, backpressure="queue", max_queued=None
        )
        assert verdict == "queue"
        assert self.line.knows(task.task)
        assert (turn > 0) is (self.oracle.next() == task.task)
        if turn:
            self.turns[task.task] = turn
        else:
            self.line.wait(task)

    @rule()
    def give_a_slot(self) -> None:
        may_give = self.line.may_give
        granted, wanted = self.line.next(), self.oracle.next()
        assert (None if granted is None else granted.task) == wanted
        assert may_give or wanted is None
        if granted is not None:
            self.turns[granted.task] = granted.turn

    @precondition(lambda self: self.oracle.holding)
    @rule(data=st.data(), back=st.booleans())
    def end(self, data: st.DataObject, back: bool) -> None:
        task = data.draw(st.sampled_from(list(self.oracle.holding)))
        del self.oracle.holding[task]
        if back:
            self.oracle.waiting[task] = self.known[task]
            self.line.wait(self.known[task])
        else:
            self.line.leave(StreamId(task))

    @precondition(lambda self: self.oracle.waiting)
    @rule(data=st.data())
    def go_away(self, data: st.DataObject) -> None:
        task = data.draw(st.sampled_from(list(self.oracle.waiting)))
        del self.oracle.waiting[task]
        self.line.leave(StreamId(task))

    @rule(data=st.data())
    def restart(self, data: st.DataObject) -> None:
        """What another process folds from the open tasks, in whatever order, is the same."""
        turn, served = self.line.turn
        line = Admission(overall=4, per_agent=2, tools={"t": 1, "u": 3})
        if served is not None:
            line.served(served, turn)
        names = data.draw(st.permutations([*self.oracle.waiting, *self.oracle.holding]))
        for name in names:
            if name in self.oracle.holding:
                agent, tool = self.oracle.holding[name]
                line.served(agent, self.turns[name])
                line.hold(StreamId(name), agent, tool)
            else:
                line.wait(self.known[name])
        assert line.turn == self.line.turn
        self.line = line

    @invariant()
    def as_many_wait_and_run(self) -> None:
        assert self.line.queued == len(self.oracle.waiting)
        assert self.line.holding == len(self.oracle.holding)

    @invariant()
    def who_is_likely_to_be_next_waits(self) -> None:
        upcoming = self.line.upcoming(3)
        assert len(set(upcoming)) == len(upcoming) <= 3
        assert all(self.line.waits(task) for task in upcoming)
        assert all(self.line.waits(StreamId(task)) for task in self.oracle.waiting)
        assert bool(upcoming) is bool(self.oracle.waiting)


TestAdmissionMachine = AdmissionMachine.TestCase
TestAdmissionMachine.settings = settings(deadline=None, stateful_step_count=60)
