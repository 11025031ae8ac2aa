"""Real kills: processes that run your agents die and freeze at random, and nothing may be lost.

`assert_survives_kills` does it all; from a terminal, `python -m outlive.testing.kills --help`.
`Victim`, `SmallDisk` and `Ledger` are the parts that it is made of, for tests of your own.
"""

from outlive.testing.kills._account import Account, Ledger, Line, Word
from outlive.testing.kills._checks import Problem, records_of
from outlive.testing.kills._disk import CannotMount, SmallDisk
from outlive.testing.kills._plan import Make, People, Setup
from outlive.testing.kills._prove import assert_survives_kills
from outlive.testing.kills._report import KillsFailed, Report
from outlive.testing.kills._victim import Message, Victim, kill_me_at, preload

__all__ = [
    "Account",
    "CannotMount",
    "KillsFailed",
    "Ledger",
    "Line",
    "Make",
    "Message",
    "People",
    "Problem",
    "Report",
    "Setup",
    "SmallDisk",
    "Victim",
    "Word",
    "assert_survives_kills",
    "kill_me_at",
    "preload",
    "records_of",
]
