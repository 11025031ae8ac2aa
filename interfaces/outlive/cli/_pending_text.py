"""What waits for a person, as text: all that the person has to know, and what to type."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.text import Text

from outlive.cli._text import exact_json, printable
from outlive.events import Value
from outlive.projections import Pending

_WANTS: Final = {
    "approval": "waits for consent",
    "suspension": "asks",
    "in_doubt": "is in doubt",
}
_OF_A_TASK_IN_DOUBT: Final = ('{"outcome": "RESULT"}', '{"error": "WHY"}', '{"retry": true}')
_NAMES: Final = {
    "string": "a text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
}


def print_pending(
    out: Console, items: Sequence[Pending], data: Path, *, said: Collection[int] = ()
) -> None:
    """Print what waits. `said` are the places of those for which an answer is in the inbox."""
    for number, item in enumerate(items):
        if number:
            out.print()
        _print(out, Text.assemble((_title(item), "bold yellow")))
        for name, text in _facts(item):
            _print(out, Text.assemble("  ", (f"{name:<10}", "dim"), text))
        if number in said:
            _print(out, Text("  answered already: it waits until an owner is up", style="green"))
            continue
        for place, command in enumerate(commands_for(item, data)):
            name = "" if place else "answer"
            _print(out, Text.assemble("  ", (f"{name:<10}", "dim"), (command, "cyan")))


def _print(out: Console, line: Text) -> None:
    out.print(line, soft_wrap=True)  # A command is copied from here: no line is broken.


def _title(item: Pending) -> str:
    who = f"{printable(item.run_id)}  {item.call_id}"
    if item.task_id:
        who = f"task {printable(item.task_id)} "
    title = f"{who} {printable(item.tool)} {_WANTS[item.kind]}"
    return f"{title} {printable(item.key)}" if item.key else title


def _facts(item: Pending) -> list[tuple[str, str]]:
    found = [
        *([("agent", printable(item.agent_id))] if item.agent_id else []),
        *([("run", printable(item.run_id))] if item.task_id and item.run_id else []),
        ("since", f"{item.since:%Y-%m-%d %H:%M:%S} UTC"),
    ]
    if item.expires_at is not None:
        found.append(("until", f"{item.expires_at:%Y-%m-%d %H:%M:%S} UTC, then it is a no"))
    found.append(("arguments", exact_json(item.arguments)))
    if not item.task_id:
        found.append(("digest", item.digest))
    match item.kind:
        case "suspension":
            if item.payload is not None:
                found.append(("shows", exact_json(item.payload)))
            found.append(("wants", _wanted(item.answer_schema)))
        case "in_doubt":
            cause = "its process died" if item.cause == "crash" else "its time was up"
            found.append(("doubt", f"{cause} while it ran: what it has done is unknown"))
        case "approval":
            pass
    return found


def _wanted(schema: dict[str, Value] | None) -> str:
    if schema is None:
        return "anything"
    if len(schema) == 1 and str(schema.get("type")) in _NAMES:
        return _NAMES[str(schema["type"])]
    return exact_json(schema)


def commands_for(item: Pending, data: Path) -> list[str]:
    """Return what to type to answer. Capitals stand for what the person has to say."""
    if item.task_id:
        key = ["--key", item.key] if item.key else []
        values = ["VALUE"] if item.kind == "suspension" else _OF_A_TASK_IN_DOUBT
        return [
            command_line("resume", [item.task_id, value], key, data, of="tasks") for value in values
        ]
    call = [item.run_id, item.call_id]
    match item.kind:
        case "approval":
            return [
                command_line("approve", call, ["--digest", item.digest], data),
                command_line("decline", call, ["--reason", "WHY"], data),
            ]
        case "suspension":
            name = ["--suspension", item.suspension]
            return [command_line("resume", [item.run_id, "VALUE"], name, data)]
        case "in_doubt":
            return [
                command_line("resolve", call, options, data)
                for options in (["--outcome", "RESULT"], ["--error", "WHY"], ["--retry"])
            ]


def command_line(
    name: str, words: Sequence[str], options: Sequence[str], data: Path, *, of: str = "runs"
) -> str:
    """Return a command of `outlive runs`, or of others, as it is typed, in one line."""
    options = [*options, "--data", str(data)]
    if words[0].startswith("-"):
        words, options = [*options, "--", *words], []
    line = shlex.join(["outlive", of, name, *words, *options])
    return "".join(char if char.isprintable() else "?" for char in line)


def once_more(of: str, id: str, data: Path) -> Text:
    """Return how one that is quarantined is tried once more."""
    typed = command_line("release", [id], [], data, of=of)
    return Text.assemble("to try once more: ", (typed, "cyan"))
