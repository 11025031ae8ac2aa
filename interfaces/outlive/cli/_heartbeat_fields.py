"""What may be said of a heartbeat on the command line, by the names of `HeartbeatFields`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final, Literal, TypeAlias

from cyclopts import Parameter

Text: TypeAlias = str | None
_Type: TypeAlias = Literal["user", "notification", "reactive", "system-reminder", "state"]


@dataclass(frozen=True, kw_only=True)
class Fields:
    """None is what was not said."""

    agent_id: Annotated[Text, Parameter(name="--agent", help="Id of the agent that is run.")] = None
    task: Annotated[Text, Parameter(help="Name of the tool that is called, in its place.")] = None
    args: Annotated[Text, Parameter(help="What the tool is called with: a JSON object.")] = None
    prompt: Annotated[Text, Parameter(help="What the agent is to do.")] = None
    cron: Annotated[Text, Parameter(help="When: '0 9 * * MON-FRI', '@daily'.")] = None
    every: Annotated[Text, Parameter(help="Or each so long: 30s, 90m, 24h, 7d.")] = None
    at: Annotated[Text, Parameter(help="Or once, at this time: 2030-01-01T08:30:00+01:00.")] = None
    timezone: Annotated[Text, Parameter(help="Of --cron. Default: that of this machine.")] = None
    name: Annotated[Text, Parameter(help="For lists.")] = None
    metadata: Annotated[Text, Parameter(help="Kept with it: a JSON object.")] = None
    request_context: Annotated[
        Text, Parameter(help="What the run's functions and tools find: a JSON object.")
    ] = None
    provider_options: Annotated[
        Text, Parameter(help="What the model's provider is told: a JSON object.")
    ] = None
    starts_at: Annotated[Text, Parameter(help="Not before this time.")] = None
    ends_at: Annotated[Text, Parameter(help="Not after this time.")] = None
    max_fires: Annotated[int | None, Parameter(help="So often at most.")] = None
    misfire: Annotated[
        Literal["skip", "one", "all"] | None,
        Parameter(help="What is made up for of what was missed."),
    ] = None
    grace: Annotated[Text, Parameter(help="What is longer ago was missed for good: 10m, 1h.")] = (
        None
    )
    overlap: Annotated[
        Literal["skip", "queue", "cancel_previous", "allow"] | None,
        Parameter(help="While the fire before goes on."),
    ] = None
    jitter: Annotated[
        Text, Parameter(help="Fires later by a share of its own, below this: 5m.")
    ] = None
    timeout: Annotated[Text, Parameter(help="What runs longer is cancelled: 90s, 10m.")] = None
    max_failures: Annotated[int | None, Parameter(help="Pauses itself after so many in a row.")] = (
        None
    )
    tools: Annotated[Text, Parameter(help="Those of the agent that it may call, with commas.")] = (
        None
    )
    thread_id: Annotated[
        Text,
        Parameter(name="--thread", help="Tells this thread, in the place of a run of its own."),
    ] = None
    resource_id: Annotated[
        Text, Parameter(name="--resource", help="To whom the thread belongs.")
    ] = None
    signal_type: Annotated[
        _Type | None, Parameter(name="--type", help="Who speaks to the thread.")
    ] = None
    tag_name: Annotated[Text, Parameter(name="--tag", help="The element that the model sees.")] = (
        None
    )
    attributes: Annotated[Text, Parameter(help="Of that element: a JSON object.")] = None
    if_active: Annotated[
        Literal["deliver", "persist", "discard"] | None,
        Parameter(help="What becomes of it while a run is active on the thread."),
    ] = None
    if_idle: Annotated[
        Literal["wake", "persist", "discard"] | None,
        Parameter(help="What becomes of it otherwise."),
    ] = None
    hook: Annotated[
        Text, Parameter(help="Name of the owner's hooks that are called around it.")
    ] = None


NOTHING_SAID: Final = Fields()
