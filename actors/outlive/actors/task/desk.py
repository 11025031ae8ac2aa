"""Who gives the slots away: admission, told of every task's row, and telling who may start.

What it knows is folded from the rows of the open table, when the log is opened and as they
change; there is nothing else to recover. A slot is taken from the moment on at which a task is
told to start. If that comes to nothing, as the task was cancelled meanwhile, say, its row tells.

The number of the last start, and which agent was served with it, is told by the row of the task
that was started; when that goes, as no other one was started since, it is kept in a row of its
own first. So it is known at any instant, and the turns go on after a restart as they would have
without.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from outlive.actors.background import BackgroundTasks
from outlive.actors.logs import told
from outlive.actors.loop_actor import LoopFuture, MailboxClosed
from outlive.actors.mail import Post
from outlive.actors.task.admission import Admission, Backpressure, Granted
from outlive.actors.task.commands import StartTask
from outlive.actors.task.next_in_line import NextInLine
from outlive.actors.task.one_by_one import OneByOne
from outlive.actors.task.rows import note, place_in, turn_in
from outlive.actors.turns import turns_of
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
from outlive.events.logger import get_logger

_log = get_logger()

TURNS: Final = StreamId("turns")
"""Whose row says whose turn it was last. There are no events in this stream."""
_NOBODY: Final = StreamId("")
_PAUSE: Final = 1.0  # seconds until a task is told to start again that could not be told
_CHUNK: Final = 32  # tasks told to start before others have their turns


class Place(NamedTuple):
    """What becomes of a new task, and where it stands."""

    verdict: Backpressure
    reason: str
    number: int
    turn: int  # of its start, if it starts at once


class _Start(NamedTuple):
    """The last start: its number, the task as long as its row tells it, and the agent served."""

    turn: int
    task: StreamId
    agent_id: str


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
        self._soon = turns_of(self._loop)
        self._starting: dict[StreamId, int] = {}  # told to start, under this number, not obeyed yet
        self._one_by_one = OneByOne()
        self.next_in_line: Final = NextInLine(
            self._admission,
            slots=settings.global_concurrency,
            bring_in=post.look_at,
            let_go=post.passed,
        )
        self._places: dict[StreamId, Place] = {}  # of tasks that are being asked for
        self._last_place = 0
        self._come: dict[StreamId, int] = {}  # instants that have, by who waits for a slot since
        self._last = _Start(0, _NOBODY, "")
        self._calling = False  # it is looked who may start in this turn of the loop, or the next
        self._closed = False

    def open(self, rows: Sequence[tuple[StreamId, OpenEntry]]) -> None:
        """Take in the rows of a log that was opened."""
        turns = self._log.open_entry(TURNS)
        if turns is not None:
            self._last = _Start(turn_in(turns), _NOBODY, turns.summary["agent_id"])
            self._admission.served(self._last.agent_id, self._last.turn)
        for task, entry in sorted(rows, key=lambda row: row[1].status != "running"):
            self._hear(task, entry)

    def row(self, task: StreamId, entry: OpenEntry | None) -> None:
        """Hear that a task's row is to be another one, or to go.

        That is about to be appended. Whoever may start now is told so after that, and its start
        is never durable without the end by which its slot got free.
        """
        self._hear(task, entry)
        self.next_in_line.hear(task)

    def _hear(self, task: StreamId, entry: OpenEntry | None) -> None:
        if entry is None and task in self._places:
            return  # It has not begun yet, and could not this time.
        self._places.pop(task, None)
        if task in self._starting:
            if entry is not None and entry.status == "queued":
                return  # It has not come to what it was told yet.
            del self._starting[task]
        if entry is not None:
            self._last_place = max(self._last_place, place_in(entry))
            if turn_in(entry) > self._last.turn:
                self._last = _Start(turn_in(entry), task, entry.summary["agent_id"])
                self._admission.served(self._last.agent_id, self._last.turn)
        elif task == self._last.task:
            self._keep_turn()
        self._note(task, entry, due=self._is_due(task, entry))
        self._call()

    def _note(self, task: StreamId, entry: OpenEntry | None, *, due: bool) -> None:
        """Have admission know of a task, unless it waits behind another one; and who comes up."""
        if self._one_by_one.holds_back(task, entry):
            self._admission.leave(task)
            return
        note(self._admission, task, entry, due=due)
        up = self._one_by_one.next()
        if up is not None:
            note(self._admission, *up, due=True)  # Who is suspected waits for no instant.

    def _is_due(self, task: StreamId, entry: OpenEntry | None) -> bool:
        """Whether a task waits for no instant. One that has come is not undone by a set clock."""
        at_ns = None if entry is None else entry.wake_at_ns
        if at_ns is None:
            self._come.pop(task, None)
        elif self._come.get(task) != at_ns:
            if at_ns > self._clock.now_ns():
                return False
            self._come[task] = at_ns
        return True

    def due(self, task: StreamId, now_ns: int) -> None:
        """The instant has come at which a task may be tried again."""
        if self._closed or task in self._starting or self._admission.knows(task):
            return  # It was told before, and its start may not be durable yet.
        entry = self._log.open_entry(task)
        if entry is None or entry.status != "queued":
            return
        if "inline" in entry.summary:
            self._post.send(task, StartTask(now_ns=now_ns, turn=0, worker=self.worker))
            return
        if entry.wake_at_ns is not None:
            self._come[task] = entry.wake_at_ns
        self._note(task, entry, due=True)
        self._call()

    def admit(self, task: StreamId, agent_id: str, tool: str, *, begun: bool) -> Place:
        """Return what is to become of a task that is asked for.

        `begun`: it is on record already, and has its place. Say `settled` when it has been
        recorded, or was not.
        """
        if task in self._places:
            return self._places[task]  # It could not be told before.
        if begun or self._admission.knows(task):
            return Place("queue", "", 0, 0)
        verdict, turn = self._admission.admit(
            task,
            agent_id,
            tool,
            backpressure=self._settings.backpressure,
            max_queued=self._settings.max_queued,
        )
        reason = ""
        if verdict == "reject":
            reason = (
                "too many background tasks already: "
                f"running {self._admission.holding}, waiting {self._admission.queued}; "
                "try again later"
            )
        self._last_place += 1
        place = self._places[task] = Place(verdict, reason, self._last_place, turn)
        return place

    def settled(self, task: StreamId) -> None:
        """A task that was admitted is on record now: its row has told. Or it is not to be."""
        if self._places.pop(task, None) is not None:
            self._admission.leave(task)
            self._call()

    def close(self) -> None:
        """Give no slot away any more."""
        self._closed = True
        self.next_in_line.close()

    def _call(self) -> None:
        """Look who may start, once all that is heard in this turn of the loop is known."""
        if not self._calling and self._admission.may_give:
            self._calling = True
            self._soon(self._give_away)

    def _give_away(self) -> None:
        self._calling = False
        for _ in range(_CHUNK):
            granted = None if self._closed else self._admission.next()
            if granted is None:
                return
            self._start(granted)
        self._call()

    def _start(self, granted: Granted) -> None:
        task, turn = granted
        reply: LoopFuture[TaskState] = LoopFuture()
        self._starting[task] = turn

        def answered() -> None:
            if self._starting.get(task) != turn:
                self.next_in_line.look()
                return  # It has started: its row has told.
            try:
                reply.get()
            except (LogError, MailboxClosed):
                self._loop.call_later(_PAUSE, self._look_at, granted)  # At once would be no better.
                return
            except OutliveError as error:
                _log.error("command_refused", stream=task, reason=told(error))
            self._look_at(granted)

        now_ns = max(self._clock.now_ns(), self._come.get(task, 0))
        start = StartTask(now_ns=now_ns, turn=turn, worker=self.worker)
        self.next_in_line.begins(task)
        self._post.send(task, start, reply=reply)
        reply.when_set(answered)

    def _look_at(self, granted: Granted) -> None:
        """A task was told to start, and did not: what is it that it does?"""
        task, turn = granted
        if self._closed or self._starting.get(task) != turn:
            return
        del self._starting[task]
        try:
            entry = self._log.open_entry(task)
        except LogError as error:
            _log.error("entity_not_read", stream=task, error=told(error))
        else:
            self.row(task, entry)

    def _keep_turn(self) -> None:
        """Keep whose turn it was last, before the row goes that tells it."""
        turn, task, agent_id = self._last
        self._last = _Start(turn, _NOBODY, agent_id)
        kept = {"agent_id": agent_id, "turn": str(turn)}
        row = OpenEntry(kind="turns", status="kept", summary=kept)
        try:
            self._log.append(TURNS, (), expected_version=Version(0), entry=row)
        except LogError as error:
            _log.error("turn_not_kept", stream=task, error=told(error))
