"""What a function is told of a run goes when nobody has it any more."""

from __future__ import annotations

import gc
import weakref

from outlive.actors.run_context import RunContext
from outlive.events import RunId, Usage


class Deps:
    last: RunContext | None = None


def test_deps_that_keep_the_last_run_that_asked_do_not_live_for_ever() -> None:
    deps = Deps()
    deps.last = RunContext(
        run_id=RunId("r1"),
        agent_id="a",
        step=0,
        messages=(),
        usage=Usage(),
        metadata={},
        request_context={},
        deps=deps,
    )
    left = weakref.ref(deps)
    del deps
    gc.collect()
    assert left() is None
