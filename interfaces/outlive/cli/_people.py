"""What a person says to a run from a terminal: through the inbox, to the process that owns it."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import msgspec
from msgspec import UNSET

from outlive.cli._exit import Wrong
from outlive.cli._saying import name_of, say, value_of


def approve_call(
    data: Path,
    run_id: str,
    call_id: str,
    *,
    digest: str | None,
    args: str | None,
    note: str,
    by: str | None,
    json: bool,
) -> int:
    """Agree to a tool call. Raises what `Runtime.approve` raises, Wrong."""
    instead = None if args is None else _object(args)
    return say(
        data,
        lambda rt: rt.approve(
            run_id, call_id, digest=digest, args=instead, note=note, by=name_of(by)
        ),
        f"approved: {call_id} of run {run_id!r}",
        {"run_id": run_id, "call_id": call_id, "said": "approved"},
        json=json,
    )


def decline_call(
    data: Path, run_id: str, call_id: str, *, reason: str, by: str | None, json: bool
) -> int:
    """Do not agree to a tool call. Raises what `Runtime.decline` raises."""
    return say(
        data,
        lambda rt: rt.decline(run_id, call_id, reason=reason, by=name_of(by)),
        f"declined: {call_id} of run {run_id!r}",
        {"run_id": run_id, "call_id": call_id, "said": "declined"},
        json=json,
    )


def resume_run(
    data: Path,
    run_id: str,
    text: str,
    *,
    suspension: str | None,
    as_text: bool,
    by: str | None,
    json: bool,
) -> int:
    """Answer what a run asks. Raises what `Runtime.resume` raises, Wrong."""
    value = text if as_text else value_of(text)
    return say(
        data,
        lambda rt: rt.resume(run_id, value, suspension=suspension, by=name_of(by)),
        f"answered: {suspension + ' of ' if suspension else ''}run {run_id!r}",
        {"run_id": run_id, "suspension": suspension, "said": "answered"},
        json=json,
    )


def resolve_call(
    data: Path,
    run_id: str,
    call_id: str,
    *,
    outcome: str | None,
    error: str | None,
    retry: bool,
    as_text: bool,
    by: str | None,
    json: bool,
) -> int:
    """Say what became of a tool call in doubt. Raises what `Runtime.resolve` raises, Wrong."""
    if (outcome is not None) + (error is not None) + retry != 1:
        raise Wrong("say one of --outcome, --error and --retry")
    if as_text and outcome is None:
        raise Wrong("--text is for --outcome")
    result: object = UNSET
    if outcome is not None:
        result = outcome if as_text else value_of(outcome)
    says = "to be called again" if retry else "it was done" if error is None else "it was not done"
    return say(
        data,
        lambda rt: rt.resolve(
            run_id, call_id, outcome=result, error=error, retry=retry, by=name_of(by)
        ),
        f"resolved, {says}: {call_id} of run {run_id!r}",
        {"run_id": run_id, "call_id": call_id, "said": "resolved"},
        json=json,
    )


def cancel_run(data: Path, run_id: str, *, reason: str, by: str | None, json: bool) -> int:
    """End a run. Raises what `Runtime.cancel` raises."""
    return say(
        data,
        lambda rt: rt.cancel(run_id, reason, by=name_of(by)),
        f"cancelled: run {run_id!r}",
        {"run_id": run_id, "said": "cancelled"},
        json=json,
    )


def release_run(data: Path, run_id: str, *, json: bool) -> int:
    """Try once more with a run that is quarantined. Raises what `Runtime.release` raises."""
    return say(
        data,
        lambda rt: rt.release(run_id),
        f"released: run {run_id!r}",
        {"run_id": run_id, "said": "released"},
        json=json,
    )


def _object(text: str) -> dict[str, object]:
    try:
        found = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise Wrong(f"--args is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise Wrong('--args is a JSON object, {"name": value, ...}, with all arguments')
    return cast("dict[str, object]", found)
