"""The demo's report says what was counted, also when that is not what should be."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rich.console import Console

from outlive.cli._demo.course import course_of
from outlive.cli._demo.following import read_family
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
    TaskBegun,
    TaskOver,
    TaskQueuedUp,
    WorkerStarted,
)
from outlive.cli._demo.report import report_of
from outlive.cli._demo.report_consent import consent_checks
from outlive.cli._demo.web_server import Counts
from outlive.events import (
    ApprovalDenied,
    ApprovalGranted,
    ApprovalRequested,
    BackgroundResultReceived,
    CallId,
    Event,
    Failure,
    MemoryLog,
    MessageDelivered,
    ModelCallCompleted,
    ModelCallStarted,
    Recorded,
    RequestedToolCall,
    RunCompleted,
    RunStarted,
    StreamId,
    TaskCancelled,
    TaskFailed,
    TaskQueued,
    TaskRecovered,
    TaskRequested,
    TaskStarted,
    TaskStepCompleted,
    TaskSucceeded,
    ToolCallCompleted,
    ToolCallFailed,
    ToolCallStarted,
    ToolStepCompleted,
    Usage,
    Value,
    run_stream,
    task_stream,
)
from outlive.testing import VirtualClock

BRIEF = "# Why?\n\nBecause. [1]\n\n## Sources\n\n1. A, http://site/a\n"
FIRST, CALL, TASK = CallId("0.0"), CallId("1.0"), "r:1.0"


def value(path: str) -> dict[str, Value]:
    return {"path": path, "url": f"http://site{path}", "title": path}


def step(path: str, *, attempt: int = 1) -> TaskStepCompleted:
    return TaskStepCompleted(key=path, attempt=attempt, value=value(path))


class Written:
    """A run and its tasks, written by hand."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.log = MemoryLog(clock=self.clock)

    def of_run(self, *events: Event) -> None:
        self._append(run_stream("r"), events)

    def of_task(self, *events: Event, task_id: str = TASK) -> None:
        self._append(task_stream(task_id), events)

    def _append(self, stream: StreamId, events: Sequence[Event]) -> None:
        self.clock.advance(0.1)
        self.log.append(stream, events, expected_version=self.log.version(stream))


HEARD = BackgroundResultReceived(call_id=CALL, task_id=TASK, status="succeeded")
READ: Value = [value("/b"), value("/c")]
TOLD = (HEARD, ToolCallCompleted(call_id=CALL, result=READ))


def run_of(
    *steps: Event,
    brief: str = BRIEF,
    end: Sequence[Event] = (TaskSucceeded(attempt=2, result=READ),),
    told: Sequence[Event] = TOLD,
) -> list[Recorded]:
    """Return the events of a run with a task, that was killed once, while its task ran.

    Args:
        steps: what the task records after that.
        brief: what the model answers.
        end: how the task ends.
        told: what the run records of that.
    """
    written = Written()
    wanted = RequestedToolCall(call_id=CALL, name="read_pages")
    urls: list[Value] = ["http://site/b", "http://site/c"]
    written.of_run(RunStarted(agent_id="a", input="Why?"), ModelCallStarted(model="m"))
    written.of_run(
        ModelCallCompleted(tool_calls=(RequestedToolCall(call_id=FIRST, name="open_site"),)),
        ToolCallStarted(call_id=FIRST, name="open_site"),
    )
    written.of_run(ToolStepCompleted(call_id=FIRST, key="/a", value=value("/a")))
    written.of_run(ToolCallCompleted(call_id=FIRST), ModelCallStarted(step=1, model="m"))
    written.of_run(
        ModelCallCompleted(step=1, tool_calls=(wanted,)),
        TaskRequested(call_id=CALL, task_id=TASK),
    )
    written.of_task(TaskQueued(tool="read_pages", arguments={"urls": urls}))
    written.of_task(TaskStarted())
    written.of_task(step("/b"))
    written.clock.advance(2)
    written.log = written.log.reopened()
    written.of_task(TaskRecovered(epoch=2), TaskStarted(attempt=2))
    for event in (*steps, *end):
        written.of_task(event)
    written.of_run(*told, ModelCallStarted(step=2, model="m"))
    written.of_task(MessageDelivered(sequence=1, to=run_stream("r")))
    written.of_run(
        ModelCallCompleted(step=2, text=brief, usage=Usage(input_tokens=5, output_tokens=7)),
        RunCompleted(),
    )
    return read_family(written.log, "r")


C2 = step("/c", attempt=2)
"""What the task had to record after the kill."""

KILL = Killed(
    at_ms=5,
    number=1,
    pid=41,
    signal="SIGKILL",
    in_flight="task 1, with 2 of 3 pages recorded",
    version=9,
    pages=2,
    characters=0,
    owner=1,
    tasks=(1,),
)


def report(events: list[Recorded], **changed: Any) -> Report:
    facts: dict[str, Any] = {
        "at_ms": 9,
        "run_id": "r",
        "seen": events,
        "kills": [KILL],
        "planned_kills": 1,
        "next_pids": [42],
        "last_status": 0,
        "fetches": [AT_THE_KILL, fetched()],
    }
    return report_of(course_of(events), **{**facts, **changed})


def fetched(**more: int) -> Counts:
    """Return what the server counts of three pages, each fetched once but for `more`."""
    times = {f"/{name}": more.get(name, 1) for name in "abc"}
    return Counts(times, dict.fromkeys(times, 1))


AT_THE_KILL = Counts({"/a": 1, "/b": 1}, {"/a": 1, "/b": 1})


def failed(made: Report) -> list[str]:
    assert made.ok == all(check.holds for check in made.checks)
    return [check.name for check in made.checks if not check.holds]


def says(made: Report, name: str) -> str:
    (check,) = [check for check in made.checks if check.name == name]
    return check.says


def test_all_holds_when_each_thing_happened_once() -> None:
    made = report(run_of(C2))

    assert failed(made) == []
    assert says(made, "fetched once") == "3 pages, each fetched once, as the web server counted"
    assert says(made, "tasks ended once") == (
        "1 background task, each ended once (1 succeeded), in 2 attempts, 1 of them cut off"
    )
    assert says(made, "told once") == "1 outcome, each in the conversation once"
    assert says(made, "seen once") == (
        "this terminal saw all 22 events of the run and its 1 task, each once, in order"
    )
    assert (made.tool_attempts, made.model_answers, made.model_abandoned) == (1, 3, 0)
    assert (made.input_tokens, made.output_tokens) == (5, 7)
    (kill,) = made.kills
    assert (kill.pid, kill.next_pid, kill.in_flight) == (41, 42, KILL.in_flight)
    assert kill.silent_ms == 2_100
    (task,) = made.tasks
    assert (task.number, task.status, task.pages, task.attempts) == (1, "succeeded", 2, 2)


def test_a_page_that_was_fetched_again_though_it_was_recorded_is_a_failure() -> None:
    made = report(run_of(C2), fetches=[AT_THE_KILL, fetched(a=2)])

    assert failed(made) == ["fetched once"]
    assert says(made, "fetched once") == "3 pages, fetched once but for /a 2 times"


def test_a_page_that_a_kill_cut_off_may_be_fetched_again_and_that_is_said() -> None:
    made = report(run_of(C2), fetches=[fetched(), fetched(c=2)])

    assert failed(made) == []
    assert says(made, "fetched once") == (
        "3 pages, fetched once but for /c 2 times, which a kill cut off before it was recorded"
    )
    assert made.kills[0].fetched_again == ("/c",)


def test_a_page_that_is_recorded_by_who_died_is_not_cut_off_though_it_was_seen_late() -> None:
    made = report(run_of(C2), fetches=[AT_THE_KILL, fetched(b=2)])

    assert failed(made) == ["fetched once"]
    assert made.kills[0].fetched_again == ()


def test_pages_that_were_recorded_before_are_not_to_be_fetched_at_all() -> None:
    rest: dict[str, Any] = {"before": 1, "kills": [], "planned_kills": None}
    made = report(run_of(C2), fetches=[Counts({"/c": 1}, {"/c": 1})], **rest)
    again = report(run_of(C2), fetches=[Counts({"/c": 1, "/a": 1}, {"/c": 1, "/a": 1})], **rest)

    assert failed(made) == []
    assert says(made, "fetched once") == (
        "2 pages kept and not fetched again; 1 page, each fetched once, as the web server counted"
    )
    assert failed(again) == ["fetched once"]


def test_a_step_that_is_recorded_twice_is_a_failure() -> None:
    assert failed(report(run_of(C2, step("/b", attempt=2)))) == ["recorded once"]


def test_a_task_that_ends_twice_or_otherwise_is_a_failure() -> None:
    twice = TaskSucceeded(attempt=2, result=READ)
    gave_up = TaskFailed(attempt=2, error=Failure(kind="error", message="no route"))
    failure = ToolCallFailed(call_id=CALL, error=Failure(kind="error", message="no route"))
    heard = msgspec.structs.replace(HEARD, status="failed")

    assert "tasks ended once" in failed(report(run_of(C2, end=[twice, twice])))
    made = report(run_of(C2, end=[gave_up], told=[heard, failure]))
    assert {"completed", "tasks ended once"} <= set(failed(made))
    assert says(made, "tasks ended once") == "not every task succeeded, once: task 1 failed"


@pytest.mark.parametrize(
    "told",
    [
        [HEARD, *TOLD],
        [HEARD],
        [HEARD, ToolCallCompleted(call_id=CALL, result="something else")],
    ],
)
def test_an_outcome_that_is_told_twice_not_at_all_or_otherwise_is_a_failure(
    told: list[Event],
) -> None:
    assert "told once" in failed(report(run_of(C2, told=told)))


def test_a_task_that_somebody_cancelled_has_ended_as_wanted() -> None:
    error = Failure(kind="cancelled", message="enough")
    told = [
        BackgroundResultReceived(call_id=CALL, task_id=TASK, status="cancelled"),
        ToolCallFailed(call_id=CALL, error=error),
    ]
    made = report(run_of(end=[TaskCancelled(reason="enough")], told=told))
    assert not {"completed", "tasks ended once", "told once"} & set(failed(made))
    assert "(1 cancelled)" in says(made, "tasks ended once")


def test_more_tasks_at_once_than_the_tool_allows_are_a_failure() -> None:
    written = Written()
    ids = [CallId(f"0.{number}") for number in range(4)]
    written.of_run(
        ModelCallCompleted(
            tool_calls=tuple(RequestedToolCall(call_id=id, name="read_pages") for id in ids)
        ),
        *(TaskRequested(call_id=id, task_id=f"r:{id}") for id in ids),
    )
    for id in ids:
        written.of_task(TaskQueued(tool="read_pages"), task_id=f"r:{id}")
        written.of_task(TaskStarted(), task_id=f"r:{id}")

    assert "slots" in failed(report(read_family(written.log, "r"), kills=[], planned_kills=0))


@pytest.mark.parametrize("wrong", [slice(0, 5), slice(1, None), slice(None, None, -1)])
def test_an_observer_that_missed_or_swapped_events_is_a_failure(wrong: slice) -> None:
    events = run_of(C2)

    assert failed(report(events, seen=events[wrong])) == ["seen once"]


def test_an_observer_that_was_given_an_event_twice_is_a_failure() -> None:
    events = run_of(C2)
    made = report(events, seen=[*events[:5], *events[4:]])

    assert failed(made) == ["seen once"]
    assert "this terminal saw 23; the first 5 are the same" in says(made, "seen once")


def test_a_kill_that_was_not_made_is_a_failure() -> None:
    made = report(run_of(C2), planned_kills=2)

    assert failed(made) == ["kills"]
    assert says(made, "kills") == "1 of 2 kills made: SIGKILL to 41"


def test_a_worker_that_ended_otherwise_does_not_count_as_killed() -> None:
    kill = msgspec.structs.replace(KILL, signal="status 0")

    assert failed(report(run_of(C2), kills=[kill])) == ["kills"]


@pytest.mark.parametrize(
    "brief",
    [
        "# Why?\n\nBecause. [2]\n\n## Sources\n\n1. A, http://site/a\n",
        "# Why?\n\nBecause. [1]\n\n## Sources\n\n1. D, http://site/d\n",
    ],
)
def test_a_brief_that_cites_what_was_not_read_is_a_failure(brief: str) -> None:
    assert failed(report(run_of(C2, brief=brief))) == ["cited"]


def test_a_worker_that_had_to_be_ended_is_a_failure() -> None:
    assert failed(report(run_of(C2), last_status=-9)) == ["ended"]


def test_a_site_that_is_not_ours_is_not_counted_and_that_is_said() -> None:
    made = report(run_of(C2), fetches=None)

    assert failed(made) == []
    assert made.fetches is None
    assert "nobody counted fetches" in says(made, "recorded once")


PUBLISHING = CallId("2.0")


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
    (check,) = consent_checks(run_of(C2), None, [])

    assert (check.name, check.holds) == ("asked", False)


def test_no_recovery_is_expected_of_a_kill_that_met_a_run_that_waits() -> None:
    waiting = msgspec.structs.replace(KILL, pid=42, owner=2, asking=True)
    events = run_of(C2)
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


RECOVERED = Recovered(
    at_ms=7, version=6, number=2, pid=42, owner=2, silent_ms=300, pages_kept=2, tasks=(1,)
)


def page_recorded(path: str, *, task: int, done: int) -> PageRecorded:
    return PageRecorded(
        at_ms=2,
        version=5,
        task=task,
        path=path,
        title=path,
        skipped="",
        attempt=1,
        done=done,
        total=3,
    )


@pytest.mark.parametrize("width", [40, 80, 120])
def test_the_terminal_shows_deaths_what_is_void_and_the_brief(width: int) -> None:
    out = io.StringIO()
    terminal = Console(file=out, force_terminal=True, width=width, height=24, color_system=None)
    events = run_of(C2)
    moments: list[AnyMoment] = [
        BEGUN,
        WorkerStarted(at_ms=1, number=1, pid=41),
        page_recorded("/a", task=0, done=1),
        TaskQueuedUp(at_ms=2, version=1, task_id=TASK, number=1, pages=2),
        TaskBegun(at_ms=3, version=2, task_id=TASK, number=1, attempt=1, kept=0),
        page_recorded("/b", task=1, done=2),
        KILL,
        WorkerStarted(at_ms=6, number=2, pid=42),
        Recovered(
            at_ms=7, version=6, number=2, pid=42, owner=2, silent_ms=300, pages_kept=2, tasks=(1,)
        ),
        TaskBegun(at_ms=7, version=4, task_id=TASK, number=1, attempt=2, kept=1),
        page_recorded("/c", task=1, done=3),
        TaskOver(at_ms=8, version=6, task_id=TASK, number=1, status="succeeded", error=""),
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
        screen.finish(report(events), course_of(events))

    shown = " ".join(out.getvalue().split())
    assert "SIGKILL worker 1, pid 41, is dead" in shown
    assert "TAKEN UP by worker 2, pid 42" in shown
    assert "task 1 goes on; 2 pages come from the log" in shown
    assert "2/2 succeeded" in shown
    assert "read 3 pages; now the model answers" in shown
    assert "void the 1,234 characters shown" in shown
    assert shown.index("Because. [1]") < shown.index("finished all the same")
    assert "What survived" in shown
