"""What had to hold about consent: asked first, and then done once or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from outlive.cli._demo.facts import Check
from outlive.cli._demo.moments import Asked, Killed
from outlive.cli._demo.publishing import PUBLISH
from outlive.cli._text import printable
from outlive.events import (
    ApprovalDenied,
    ApprovalGranted,
    ApprovalRequested,
    CallId,
    ModelCallCompleted,
    Recorded,
    ToolCallCompleted,
    ToolCallStarted,
    Value,
)


def consent_checks(
    events: Sequence[Recorded], told: Asked | None, kills: Sequence[Killed]
) -> list[Check]:
    """Return what was to hold of a run whose brief was to be published.

    `told` is the question as it was read from the log, after a kill if there was one.
    """
    asked = [r.event for r in events if isinstance(r.event, ApprovalRequested)]
    if not asked:
        return [Check(name="asked", holds=False, says="nobody was asked whether to publish")]
    (request, *more) = asked
    says = f"one question, digest {request.digest[:8]}…"
    there = True
    if any(kill.asking for kill in kills):
        says += ", asked once: when its process had been killed it was there as before"
        there = told is not None and told.digest == request.digest
    return [
        Check(name="one question", holds=there and not more, says=says),
        _asked_first(events, request.call_id),
        _published(events, request.call_id),
    ]


def _asked_first(events: Sequence[Recorded], call_id: CallId) -> Check:
    started: list[int] = []
    decided: list[tuple[int, str, bool]] = []
    for recorded in events:
        match recorded.event:
            case ToolCallStarted(call_id=id) if id == call_id:
                started.append(recorded.version)
            case ApprovalGranted(by=by):
                decided.append((recorded.version, by, True))
            case ApprovalDenied(by=by):
                decided.append((recorded.version, by, False))
            case _:
                pass
    if len(decided) != 1:
        says = f"the question was answered {len(decided)} times"
        return Check(name="asked first", holds=False, says=says)
    ((version, by, granted),) = decided
    who = printable(by) or "somebody"
    if granted:
        holds = bool(started) and min(started) > version
        says = f"{PUBLISH} was called after {who} said yes, not before"
    else:
        holds = not started
        says = f"{who} said no, and {PUBLISH} was not called"
    return Check(name="asked first", holds=holds, says=says)


def _published(events: Sequence[Recorded], call_id: CallId) -> Check:
    arguments: dict[str, Value] = {}
    agreed, results = False, 0
    for recorded in events:
        match recorded.event:
            case ModelCallCompleted(tool_calls=calls):
                arguments = next((c.arguments for c in calls if c.call_id == call_id), arguments)
            case ApprovalGranted(arguments=instead):
                agreed, arguments = True, instead or arguments
            case ToolCallCompleted(call_id=id) if id == call_id:
                results += 1
            case _:
                pass
    path = Path(str(arguments.get("path")))
    found = path.read_text(encoding="utf-8") if path.is_file() else None
    if agreed:
        holds = results == 1 and found == arguments.get("text")
        says = f"published once: {printable(str(path))} holds what was agreed to"
    else:
        holds = results == 0 and found is None
        says = f"nothing is published: there is no {printable(str(path))}"
    return Check(name="published", holds=holds, says=says)
