"""What people were told of what they have said to a task is held against its log."""

from __future__ import annotations

import pytest

from outlive.actors import Agent, EchoModel, tool
from outlive.actors.task.submitted import (
    CancelTaskRequest,
    ResumeTaskRequest,
    RetryTaskRequest,
    TaskRequest,
)
from outlive.events import (
    AlreadyOver,
    Event,
    Failure,
    TaskCancelled,
    TaskFailed,
    TaskInDoubt,
    TaskNotFound,
    TaskQueued,
    TaskRequeued,
    TaskResolved,
    TaskResumed,
    TaskStarted,
    TaskSucceeded,
    TaskSuspended,
    task_stream,
)
from outlive.testing._said import Said, TaskHearing, told


@tool(in_doubt="ask", background=True)
async def count() -> int:
    """Count."""
    return 7


AGENTS = {"a": Agent("a", model=EchoModel(), tools=[count])}
QUEUED = TaskQueued(tool="count", agent_id="a")
STARTED = TaskStarted(worker="owner-1")
FAILED = TaskFailed(error=Failure(kind="error", message="boom"))
ASKED = TaskSuspended(key="k", answer_schema={"type": "integer"})
DOUBT = TaskInDoubt(attempt=1)
AGAIN, CALL_OFF = RetryTaskRequest(by="p"), CancelTaskRequest(reason="enough", by="p")
ANSWER = ResumeTaskRequest(value=3, key="k", by="p")
OVER = told(AlreadyOver("t", "failed", "task"))


def problem(request: TaskRequest, *events: Event, since: int, refusal: str = "") -> str:
    """Return what is wrong with what was told of a request, said at a version."""
    said = Said(stream=task_stream("t"), request=request, since=since, refusal=refusal)
    return TaskHearing("t", events, AGENTS).problem(said)


@pytest.mark.parametrize(
    ("wish", "before", "after", "refusal"),
    [
        (AGAIN, [STARTED, FAILED], [TaskRequeued(by="p")], ""),
        (AGAIN, [STARTED], [], ""),
        (AGAIN, [STARTED, TaskSucceeded()], [], told(AlreadyOver("t", "succeeded", "task"))),
        (CALL_OFF, [STARTED], [TaskCancelled(reason="enough", by="p")], ""),
        (CALL_OFF, [STARTED, FAILED], [], OVER),
        (ANSWER, [STARTED, ASKED], [TaskResumed(key="k", value=3, by="p")], ""),
        (
            ResumeTaskRequest(value={"outcome": 1}, by="p"),
            [STARTED, DOUBT],
            [
                TaskResolved(attempt=1, outcome="completed", by="p"),
                TaskSucceeded(attempt=1, result=1),
            ],
            "",
        ),
    ],
)
def test_what_may_have_come_of_it_is_no_problem(
    wish: TaskRequest, before: list[Event], after: list[Event], refusal: str
) -> None:
    since = 1 + len(before)
    assert problem(wish, QUEUED, *before, *after, since=since, refusal=refusal) == ""
    assert problem(wish, QUEUED, *before, *after, since=1, refusal=refusal) == ""


@pytest.mark.parametrize(
    ("wish", "before", "refusal", "says"),
    [
        (AGAIN, [STARTED, FAILED], "", "it was obeyed. What may have come of it: TaskRequeued"),
        (CALL_OFF, [STARTED], "", "it was obeyed. What may have come of it: TaskCancelled"),
        (CALL_OFF, [STARTED], OVER, "it was refused: AlreadyOver"),
        (ANSWER, [STARTED, ASKED], "", "it was obeyed. What may have come of it: TaskResumed"),
        (ANSWER, [STARTED], told(TaskNotFound("t")), "it was refused: TaskNotFound"),
        (
            ResumeTaskRequest(value={"outcome": "seven"}, by="p"),
            [STARTED, DOUBT],
            "",
            "it was obeyed. What may have come of it: InvalidResumeValue",
        ),
    ],
)
def test_what_cannot_have_come_of_it_is_told(
    wish: TaskRequest, before: list[Event], refusal: str, says: str
) -> None:
    assert says in problem(wish, QUEUED, *before, since=1 + len(before), refusal=refusal)
