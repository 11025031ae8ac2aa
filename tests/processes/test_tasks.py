"""Background tasks that other processes ask for, steer and wait for; and whose owner dies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.processes.conftest import Member

Make = Callable[..., Member]


def opened(process: Make, **options: Any) -> Member:
    member = process(**options)
    member.hear("open")
    return member


def steer(member: Member, how: str, task_id: str, *values: Any, **more: Any) -> Any:
    return member.ask("steer task", how, task_id, *values, more, answer="steered")


def until(member: Member, task_id: str, status: str) -> None:
    while member.ask("task", task_id)[1] != status:
        pass


def test_a_task_is_asked_for_and_answered_from_elsewhere_each_once(process: Make) -> None:
    opened(process)
    visitor = opened(process, role="visitor", agents=False)
    _, task_id = visitor.ask("enqueue", "k", answer="enqueued")
    assert visitor.ask("enqueue", "k", answer="enqueued") == ("enqueued", task_id)
    until(visitor, task_id, "suspended")
    visitor.say("wait for task", task_id)
    for _ in range(2):
        assert steer(visitor, "resume", task_id, 3) == ("steered", "resume", True)
    done = ("task over", "succeeded", 3, ["suspended", "succeeded"])
    assert visitor.hear("task over") == done


def test_refusals_about_tasks_arrive_as_what_they_are(process: Make) -> None:
    opened(process)
    visitor = opened(process, role="visitor", agents=False)
    assert steer(visitor, "cancel", "x") == ("error", "TaskNotFound", {"task_id": "x"})
    _, task_id = visitor.ask("enqueue", "k", answer="enqueued")
    until(visitor, task_id, "suspended")
    _, name, facts = steer(visitor, "resume", task_id, "three")
    assert (name, facts["run_id"], facts["kind"]) == ("InvalidResumeValue", task_id, "task")
    assert steer(visitor, "cancel", task_id) == ("steered", "cancel", True)
    over = {"run_id": task_id, "kind": "task", "status": "cancelled"}
    assert steer(visitor, "resume", task_id, 3) == ("error", "AlreadyOver", over)


def test_without_an_owner_a_task_waits_and_the_next_one_begins_it(process: Make) -> None:
    owner = opened(process)
    visitor = opened(process, role="visitor", agents=False)
    owner.kill()
    _, task_id = visitor.ask("enqueue", "k", answer="enqueued")
    assert visitor.ask("task", task_id) == ("task", "submitted", None)
    opened(process)
    until(visitor, task_id, "suspended")


def test_another_process_goes_on_with_the_tasks_of_an_owner_that_was_killed(process: Make) -> None:
    owner = opened(process)
    other = opened(process)
    _, task_id = owner.ask("enqueue", "k", answer="enqueued")
    until(other, task_id, "suspended")
    owner.kill()
    other.say("wait for task", task_id)
    steer(other, "resume", task_id, 4)
    assert other.hear("task over")[:3] == ("task over", "succeeded", 4)
