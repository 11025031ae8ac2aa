"""Named points at which a test makes something happen: a kill, an error, a wait.

A point is one line, `if failpoints.armed: failpoints.hit("batch.put")`: a look at a module's
name as long as no test has armed anything. Nothing but a test arms one.

To add a point: put its name into `NAMES`, with what holds there, and that line where it is.
The test that kills a process at each point takes the names from here.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

NAMES: Final[tuple[str, ...]] = (
    # An append, on its caller's thread.
    "append.begun",  # nothing is encoded yet
    "append.encoded",  # it can be written, the writer has not got it
    "append.queued",  # the writer has it
    # A batch, on the writer's thread. Until `batch.committed` nothing of it is in.
    "batch.begun",  # its transaction is open
    "batch.judged",  # each commit has its answer, no row is put
    "batch.put",  # all rows are put
    "batch.committing",  # LMDB is about to flush
    "batch.committed",  # it is durable, and nobody knows
    "batch.answered",  # those who appended know
    "batch.published",  # followers in this process know
    "batch.rung",  # followers in other processes know
    # A command that a visitor puts into the inbox.
    "command.put",  # its row is put, and not committed
    "command.committed",  # it is durable, the owner does not know
    "command.rung",  # the owner was rung
    # Becoming the owner, of a folder or in the place of another one.
    "owner.locked",  # it has the lock, or one that is to take the place of a frozen owner's
    "owner.raising",  # the transaction is open, a frozen owner's lock is replaced
    "owner.raised",  # the epoch is raised, and not committed
    "owner.taken",  # it is the owner, and nothing is begun yet
    # Saving how far a named subscription has come.
    "offset.put",  # its row is put, and not committed
    "offset.saved",  # it is durable, and who saves does not know
    # Committing what was folded into a view.
    "view.begun",  # its transaction is open
    "view.put",  # rows and checkpoint are put, and not committed
    "view.committed",  # they are durable
)
"""All points there are: `group.instant`, in the order in which they are come by."""

armed = False
"""Whether any point is armed."""

_lock: Final = threading.Lock()
_actions: dict[str, tuple[Callable[[], object], int]] = {}


def arm(name: str, action: Callable[[], object], *, nth: int = 1) -> None:
    """Call `action` when the point is come by for the `nth` time from now, once.

    It is called on the thread that comes by; what it raises, the code there meets. It may arm
    the point again. A point has one action: arming it anew replaces the one before.

    Raises:
        ValueError: there is no such point, or `nth` is below 1.
    """
    global armed  # noqa: PLW0603  # one name to look at is the point of it
    if name not in NAMES:
        raise ValueError(f"there is no failpoint {name!r} (there are: {', '.join(NAMES)})")
    if nth < 1:
        raise ValueError(f"nth counts from 1, not {nth}")
    with _lock:
        _actions[name] = (action, nth)
        armed = True


def disarm_all() -> None:
    """Make every point do nothing again."""
    global armed  # noqa: PLW0603
    with _lock:
        _actions.clear()
        armed = False


def hit(name: str) -> None:
    """Come by a point. Call it behind `if failpoints.armed`."""
    global armed  # noqa: PLW0603
    assert name in NAMES, f"{name!r} is not in NAMES"
    with _lock:
        found = _actions.pop(name, None)
        if found is None:
            return
        action, nth = found
        if nth > 1:
            _actions[name] = (action, nth - 1)
            return
        armed = bool(_actions)
    action()
