"""`outlive tasks ...`: beside whatever process owns the log, and through it what steers tasks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal

from cyclopts import App, Parameter

from outlive.cli._options import AsText, By, Cursor, Data, Json, Since, Until

tasks: Final = App(
    name="tasks", help="See and steer background tasks, also while another process owns the log."
)
TaskId = Annotated[str, Parameter(help="Id of the task.")]
Agent = Annotated[str | None, Parameter(name="--agent", help="Only tasks of this agent.")]
Run = Annotated[str | None, Parameter(name="--run", help="Only tasks that this run asked for.")]
Thread = Annotated[str | None, Parameter(name="--thread", help="Only tasks of this thread.")]


@tasks.command(name="list")
def list_(
    *,
    status: Annotated[
        str | None,
        Parameter(
            help="Only tasks that are queued, running, suspended, blocked, quarantined, "
            "succeeded, failed, timed_out, cancelled or rejected."
        ),
    ] = None,
    agent: Agent = None,
    tool: Annotated[str | None, Parameter(help="Only tasks that call this tool.")] = None,
    run_id: Run = None,
    thread: Thread = None,
    resource: Annotated[str | None, Parameter(help="Only tasks of this resource.")] = None,
    since: Since = None,
    until: Until = None,
    order: Annotated[Literal["newest", "oldest"], Parameter(help="Which come first.")] = "newest",
    limit: Annotated[int, Parameter(help="So many tasks at most, 1 to 1,000.")] = 20,
    cursor: Cursor = None,
    data: Data = Path("outlive-data"),
    json: Json = False,
) -> int:
    """List background tasks, those that were queued last first.

    As JSON the last line is {"cursor": ...} when there are more.
    """
    from outlive.cli._task_list import list_tasks

    return list_tasks(
        data,
        status=status,
        agent_id=agent,
        tool=tool,
        run_id=run_id,
        thread_id=thread,
        resource_id=resource,
        since=since,
        until=until,
        order=order,
        limit=limit,
        cursor=cursor,
        json=json,
    )


@tasks.command
def show(
    task_id: TaskId,
    /,
    *,
    data: Data = Path("outlive-data"),
    json: Json = False,
) -> int:
    """Show what a task came to so far: status, arguments, attempts, progress, result."""
    from outlive.cli._tasks import show_task

    return show_task(data, task_id, json=json)


@tasks.command
def watch(
    *ids: Annotated[str, Parameter(help="Ids of the tasks.")],
    agent: Agent = None,
    thread: Thread = None,
    run_id: Run = None,
    after: Annotated[
        int,
        Parameter(help="Position of the last event already seen: its id up to the point."),
    ] = 0,
    data: Data = Path("outlive-data"),
    json: Json = False,
) -> int:
    """Watch tasks, those that have these ids or all of an agent, thread or run, live.

    On a terminal with a bar for each that goes on, else a line for each event. Ends when the
    tasks with these ids are over, with exit code 1 when one has not succeeded; of an agent,
    thread or run it goes on until it is interrupted.
    """
    from outlive.cli._task_watch import watch_tasks

    wanted = {"agent_id": agent, "thread_id": thread, "run_id": run_id}
    return watch_tasks(data, ids, wanted, after=after, json=json)


@tasks.command
def cancel(
    task_id: TaskId,
    /,
    *,
    reason: Annotated[str, Parameter(help="Recorded, and told to the run that asked.")] = "",
    by: By = None,
    data: Data = Path("outlive-data"),
    json: Json = False,
) -> int:
    """End a task that is not wanted any more, whatever it does. The same again changes nothing."""
    from outlive.cli._task_steering import cancel_task

    return cancel_task(data, task_id, reason=reason, by=by, json=json)


@tasks.command
def resume(
    task_id: TaskId,
    value: Annotated[
        str | None,
        Parameter(
            help="The answer: JSON; what is no JSON is taken as text. Null if left out.",
            allow_leading_hyphen=True,
        ),
    ] = None,
    /,
    *,
    key: Annotated[
        str | None, Parameter(help="Which question. Needed if there are several.")
    ] = None,
    text: AsText = False,
    by: By = None,
    data: Data = Path("outlive-data"),
    json: Json = False,
) -> int:
    """Answer what a task asks; it is queued again. `runs pending` and `show` tell what to type.

    Of a task in doubt say {"outcome": ...}, {"error": "..."} or {"retry": true}. A task that is
    queued or runs waits for no answer: nothing is changed.
    """
    from outlive.cli._task_steering import resume_task

    return resume_task(data, task_id, value, key=key, as_text=text, by=by, json=json)


@tasks.command
def retry(
    task_id: TaskId,
    /,
    *,
    by: By = None,
    data: Data = Path("outlive-data"),
    json: Json = False,
) -> int:
    """Try a task once more that has failed, timed out, was cancelled or is quarantined.

    It keeps its history and what its steps came to. One that is not over goes on as it does.
    """
    from outlive.cli._task_steering import retry_task

    return retry_task(data, task_id, by=by, json=json)
