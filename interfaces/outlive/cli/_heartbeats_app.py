"""`outlive heartbeats ...`: beside the process that owns the log, and through it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Final, Literal, TypeAlias

from cyclopts import App, Parameter

from outlive.cli._heartbeat_fields import NOTHING_SAID, Fields
from outlive.cli._options import By, Cursor, Data, Json

heartbeats: Final = App(
    name="heartbeats",
    help="See and steer what runs on a schedule, also while another process owns the log.",
)
Id = Annotated[str, Parameter(help="Id of the heartbeat; the prefix hb_ may be left out.")]
Text: TypeAlias = str | None
Said = Annotated[Fields, Parameter(name="*")]


@heartbeats.command
def create(
    id: Annotated[Text, Parameter(help="What it is called. Drawn at random if left out.")] = None,
    /,
    *,
    fields: Said = NOTHING_SAID,
    by: By = None,
    data: Data = Path("outlive-data"),
    json: Json = False,
) -> int:
    """Create a heartbeat, and print its id. It is due from here on."""
    from outlive.cli._heartbeat_steering import create_heartbeat

    return create_heartbeat(data, id, asdict(fields), by=by, json=json)


@heartbeats.command
def update(
    id: Id,
    /,
    *,
    fields: Said = NOTHING_SAID,
    by: By = None,
    data: Data = Path("outlive-data"),
    json: Json = False,
) -> int:
    """Have a heartbeat be otherwise; what is not said stays. Another schedule counts from now."""
    from outlive.cli._heartbeat_steering import update_heartbeat

    return update_heartbeat(data, id, asdict(fields), by=by, json=json)


@heartbeats.command(name="list")
def list_(
    *,
    status: Annotated[
        Text,
        Parameter(
            help="Only those that are active, paused, blocked, quarantined, completed or deleted."
        ),
    ] = None,
    agent: Annotated[Text, Parameter(name="--agent", help="Only those of this agent.")] = None,
    tool: Annotated[Text, Parameter(help="Only those that call this tool.")] = None,
    name: Annotated[Text, Parameter(help="Only those of this name.")] = None,
    thread: Annotated[Text, Parameter(help="Only those that tell this thread.")] = None,
    resource: Annotated[Text, Parameter(help="Only those whose thread belongs to this.")] = None,
    order: Annotated[Literal["newest", "oldest"], Parameter(help="Which come first.")] = "newest",
    limit: Annotated[int, Parameter(help="So many at most, 1 to 1,000.")] = 20,
    cursor: Cursor = None,
    data: Data = Path("outlive-data"),
    json: Json = False,
) -> int:
    """List heartbeats, those that were created last first; all but those that were deleted.

    As JSON the last line is {"cursor": ...} when there are more.
    """
    from outlive.cli._heartbeats import list_heartbeats

    return list_heartbeats(
        data,
        status=status,
        agent_id=agent,
        tool=tool,
        name=name,
        thread_id=thread,
        resource_id=resource,
        order=order,
        limit=limit,
        cursor=cursor,
        json=json,
    )


@heartbeats.command
def show(id: Id, /, *, data: Data = Path("outlive-data"), json: Json = False) -> int:
    """Show what a heartbeat does and when, and its last fires."""
    from outlive.cli._heartbeats import show_heartbeat

    return show_heartbeat(data, id, json=json)


@heartbeats.command
def fires(
    id: Id,
    /,
    *,
    decision: Annotated[
        Literal["fired", "skipped", "coalesced", "missed"] | None,
        Parameter(help="Only those that were this."),
    ] = None,
    limit: Annotated[int, Parameter(help="So many at most, 1 to 1,000.")] = 20,
    cursor: Cursor = None,
    data: Data = Path("outlive-data"),
    json: Json = False,
) -> int:
    """Tell what became of the instants at which a heartbeat was due, the last ones first."""
    from outlive.cli._heartbeats import list_fires

    return list_fires(data, id, decision=decision, limit=limit, cursor=cursor, json=json)


@heartbeats.command
def upcoming(
    id: Id,
    n: Annotated[int, Parameter(help="So many, 1 to 1,000.")] = 10,
    /,
    *,
    data: Data = Path("outlive-data"),
    json: Json = False,
) -> int:
    """Print when a heartbeat fires next, in UTC, one a line."""
    from outlive.cli._heartbeats import print_upcoming

    return print_upcoming(data, id, n, json=json)


@heartbeats.command
def pause(
    id: Id,
    /,
    *,
    reason: Annotated[str, Parameter(help="Recorded.")] = "",
    by: By = None,
    data: Data = Path("outlive-data"),
    json: Json = False,
) -> int:
    """Have a heartbeat not be due for the time being. The same again changes nothing."""
    from outlive.cli._heartbeat_steering import pause_heartbeat

    return pause_heartbeat(data, id, reason=reason, by=by, json=json)


@heartbeats.command
def resume(
    id: Id, /, *, by: By = None, data: Data = Path("outlive-data"), json: Json = False
) -> int:
    """Have a heartbeat be due again, from now on. The same again changes nothing."""
    from outlive.cli._heartbeat_steering import resume_heartbeat

    return resume_heartbeat(data, id, by=by, json=json)


@heartbeats.command
def run(id: Id, /, *, by: By = None, data: Data = Path("outlive-data"), json: Json = False) -> int:
    """Have a heartbeat fire now, and print the id of its run, or task."""
    from outlive.cli._heartbeat_steering import run_heartbeat

    return run_heartbeat(data, id, by=by, json=json)


@heartbeats.command
def delete(
    id: Id, /, *, by: By = None, data: Data = Path("outlive-data"), json: Json = False
) -> int:
    """Have a heartbeat be no more. Its history stays readable."""
    from outlive.cli._heartbeat_steering import delete_heartbeat

    return delete_heartbeat(data, id, by=by, json=json)


@heartbeats.command
def release(id: Id, /, *, data: Data = Path("outlive-data"), json: Json = False) -> int:
    """Try once more with a heartbeat that is quarantined; `heartbeats show` tells the reason."""
    from outlive.cli._heartbeat_steering import release_heartbeat

    return release_heartbeat(data, id, json=json)
