"""Showing the demo without a terminal: as lines of text, or as lines of JSON."""

from __future__ import annotations

import sys
from typing import Protocol

from outlive.cli._demo.course import Course
from outlive.cli._demo.moments import (
    AnswerBegun,
    Answered,
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
from outlive.cli._demo.words_for import taken_up
from outlive.cli._json import plain, print_json
from outlive.cli._text import console, counted, duration, printable, printable_lines, put


class Screen(Protocol):
    """Shows the demo to somebody. Used in `with`."""

    def __enter__(self) -> Screen:
        """Begin to show."""
        ...

    def __exit__(self, *_: object) -> None:
        """Leave the terminal as it was."""
        ...

    def tell(self, moment: AnyMoment) -> None:
        """Show a moment."""
        ...

    def finish(self, report: Report, course: Course) -> None:
        """Show what came of it."""
        ...


class JsonScreen:
    """One object a line: the moments, in order."""

    def __enter__(self) -> JsonScreen:
        """Nothing to begin."""
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to leave."""

    def tell(self, moment: AnyMoment) -> None:
        """Print the moment."""
        print_json(plain(moment))

    def finish(self, report: Report, course: Course) -> None:
        """The report was the last moment."""


class PlainScreen:
    """Lines of text that make sense in a file. The brief is printed when it is complete."""

    def __init__(self) -> None:
        self._brief = ""
        self._answering = False
        self._asked = False  # then the brief has been shown

    def __enter__(self) -> PlainScreen:
        """Nothing to begin."""
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to leave."""

    def tell(self, moment: AnyMoment) -> None:
        """Print the moment."""
        for text in self._lines(moment):
            sys.stdout.write(f"{moment.at_ms / 1000:6.2f} s  {text}\n")
        if isinstance(moment, Asked):
            self._asked = True
            print_question(console(), moment)
        sys.stdout.flush()

    def _lines(self, moment: AnyMoment) -> list[str]:
        match moment:
            case Begun():
                return [
                    f"question  {printable(moment.question)}",
                    f"site      {printable(moment.title)}, {printable(moment.site)}",
                    f"model     {moment.model}",
                    f"log       {printable(moment.data)}, run {moment.run_id}",
                ]
            case WorkerStarted():
                return [f"worker {moment.number} started, pid {moment.pid}"]
            case PageRecorded():
                by = f"task {moment.task}  " if moment.task else ""
                skipped = f"  (skipped: {printable(moment.skipped)})" if moment.skipped else ""
                return [
                    f"page {moment.done}/{moment.total}  {by}{printable(moment.path)}  "
                    f"{printable(moment.title)}{skipped}"
                ]
            case Killed():
                return [
                    f"{moment.signal} to worker {moment.number}, pid {moment.pid}; "
                    f"in flight: {moment.in_flight}"
                ]
            case Recovered():
                return [
                    f"worker {moment.number}, pid {moment.pid}, took over after "
                    f"{duration(moment.silent_ms)} of silence",
                    taken_up(moment, answering=self._answering),
                ]
            case TaskQueuedUp():
                return [f"task {moment.number} queued, {counted(moment.pages, 'page')}"]
            case TaskBegun():
                again = f", attempt {moment.attempt}; {counted(moment.kept, 'page')} of it kept"
                return [f"task {moment.number} runs{again if moment.attempt > 1 else ''}"]
            case TaskOver():
                why = f": {printable(moment.error)}" if moment.error else ""
                return [f"task {moment.number} {moment.status}{why}"]
            case AnswerBegun():
                self._answering = True
                return [f"the model answers, attempt {moment.attempt}"]
            case AnswerVoid():
                characters = counted(moment.characters, "character")
                return [f"void: {characters} of attempt {moment.attempt}; the answer starts anew"]
            case Answered():
                self._brief = moment.text
                return [f"answered, attempt {moment.attempt}"]
            case Asked():
                return [f"asked: may {printable(moment.tool)} be called?"]
            case Decided():
                return [f"decided: {decision_line(moment)}"]
            case Published():
                return [f"published: {printable(moment.path)}"]
            case Concluded():
                return [f"model: {printable(moment.text)}"]
            case Failed():
                return [f"{moment.what} failed: {printable(moment.reason)}"]
            case _:
                return []

    def finish(self, report: Report, course: Course) -> None:
        """Print the brief and the report."""
        brief = "" if self._asked else f"{printable_lines(self._brief)}\n\n"
        sys.stdout.write(f"\n{brief}")
        out = console()
        put(out, report_text(report, course, width=out.width))
