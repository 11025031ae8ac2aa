"""The harness that kills processes: its parts, and that it sees what it is there to see."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from outlive.actors import Agent, Runtime
from outlive.events import (
    InvalidDefinition,
    LmdbLog,
    LmdbReader,
    MemoryLog,
    OpenEntry,
    RunCompleted,
    RunStarted,
    StreamId,
    ToolCallCompleted,
    Version,
    run_stream,
)
from outlive.events.event import Event
from outlive.events.ids import CallId
from outlive.projections import read_run
from outlive.testing.kills import (
    CannotMount,
    KillsFailed,
    Ledger,
    Line,
    SmallDisk,
    Victim,
    assert_survives_kills,
    kill_me_at,
    records_of,
)
from outlive.testing.kills.__main__ import main
from outlive.testing.kills._checks import check_all
from outlive.testing.kills._evidence import read_evidence
from tests.testing import broken_agents
from tests.testing.killed_agents import make

# --- the ledger ---


def test_the_ledger_counts_by_key_whoever_writes(tmp_path: Path) -> None:
    one, other = Ledger(tmp_path), Ledger(tmp_path)
    one.note("a")
    other.note("a")
    assert one.put("b")
    assert not other.put("b")
    assert not other.put("b")
    evidence = read_evidence(one.account.lines())
    assert evidence.effects == {"a": 2}
    assert evidence.asked == {"b"}
    assert (one.taken("b"), one.taken("a")) == (True, False)
    one.close()
    other.close()


def test_a_line_that_a_kill_has_cut_off_is_passed_over_and_spoils_no_other(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.note("a\nb")
    with (tmp_path / "lines").open("ab") as file:
        file.write(b'\n["effect","cut o')
    ledger.note("c")
    assert list(ledger.account.lines()) == [("effect", "a\nb"), ("effect", "c")]
    ledger.close()


# --- victims ---


def echo(pipe: Connection, *, word: str) -> None:
    pipe.send(("up", word))
    while True:
        pipe.send(("heard", *pipe.recv()))


def die_when_appending(pipe: Connection, folder: str) -> None:
    kill_me_at("batch.put", nth=2)
    log = LmdbLog(folder)
    for number in range(3):
        event = RunStarted(agent_id="a", input="i")
        log.append(run_stream(f"r{number}"), [event], expected_version=Version(0)).result()
        pipe.send(("appended", number))


def test_a_victim_is_talked_to_frozen_thawed_and_killed() -> None:
    victim = Victim(echo, word="hello")
    assert victim.hear("up") == ("up", "hello")
    victim.freeze()
    victim.say("later")
    with pytest.raises(TimeoutError):
        victim.hear("heard", timeout=0.05)
    assert victim.frozen
    victim.thaw()
    assert victim.hear("heard") == ("heard", "later")
    victim.freeze()
    assert victim.kill()
    assert not victim.kill()
    assert victim.exit_code == -signal.SIGKILL
    victim.freeze()  # It is dead: nothing to freeze.
    victim.end()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc tells what a thread does")
def test_who_waits_in_vain_for_the_end_of_a_victim_is_told_what_keeps_it() -> None:
    victim = Victim(echo, word="hello")
    victim.hear("up")
    victim.freeze()
    with pytest.raises(TimeoutError, match=r"lives after 0\.05 s, 1 x \w in"):
        victim.wait(0.05)
    victim.end()


def test_what_a_victim_said_before_it_died_is_heard_in_any_order() -> None:
    victim = Victim(echo, word="hello")
    victim.say("one")
    victim.say("two")
    assert victim.hear("heard") == ("heard", "one")
    assert victim.hear("heard") == ("heard", "two")
    victim.kill()
    assert victim.heard() == [("up", "hello")]
    with pytest.raises(EOFError):
        victim.hear("up")
    victim.end()


def test_a_victim_kills_itself_at_a_point(tmp_path: Path) -> None:
    victim = Victim(die_when_appending, str(tmp_path))
    assert victim.wait() == -signal.SIGKILL
    assert victim.heard() == [("appended", 0)]
    victim.end()


# --- the small disk ---


def test_a_small_disk_is_full_and_has_space_again(tmp_path: Path) -> None:
    place = tmp_path / "disk"
    try:
        with SmallDisk(place, 1 << 22) as disk:
            (place / "kept").write_bytes(bytes(10_000))
            disk.fill()
            with pytest.raises(OSError, match="No space left"):
                (place / "more").write_bytes(bytes(1 << 20))
            disk.free()
            (place / "more").write_bytes(bytes(1 << 20))
            assert (place / "kept").stat().st_size == 10_000
    except CannotMount as error:
        pytest.skip(str(error))
    assert list(place.iterdir()) == []


def test_without_root_a_small_disk_says_why_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(CannotMount, match="root"), SmallDisk(tmp_path, 1 << 22):
        raise AssertionError


# --- the checks ---


class Scene:
    """Two runs that nobody has killed, and all that was told about them."""

    def __init__(self, folder: Path) -> None:
        self.log, self.ledger = MemoryLog(), Ledger(folder)
        self.agents = {agent.id: agent for agent in make(self.ledger)}
        asyncio.run(self._run())
        self.log.deliver_on(lambda call: call())  # Its loop is closed.
        self.lines = list(self.ledger.account.lines())
        for run_id in ("r1", "r2"):
            self.lines.append(("started", run_id, False))
            for each in read_run(self.log, run_id):
                self.lines.append(("seen", run_id, each.version, each.id))
            self.lines.append(("result", run_id, "completed", f"{run_id} is done"))
        self.observed: list[Line] = []
        self.replies: dict[str, bytes] = {}
        self.see_all()
        self.taken: Callable[[str], bool] = self.ledger.taken

    async def _run(self) -> None:
        async with Runtime(None, log=self.log, agents=list(self.agents.values())) as rt:
            for run_id in ("r1", "r2"):
                await rt.run("clerk", "go", run_id=run_id)

    def see_all(self) -> None:
        self.observed = [
            ("record", each.position, each.stream, each.first_version, len(each.events))
            for each in records_of(self.log)
        ]

    def append(self, run_id: str, *events: Event, entry: OpenEntry | None = None) -> None:
        stream: StreamId = run_stream(run_id)
        self.log.append(
            stream, events, expected_version=self.log.version(stream), entry=entry
        ).result()
        self.see_all()

    def effect(self, tool: str) -> Line:
        """Return a line by which a tool of that name took effect."""
        kinds = {"pay": 0, "mail": 1, "book": 0}
        kind = "asked" if tool == "book" else "effect"
        lines = [line for line in self.lines if line[0] == kind]
        often = {line: lines.count(line) for line in lines}
        return next(line for line, times in often.items() if times == 1 + kinds[tool])

    def problems(self) -> list[str]:
        found, _ = check_all(
            self.log,
            read_evidence(self.lines),
            agents=self.agents,
            start_of=lambda _: ("clerk", "go"),
            taken=self.taken,
            observed=self.observed,
            reply_to=self.replies.get,
        )
        return [str(problem) for problem in found]


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def test_what_was_never_disturbed_holds(scene: Scene) -> None:
    assert scene.problems() == []


def test_a_start_that_is_lost_is_seen(scene: Scene) -> None:
    scene.lines.append(("started", "lost", True))
    assert scene.problems() == ["run 'lost': its start was acknowledged, and it is not in the log"]


def test_a_result_that_changed_is_seen(scene: Scene) -> None:
    scene.lines.append(("result", "r1", "failed", ""))
    (problem,) = scene.problems()
    assert "its result was told as ('failed', '')" in problem


def test_an_event_that_was_observed_and_is_not_there_is_seen(scene: Scene) -> None:
    scene.lines.append(("seen", "r2", 3, "999.0"))
    assert scene.problems() == ["run 'r2': event 999.0 was observed as version 3, and is not there"]


def test_what_a_process_raised_is_seen(scene: Scene) -> None:
    scene.lines.append(("error", 7, "KeyError", "oh"))
    assert scene.problems() == ["process 7 raised KeyError: oh"]


def test_an_effect_done_twice_is_seen_where_it_may_not_be(scene: Scene) -> None:
    scene.lines.append(scene.effect("pay"))
    (problem,) = scene.problems()
    assert "of 'pay' took effect 2 times, at most 1 are allowed" in problem


def test_an_effect_done_again_after_a_crash_is_seen_only_beyond_the_attempts(scene: Scene) -> None:
    letter = scene.effect("mail")  # The first attempt of each letter fails, and is recorded.
    scene.lines.append(letter)
    (problem,) = scene.problems()
    assert "of 'mail' took effect 3 times, at most 2 are allowed" in problem


@pytest.mark.parametrize("name", ["pay", "mail"])
def test_an_effect_that_was_never_done_is_seen(scene: Scene, name: str) -> None:
    lost = scene.effect(name)
    scene.lines = [line for line in scene.lines if line != lost]
    (problem,) = scene.problems()
    assert f"of {name!r} is completed, and never took effect" in problem


def test_an_effect_that_its_sink_does_not_have_is_seen(scene: Scene) -> None:
    key = scene.effect("book")[1]
    scene.taken = lambda asked: asked != key and scene.ledger.taken(asked)
    (problem,) = scene.problems()
    assert "of 'book' is completed, and nothing was put under its key" in problem


@pytest.mark.parametrize(
    ("order", "told"),
    [
        ("0124*", "where the log has"),
        ("0122*", "where the log has"),
        ("0132*", "where the log has"),
        ("*-", "the observer saw None"),
        ("*$", "which is not in the log"),
    ],
    ids=["missed", "twice", "out of order", "not the last", "the last again"],
)
def test_what_an_observer_saw_otherwise_is_seen(scene: Scene, order: str, told: str) -> None:
    everything, scene.observed = scene.observed, []
    for word in order:
        match word:
            case "*":
                scene.observed += everything[len(scene.observed) :]
            case "-":
                scene.observed.pop()
            case "$":
                scene.observed.append(everything[-1])
            case _:
                scene.observed.append(everything[int(word)])
    (problem,) = scene.problems()
    assert told in problem


def test_a_run_that_is_not_over_is_seen(scene: Scene) -> None:
    scene.append(
        "r3",
        RunStarted(agent_id="clerk", input="go"),
        entry=OpenEntry(kind="run", status="blocked", reason="agent gone"),
    )
    assert scene.problems() == [
        "run 'r3': it is blocked, and not over agent gone",
        "run 'r3': it did not come to its end",
    ]


def test_what_is_recorded_twice_is_seen(scene: Scene) -> None:
    scene.append("r1", ToolCallCompleted(call_id=CallId("0.0")), RunCompleted())
    assert scene.problems() == [
        "run 'r1': a result of call 0.0 is recorded 2 times",
        "run 'r1': an end is recorded 2 times",
    ]


def test_another_input_than_that_of_the_start_is_seen(scene: Scene) -> None:
    scene.append("r3", RunStarted(agent_id="clerk", input="stop"), RunCompleted())
    (problem,) = scene.problems()
    assert "it was started with ('clerk', 'go'), and begins with" in problem


# --- all of it ---


@pytest.mark.slow
def test_agents_that_keep_their_promises_survive(tmp_path: Path) -> None:
    report = assert_survives_kills(make, folder=tmp_path, seed=7, kills=40)
    assert report.kills >= 40
    assert report.starts > 0
    assert report.starts <= report.results <= report.runs
    assert report.effects > 0
    assert f"seed 7: {report.kills} kills" in str(report)


@pytest.mark.slow
def test_threads_signals_and_heartbeats_survive(tmp_path: Path) -> None:
    make = "tests.testing.killed_agents:make_talking"
    report = assert_survives_kills(make, folder=tmp_path, seed=7, kills=12)
    reader = LmdbReader(tmp_path / "log")
    happened = Counter(type(e).__name__ for record in records_of(reader) for e in record.events)
    reader.close()
    assert report.kills >= 12
    for name in ("SignalReceived", "ThreadRunReleased", "HeartbeatFired", "FireEnded"):
        assert happened[name], f"there is no {name} in {happened}"


@pytest.mark.slow
def test_they_survive_a_disk_that_gets_full(tmp_path: Path) -> None:
    try:
        report = assert_survives_kills(
            "tests.testing.killed_agents:make",
            folder=tmp_path,
            seed=8,
            seconds=8,
            processes=2,
            disk_bytes=64 << 20,
        )
    except CannotMount as error:
        pytest.skip(str(error))
    assert report.starts > 0
    print(report)


@pytest.mark.slow
def test_a_promise_that_is_not_kept_is_told_with_seed_events_and_command(tmp_path: Path) -> None:
    with pytest.raises(KillsFailed) as caught:
        assert_survives_kills(broken_agents.pays_twice, folder=tmp_path, seed=9, kills=10)
    told = str(caught.value)
    run_id = next(each.run_id for each in caught.value.problems if each.run_id)
    assert "took effect 2 times, at most 1 are allowed" in told
    assert f"run {run_id!r}:" in told
    assert "RunStarted(agent_id='payer'" in told
    assert "what was written down about it:" in told
    assert "seed 9: " in told
    assert "python -m outlive.testing.kills tests.testing.broken_agents:pays_twice --seed 9" in told
    assert caught.value.report.seed == 9
    assert (tmp_path / "log").is_dir()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("forgets_its_key", "is completed, and never took effect"),
        ("ends_by_itself", "ended with 3, unasked"),
    ],
)
def test_other_things_that_should_not_be_are_told(tmp_path: Path, name: str, told: str) -> None:
    with pytest.raises(KillsFailed, match=told):
        assert_survives_kills(
            f"tests.testing.broken_agents:{name}",
            folder=tmp_path,
            seed=1,
            kills=5,
            every=0.3,
            finish_within=60,
        )


@pytest.mark.slow
def test_the_first_error_ends_it_and_is_told(tmp_path: Path) -> None:
    begun = time.monotonic()
    with pytest.raises(KillsFailed, match="RuntimeError: only one process can have these"):
        assert_survives_kills(broken_agents.cannot_be_made, folder=tmp_path, seconds=600)
    assert time.monotonic() - begun < 300  # It did not go on for what was planned.


@pytest.mark.slow
def test_it_is_a_command(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "outlive.testing.kills", "tests.testing.killed_agents:make"]
    # Seldom enough for a busy machine, on which a process takes its time to come up.
    words += ["--kills", "3", "--every", "1.5"]
    words += ["--processes", "1", "--seed", "5", "--folder", str(tmp_path / "kept")]
    root = Path(__file__).parents[2]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=root)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("seed 5: ")
    assert (tmp_path / "kept" / "log").is_dir()


def test_a_command_that_cannot_be_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tests.testing.killed_agents:make", "--agent", "nobody"]) == 1
    assert "make has not made the agent 'nobody', but ['clerk']" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"make": "no function"}, "module:function"),
        ({"kills": 0}, "kills is 1 or more"),
        ({"processes": 0}, "processes is 1 or more"),
        ({"freezes": 1.0}, "freezes is a share"),
        ({"lease": 0}, "lease is above 0"),
        ({"seconds": -1}, "seconds is above 0"),
        ({"inputs": ()}, "inputs is a list"),
        ({"inputs": "abc"}, "inputs is a list"),
        ({"disk_bytes": 1000}, "4 MiB at least"),
    ],
)
def test_what_cannot_be_played_is_refused(arguments: dict[str, Any], told: str) -> None:
    every: dict[str, Any] = {"make": make, **arguments}
    with pytest.raises(InvalidDefinition, match=told):
        assert_survives_kills(**every)


def test_a_function_that_no_other_process_can_find_is_refused() -> None:
    def mine(ledger: Ledger) -> list[Agent]:
        return make(ledger)

    with pytest.raises(InvalidDefinition, match="has to be found by other processes"):
        assert_survives_kills(mine)


def test_a_folder_with_something_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    with pytest.raises(InvalidDefinition, match="not empty"):
        assert_survives_kills(make, folder=tmp_path)
    assert [each.name for each in tmp_path.iterdir()] == ["mine"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["no_such_module:make"], "there is no module 'no_such_module' to be found from"),
        (["tests.testing.no_such:make"], "there is no module 'tests.testing.no_such'"),
        (["tests.testing.killed_agents:nobody"], "has no 'nobody'"),
        (["tests.testing.broken_agents:_SCRIPT"], "is no function, but"),
        (
            ["tests.testing.broken_agents:makes_nothing"],
            "make returns agents, or a Setup, not None",
        ),
        (["tests.testing.killed_agents:make", "--folder", __file__], "is not a folder"),
    ],
)
def test_a_command_that_is_mistyped_says_what_is_not_there(
    words: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 1
    assert says in capsys.readouterr().err


def states(group: int) -> str:
    """Return in which state each process of a group is that lives: `T` is frozen."""
    found = ""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # It has just ended.
            state, _, its_group = stat.read_text().rpartition(")")[2].split()[:3]
            found += state if int(its_group) == group and state != "Z" else ""
    return found


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
def test_a_command_that_is_stopped_leaves_no_process_behind(tmp_path: Path) -> None:
    words = ["tests.testing.killed_agents:make", "--seconds", "600", "--freezes", "0.9"]
    harness = subprocess.Popen(
        [sys.executable, "-m", "outlive.testing.kills", *words, "--folder", str(tmp_path / "kept")],
        cwd=Path(__file__).parents[2],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        late = time.monotonic() + 60
        while "T" not in states(harness.pid):
            with suppress(subprocess.TimeoutExpired):
                harness.wait(timeout=0.05)
                pytest.fail(f"it has ended by itself: {harness.communicate()[1]}")
            assert time.monotonic() < late
        harness.terminate()  # Ctrl-C comes to the same.
        assert "stopped: nothing was checked" in harness.communicate(timeout=60)[1]
        assert harness.returncode == 130
        while states(harness.pid):  # The server that forks them off hears of it at last.
            assert time.monotonic() < late + 60
    finally:
        with suppress(ProcessLookupError):
            os.killpg(harness.pid, signal.SIGKILL)
