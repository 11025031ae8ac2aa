"""All parts of the contract in one class."""

from __future__ import annotations

from typing import TypeVar

from outlive.events import EventLog
from outlive.testing.log_contract.appending import AppendingContract
from outlive.testing.log_contract.committing import CommittingContract
from outlive.testing.log_contract.compacting import CompactionContract
from outlive.testing.log_contract.following import FollowingContract
from outlive.testing.log_contract.keeping import KeepingContract
from outlive.testing.log_contract.named import NamedContract

L = TypeVar("L", bound=EventLog)


class LogContract(
    AppendingContract[L],
    KeepingContract[L],
    CommittingContract[L],
    FollowingContract[L],
    NamedContract[L],
    CompactionContract[L],
):
    """Every test that an `EventLog` has to pass. Subclass it and say `open` and `reopen`.

    Acknowledged is what a `Commit` has told to be durable. Positions of a new log are 1, 2, 3
    and so on, and epochs count its openings. The tests use the fixtures `store` and `log`; a
    subclass may override them.
    """
