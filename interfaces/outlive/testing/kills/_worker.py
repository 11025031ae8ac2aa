"""The processes that are killed: one that works with others on the folder, one that finishes.

What was acknowledged is written down at once, in the account of the ledger, before anything
else is done. A kill between the two loses a line, never adds one.

    ("open", number, role)              a runtime is open
    ("owner", number)                   a visitor has taken over
    ("started", run, submitted)         `start` returned
    ("seen", run, version, event id)    an event was observed
    ("result", run, status, output)     `result` returned, and the run was over
    ("signalled", thread, id, action)   `signal` returned
    ("held up", number, error)          told that somebody is frozen, or that the disk is full
    ("error", number, error, message)   anything else that was raised: it should not have been

and what people say: see `_people`.
"""

from __future__ import annotations

import asyncio
import os
import random
import traceback
from collections.abc import Awaitable, Callable, Coroutine
from multiprocessing.connection import Connection
from typing import Any, Final

from outlive.actors import Run, Runtime
from outlive.actors.kind import SUSPENDED
from outlive.actors.seat import Role
from outlive.events import (
    LmdbLog,
    LogNotWritable,
    LogParked,
    LogReader,
    OutliveError,
    ViewBehind,
    ViewFailed,
    WriterStuck,
)
from outlive.projections import RunResult
from outlive.testing.kills._account import Ledger
from outlive.testing.kills._people import Person, open_of
from outlive.testing.kills._plan import Plan, Setup
from outlive.testing.kills._victim import kill_me_at, write_output_to

_HELD_UP: Final = (WriterStuck, LogParked, LogNotWritable, ViewBehind)
FAILED: Final = 70
"""What a process ends with that has noted an error."""

_LOOK_S: Final = 0.02
_OVER: Final = ("completed", "failed", "cancelled")
_PEOPLE: Final = 2  # of each process
_SOMEBODY: Final = "somebody"  # to whom threads belong


class Program:
    """What both kinds of process are made of."""

    def __init__(self, plan: Plan, number: int) -> None:
        write_output_to(str(plan.output))
        self.plan, self.number = plan, number
        self.ledger = Ledger(plan.ledger)
        self.note = self.ledger.account.write
        self.rng = random.Random(f"{plan.seed}/worker {number}")

    def runtime(self, *, role: Role = "auto", beats: bool = True) -> Runtime:
        """Make a runtime on the folder. Nothing is quarantined: it is we who kill."""
        return Runtime(
            self.plan.log,
            agents=self.setup.agents,
            deps=self.setup.deps,
            projections=self.setup.projections,
            background_tasks=self.setup.background_tasks,
            heartbeats=self.setup.heartbeats if beats else (),
            lease=self.plan.lease,
            max_recoveries=None,
            role=role,
        )

    async def start(self, rt: Runtime, run_id: str) -> Run:
        """Start a run: the same whenever it is started again."""
        agent, text = self.plan.start_of(run_id, self.setup)
        thread = self.plan.thread_of(run_id, self.setup)
        return await rt.start(
            agent,
            text,
            run_id=run_id,
            thread_id=thread,
            resource_id=None if thread is None else _SOMEBODY,
            until_idle=self.setup.until_idle,
        )

    def people(self, rt: Runtime, count: int) -> list[Person]:
        """Return so many who speak to runs; nobody if nobody is to."""
        people = self.setup.people
        return [Person(people, rt, self.rng, self.note) for _ in range(count) if people]

    def note_result(self, result: RunResult) -> None:
        """Note what a run has come to, if it has come to its end."""
        if result.status != SUSPENDED:
            self.note("result", result.run_id, result.status, result.output)

    def live(
        self, pipe: Connection, body: Callable[[Connection], Coroutine[Any, Any, None]]
    ) -> None:
        """Run `body`; note what it raises. Ends the process."""
        try:
            self.setup: Setup = self.plan.setup(self.ledger)
            asyncio.run(body(pipe))
        except BaseException as error:  # noqa: BLE001  # whatever it is, it belongs into the report
            traceback.print_exc()
            self.note("error", self.number, type(error).__name__, str(error))
            os._exit(FAILED)
        os._exit(0)  # Threads of tools are nobody's business any more.


def work(pipe: Connection, plan: Plan, number: int, die_at: tuple[str, int] | None) -> None:
    """Work on the folder with others, until killed."""
    Worker(plan, number).begin(pipe, die_at)


class Worker(Program):
    """Starts runs, old ones too, observes them and waits for what they come to."""

    def begin(self, pipe: Connection, die_at: tuple[str, int] | None) -> None:
        """Begin, and never end."""
        if die_at is not None:
            kill_me_at(*die_at)
        self.live(pipe, self._work)

    async def _work(self, pipe: Connection) -> None:
        # The other end is closed when the harness dies: nobody would kill this process then.
        asyncio.get_running_loop().add_reader(pipe.fileno(), lambda: os._exit(0))
        while True:
            rt = self.runtime()
            try:
                await rt.__aenter__()
            except _HELD_UP as error:
                self.note("held up", self.number, type(error).__name__)
                await asyncio.sleep(_LOOK_S)
                continue
            break
        self.note("open", self.number, rt.role)
        lanes = [self._lane(rt) for _ in range(self.plan.runs_at_once)]
        people = [self._speak(person) for person in self.people(rt, _PEOPLE)]
        signals = [self._signal(rt)] if self.setup.threads else []
        await asyncio.gather(self._watch(rt), *lanes, *people, *signals)

    async def _watch(self, rt: Runtime) -> None:
        """Note when this process takes over."""
        before = rt.role
        while True:
            await asyncio.sleep(_LOOK_S)
            if rt.role == "owner" != before:
                self.note("owner", self.number)
            before = rt.role

    async def _lane(self, rt: Runtime) -> None:
        count = 0
        while True:
            count += 1
            await self._try(self._one(rt, count))

    async def _signal(self, rt: Runtime) -> None:
        count = 0
        while True:
            count += 1
            await self._try(self._say(rt, f"s{self.number}-{count}"))

    async def _say(self, rt: Runtime, key: str) -> None:
        """Signal one of the threads, and sometimes once more, which changes nothing."""
        thread = f"thread{self.rng.randint(1, self.setup.threads)}"
        agent, text = self.plan.start_of(key, self.setup)
        for _ in range(1 + (self.rng.random() < 0.3)):
            accepted = await rt.signal(
                text, thread_id=thread, resource_id=_SOMEBODY, agent=agent, idempotency_key=key
            )
            if accepted.action != "submitted":
                self.note("signalled", thread, accepted.signal_id, accepted.action)

    async def _speak(self, person: Person) -> None:
        while True:
            await self._try(person.look())

    async def _try(self, work: Awaitable[None]) -> None:
        """Do something after a moment, unless somebody is frozen or the disk is full."""
        await asyncio.sleep(self.rng.random() * self.plan.every / 2)
        try:
            await work
        except (*_HELD_UP, ViewFailed) as error:
            if isinstance(error, ViewFailed) and self.plan.disk_bytes is None:
                raise
            self.note("held up", self.number, type(error).__name__)

    async def _one(self, rt: Runtime, count: int) -> None:
        """Start a run, or, when many are open, see one of them to its end."""
        open_runs = open_of(rt.log, "run")
        if len(open_runs) >= 2 * self.plan.runs_at_once * self.plan.processes:
            run_id = self.rng.choice(open_runs)
        else:
            run_id = self._draw(count)
            run = await self.start(rt, run_id)
            self.note("started", run_id, run.submitted)
        if self.rng.random() < 0.5:
            async for recorded in rt.observe(run_id):
                self.note("seen", run_id, recorded.version, recorded.id)
        result = await rt.result(run_id)
        self.note_result(result)
        if result.status in _OVER and self.rng.random() < 0.3:
            info = await rt.runs.get(run_id)
            if info.status != result.status:
                told = f"{run_id} is {result.status}, and runs.get says {info.status}"
                self.note("error", self.number, "AssertionError", told)

    def _draw(self, count: int) -> str:
        """Draw a run's id: a new one, or one that any process may have drawn before."""
        if self.rng.random() < 0.2:
            return f"r{self.rng.randint(0, self.number)}-{self.rng.randint(0, 9)}"
        return f"r{self.number}-{self.rng.randint(0, 9)}-{count}"


def finish(pipe: Connection, plan: Plan, number: int) -> None:
    """Bring everything to its end, alone."""
    Finisher(plan, number).begin(pipe)


class Finisher(Program):
    """Has the folder for itself."""

    failed = False

    def begin(self, pipe: Connection) -> None:
        """Begin, and end when nothing is left to do, or nothing more can be done."""
        self.live(pipe, self._finish)

    async def _finish(self, pipe: Connection) -> None:
        asyncio.get_running_loop().add_reader(pipe.fileno(), lambda: os._exit(0))
        async with self.runtime(role="owner", beats=False) as rt:
            self.note("open", self.number, rt.role)
            lines = self.ledger.account.lines()
            started = dict.fromkeys(str(line[1]) for line in lines if line[0] == "started")
            for run_id in started:  # A start is repeated, and is the same run.
                await self._see_through(rt, run_id, start=True)
            assert isinstance(rt.log, LmdbLog)
            # What was put into the inbox, and not acknowledged. Nobody rings when it is empty.
            while rt.log.submitted():  # noqa: ASYNC110
                await asyncio.sleep(_LOOK_S)
            while True:
                for run_id in open_of(rt.log, "run"):
                    await self._see_through(rt, run_id)
                if not _goes_on(rt.log) or self.failed:
                    break
                await asyncio.sleep(_LOOK_S)
            await rt.tasks.wait(open_of(rt.log, "task"))
            # A task that is over has still to tell its run, whose end may have come before.
            while open_of(rt.log, "task"):  # noqa: ASYNC110
                await asyncio.sleep(_LOOK_S)

    async def _see_through(self, rt: Runtime, run_id: str, *, start: bool = False) -> None:
        try:
            if start:
                await self.start(rt, run_id)
            result = await rt.result(run_id)
            for person in self.people(rt, 1):
                while result.status == SUSPENDED:
                    await person.speak_to(run_id, await person.asked())
                    result = await rt.result(run_id)
        except OutliveError as error:
            self.note("error", self.number, type(error).__name__, str(error))
            self.failed = True
            return
        self.note_result(result)


def _goes_on(log: LogReader) -> bool:
    """Whether runs, or what begins and hears of them, are open."""
    return any(
        entry.kind in ("run", "thread") or (entry.kind == "heartbeat" and entry.owes)
        for _, entry in log.open_entries()
    )
