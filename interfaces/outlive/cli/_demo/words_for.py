"""What the demo's moments are called on all screens."""

from __future__ import annotations

from collections.abc import Sequence

from outlive.cli._demo.moments import Begun, Recovered
from outlive.cli._text import counted


def does(moment: Begun) -> str:
    """Return what the agent will do."""
    if moment.goes_on:
        return "was left before it was done, and goes on from there"
    reads = "reads a site in background tasks"
    if moment.publish_to and moment.kills:
        return f"{reads}, asks before it publishes, and is killed four times meanwhile"
    if moment.publish_to:
        return f"{reads}, and asks before it publishes"
    return f"{reads}, is killed three times, and finishes all the same" if moment.kills else reads


def taken_up(moment: Recovered, *, answering: bool) -> str:
    """Return what goes on, and what is kept."""
    if answering:
        return "pages and results stand; only the answer is asked for again"
    kept = counted(moment.pages_kept, "page")
    goes = "goes" if len(moment.tasks) == 1 else "go"
    on = f"{named(moment.tasks)} {goes} on; " if moment.tasks else ""
    return f"{on}{kept} come from the log, and none of them is fetched again"


def named(tasks: Sequence[int]) -> str:
    """Return which tasks these are: `task 2`, `tasks 1, 2 and 3`."""
    *first, last = map(str, tasks)
    return f"tasks {', '.join(first)} and {last}" if first else f"task {last}"
