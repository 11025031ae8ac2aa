"""The thread that hears of commands in the inbox, and hands them to the owner."""

from __future__ import annotations

import threading
from collections.abc import Callable

from outlive.events.errors import OutliveError
from outlive.events.lmdb_store.wake import Bell
from outlive.events.logger import get_logger
from outlive.events.submitted import Submitted

_log = get_logger()


class Listener:
    """Looks into the inbox when it is woken, and four times a second, from `start` to `stop`."""

    def __init__(
        self,
        bell: Bell,
        look: Callable[[int], list[Submitted]],
        hand_over: Callable[[list[Submitted]], None],
    ) -> None:
        self._bell = bell
        self._look = look
        self._hand_over = hand_over
        self._thread = threading.Thread(target=self._run, name="outlive-inbox", daemon=True)

    def start(self) -> None:
        """Begin with what is there already."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread. Twice is once."""
        self._bell.stop()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _run(self) -> None:
        seen = 0
        try:
            more = True
            while more:
                while found := self._look(seen):
                    self._hand_over(found)
                    seen = found[-1].number
                more = self._bell.wait()
        except (OutliveError, RuntimeError) as error:  # The log, or the loop handed to, is closed.
            _log.info("inbox_closed", reason=str(error))
        finally:
            self._bell.close()
