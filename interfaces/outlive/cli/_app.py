"""The commands and their options. What they do is in the modules beside this one."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Final

from cyclopts import App, Parameter
from rich.console import Console

from outlive.cli._exit import INTERRUPTED, code_of, complain
from outlive.cli._heartbeats_app import heartbeats
from outlive.cli._options import Cursor, Data, Json, RunId, Since, Until
from outlive.cli._people_app import add_to
from outlive.cli._tasks_app import tasks
from outlive.cli._threads_app import threads
from outlive.events import OutliveError

app: Final = App(
    name="outlive",
    help="Durable, event-sourced agents that survive SIGKILL.",
    help_epilogue=(
        "Exit codes: 0 fine, 1 a check, run or task failed, 2 wrong usage, "
        "3 the log cannot be opened, 4 there is no such run, task, thread, agent or question."
    ),
    version=version("outlive"),
    result_action="return_value",
    error_console=Console(stderr=True),
)
runs: Final = App(
    name="runs", help="Start, look at and answer runs, also while another process owns the log."
)
app.command(runs)
app.command(tasks)
app.command(threads)
app.command(heartbeats)
app.register_install_completion_command(  # pyright: ignore[reportUnknownMemberType]  # untyped kwargs
    help="Install completion for the shell that is in use, and exit."
)


@app.command
def demo(
    *,
    source: Annotated[
        str | None,
        Parameter(help="Folder of HTML pages, or address of a running site. Default: a handbook."),
    ] = None,
    question: Annotated[str | None, Parameter(help="What the brief is to answer.")] = None,
    data: Annotated[
        Path | None,
        Parameter(
            help="Keep the log in this folder, and go on with a demo that was left there before "
            "it was done. Default: a temporary one."
        ),
    ] = None,
    keep: Annotated[
        bool, Parameter(negative=(), help="Keep the temporary folder, to look at the run.")
    ] = False,
    kill: Annotated[bool, Parameter(help="Kill the worker with SIGKILL, three times.")] = True,
    max_pages: Annotated[int, Parameter(help="Pages that are fetched at most.")] = 40,
    approve: Annotated[
        bool,
        Parameter(
            negative=(),
            help="Have the brief published as a file in this directory, and be asked before.",
        ),
    ] = False,
    json: Json = False,
) -> int:
    """A research agent reads a site in background tasks, is killed with SIGKILL, and finishes.

    Offline and without a key: the site is served on loopback, the model is built in (it picks
    sentences from the pages, it is no LLM). This terminal only observes; a worker process does
    the work, and is really killed: twice while several tasks read, once while it answers; with
    --approve once more, while it waits for your answer.
    """
    from outlive.cli._demo.command import play_demo

    return play_demo(
        source=source,
        question=question,
        data=data,
        keep=keep,
        kill=kill,
        max_pages=max_pages,
        approve=approve,
        json=json,
    )


@runs.command(name="list")
def list_(
    *,
    status: Annotated[
        str | None,
        Parameter(
            help="Only runs that are running, waiting, suspended, blocked, quarantined, completed, "
            "failed or cancelled."
        ),
    ] = None,
    agent: Annotated[str | None, Parameter(help="Only runs of the agent with this id.")] = None,
    thread: Annotated[str | None, Parameter(help="Only runs on this thread.")] = None,
    resource: Annotated[
        str | None, Parameter(help="Only runs on threads of this resource.")
    ] = None,
    since: Since = None,
    until: Until = None,
    limit: Annotated[int, Parameter(help="So many runs at most, 1 to 1,000.")] = 20,
    cursor: Cursor = None,
    data: Data = Path("outlive-data"),
    json: Json = False,
) -> int:
    """List runs, those that started last first.

    As JSON the last line is {"cursor": ...} when there are more.
    """
    from outlive.cli._run_list import list_runs

    return list_runs(
        data,
        status=status,
        agent_id=agent,
        thread_id=thread,
        resource_id=resource,
        since=since,
        until=until,
        limit=limit,
        cursor=cursor,
        json=json,
    )


@runs.command
def start(
    agent: Annotated[str, Parameter(help="Id of an agent that the owner of the log has.")],
    input: Annotated[str, Parameter(help="What it is to do.")],
    /,
    *,
    run_id: Annotated[
        str | None, Parameter(help="Makes the start idempotent. Default: drawn at random.")
    ] = None,
    data: Data = Path("outlive-data"),
    json: Json = False,
) -> int:
    """Have the process that owns the log start a run, and print the run's id.

    Without an owner the start waits in the log until there is one; the run has its id already.
    """
    from outlive.cli._start import start_run

    return start_run(data, agent, input, run_id=run_id, json=json)


@runs.command
def show(run_id: RunId, /, *, data: Data = Path("outlive-data"), json: Json = False) -> int:
    """Show what a run came to so far: status, calls, timeline, output."""
    from outlive.cli._runs import show_run

    return show_run(data, run_id, json=json)


@runs.command
def watch(
    run_id: RunId,
    /,
    *,
    after: Annotated[int, Parameter(help="Version of the last event already seen.")] = 0,
    data: Data = Path("outlive-data"),
    json: Json = False,
) -> int:
    """Print a run's events, then those that follow, until it is over.

    Exit code 1 when the run has failed or was cancelled. One that waits for a person is not over.
    """
    from outlive.cli._runs import watch_run

    return watch_run(data, run_id, after=after, json=json)


add_to(runs)


@app.command
def verify(
    *,
    data: Data = Path("outlive-data"),
    expect: Annotated[
        str | None, Parameter(help="A head that was kept elsewhere, POSITION:HASH, as printed.")
    ] = None,
    json: Json = False,
) -> int:
    """Check that a log is what was written: its pages, hashes, links and tables.

    Works while another process owns the log. Exit code 1 when it is not, also when the head
    that is given with --expect is not in it: without a head that was kept elsewhere a log that
    was rewritten from some record on cannot be told from the original.
    """
    from outlive.cli._verify import verify_log

    return verify_log(data, expect=expect, json=json)


def run(arguments: Sequence[str]) -> int:
    """Run the command with these arguments and return its exit code."""
    return _ending_well(lambda: app(arguments))


def _ending_well(command: Callable[[], object]) -> int:
    """Return the command's exit code; what a user did wrong is one line, never a traceback."""
    try:
        result = command()
        sys.stdout.flush()
    except OutliveError as error:
        complain(error)
        return code_of(error)
    except KeyboardInterrupt:
        complain("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        # Who read our output has gone, `| head` for one. Nothing more can be said.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return result if isinstance(result, int) else 0
