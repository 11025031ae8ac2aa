"""What tests share."""

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
    "Hung",
    "LaggingLog",
    "Machine",
    "MortalLog",
    "SECOND",
    "START_NS",
    "ScriptedLog",
    "VirtualClock",
    "VirtualLoop",
    "clock",
    "events_of",
    "open_runtime",
    "run_virtual",
    "tag",
    "tags",
    "virtual_loop",
]
