"""What an acknowledgement is worth.

`sync`: the commit is on the disk. It survives the death of the process, of the system, and the
loss of power. LMDB flushes twice for that: the pages, then the root that leads to them.

`relaxed`: the commit is with the system, its pages are on the disk. It survives the death of the
process (SIGKILL). When the system dies or power is lost, the last commits may be missing, as if
they had not been made; what is there is whole. The root goes to the disk with the next commit's
pages, by the system's own doing, or when the log is closed. One flush a commit.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from outlive.events.errors import InvalidDefinition

Durability: TypeAlias = Literal["sync", "relaxed"]


def check_durability(durability: str) -> None:
    """Raise InvalidDefinition unless there is such a durability."""
    if durability not in ("sync", "relaxed"):
        raise InvalidDefinition(f"durability is 'sync' or 'relaxed', not {durability!r}")
