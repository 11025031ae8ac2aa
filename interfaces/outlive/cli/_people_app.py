"""The commands for people: what runs wait for, and how to answer. They act through the owner."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

from cyclopts import App, Parameter

from outlive.cli._options import AsText, By, Data, Json, RunId

CallId = Annotated[str, Parameter(help="The tool call, as `runs pending` shows it.")]
_VALUE: Final = "JSON; what is no JSON is taken as text."


def add_to(runs: App) -> None:
    """Make these commands part of `outlive runs`."""
    for command in (pending, approve, decline, resume, resolve, cancel, release):
        runs.command(command)


def pending(
    run_id: Annotated[str | None, Parameter(help="Only of this run.")] = None,
    /,
    *,
    limit: Annotated[
        int, Parameter(help="So many at most, 1 to 1,000; a run is shown whole.")
    ] = 100,
    data: Data = Path("outlive-data"),
    json: Json = False,
) -> int:
    """Show what runs and their tasks wait for: since when, with which arguments, how to answer."""
    from outlive.cli._pending import show_pending

    return show_pending(data, run_id, limit=limit, json=json)


def approve(
    run_id: RunId,
    call_id: CallId,
    /,
    *,
    digest: Annotated[
        str | None,
        Parameter(help="Of the arguments that you have seen. If it has others, nothing is done."),
    ] = None,
    args: Annotated[
        str | None, Parameter(help="A JSON object: the arguments to call the tool with instead.")
    ] = None,
    note: Annotated[str, Parameter(help="Recorded beside it.")] = "",
    by: By = None,
    data: Data = Path("outlive-data"),
    json: Json = False,
) -> int:
    """Agree to a tool call that waits for consent. The same again changes nothing."""
    from outlive.cli._people import approve_call

    return approve_call(
        data, run_id, call_id, digest=digest, args=args, note=note, by=by, json=json
    )


def decline(
    run_id: RunId,
    call_id: CallId,
    /,
    *,
    reason: Annotated[str, Parameter(help="What the model is told.")] = "",
    by: By = None,
    data: Data = Path("outlive-data"),
    json: Json = False,
) -> int:
    """Do not agree to a tool call: the model is told, with the reason."""
    from outlive.cli._people import decline_call

    return decline_call(data, run_id, call_id, reason=reason, by=by, json=json)


def resume(
    run_id: RunId,
    value: Annotated[str, Parameter(help=f"The answer: {_VALUE}", allow_leading_hyphen=True)],
    /,
    *,
    suspension: Annotated[
        str | None,
        Parameter(help="Which question, by key or full name. Needed if there are several."),
    ] = None,
    text: AsText = False,
    by: By = None,
    data: Data = Path("outlive-data"),
    json: Json = False,
) -> int:
    """Answer what a run asks; it goes on. The same answer again changes nothing.

    Name the suspension if you may repeat it, or a repeat could answer the question after it.
    """
    from outlive.cli._people import resume_run

    return resume_run(data, run_id, value, suspension=suspension, as_text=text, by=by, json=json)


def resolve(
    run_id: RunId,
    call_id: CallId,
    /,
    *,
    outcome: Annotated[
        str | None,
        Parameter(help=f"It was done, and has returned this: {_VALUE}", allow_leading_hyphen=True),
    ] = None,
    error: Annotated[str | None, Parameter(help="It was not done: what the model is told.")] = None,
    retry: Annotated[bool, Parameter(negative=(), help="Call it again.")] = False,
    text: AsText = False,
    by: By = None,
    data: Data = Path("outlive-data"),
    json: Json = False,
) -> int:
    """Say what became of a tool call in doubt: one of --outcome, --error and --retry."""
    from outlive.cli._people import resolve_call

    return resolve_call(
        data,
        run_id,
        call_id,
        outcome=outcome,
        error=error,
        retry=retry,
        as_text=text,
        by=by,
        json=json,
    )


def cancel(
    run_id: RunId,
    /,
    *,
    reason: Annotated[str, Parameter(help="Recorded, and shown as the run's error.")] = "",
    by: By = None,
    data: Data = Path("outlive-data"),
    json: Json = False,
) -> int:
    """End a run that is not wanted any more, whatever it does."""
    from outlive.cli._people import cancel_run

    return cancel_run(data, run_id, reason=reason, by=by, json=json)


def release(
    run_id: RunId,
    /,
    *,
    data: Data = Path("outlive-data"),
    json: Json = False,
) -> int:
    """Try once more with a run that is quarantined, now that its trouble may be over.

    `runs show` tells the reason. It may end up in quarantine again.
    """
    from outlive.cli._people import release_run

    return release_run(data, run_id, json=json)
