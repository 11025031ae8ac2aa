"""Showing the demo on a terminal: progress and the brief live, the deaths to stay."""

from __future__ import annotations

from typing import Final

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.panel import Panel
from rich.rule import Rule
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from outlive.cli._demo.brief_text import brief_lines
from outlive.cli._demo.course import Course
from outlive.cli._demo.moments import (
    AnswerBegun,
    Answered,
    AnswerGrew,
    AnswerVoid,
    AnyMoment,
    Asked,
    Begun,
    Concluded,
    Decided,
    Failed,
    Killed,
    PageRecorded,
    Published,
    Recovered,
    Report,
    TaskBegun,
    TaskOver,
    TaskQueuedUp,
    WorkerStarted,
)
from outlive.cli._demo.question_text import decision_line, print_question
from outlive.cli._demo.report_text import report_text
from outlive.cli._demo.task_rows import TaskRows
from outlive.cli._demo.words_for import does, taken_up
from outlive.cli._text import counted, duration, printable

_LABEL: Final = 11  # columns of what stands left
_MOST_ROWS: Final = 12
_NO_OWNER: Final = "nobody works; this terminal goes on following the log"


class LiveScreen:
    """A terminal: what is done scrolls, what is going on stands below it and changes."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False)
        self._live = self._another_live()
        self._tasks = TaskRows()
        self._pages = 0
        self._attempt = 0  # of the answer; 0 while pages are read
        self._answer = ""
        self._waiting = ""  # why nothing goes on
        self._asked = False  # then the brief has been shown
        self._spinner = Spinner("dots", style="cyan")

    def __enter__(self) -> LiveScreen:
        """Begin to show."""
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Take the changing part away."""
        self._live.stop()

    def _another_live(self) -> Live:
        """Return one that begins where the terminal is now; one that has ended is not to go on."""
        return Live(console=self._console, refresh_per_second=12, transient=True)

    def tell(self, moment: AnyMoment) -> None:
        """Show a moment."""
        self._tasks.take(moment)
        match moment:
            case Begun():
                self._begin(moment)
            case WorkerStarted():
                self._say("worker", f"{moment.number} started, pid {moment.pid}", style="cyan")
                self._waiting = self._waiting or "the worker opens the log"
            case PageRecorded():
                self._pages, self._waiting = moment.done, ""
            case TaskQueuedUp():
                self._waiting = ""
            case AnswerBegun():
                if not self._attempt:
                    self._all_read()
                self._attempt = moment.attempt
            case AnswerGrew():
                self._answer += moment.text
            case AnswerVoid():
                self._void(moment)
            case Answered():
                self._answer, self._waiting = moment.text, "the worker closes the log"
            case Killed():
                gone = f"worker {moment.number}, pid {moment.pid}, is dead"
                self._badge(f" {moment.signal} ", "bold white on red", gone)
                self._say("", f"in flight: {moment.in_flight}")
                self._waiting = _NO_OWNER
            case Asked():
                self._ask(moment)
                return
            case Decided():
                self._live = self._another_live()
                self._live.start()
                self._say("answer", decision_line(moment), text_style="bold")
                self._waiting = "the worker goes on"
            case Published():
                self._say("published", printable(moment.path), text_style="bold")
            case Concluded():
                self._say("model", printable(moment.text))
                self._waiting = "the worker closes the log"
            case Recovered():
                self._recovered(moment)
            case Failed():
                reason = f"{moment.what}: {printable(moment.reason)}"
                self._say("failed", reason, style="bold red")
            case TaskBegun() | TaskOver():
                pass
            case _:
                return
        self._live.update(self._now())

    def finish(self, report: Report, course: Course) -> None:
        """Show the brief and the report."""
        self._live.stop()
        out = self._console
        if self._asked:
            out.print()
        else:
            lines = brief_lines(self._answer, min(out.width - 4, 100))
            out.print(Padding(Group(*lines), (1, 2)))
        style = "green" if report.ok else "red"
        title = "finished all the same" if report.kills else "finished"
        panel = Panel(
            report_text(report, course, width=out.width - 6),
            title=f"[bold {style}]{title if report.ok else 'something did not hold'}[/]",
            title_align="left",
            border_style=style,
            padding=(1, 2),
        )
        out.print(panel)

    def _begin(self, moment: Begun) -> None:
        out = self._console
        out.print()
        out.print(Rule("[bold]outlive demo[/]", align="left", style="dim"))
        out.print(Text(f"A research agent {does(moment)}.\n", style="dim"))
        self._say("question", printable(moment.question), text_style="bold")
        self._say("site", f"{printable(moment.title)}, {printable(moment.site)}")
        self._say("model", moment.model)
        kept = "kept" if moment.kept else "removed at the end; --keep keeps it"
        self._say("log", f"{printable(moment.data)} ({kept})")
        self._say("run", moment.run_id)
        out.print()

    def _ask(self, moment: Asked) -> None:
        """Show the question, and leave the screen to who answers it."""
        self._live.stop()
        self._asked = True
        if self._waiting:
            self._badge(" KEPT ", "bold black on green", "the question, as the log has it")
        print_question(self._console, moment)

    def _recovered(self, moment: Recovered) -> None:
        silent = duration(moment.silent_ms)
        taken = f"by worker {moment.number}, pid {moment.pid}, {silent} after the last event"
        self._badge(" TAKEN UP ", "bold black on green", taken)
        self._say("", taken_up(moment, answering=bool(self._attempt)))
        self._waiting = ""

    def _all_read(self) -> None:
        """Have the tasks stay, as they ended; what comes now stands below them."""
        if self._tasks:
            self._console.print(self._task_rows("dim", height=_MOST_ROWS))
        self._say("read", f"{counted(self._pages, 'page')}; now the model answers")

    def _void(self, moment: AnswerVoid) -> None:
        self._answer = ""
        if moment.characters:
            characters = counted(moment.characters, "character")
            says = f"the {characters} shown of attempt {moment.attempt}; the answer starts anew"
            self._say("void", says, style="bold yellow")

    def _badge(self, badge: str, style: str, text: str) -> None:
        self._say(badge, text, style=style, text_style="bold")

    def _say(
        self, label: str, text: str, *, style: str = "dim", text_style: str = "default"
    ) -> None:
        """Print a line that stays."""
        self._console.print(_row(Text(label, style=style), Text(text, style=text_style)))

    def _now(self) -> RenderableType:
        """Return what is going on, in fewer lines than the terminal has."""
        parts: list[RenderableType] = []
        if self._attempt:
            parts.append(self._answering())
        elif self._tasks:
            parts.append(self._task_rows("cyan", height=max(self._console.height - 12, 3)))
        if self._waiting:
            self._spinner.update(text=Text(self._waiting, style="dim"))
            parts.append(_row(Text(), self._spinner))
        return Group(*parts)

    def _task_rows(self, style: str, *, height: int) -> RenderableType:
        width = self._console.width - _LABEL - 1
        return _row(Text("tasks", style=style), self._tasks.table(width=width, height=height))

    def _answering(self) -> RenderableType:
        """Return the end of the answer so far, as much as fits on the screen."""
        lines = brief_lines(self._answer, self._console.width - 6)
        shown = lines[-max(4, self._console.height - 8) :]
        alive = not self._waiting
        title = f"answer, attempt {self._attempt}"
        return Panel(
            Group(*shown) if shown else Text("…", style="dim"),
            title=Text(title if alive else f"{title}, cut off", style="magenta" if alive else ""),
            title_align="left",
            style="" if alive else "dim",
            border_style="magenta" if alive else "dim",
            padding=(0, 2),
        )


def _row(label: Text, content: RenderableType) -> Table:
    row = Table.grid(padding=(0, 1, 0, 0))
    row.add_column(width=_LABEL, no_wrap=True)
    row.add_column(overflow="fold")
    row.add_row(label, content)
    return row
