"""`outlive threads ...`: beside whatever process owns the log, and through it what is said."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal

from cyclopts import App, Parameter

from outlive.cli._options import Cursor, Data, Json, Since, Until

threads: Final = App(
    name="threads", help="See threads and talk on them, also while another process owns the log."
)
ThreadId = Annotated[str, Parameter(help="Id of the thread.")]
After = Annotated[int, Parameter(help="Version of the last event already seen.")]


@threads.command(name="list")
def list_(
    *,
    resource: Annotated[str | None, Parameter(help="Only threads of this resource.")] = None,
    since: Since = None,
    until: Until = None,
    order: Annotated[Literal["newest", "oldest"], Parameter(help="Which come first.")] = "newest",
    limit: Annotated[int, Parameter(help="So many threads at most, 1 to 1,000.")] = 20,
    cursor: Cursor = None,
    data: Data = Path("outlive-data"),
    json: Json = False,
) -> int:
    """List threads, those that were created last first.

    As JSON the last line is {"cursor": ...} when there are more.
    """
    from outlive.cli._threads import list_threads

    return list_threads(
        data,
        resource_id=resource,
        since=since,
        until=until,
        order=order,
        limit=limit,
        cursor=cursor,
        json=json,
    )


@threads.command
def show(
    thread_id: ThreadId,
    /,
    *,
    after: After = 0,
    data: Data = Path("outlive-data"),
    json: Json = False,
) -> int:
    """Show a thread, who is active on it, and what was said."""
    from outlive.cli._threads import show_thread

    return show_thread(data, thread_id, after=after, json=json)


@threads.command
def send(
    thread_id: ThreadId,
    text: Annotated[str, Parameter(help="What is said.")],
    /,
    *,
    agent: Annotated[
        str | None,
        Parameter(help="Who is to answer. Default: who is active, or has answered last."),
    ] = None,
    resource: Annotated[
        str | None,
        Parameter(help="To whom the thread belongs. One that does not exist is created for it."),
    ] = None,
    queue: Annotated[
        bool, Parameter(negative=(), help="After the active run, in a run of its own.")
    ] = False,
    key: Annotated[
        str | None, Parameter(help="The same key again changes nothing. Default: drawn at random.")
    ] = None,
    data: Data = Path("outlive-data"),
    json: Json = False,
) -> int:
    """Say what a user says, and print what becomes of it: delivered, woken, queued.

    Without an owner it is submitted: it waits in the log until there is one.
    """
    from outlive.cli._thread_send import send_message

    return send_message(
        data, thread_id, text, agent=agent, resource=resource, queue=queue, key=key, json=json
    )


@threads.command
def watch(
    thread_id: ThreadId,
    /,
    *,
    after: After = 0,
    data: Data = Path("outlive-data"),
    json: Json = False,
) -> int:
    """Print what happens on a thread, then what follows, until it is interrupted."""
    from outlive.cli._threads import watch_thread

    return watch_thread(data, thread_id, after=after, json=json)


@threads.command
def release(
    thread_id: ThreadId, /, *, data: Data = Path("outlive-data"), json: Json = False
) -> int:
    """Try once more with a thread that is quarantined; `threads show` tells the reason."""
    from outlive.cli._thread_send import release_thread

    return release_thread(data, thread_id, json=json)
