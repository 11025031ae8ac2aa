"""What a runtime opens: a log, in the role that it was given, and what it does on that log."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Final

from outlive.actors.abandoned import AbandonedThreads
from outlive.actors.ids import Ids
from outlive.actors.owner_side import OwnerSide
from outlive.actors.seat import Role, Seat, check_role, told_later
from outlive.actors.settings import Settings, listed
from outlive.actors.threads import DaemonThreads
from outlive.actors.visitor_side import VisitorSide
from outlive.actors.workers.port import Workers
from outlive.actors.workers.processes import ProcessWorkers
from outlive.events import (
    EventLog,
    InvalidDefinition,
    LmdbLog,
    LmdbVisitor,
    MemoryLog,
)
from outlive.events.lmdb_store.durability import Durability, check_durability
from outlive.events.lmdb_store.folder import folder_path
from outlive.events.lmdb_store.taking import check_lease
from outlive.projections import (
    HeartbeatsView,
    Projection,
    RunsView,
    TasksView,
    ThreadsView,
    ViewReader,
    ViewRunner,
    check_projections,
)
from outlive.projections.tasks.standing import StandingWatch


class Sides:
    """Makes the sides of one runtime, the owner's and the visitor's, each time it takes one.

    Raises:
        InvalidDefinition: an argument that cannot hold.
    """

    def __init__(
        self,
        path: str | Path | None,
        *,
        settings: Settings,
        role: Role,
        lease: float,
        durability: Durability,
        projections: Sequence[Projection],
        ids: Ids,
        executor: Executor | None,
        workers: Workers | None,
        log: EventLog | None,
        standing: StandingWatch,
    ) -> None:
        check_role(role)
        check_lease(lease)
        in_folder = path is not None and log is None
        if role in ("visitor", "standby") and not in_folder:
            raise InvalidDefinition(f"a {role} needs a folder that others own: give a path")
        check_durability(durability)
        if durability != "sync" and not in_folder:
            raise InvalidDefinition("durability is that of a folder: give a path, and no log")
        path = None if path is None else folder_path(path)
        self._folder: Final = path if in_folder else None
        self._role: Final[Role] = role
        self._lease: Final = lease
        self._durability: Final[Durability] = durability
        self._projections: Final[tuple[Projection, ...]] = (
            RunsView(),
            TasksView(),
            ThreadsView(),
            HeartbeatsView(),
            *listed(projections, "projections"),
        )
        check_projections(self._projections)
        self._settings: Final = settings
        self._ids: Final = ids
        self._executor = executor
        self._own_executor: DaemonThreads | None = None
        self._workers: Final = workers
        self._given_log: Final = log
        self._standing: Final = standing
        self.abandoned: Final = AbandonedThreads()

    def seat(self) -> Seat:
        """Return a seat on the loop that runs, not open yet."""
        if self._executor is None:
            self._executor = self._own_executor = DaemonThreads()
        return Seat(
            "owner" if self._folder is None else self._role,
            lease=self._lease,
            own=self._own,
            visit=lambda: LmdbVisitor(
                self._in_folder, clock=self._settings.clock, durability=self._durability
            ),
            stay=lambda log: LmdbVisitor.of(log.step_down(), clock=self._settings.clock),
            owning=self._owning,
            visiting=self._visiting,
        )

    async def open(self, seat: Seat) -> None:
        """Open the log, and take the side that the role has there. Raises LogError."""
        try:
            if self._given_log is not None:
                seat.take(self._given_log, given=True)
            elif self._folder is None:
                seat.take(MemoryLog(clock=self._settings.clock))
            else:
                await seat.open()
        except BaseException:
            self._let_threads_go()
            raise

    async def let_go(self, log: EventLog | LmdbVisitor | None) -> None:
        """Close what `Seat.close` has left open, unless it was handed in; nothing uses it now."""
        self._let_threads_go()
        if log is not None and log is not self._given_log:
            # Its writer may be in the middle of a flush: not on the loop.
            await asyncio.get_running_loop().run_in_executor(None, log.close)

    def _let_threads_go(self) -> None:
        if self._own_executor is not None:
            self._own_executor.shutdown()

    @property
    def _in_folder(self) -> Path:
        assert self._folder is not None
        return self._folder

    def _own(self) -> LmdbLog:
        return LmdbLog(
            self._in_folder,
            clock=self._settings.clock,
            durability=self._durability,
            lease=self._lease,
            on_failure=told_later,
        )

    def _owning(self, log: EventLog) -> OwnerSide:
        assert self._executor is not None
        self._standing.be_told(True)
        views = workers = None
        if self._folder is not None:
            views, workers = self._folder / "views", self._folder / "workers"
        return OwnerSide(
            log,
            self._settings,
            views=ViewRunner(log, self._projections, folder=views),
            executor=self._executor,
            abandoned=self.abandoned,
            workers=self._workers or ProcessWorkers(workers),
            on_standing_task=self._standing.stands,
        )

    def _visiting(self, log: LmdbVisitor) -> VisitorSide:
        self._standing.be_told(False)
        clock = self._settings.clock
        views = ViewReader(log, self._projections, folder=self._in_folder / "views", clock=clock)
        return VisitorSide(log, ids=self._ids, views=views, clock=clock)
