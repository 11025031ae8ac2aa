"""What a person says to a run from a terminal: through the inbox, to the process that owns it."""

from __future__ import annotations

import asyncio
import getpass
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import cast

import msgspec
from msgspec import UNSET

from outlive.actors import Runtime
from outlive.cli._exit import OK, Wrong, complain
from outlive.cli._json import print_json
from outlive.cli._text import printable
from outlive.events import UnserialisableValue


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
    return _say(
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
    return _say(
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
    return _say(
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
    return _say(
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
    return _say(
        data,
        lambda rt: rt.cancel(run_id, reason, by=name_of(by)),
        f"cancelled: run {run_id!r}",
        {"run_id": run_id, "said": "cancelled"},
        json=json,
    )


def release_run(data: Path, run_id: str, *, json: bool) -> int:
    """Try once more with a run that is quarantined. Raises what `Runtime.release` raises."""
    return _say(
        data,
        lambda rt: rt.release(run_id),
        f"released: run {run_id!r}",
        {"run_id": run_id, "said": "released"},
        json=json,
    )


def value_of(text: str) -> object:
    """Return the value that a text stands for: what it is as JSON, or else the text itself.

    Raises:
        Wrong: it begins as JSON does, but is none. Nobody's slip is taken for an answer.
    """
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError) as error:
        if text.lstrip()[:1] in ("{", "[", '"'):
            raise Wrong(f"this is no JSON: {error}; --text takes it as text") from None
        return text


def _object(text: str) -> dict[str, object]:
    try:
        found = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise Wrong(f"--args is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise Wrong('--args is a JSON object, {"name": value, ...}, with all arguments')
    return cast("dict[str, object]", found)


def name_of(by: str | None) -> str:
    """Return who it is that says so: the user's login name unless another is given."""
    if by is not None:
        return by
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return ""  # A container's user may have no name.


def _say(
    data: Path,
    say: Callable[[Runtime], Awaitable[bool]],
    done: str,
    facts: dict[str, object],
    *,
    json: bool,
) -> int:
    async def visit() -> bool:
        async with Runtime(data, role="visitor") as rt:
            return await say(rt)

    try:
        durable = asyncio.run(visit())
    except UnserialisableValue as error:
        raise Wrong(str(error)) from None
    if json:
        print_json({**facts, "submitted": not durable})
    else:
        print(printable(done if durable else f"submitted; {done}"))
    if not durable:
        complain("no process that owns the log has taken it up: it waits until an owner is up")
    return OK
