"""What every `EventLog` does, whatever it is made of: one class of tests for pytest.

    class TestMyLog(LogContract[MyLog]):
        def open(self, place, clock): ...

        def reopen(self, log, place, clock, *, clean): ...

The tests need no plugin: those that wait bring an event loop of their own. Each has a log of its
own.
"""

from outlive.testing.log_contract import _asserts as _asserts  # before the tests are
from outlive.testing.log_contract.contract import LogContract
from outlive.testing.log_contract.store import Store

__all__ = ["LogContract", "Store"]
