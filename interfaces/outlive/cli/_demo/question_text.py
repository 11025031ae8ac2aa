"""The question for people: what would be published, under which digest, and how to answer."""

from __future__ import annotations

from rich.console import Console
from rich.panel import Panel
from rich.text import Text

from outlive.cli._demo.brief_text import brief_lines
from outlive.cli._demo.moments import Asked, Decided
from outlive.cli._text import counted, exact_json, printable, printable_lines


def print_question(out: Console, asked: Asked) -> None:
    """Print what a person has to know to answer. Commands are not broken into lines: to copy."""
    text = asked.arguments.get("text")
    if isinstance(text, str):
        out.print()
        _print_text(out, text)
    out.print()
    for name, says in _facts(asked):
        line = Text.assemble("  ", (f"{name:<10}", "dim"), says)
        out.print(line, soft_wrap=True)
    for place, command in enumerate(asked.commands):
        anywhere = "or in another terminal:" if asked.here else "in another terminal:"
        if not place:
            out.print(Text.assemble("  ", (f"{'answer':<10}", "dim"), _here(asked), anywhere))
        out.print(Text.assemble("    ", (command, "cyan")), soft_wrap=True)
    out.print()


def _here(asked: Asked) -> str:
    return "here, " if asked.here else ""


def _print_text(out: Console, text: str) -> None:
    if not out.is_terminal:
        out.print(Text(printable_lines(text)), soft_wrap=True)
        return
    lines = brief_lines(text, min(out.width - 6, 100))
    title = "[bold yellow]may this be published?[/]"
    panel = Panel(Text("\n").join(lines), title=title, title_align="left", style="", padding=(1, 2))
    out.print(panel)


def _facts(asked: Asked) -> list[tuple[str, str]]:
    found = [
        ("run", f"{asked.run_id}, call {asked.call_id}"),
        ("tool", printable(asked.tool)),
    ]
    for name, value in asked.arguments.items():
        if name == "text" and isinstance(value, str):
            found.append((name, f"what stands above, {counted(len(value), 'character')}"))
        else:
            found.append((printable(name), exact_json(value)))
    return [*found, ("digest", f"{asked.digest} (of these arguments)")]


def decision_line(decided: Decided) -> str:
    """Return who has decided what."""
    by = printable(decided.by) or "somebody"
    says = f"{by} said {'yes' if decided.granted else 'no'}"
    if decided.arguments is not None:
        says += ", to other arguments"
    return f"{says}: {printable(decided.note)}" if decided.note else says
