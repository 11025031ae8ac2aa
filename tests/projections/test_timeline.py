"""A timeline shows each attempt with its time, and what a crash cut off."""

from collections.abc import Sequence

from outlive.actors.task.commands import RetryTask
from outlive.events import (
    BackgroundCall,
    BackgroundResultReceived,
    CallId,
    ChildRunEnded,
    ChildRunStarted,
    Event,
    Failure,
    MemoryLog,
    MessageDelivered,
    ModelAttemptAbandoned,
    ModelCallCompleted,
    ModelCallFailed,
    ModelCallStarted,
    ModelDelta,
    Recorded,
    RequestedToolCall,
    RunCompleted,
    RunFailed,
    RunId,
    RunRecovered,
    RunStarted,
    TaskRequested,
    ToolCallCompleted,
    ToolCallDeferred,
    ToolCallFailed,
    ToolCallStarted,
    ToolStepCompleted,
    Usage,
    run_stream,
    task_stream,
)
from outlive.events.run.background import TaskEnd
from outlive.projections.timeline import Span, Timeline, timeline
from tests.support.tasks import BOOM, TaskLog

MS = 1_000_000
CALL = CallId("0.0")
STREAM = run_stream("r")


class SteppingClock:
    """A clock that goes on by 10 ms each time that it is read."""

    def __init__(self) -> None:
        self._now_ns = 0

    def now_ns(self) -> int:
        self._now_ns += 10 * MS
        return self._now_ns

    def monotonic_ns(self) -> int:
        return self.now_ns()


def recorded(*commits: Sequence[Event]) -> list[Recorded]:
    """Return events as a log records them: one commit each 10 ms."""
    log = MemoryLog(clock=SteppingClock())
    for events in commits:
        log.append(STREAM, events, expected_version=log.version(STREAM))
    return log.read(STREAM)


ASKED = ModelCallCompleted(
    tool_calls=(RequestedToolCall(call_id=CALL, name="read"),), usage=Usage(output_tokens=3)
)
BEGIN: list[Sequence[Event]] = [
    [RunStarted(agent_id="a", input="?"), ModelCallStarted(model="m")],
    [ASKED, ToolCallStarted(call_id=CALL, name="read")],
]


def test_no_events_have_an_empty_timeline() -> None:
    assert timeline([]) == Timeline()


def test_what_comes_late_makes_nothing_longer_that_is_over() -> None:
    tasks = TaskLog(MemoryLog(clock=SteppingClock()))
    tasks.begin("t1", run_id="r")
    tasks.succeed("t1")
    before = of_task(tasks)
    tasks.deliver("t1")
    after = of_task(tasks)
    assert after.last_at_ns > before.last_at_ns
    assert after.elapsed_ms == before.elapsed_ms > 0
    tasks = TaskLog(MemoryLog(clock=SteppingClock()))
    tasks.begin("t1")
    assert of_task(tasks).elapsed_ms > 0  # It goes on.


def test_a_call_is_a_span_from_its_start_to_its_end() -> None:
    line = timeline(
        recorded(
            *BEGIN,
            [ToolStepCompleted(call_id=CALL, key="page", elapsed_ms=4)],
            [ToolCallCompleted(call_id=CALL), ModelCallStarted(step=1, model="m")],
            [ModelDelta(step=1, text="Hel")],
            [ModelDelta(step=1, text="lo")],
            [ModelCallCompleted(step=1, text="Hello"), RunCompleted()],
        )
    )

    model, tool, answer = line.spans
    assert (model.kind, model.step, model.outcome, model.elapsed_ms) == (
        "model",
        0,
        "completed",
        10,
    )
    assert model.usage == Usage(output_tokens=3)
    assert (tool.kind, tool.name, tool.call_id, tool.elapsed_ms) == ("tool", "read", "0.0", 20)
    assert [(mark.key, mark.elapsed_ms) for mark in tool.steps] == [("page", 4)]
    assert (answer.deltas, answer.characters, answer.outcome) == (2, 5, "completed")
    assert (line.started_at_ns, line.ended_at_ns) == (10 * MS, 70 * MS)
    assert (line.elapsed_ms, line.head) == (60, 11)


def test_an_attempt_that_a_crash_cut_off_ends_at_the_last_sign_of_life() -> None:
    line = timeline(
        recorded(
            *BEGIN,
            [ToolStepCompleted(call_id=CALL, key="one")],
            [RunRecovered(epoch=2), ToolCallStarted(call_id=CALL, name="read", attempt=2)],
            [ToolStepCompleted(call_id=CALL, key="two", attempt=2)],
        )
    )

    _, cut_off, again = line.spans
    assert (cut_off.outcome, cut_off.ended_at_ns, cut_off.ended_version) == ("cut_off", 30 * MS, 5)
    assert [mark.key for mark in cut_off.steps] == ["one"]
    assert (again.attempt, again.outcome, again.ended_at_ns) == (2, "open", None)
    assert [mark.key for mark in again.steps] == ["two"]
    (recovery,) = line.recoveries
    assert (recovery.epoch, recovery.silent_since_ns, recovery.recorded_at_ns) == (
        2,
        30 * MS,
        40 * MS,
    )


def test_an_abandoned_answer_is_cut_off_and_the_next_attempt_a_span_of_its_own() -> None:
    line = timeline(
        recorded(
            [RunStarted(agent_id="a", input="?"), ModelCallStarted(model="m")],
            [ModelDelta(text="Hel")],
            [
                RunRecovered(epoch=2),
                ModelAttemptAbandoned(),
                ModelCallStarted(model="m", attempt=2),
            ],
            [ModelCallCompleted(attempt=2, text="Hello"), RunCompleted()],
        )
    )

    first, second = line.spans
    assert (first.outcome, first.elapsed_ms, first.characters) == ("cut_off", 10, 3)
    assert (second.outcome, second.attempt, second.elapsed_ms) == ("completed", 2, 10)


def test_calls_that_others_still_run_stay_open_through_a_recovery() -> None:
    other = CallId("0.1")
    line = timeline(
        recorded(
            *BEGIN,
            [ToolCallStarted(call_id=other, name="write")],
            [RunRecovered(epoch=2), ToolCallStarted(call_id=CALL, name="read", attempt=2)],
        )
    )

    assert [span.outcome for span in line.spans] == ["completed", "cut_off", "open", "open"]


def test_a_call_in_doubt_that_may_not_be_repeated_is_cut_off_with_its_error() -> None:
    doubt = Failure(kind="in_doubt")
    line = timeline(
        recorded(
            *BEGIN,
            [RunRecovered(epoch=2), ToolCallFailed(call_id=CALL, error=doubt)],
        )
    )

    assert (line.spans[1].outcome, line.spans[1].error) == ("cut_off", doubt)
    assert line.spans[1].ended_at_ns == 20 * MS


def test_failures_are_kept_with_their_reason() -> None:
    error = Failure(kind="error", message="no")
    line = timeline(
        recorded(
            *BEGIN,
            [ToolCallFailed(call_id=CALL, error=error, retry_at_ns=99 * MS)],
            [ToolCallStarted(call_id=CALL, name="read", attempt=2)],
            [ToolCallFailed(call_id=CALL, attempt=2, error=error)],
            [ModelCallStarted(step=1, model="m")],
            [ModelCallFailed(step=1, error=error, retry_at_ns=199 * MS)],
            [ModelCallStarted(step=1, model="m", attempt=2)],
            [ModelCallFailed(step=1, error=error, attempt=2), RunFailed(error=error)],
        )
    )

    _, first, second, retried, model = line.spans
    assert (first.outcome, first.retry_at_ns, first.elapsed_ms) == ("failed", 99 * MS, 10)
    assert (second.outcome, second.retry_at_ns) == ("failed", None)
    assert (retried.outcome, retried.retry_at_ns) == ("failed", 199 * MS)
    assert (model.outcome, model.error, model.retry_at_ns) == ("failed", error, None)


def test_an_end_without_a_start_is_passed_over() -> None:
    unknown = CallId("7.0")
    line = timeline(recorded([ToolCallCompleted(call_id=unknown), ModelDelta(text="?")]))

    assert line.spans == ()
    assert line.head == 2


def test_a_child_run_is_a_span_with_its_usage_and_its_end_is_that_of_its_call() -> None:
    child = RunId("r:0.0")
    used = Usage(output_tokens=9)
    ended = ChildRunEnded(call_id=CALL, run_id=child, status="failed", usage=used)
    line = timeline(
        recorded(
            BEGIN[0],
            [ASKED, ChildRunStarted(call_id=CALL, run_id=child, agent_id="helper")],
            [MessageDelivered(sequence=1, to=run_stream(child))],
            [ended, ToolCallFailed(call_id=CALL, error=Failure(kind="child_failed"))],
        )
    )

    span = line.spans[-1]
    assert (span.kind, span.name, span.run_id, span.call_id) == ("run", "helper", child, CALL)
    assert (span.outcome, span.usage, span.elapsed_ms) == ("failed", used, 20)
    assert span.error is not None


def test_a_task_is_a_span_from_its_request_to_its_result_though_the_model_goes_on() -> None:
    task = BackgroundCall(task_id="r:0.0")
    asks = ModelCallCompleted(
        tool_calls=(RequestedToolCall(call_id=CALL, name="crawl", task=task),)
    )
    received = BackgroundResultReceived(call_id=CALL, task_id="r:0.0", status="succeeded")
    asked = [
        BEGIN[0],
        [asks, TaskRequested(call_id=CALL, task_id="r:0.0")],
        [ToolCallDeferred(call_id=CALL, task_id="r:0.0"), ModelCallStarted(step=1, model="m")],
    ]
    open_span = timeline(recorded(*asked)).spans[1]
    assert (open_span.kind, open_span.name, open_span.task_id) == ("task", "crawl", "r:0.0")
    assert open_span.outcome == "open"
    span = timeline(recorded(*asked, [received])).spans[1]
    assert (span.outcome, span.elapsed_ms) == ("completed", 20)
    late = Failure(kind="timeout")
    failed = BackgroundResultReceived(call_id=CALL, task_id="r:0.0", status="timed_out", error=late)
    span = timeline(recorded(*asked, [failed])).spans[1]
    assert (span.outcome, span.error) == ("failed", late)
    waited = [
        BackgroundResultReceived(call_id=CALL, task_id="r:0.0", status="timed_out"),
        ToolCallFailed(call_id=CALL, error=late),
    ]
    span = timeline(recorded(*asked[:2], waited)).spans[1]
    assert (span.outcome, span.error) == ("failed", late)


def a_task_of(*events: Event) -> Span:
    """Return the span of a background task in a run, that ends with these events."""
    plan = BackgroundCall(task_id="r:0.0")
    asked = ModelCallCompleted(
        tool_calls=(RequestedToolCall(call_id=CALL, name="crawl", task=plan),)
    )
    requested = TaskRequested(call_id=CALL, task_id="r:0.0")
    line = timeline(recorded(BEGIN[0], [asked, requested], events))
    span = line.spans[-1]
    assert (span.kind, span.name, span.task_id, span.call_id) == ("task", "crawl", "r:0.0", CALL)
    return span


def test_a_background_task_is_a_span_of_its_run() -> None:
    def received(status: TaskEnd, error: Failure | None = None) -> BackgroundResultReceived:
        return BackgroundResultReceived(call_id=CALL, task_id="r:0.0", status=status, error=error)

    deferred = ToolCallDeferred(call_id=CALL, task_id="r:0.0")
    boom = Failure(kind="error", message="bang")
    late = Failure(kind="timeout")

    assert a_task_of(deferred).outcome == "open"
    assert a_task_of(deferred, received("succeeded")).outcome == "completed"
    assert a_task_of(received("succeeded"), ToolCallCompleted(call_id=CALL)).elapsed_ms == 10
    ended = a_task_of(deferred, received("timed_out", late))
    assert (ended.outcome, ended.error) == ("failed", late)
    ended = a_task_of(received("failed"), ToolCallFailed(call_id=CALL, error=boom))
    assert (ended.outcome, ended.error) == ("failed", boom)
    ended = a_task_of(ToolCallFailed(call_id=CALL, attempt=0, error=boom))
    assert (ended.outcome, ended.error) == ("failed", boom)


def of_task(tasks: TaskLog) -> Timeline:
    return timeline(tasks.log.read(task_stream("t1")))


def test_a_task_has_a_timeline_of_its_attempts() -> None:
    tasks = TaskLog(MemoryLog(clock=SteppingClock()))
    tasks.begin("t1")
    tasks.step("t1", "page")
    tasks.fail("t1", delay=1)
    tasks.start("t1")
    tasks.progress("t1", 1.0)
    tasks.recover("t1")
    tasks.ask("t1", "which")
    tasks.answer("t1", 2)
    tasks.start("t1")
    tasks.succeed("t1", 3)

    line = of_task(tasks)

    assert [(span.kind, span.name, span.attempt, span.outcome) for span in line.spans] == [
        ("tool", "look", 1, "failed"),
        ("tool", "look", 2, "cut_off"),
        ("tool", "look", 3, "suspended"),
        ("tool", "look", 4, "completed"),
    ]
    failed, cut_off, _, _ = line.spans
    assert [mark.key for mark in failed.steps] == ["page"]
    assert (failed.error, failed.retry_at_ns is not None) == (BOOM, True)
    assert cut_off.elapsed_ms == 10
    assert [recovery.epoch for recovery in line.recoveries] == [2]
    assert line.ended_at_ns == line.last_at_ns


def test_a_task_that_is_cancelled_or_rejected_is_over() -> None:
    tasks = TaskLog(MemoryLog(clock=SteppingClock()))
    tasks.begin("t1")
    assert of_task(tasks).ended_at_ns is None
    tasks.cancel("t1")
    line = of_task(tasks)
    assert [span.outcome for span in line.spans] == ["failed"]
    assert line.ended_at_ns == line.last_at_ns
    tasks.do("t1", RetryTask(task_id="t1"))
    assert of_task(tasks).ended_at_ns is None, "it goes on after all"

    tasks = TaskLog(MemoryLog(clock=SteppingClock()))
    tasks.queue("t1", verdict="reject")
    assert (of_task(tasks).spans, of_task(tasks).ended_at_ns) == ((), 10 * MS)


def test_what_a_task_in_doubt_was_doing_is_told() -> None:
    tasks = TaskLog(MemoryLog(clock=SteppingClock()))
    tasks.begin("t1")
    tasks.recover("t1", in_doubt="ask")
    assert [span.outcome for span in of_task(tasks).spans] == ["in_doubt"]

    tasks = TaskLog(MemoryLog(clock=SteppingClock()))
    tasks.begin("t1")
    tasks.recover("t1", in_doubt="fail")
    (span,) = of_task(tasks).spans
    assert (span.outcome, span.error and span.error.kind) == ("cut_off", "in_doubt")
