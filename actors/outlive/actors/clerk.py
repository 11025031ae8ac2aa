"""Takes commands from the inbox: each is carried out, or its sender is told why not.

A command in the inbox is durable: whoever has put it there may be gone, and relies on that. So
one that its entity has no room for now is not refused as a caller's in this process is. It waits
in the inbox, with those that come after it, until there is room.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Final

from outlive.actors.logs import told
from outlive.actors.loop_actor import LoopFuture, MailboxClosed
from outlive.actors.replies import OBEYED, refusal
from outlive.actors.run.submitted import Request, decode_request
from outlive.events import (
    EventLog,
    LogError,
    MailboxFull,
    StreamId,
    Submitted,
    Version,
    WrongExpectedVersion,
)
from outlive.events.logger import get_logger

_log = get_logger()

INBOX: Final = StreamId("inbox")
"""Where a command is refused that no actor answers for. There are no events in this stream."""
_NO_ROOM_S: Final = 0.1  # until it is looked again whether there is room

Ask = Callable[[StreamId, Request, str], LoopFuture[Any] | None]
"""Has a request decided, with the id of its command; None if there is nothing left to do."""


class Clerk:
    """Belongs to the loop of a log's owner."""

    def __init__(self, log: EventLog, ask: Ask, *, closing: Callable[[], bool]) -> None:
        """Prepare to have commands decided by `ask`; none any more once it is `closing`."""
        self._log = log
        self._ask = ask
        self._closing = closing
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[StreamId, deque[Submitted]] = {}  # for room, in their order

    def hear(self, commands: list[Submitted]) -> None:
        """Commands are in the inbox. On any thread."""
        self._loop.call_soon_threadsafe(self._take_all, commands)

    def _take_all(self, commands: Iterable[Submitted]) -> None:
        for command in commands:
            waiting = self._waiting.get(command.stream)
            if waiting is None:
                self._take(command)
            else:
                waiting.append(command)

    def _take(self, submitted: Submitted) -> None:
        """Carry out a command from the inbox, or refuse it."""
        if self._closing():
            return  # It stays in the inbox.
        if not submitted.command_id:
            _log.error("command_unreadable", number=submitted.number)
            return
        stream, id = submitted.stream, submitted.command_id
        try:
            reply = self._ask(stream, decode_request(submitted.data), id)
        except MailboxClosed:
            self._loop.call_soon(self._take, submitted)
        except MailboxFull:
            waiting = self._waiting.setdefault(stream, deque())
            if not waiting:
                self._loop.call_later(_NO_ROOM_S, self._look_for_room, stream)
            waiting.appendleft(submitted)
        except Exception as error:  # noqa: BLE001  # whatever it is, its sender is told
            _log.info("command_refused", stream=stream, reason=told(error))
            self._reply(id, refusal(error))
        else:
            if reply is None:
                self._reply(id, OBEYED)
            else:
                reply.when_set(lambda: self._look(submitted, reply))

    def _look_for_room(self, stream: StreamId) -> None:
        self._take_all(self._waiting.pop(stream))

    def _look(self, submitted: Submitted, reply: LoopFuture[Any]) -> None:
        """The actor has answered, and with it the sender; unless it came to rest before.

        Or its write was refused: it reads its stream anew, and decides again.
        """
        try:
            reply.get()
        except (MailboxClosed, WrongExpectedVersion):
            self._loop.call_soon(self._take, submitted)
        except LogError as error:
            _log.error("command_left", stream=submitted.stream, error=told(error))
        except Exception:  # noqa: BLE001  # recorded as its reply
            return

    def _reply(self, command_id: str, reply: bytes) -> None:
        try:
            self._log.append(
                INBOX, (), expected_version=Version(0), command_id=command_id, reply=reply
            )
        except LogError as error:
            _log.error("command_left", command_id=command_id, error=told(error))
