"""A request that was put into the inbox, as its sender holds it."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from outlive.actors.replies import check_reply
from outlive.events import Committed, LmdbVisitor, RunExists, RunId


class Obeyed(NamedTuple):
    """A request was carried out in this process, durably."""

    state: Any  # of the entity, after it
    committed: Committed | None  # what it has caused; None: nothing, or that is not known


class Submission:
    """Tells whether a start waits, and what its owner said to it."""

    def __init__(self, log: LmdbVisitor, command_id: str, run_id: RunId) -> None:
        self._log = log
        self.command_id: Final = command_id
        self._run_id = run_id

    def waits(self) -> bool:
        """Whether it is still in the inbox. Raises LogClosed."""
        return self._log.waits(self.command_id)

    def answered(self) -> bool:
        """Return whether the owner has obeyed; False while there is no reply, or none any more.

        Raises:
            RunExists, AgentNotFound, Refused: the owner has refused.
        """
        reply = self._log.reply(self.command_id)
        if reply is None:
            return False
        try:
            check_reply(reply)
        except RunExists:
            raise RunExists(self._run_id) from None
        return True
