"""What has to hold when everything is over, whatever was killed, frozen or full meanwhile."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from msgspec.structs import replace as replace_field

from outlive.actors import Agent, BackgroundTasks
from outlive.actors.replies import check_reply
from outlive.actors.tool_attempt import idempotency_key
from outlive.events import (
    ApprovalDenied,
    ApprovalGranted,
    ApprovalRequested,
    Event,
    EventLog,
    LmdbReader,
    LmdbVisitor,
    ModelCallCompleted,
    NotFound,
    Position,
    Record,
    Recorded,
    Refused,
    RequestedToolCall,
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunId,
    RunRecovered,
    RunResumed,
    RunStarted,
    TaskRequeued,
    TaskResolved,
    TaskRetryScheduled,
    TaskStarted,
    TaskSucceeded,
    TaskSuspended,
    ToolCallCompleted,
    ToolCallFailed,
    ToolCallResolved,
    ToolCallStarted,
    ToolCallSuspended,
    run_stream,
)
from outlive.events.ids import id_of, kind_of
from outlive.projections import read_run, run_result
from outlive.testing._said import RunHearing, Said, told
from outlive.testing.kills._account import Line
from outlive.testing.kills._evidence import Evidence
from outlive.testing.kills._talks import Talks
from outlive.testing.kills._tasks import Task, Tasks, check_told

Log: TypeAlias = LmdbReader | LmdbVisitor | EventLog

_IN_DOUBT: Final = {
    "fail": "it fails in doubt",
    "ask": "it is asked about in doubt",
    "retry": "it is repeated in doubt",
}


@dataclass(frozen=True)
class Problem:
    """Something that does not hold. `run_id` is empty where it concerns no run."""

    what: str
    run_id: str = ""

    def __str__(self) -> str:
        """Say what, and of which run."""
        return f"run {self.run_id!r}: {self.what}" if self.run_id else self.what


@dataclass
class Counted:
    """What the log holds, in figures."""

    runs: int = 0
    events: int = 0
    owners: int = 0
    recoveries: int = 0
    tasks: int = 0
    tasks_at_once: int = 0


def records_of(log: Log) -> Iterator[Record]:
    """Yield all records of a log, in order."""
    after = Position(0)
    while page := log.read_all(after=after):
        yield from page
        after = page[-1].position


def check_all(
    log: Log,
    evidence: Evidence,
    *,
    agents: Mapping[str, Agent],
    start_of: Callable[[str], tuple[str, str]],
    taken: Callable[[str], bool],
    observed: Iterable[Line],
    reply_to: Callable[[str], bytes | None],
    background_tasks: BackgroundTasks | None = None,
    drawn: Callable[[str], bool] = lambda _: True,
) -> tuple[list[Problem], Counted]:
    """Return what does not hold, and what was found, when no process is left.

    Args:
        log: the log, at rest.
        evidence: what was acknowledged.
        agents: by id, for what their tools promise.
        start_of: agent and input that a run was started with.
        taken: whether an idempotent sink has a key.
        observed: what the observer has written down.
        reply_to: what was replied to a command from the inbox, by its id.
        background_tasks: the slots that tasks had.
        drawn: whether `start_of` knows a run; others were begun by signals, or heartbeats.
    """
    problems = [Problem(error) for error in evidence.errors]
    counted, runs = Counted(), list[str]()
    tasks, talks = Tasks(agents, background_tasks or BackgroundTasks()), Talks()
    problems += _check_order(log, observed, counted, runs, (tasks.take, talks.take))
    problems += map(Problem, talks.problems(evidence.signalled, dict(log.open_entries())))
    problems += [Problem(what, run_id) for what, run_id in tasks.problems()]
    problems += _check_nothing_is_left(log)
    effects = _Effects(log.log_id, evidence, agents, taken)
    said = _settled(evidence, reply_to, problems)
    for run_id in runs:
        events = read_run(log, run_id)
        hearing = RunHearing(run_id, (each.event for each in events), agents)
        counted.recoveries += sum(isinstance(each.event, RunRecovered) for each in events)
        found = [
            *check_run(events, _begun_by_others(events, drawn(run_id)) or start_of(run_id)),
            *_check_acknowledged(log, run_id, events, evidence),
            *check_told((each.event for each in events), tasks.of(run_id)),
            *filter(None, map(hearing.problem, said.pop(run_id, []))),
        ]
        problems += [Problem(what, run_id) for what in found]
        effects.add(run_id, events, tasks.of(run_id))
    counted.runs, counted.tasks, counted.tasks_at_once = len(runs), tasks.count, tasks.most
    known = set(runs)
    told = {
        "its start was acknowledged": evidence.started,
        "its result was acknowledged": set(evidence.results),
        "it was observed": set(evidence.seen),
        "something was said to it": {
            run_id
            for run_id, all_said in said.items()
            if any(not each.refusal for each in all_said)
        },
    }
    for what, ids in told.items():
        problems += [Problem(f"{what}, and it is not in the log", id) for id in sorted(ids - known)]
    return [*problems, *effects.problems()], counted


def _settled(
    evidence: Evidence, reply_to: Callable[[str], bytes | None], problems: list[Problem]
) -> dict[str, list[Said]]:
    """Return what was said, by run; what waited in the inbox with what the owner has replied."""
    found: dict[str, list[Said]] = defaultdict(list)
    for said, command_id in evidence.said:
        refusal = said.refusal
        if command_id:
            reply = reply_to(command_id)
            if reply is None:
                problems.append(Problem(f"{said} it was put, and never carried out", said.id))
                continue
            try:
                check_reply(reply)
            except (Refused, NotFound) as error:
                refusal = told(error)
        found[said.id].append(replace(said, refusal=refusal))
    return found


def _check_order(
    log: Log,
    observed: Iterable[Line],
    counted: Counted,
    runs: list[str],
    followers: Sequence[Callable[[Record], None]],
) -> Iterator[Problem]:
    """Each record was observed once, in order; versions have no holes, epochs do not go back."""
    seen = iter([line for line in observed if line[0] == "record"])
    versions: Counter[str] = Counter()
    epoch, differs = 0, False
    for record in records_of(log):
        expected = (record.position, record.stream, record.first_version, len(record.events))
        line = None if differs else next(seen, None)
        if not differs and (line is None or line[1:] != expected):
            differs = True  # What comes after it would differ as well.
            yield Problem(f"where the log has {expected}, the observer saw {line and line[1:]}")
        if record.first_version == 1 and kind_of(record.stream) == "run":
            runs.append(id_of(record.stream))
        for follow in followers:
            follow(record)
        if record.first_version != versions[record.stream] + 1:
            yield Problem(f"stream {record.stream!r} lacks what is before {record.first_version}")
        if record.epoch < epoch:
            yield Problem(f"owner {record.epoch} wrote at {record.position}, behind owner {epoch}")
        versions[record.stream] += len(record.events)
        counted.events += len(record.events)
        counted.owners += record.epoch != epoch
        epoch = record.epoch
    if not differs and (more := next(seen, None)) is not None:
        yield Problem(f"the observer saw {more[1:]}, which is not in the log")


def _check_nothing_is_left(log: Log) -> Iterator[Problem]:
    for stream, entry in log.open_entries():
        if entry.kind == "run":
            what = f"it is {entry.status}, and not over {entry.reason}"
            yield Problem(what.strip(), id_of(stream))
    for left in log.submitted():
        yield Problem("its start lies in the inbox still", id_of(left.stream))


def _begun_by_others(events: list[Recorded], drawn: bool) -> tuple[str, str] | None:
    """Return agent and input of a run that its parent, a signal or a heartbeat has begun."""
    first = events[0].event
    if not isinstance(first, RunStarted) or (first.parent is None and drawn):
        return None
    return first.agent_id, first.input


def check_run(events: list[Recorded], start: tuple[str, str]) -> Iterator[str]:
    """One start, one end; each answer, of models, tools and people, once."""
    first = events[0].event
    if not isinstance(first, RunStarted) or (first.agent_id, first.input) != start:
        yield f"it was started with {start}, and begins with {first}"
    done: Counter[object] = Counter()
    for each in events:
        match each.event:
            case RunStarted():
                done["a start"] += 1
            case RunCompleted() | RunFailed() | RunCancelled():
                done["an end"] += 1
            case RunResumed(call_id=call_id, key=key):
                done[f"an answer to {call_id}/{key}"] += 1
            case ApprovalGranted(call_id=call_id) | ApprovalDenied(call_id=call_id):
                done[f"a decision about call {call_id}"] += 1
            case ToolCallResolved(call_id=call_id, attempt=attempt):
                done[f"what became of attempt {attempt} of call {call_id}"] += 1
            case ModelCallCompleted(step=step):
                done[f"an answer of step {step}"] += 1
            case ToolCallCompleted(call_id=call_id):
                done[f"a result of call {call_id}"] += 1
            case ToolCallFailed(call_id=call_id, retry_at_ns=None):
                done[f"a result of call {call_id}"] += 1
            case _:
                pass
    for what, times in done.items():
        if times > 1:
            yield f"{what} is recorded {times} times"
    if not done["an end"]:
        yield "it did not come to its end"


def _check_acknowledged(
    log: Log, run_id: str, events: list[Recorded], evidence: Evidence
) -> Iterator[str]:
    """What was told of the run while it ran is what the log says now."""
    in_log = {(each.version, each.id) for each in events}
    for version, id in sorted(evidence.seen.get(run_id, set()) - in_log):
        yield f"event {id} was observed as version {version}, and is not there"
    result = run_result(log, run_id)
    for wrong in evidence.results.get(run_id, set()) - {(result.status, result.output)}:
        yield f"its result was told as {wrong}, the log says {(result.status, result.output)}"
    assert log.version(run_stream(run_id)) == events[-1].version


@dataclass
class _Call:
    """What the log tells of a tool call."""

    requested: RequestedToolCall
    attempts: int = 0
    repeats: int = 0  # after something that was recorded, not after a crash
    completed: bool = False
    vouched: bool = False  # it is a person who says that it is done
    consent: bool = True
    asks: bool = False  # its last attempt has ended with a question

    def take(self, event: Event) -> None:
        """Take an event of the call."""
        match event:
            case ToolCallStarted() | TaskStarted():
                self.attempts += 1
                self.repeats += self.asks
                self.asks = False
            case ToolCallSuspended() | TaskSuspended():
                self.asks = True
            case (
                ToolCallFailed(retry_at_ns=int())
                | TaskRetryScheduled()
                | TaskRequeued()
                | ToolCallResolved(outcome="retry")
                | TaskResolved(outcome="retry")
            ):
                self.repeats += 1
            case ToolCallResolved(outcome="completed") | TaskResolved(outcome="completed"):
                self.vouched = True
            case ToolCallCompleted() | TaskSucceeded():
                self.completed = True
            case ApprovalRequested():
                self.consent = False
            case ApprovalGranted():
                self.consent = True
                if event.arguments is not None:
                    self.requested = replace_field(self.requested, arguments=event.arguments)
            case _:
                pass


class _Effects:
    """Counts what tools did to the world, and compares that with what they promise."""

    def __init__(
        self,
        log_id: str,
        evidence: Evidence,
        agents: Mapping[str, Agent],
        taken: Callable[[str], bool],
    ) -> None:
        self._log_id, self._evidence = log_id, evidence
        self._agents, self._taken = agents, taken
        self._calls: dict[tuple[str, str], list[tuple[str, str, _Call]]] = defaultdict(list)

    def add(self, run_id: str, events: list[Recorded], tasks: Iterable[Task]) -> None:
        """Add the calls of a run, and what became of those in the background."""
        agent_id, calls = "", dict[str, _Call]()
        for each in events:
            match each.event:
                case RunStarted():
                    agent_id = each.event.agent_id
                case ModelCallCompleted(tool_calls=requested):
                    calls |= {call.call_id: _Call(call) for call in requested}
                case event:
                    call = calls.get(getattr(event, "call_id", ""))
                    if call is not None:
                        call.take(event)
        for task in tasks:
            call = calls.get(task.queued.call_id)
            if call is not None:
                for event in task.events:
                    call.take(event)
        for call in calls.values():
            key = idempotency_key(self._log_id, RunId(run_id), call.requested)
            self._calls[agent_id, call.requested.name].append((run_id, key, call))

    def problems(self) -> Iterator[Problem]:
        """Yield what is not as promised."""
        for (agent_id, name), calls in self._calls.items():
            agent = self._agents.get(agent_id)
            if agent is None or name not in agent.tools:
                continue
            in_doubt = agent.tools[name].in_doubt
            notes = any(self._evidence.effects[key] for _, key, _ in calls)
            puts = any(key in self._evidence.asked for _, key, _ in calls)
            for run_id, key, call in calls:
                times = self._evidence.effects[key]
                most = call.attempts if in_doubt == "retry" else 1 + call.repeats
                where = f"call {call.requested.call_id} of {name!r}"
                if times > most:
                    yield Problem(
                        f"{where} took effect {times} times, at most {most} are allowed: "
                        f"{_IN_DOUBT[in_doubt]}, {call.attempts} attempts, {call.repeats} of "
                        "them after errors, answers, or because a person wanted it",
                        run_id,
                    )
                if times and not call.consent:
                    yield Problem(f"{where} took effect, and nobody has agreed to it", run_id)
                done = call.completed and not call.vouched
                if notes and done and not times:
                    yield Problem(f"{where} is completed, and never took effect", run_id)
                if puts and done and not self._taken(key):
                    yield Problem(
                        f"{where} is completed, and nothing was put under its key", run_id
                    )
