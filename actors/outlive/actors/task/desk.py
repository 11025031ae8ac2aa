"""Who gives the slots away: admission, told of every task's row, and telling who may start.

What it knows is folded from the rows of the open table, when the log is opened and as they
change; there is nothing else to recover. A slot is taken from the moment on at which a task is
told to start. If that comes to nothing, as the task was cancelled meanwhile, say, its row tells.

The number of the last start, and which agent was served with it, is kept in a row of its own,
behind the commit of each start. While a task that was started is open, its own row tells it; so
it is known at any instant, and the turns go on after a restart as they would have without.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import structlog

from outlive.actors.background import BackgroundTasks
from outlive.actors.logs import told
from outlive.actors.loop_actor import LoopFuture, MailboxClosed
from outlive.actors.mail import Post
from outlive.actors.task.admission import Admission, Backpressure, Granted
from outlive.actors.task.commands import StartTask
from outlive.actors.task.rows import note, place_in, turn_in
from outlive.events import (
    Clock,
    EventLog,
    LogError,
    OpenEntry,
    OutliveError,
    StreamId,
    TaskState,
    Version,
)

_log = structlog.stdlib.get_logger("outlive")

TURNS: Final = StreamId("turns")
"""Whose row says whose turn it was last. There are no events in this stream."""
_PAUSE: Final = 1.0  # seconds until a task is told to start again that could not be told
_CHUNK: Final = 32  # tasks told to start before the loop gets its turn


class Place(NamedTuple):
    """What becomes of a new task, and where it stands."""

    verdict: Backpressure
    reason: str
    number: int


class Desk:
    """Gives the slots of one owner to its tasks. Belongs to the loop."""

    def __init__(
        self,
        settings: BackgroundTasks,
        tools: Mapping[str, int],
        *,
        log: EventLog,
        post: Post,
        clock: Clock,
    ) -> None:
        self.worker: Final = f"owner-{log.epoch}"
        """What the log calls this process."""
        self._settings = settings
        self._admission = Admission(
            overall=settings.global_concurrency,
            per_agent=settings.per_agent_concurrency,
            tools=tools,
        )
        self._log = log
        self._post = post
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._starting: dict[StreamId, None] = {}  # told to start, and not answered yet
        self._places: dict[StreamId, Place] = {}  # of tasks that are being asked for
        self._last_place = 0
        self._kept = 0  # the highest turn that is kept
        self._calling = False  # it is looked who may start in this turn of the loop, or the next
        self._closed = False

    def open(self, rows: Sequence[tuple[StreamId, OpenEntry]]) -> None:
        """Take in the rows of a log that was opened."""
        turns = self._log.open_entry(TURNS)
        if turns is not None:
            self._kept = turn_in(turns)
            self._admission.served(turns.summary["agent_id"], self._kept)
        for task, entry in rows:
            self.row(task, entry)

    def row(self, task: StreamId, entry: OpenEntry | None) -> None:
        """Hear that a task's row is another one, or gone. A commit has made it so."""
        if entry is None and task in self._places:
            return  # It is being brought in to be told that it begins.
        self._places.pop(task, None)
        if entry is not None:
            self._last_place = max(self._last_place, place_in(entry))
            if task in self._starting and entry.status == "queued":
                return  # It has not come to what it was told yet.
            self._keep_turn(entry)
        note(self._admission, task, entry, now_ns=self._clock.now_ns())
        self._call()

    def due(self, task: StreamId, now_ns: int) -> None:
        """The instant has come at which a task may be tried again."""
        if self._closed or task in self._starting:
            return
        entry = self._log.open_entry(task)
        if entry is None or entry.status != "queued":
            return
        if "inline" in entry.summary:
            self._post.send(task, StartTask(now_ns=now_ns, turn=0, worker=self.worker))
            return
        note(self._admission, task, entry, now_ns=now_ns)
        self._call()

    def admit(self, task: StreamId, agent_id: str, tool: str) -> Place:
        """Return what is to become of a task that is asked for.

        Say `settled` when it has been recorded, or was not.
        """
        if task in self._places:
            return self._places[task]  # It could not be told before.
        if self._log.version(task):
            return Place("queue", "", 0)  # It has its place: this is a repeat.
        verdict = self._admission.admit(
            task,
            agent_id,
            tool,
            backpressure=self._settings.backpressure,
            max_queued=self._settings.max_queued,
        )
        reason = ""
        if verdict == "reject":
            reason = (
                f"{self._admission.holding} background tasks run and {self._admission.queued} wait "
                "already: try again later"
            )
        self._last_place += 1
        place = self._places[task] = Place(verdict, reason, self._last_place)
        return place

    def settled(self, task: StreamId) -> None:
        """A task that was admitted is on record now, or it is not to be: its row tells."""
        self._places.pop(task, None)
        self._look_at(task)

    def close(self) -> None:
        """Give no slot away any more."""
        self._closed = True

    def _settle(self, task: StreamId) -> None:
        self._starting.pop(task, None)
        self._look_at(task)

    def _look_at(self, task: StreamId) -> None:
        if self._closed:
            return
        try:
            entry = self._log.open_entry(task)
        except LogError as error:
            _log.error("entity_not_read", stream=task, error=told(error))
        else:
            self.row(task, entry)

    def _call(self) -> None:
        """Look who may start, once all that is heard in this turn of the loop is known."""
        if not self._calling:
            self._calling = True
            self._loop.call_soon(self._give_away)

    def _give_away(self) -> None:
        self._calling = False
        for _ in range(_CHUNK):
            granted = None if self._closed else self._admission.next()
            if granted is None:
                return
            self._start(granted)
        self._call()

    def _start(self, granted: Granted) -> None:
        task = granted.task
        reply = LoopFuture[TaskState]()
        self._starting[task] = None

        def answered() -> None:
            try:
                reply.get()
            except (LogError, MailboxClosed):
                self._loop.call_later(_PAUSE, self._settle, task)  # At once it would be no better.
                return
            except OutliveError as error:
                _log.error("command_refused", stream=task, reason=told(error))
            self._settle(task)

        start = StartTask(now_ns=self._clock.now_ns(), turn=granted.turn, worker=self.worker)
        self._post.send(task, start, reply=reply)
        reply.when_set(answered)

    def _keep_turn(self, entry: OpenEntry) -> None:
        """Keep whose turn it was, now that the start is durable: before its end can be."""
        turn = turn_in(entry)
        if turn <= self._kept or self._closed:
            return
        self._kept = turn
        kept = {"agent_id": entry.summary["agent_id"], "turn": str(turn)}
        row = OpenEntry(kind="turns", status="kept", summary=kept)
        try:
            self._log.append(TURNS, (), expected_version=Version(0), entry=row)
        except LogError as error:
            _log.error("turn_not_kept", error=told(error))
