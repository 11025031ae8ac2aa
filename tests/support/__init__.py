"""What tests share."""

from tests.support.deciding import Given, When, fold, given, stored
from tests.support.logs import FailingLog, LaggingLog, MortalLog, ScriptedLog, events_of
from tests.support.machine import CountedIds, Machine, open_runtime, tag, tags
from tests.support.virtual import (
    SECOND,
    START_NS,
    Gate,
    Hung,
    VirtualClock,
    VirtualLoop,
    clock,
    run_virtual,
    virtual_loop,
)

__all__ = [
    "CountedIds",
    "FailingLog",
    "Gate",
    "Given",
    "Hung",
    "LaggingLog",
    "Machine",
    "MortalLog",
    "SECOND",
    "START_NS",
    "ScriptedLog",
    "VirtualClock",
    "VirtualLoop",
    "When",
    "clock",
    "events_of",
    "fold",
    "given",
    "open_runtime",
    "run_virtual",
    "stored",
    "tag",
    "tags",
    "virtual_loop",
]
