"""`outlive heartbeats ...`: beside the process that owns the log, and through it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal, TypeAlias

from cyclopts import App, Parameter

from outlive.cli._options import By, Cursor, Data, Json

heartbeats: Final = App(
    name="heartbeats",
    help="See and steer what runs on a schedule, also while another process owns the log.",
)
Id = Annotated[str, Parameter(help="Id of the heartbeat; the prefix hb_ may be left out.")]
Text: TypeAlias = str | None
Misfire: TypeAlias = Literal["skip", "one", "all"] | None
Overlap: TypeAlias = Literal["skip", "queue", "cancel_previous", "allow"] | None

Agent = Annotated[Text, Parameter(name="--agent", help="Id of the agent that is run.")]
Task = Annotated[Text, Parameter(help="Name of the tool that is called, in its place.")]
Args = Annotated[Text, Parameter(help="What the tool is called with: a JSON object.")]
Prompt = Annotated[Text, Parameter(help="What the agent is to do.")]
Cron = Annotated[Text, Parameter(help="When: '0 9 * * MON-FRI', '@daily'.")]
Every = Annotated[Text, Parameter(help="Or each so long: 30s, 90m, 24h, 7d.")]
At = Annotated[Text, Parameter(help="Or once, at this time: 2030-01-01T08:30:00+01:00.")]
Timezone = Annotated[Text, Parameter(help="Of --cron. Default: that of this machine.")]
Name = Annotated[Text, Parameter(help="For lists.")]
StartsAt = Annotated[Text, Parameter(help="Not before this time.")]
EndsAt = Annotated[Text, Parameter(help="Not after this time.")]
MaxFires = Annotated[int | None, Parameter(help="So often at most.")]
Missed = Annotated[Misfire, Parameter(help="What is made up for of what was missed.")]
Grace = Annotated[Text, Parameter(help="What is longer ago was missed for good: 10m, 1h.")]
Overlaps = Annotated[Overlap, Parameter(help="While the fire before goes on.")]
Jitter = Annotated[Text, Parameter(help="Fires later by a share of its own, below this: 5m.")]
Timeout = Annotated[Text, Parameter(help="What runs longer is cancelled: 90s, 10m.")]
MaxFailures = Annotated[int | None, Parameter(help="Pauses itself after so many in a row.")]
Tools = Annotated[Text, Parameter(help="Those of the agent that it may call, with commas.")]
Thread = Annotated[Text, Parameter(help="Tells this thread, in the place of a run of its own.")]
Resource = Annotated[Text, Parameter(help="To whom the thread belongs.")]
SignalType: TypeAlias = (
    Literal["user", "notification", "reactive", "system-reminder", "state"] | None
)
Type = Annotated[SignalType, Parameter(help="Who speaks to the thread.")]
TagName = Annotated[Text, Parameter(help="The element that the model sees.")]
Attributes = Annotated[Text, Parameter(help="Of that element: a JSON object.")]
IfActive = Annotated[
    Literal["deliver", "persist", "discard"] | None,
    Parameter(help="What becomes of it while a run is active on the thread."),
]
IfIdle = Annotated[
    Literal["wake", "persist", "discard"] | None,
    Parameter(help="What becomes of it otherwise."),
]
Hook = Annotated[Text, Parameter(help="Name of the owner's hooks that are called around it.")]


@heartbeats.command
def create(
    id: Annotated[Text, Parameter(help="What it is called. Drawn at random if left out.")] = None,
    /,
    *,
    agent: Agent = None,
    task: Task = None,
    args: Args = None,
    prompt: Prompt = None,
    cron: Cron = None,
    every: Every = None,
    at: At = None,
    timezone: Timezone = None,
    name: Name = None,
    starts_at: StartsAt = None,
    ends_at: EndsAt = None,
    max_fires: MaxFires = None,
    misfire: Missed = None,
    grace: Grace = None,
    overlap: Overlaps = None,
    jitter: Jitter = None,
    timeout: Timeout = None,
    max_failures: MaxFailures = None,
    tools: Tools = None,
    thread: Thread = None,
    resource: Resource = None,
    type: Type = None,
    tag: TagName = None,
    attributes: Attributes = None,
    if_active: IfActive = None,
    if_idle: IfIdle = None,
    hook: Hook = None,
    by: By = None,
    data: Data = Path("outlive-data"),
    json: Json = False,
) -> int:
    """Create a heartbeat, and print its id. It is due from here on."""
    from outlive.cli._heartbeat_steering import create_heartbeat

    said = {
        "agent_id": agent,
        "task": task,
        "args": args,
        "prompt": prompt,
        "cron": cron,
        "every": every,
        "at": at,
        "timezone": timezone,
        "name": name,
        "starts_at": starts_at,
        "ends_at": ends_at,
        "max_fires": max_fires,
        "misfire": misfire,
        "grace": grace,
        "overlap": overlap,
        "jitter": jitter,
        "timeout": timeout,
        "max_failures": max_failures,
        "tools": tools,
        "thread_id": thread,
        "resource_id": resource,
        "signal_type": type,
        "tag_name": tag,
        "attributes": attributes,
        "if_active": if_active,
        "if_idle": if_idle,
        "hook": hook,
    }
    return create_heartbeat(data, id, said, by=by, json=json)


@heartbeats.command
def update(
    id: Id,
    /,
    *,
    agent: Agent = None,
    task: Task = None,
    args: Args = None,
    prompt: Prompt = None,
    cron: Cron = None,
    every: Every = None,
    at: At = None,
    timezone: Timezone = None,
    name: Name = None,
    starts_at: StartsAt = None,
    ends_at: EndsAt = None,
    max_fires: MaxFires = None,
    misfire: Missed = None,
    grace: Grace = None,
    overlap: Overlaps = None,
    jitter: Jitter = None,
    timeout: Timeout = None,
    max_failures: MaxFailures = None,
    tools: Tools = None,
    thread: Thread = None,
    resource: Resource = None,
    type: Type = None,
    tag: TagName = None,
    attributes: Attributes = None,
    if_active: IfActive = None,
    if_idle: IfIdle = None,
    hook: Hook = None,
    by: By = None,
    data: Data = Path("outlive-data"),
    json: Json = False,
) -> int:
    """Have a heartbeat be otherwise; what is not said stays. Another schedule counts from now."""
    from outlive.cli._heartbeat_steering import update_heartbeat

    said = {
        "agent_id": agent,
        "task": task,
        "args": args,
        "prompt": prompt,
        "cron": cron,
        "every": every,
        "at": at,
        "timezone": timezone,
        "name": name,
        "starts_at": starts_at,
        "ends_at": ends_at,
        "max_fires": max_fires,
        "misfire": misfire,
        "grace": grace,
        "overlap": overlap,
        "jitter": jitter,
        "timeout": timeout,
        "max_failures": max_failures,
        "tools": tools,
        "thread_id": thread,
        "resource_id": resource,
        "signal_type": type,
        "tag_name": tag,
        "attributes": attributes,
        "if_active": if_active,
        "if_idle": if_idle,
        "hook": hook,
    }
    return update_heartbeat(data, id, said, by=by, json=json)


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
