"""The demo's report says what was counted, also when that is not what should be."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rich.console import Console

from outlive.cli._demo.live_screen import LiveScreen
from outlive.cli._demo.moments import (
    AnswerBegun,
    Answered,
    AnswerGrew,
    AnswerVoid,
    AnyMoment,
    Asked,
    Begun,
    Killed,
    PageRecorded,
    Recovered,
    Report,
    WorkerStarted,
)
from outlive.cli._demo.report import report_of
from outlive.cli._demo.report_consent import consent_checks
from outlive.cli._demo.web_server import Counts
from outlive.events import (
    ApprovalDenied,
    ApprovalGranted,
    ApprovalRequested,
    CallId,
    Event,
    MemoryLog,
    ModelCallCompleted,
    ModelCallStarted,
    Recorded,
    RequestedToolCall,
    RunCompleted,
    RunRecovered,
    RunStarted,
    ToolCallCompleted,
    ToolCallStarted,
    ToolStepCompleted,
    Usage,
    Value,
    run_stream,
)
from outlive.projections.timeline import timeline

CALL = CallId("0.0")
BRIEF = "# Why?\n\nBecause. [1]\n\n## Sources\n\n1. A, http://site/a\n"


def step(path: str, *, attempt: int = 1) -> ToolStepCompleted:
    value: dict[str, Value] = {"path": path, "url": f"http://site{path}", "title": path}
    return ToolStepCompleted(call_id=CALL, key=path, attempt=attempt, value=value)


def run_of(*steps: Event, brief: str = BRIEF) -> list[Recorded]:
    """Return the events of a run that was killed once, while its tool ran."""
    log, stream = MemoryLog(), run_stream("r")
    commits: list[Sequence[Event]] = [
        [RunStarted(agent_id="a", input="Why?"), ModelCallStarted(model="m")],
        [
            ModelCallCompleted(tool_calls=(RequestedToolCall(call_id=CALL, name="read_site"),)),
            ToolCallStarted(call_id=CALL, name="read_site"),
        ],
        [step("/a")],
        [RunRecovered(epoch=2), ToolCallStarted(call_id=CALL, name="read_site", attempt=2)],
        *([one] for one in steps),
        [ToolCallCompleted(call_id=CALL, attempt=2), ModelCallStarted(step=1, model="m")],
        [
            ModelCallCompleted(step=1, text=brief, usage=Usage(input_tokens=5, output_tokens=7)),
            RunCompleted(),
        ],
    ]
    for events in commits:
        log.append(stream, events, expected_version=log.version(stream))
    return log.read(stream)


KILL = Killed(
    at_ms=5,
    number=1,
    pid=41,
    signal="SIGKILL",
    in_flight="tool read_site, 1 of 2 pages recorded",
    version=5,
    pages=1,
    characters=0,
    fetched_unrecorded=(),
)


def report(events: list[Recorded], **changed: Any) -> Report:
    facts: dict[str, Any] = {
        "at_ms": 9,
        "run_id": "r",
        "seen": [recorded.version for recorded in events],
        "kills": [KILL],
        "planned_kills": 1,
        "next_pids": [42],
        "last_status": 0,
        "counts": Counts({"/a": 1, "/b": 1}, {"/a": 1, "/b": 1}),
    }
    return report_of(events, timeline(events), **{**facts, **changed})


def failed(made: Report) -> list[str]:
    assert made.ok == all(check.holds for check in made.checks)
    return [check.name for check in made.checks if not check.holds]


def says(made: Report, name: str) -> str:
    (check,) = [check for check in made.checks if check.name == name]
    return check.says


def test_all_holds_when_each_thing_happened_once() -> None:
    made = report(run_of(step("/b", attempt=2)))

    assert failed(made) == []
    assert says(made, "fetched once") == "2 pages, each fetched once, as the web server counted"
    assert (made.tool_attempts, made.model_answers, made.model_abandoned) == (2, 2, 0)
    assert (made.input_tokens, made.output_tokens) == (5, 7)
    (kill,) = made.kills
    assert (kill.pid, kill.next_pid, kill.in_flight) == (41, 42, KILL.in_flight)


def test_a_page_that_was_fetched_again_though_it_was_recorded_is_a_failure() -> None:
    counts = Counts({"/a": 2, "/b": 1}, {"/a": 2, "/b": 1})
    made = report(run_of(step("/b", attempt=2)), counts=counts)

    assert failed(made) == ["fetched once"]
    assert says(made, "fetched once") == "2 pages, fetched once but for /a 2 times"


def test_a_page_that_a_kill_cut_off_may_be_fetched_again_and_that_is_said() -> None:
    counts = Counts({"/a": 1, "/b": 2}, {"/a": 1, "/b": 1})
    kill = msgspec.structs.replace(KILL, fetched_unrecorded=("/b",))
    made = report(run_of(step("/b", attempt=2)), counts=counts, kills=[kill])

    assert failed(made) == []
    assert says(made, "fetched once") == (
        "2 pages, fetched once but for /b 2 times, which a kill cut off before it was recorded"
    )


def test_a_step_that_is_recorded_twice_is_a_failure() -> None:
    assert failed(report(run_of(step("/b"), step("/b", attempt=2)))) == ["recorded once"]


@pytest.mark.parametrize("wrong", [[1, 2, 3], [1, 2, 2, *range(3, 13)], [2, 1, *range(3, 13)]])
def test_an_observer_that_missed_repeated_or_swapped_an_event_is_a_failure(
    wrong: list[int],
) -> None:
    assert failed(report(run_of(step("/b", attempt=2)), seen=wrong)) == ["seen once"]


def test_a_kill_that_was_not_made_is_a_failure() -> None:
    made = report(run_of(step("/b", attempt=2)), planned_kills=2)

    assert failed(made) == ["kills"]
    assert says(made, "kills") == "1 of 2 kills made: SIGKILL to 41"


def test_a_worker_that_ended_otherwise_does_not_count_as_killed() -> None:
    kill = msgspec.structs.replace(KILL, signal="status 0")

    assert failed(report(run_of(step("/b", attempt=2)), kills=[kill])) == ["kills"]


@pytest.mark.parametrize(
    "brief",
    [
        "# Why?\n\nBecause. [2]\n\n## Sources\n\n1. A, http://site/a\n",
        "# Why?\n\nBecause. [1]\n\n## Sources\n\n1. C, http://site/c\n",
    ],
)
def test_a_brief_that_cites_what_was_not_read_is_a_failure(brief: str) -> None:
    assert failed(report(run_of(step("/b", attempt=2), brief=brief))) == ["cited"]


def test_a_worker_that_had_to_be_ended_is_a_failure() -> None:
    assert failed(report(run_of(step("/b", attempt=2)), last_status=-9)) == ["ended"]


def test_a_site_that_is_not_ours_is_not_counted_and_that_is_said() -> None:
    made = report(run_of(step("/b", attempt=2)), counts=None)

    assert failed(made) == []
    assert made.fetches is None
    assert "nobody counted fetches" in says(made, "recorded once")


PUBLISHING = CallId("1.0")


def asked_of(path: Path, *events: Event) -> list[Recorded]:
    """Return the events of a run that asked whether to publish, and then these."""
    call = RequestedToolCall(
        call_id=PUBLISHING, name="publish", arguments={"path": str(path), "text": BRIEF}
    )
    log, stream = MemoryLog(), run_stream("r")
    begun = [
        ModelCallCompleted(step=1, text=BRIEF, tool_calls=(call,)),
        ApprovalRequested(call_id=PUBLISHING, name="publish", digest="d" * 32),
    ]
    for event in (*begun, *events):
        log.append(stream, [event], expected_version=log.version(stream))
    return log.read(stream)


GRANTED = ApprovalGranted(call_id=PUBLISHING, digest="d" * 32, by="ann")
STARTED = ToolCallStarted(call_id=PUBLISHING, name="publish")
DONE = ToolCallCompleted(call_id=PUBLISHING)
DENIED = ApprovalDenied(call_id=PUBLISHING, by="ann")


def broken(path: Path, *events: Event, told: str = "d" * 32) -> list[str]:
    """Return which checks of consent do not hold; the process was killed while it asked."""
    question = Asked(
        at_ms=1,
        run_id="r",
        call_id=PUBLISHING,
        tool="publish",
        arguments={},
        digest=told,
        commands=(),
        here=False,
    )
    kill = msgspec.structs.replace(KILL, asking=True)
    checks = consent_checks(asked_of(path, *events), question, [kill])
    return [check.name for check in checks if not check.holds]


def test_what_was_agreed_to_is_published_once_and_after_that(tmp_path: Path) -> None:
    file = tmp_path / "brief.md"
    file.write_text(BRIEF)

    assert broken(file, GRANTED, STARTED, DONE) == []
    assert broken(tmp_path / "none.md", DENIED) == []


def test_what_is_published_without_consent_or_otherwise_is_a_failure(tmp_path: Path) -> None:
    file = tmp_path / "brief.md"
    file.write_text("Something else.")

    assert broken(file, GRANTED, STARTED, DONE) == ["published"]
    assert broken(file, DENIED) == ["published"]
    assert broken(tmp_path / "none.md", GRANTED, STARTED, DONE) == ["published"]
    assert broken(tmp_path / "none.md", STARTED, DENIED) == ["asked first"]
    assert broken(tmp_path / "none.md") == ["asked first"]


def test_another_question_than_before_the_kill_is_a_failure(tmp_path: Path) -> None:
    assert broken(tmp_path / "none.md", DENIED, told="e" * 32) == ["one question"]


def test_who_was_not_asked_at_all_is_a_failure() -> None:
    (check,) = consent_checks(run_of(step("/b")), None, [])

    assert (check.name, check.holds) == ("asked", False)


def test_no_recovery_is_expected_of_a_kill_that_met_a_run_that_waits() -> None:
    waiting = msgspec.structs.replace(KILL, pid=42, asking=True)
    events = run_of(step("/b", attempt=2))
    made = report(events, kills=[KILL, waiting], planned_kills=2, next_pids=[42, 43])

    assert failed(made) == []
    assert says(made, "recovered") == "1 recovery for 1 kill while it worked"
    assert made.kills[1].silent_ms is None


BEGUN = Begun(
    at_ms=0,
    run_id="r",
    question="Why?",
    site="http://site/",
    title="A site",
    served=True,
    model="no LLM",
    data="/data",
    kept=False,
    kills=2,
    max_pages=40,
)


@pytest.mark.parametrize("width", [40, 80, 120])
def test_the_terminal_shows_deaths_what_is_void_and_the_brief(width: int) -> None:
    out = io.StringIO()
    terminal = Console(file=out, force_terminal=True, width=width, height=24, color_system=None)
    events = run_of(step("/b", attempt=2))
    moments: list[AnyMoment] = [
        BEGUN,
        WorkerStarted(at_ms=1, number=1, pid=41),
        PageRecorded(
            at_ms=2, version=5, path="/a", title="A", skipped="", attempt=1, done=1, total=2
        ),
        KILL,
        WorkerStarted(at_ms=6, number=2, pid=42),
        Recovered(at_ms=7, version=6, number=2, pid=42, owner=2, silent_ms=300, pages_kept=1),
        AnswerBegun(at_ms=8, version=9, attempt=1),
        *(
            AnswerGrew(at_ms=8, version=10, attempt=1, text=f"- **Part** {number}\n")
            for number in range(60)
        ),
        AnswerVoid(at_ms=8, version=11, attempt=1, characters=1_234),
        Answered(at_ms=9, version=12, attempt=2, text=BRIEF),
    ]
    with LiveScreen(terminal) as screen:
        for moment in moments:
            screen.tell(moment)
        screen.finish(report(events), timeline(events))

    shown = " ".join(out.getvalue().split())
    assert "SIGKILL worker 1, pid 41, is dead" in shown
    assert "TAKEN UP by worker 2, pid 42" in shown
    assert "void the 1,234 characters shown" in shown
    assert shown.index("Because. [1]") < shown.index("finished all the same")
    assert "What survived" in shown
