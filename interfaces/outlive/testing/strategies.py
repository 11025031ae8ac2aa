"""Hypothesis for agents: what can be drawn, and profiles, which importing this registers.

What is drawn of runs: `run_histories`, `run_commands`, `run_events`, `values`; of tasks
`task_histories`, `task_commands`, `task_events`, of threads `thread_histories`, `thread_commands`,
`thread_events`, of heartbeats `heartbeat_histories`, `heartbeat_commands`, `heartbeat_events`; of
agents `agents`, each a `PlannedAgent` with
its `PlannedTool`s; of what befalls them `crashes`, `fates`, `durations`. `histories` draws those
of an entity of your own. `outlive.testing.AgentMachine` puts it all together.

The profiles:

- `outlive-ci`: the same examples each time, so that a test that fails does so for what was
  changed; no deadlines, as a busy machine is not a bug.
- `outlive-nightly`: other examples each time and twenty times as many, with longer sequences in
  state machines.

`settings.load_profile("outlive-ci")` in a `conftest.py` makes one the default of its tests, and
`pytest --hypothesis-profile=outlive-nightly` chooses another one for a run of them.
"""

from __future__ import annotations

from outlive.testing._extra import explained

try:
    from hypothesis import HealthCheck, settings
except ModuleNotFoundError as error:
    raise explained(error, __name__) from None

from outlive.testing._drawn.agents import PlannedAgent, PlannedTool, agents
from outlive.testing._drawn.crashes import crashes, fates
from outlive.testing._drawn.heartbeats import (
    heartbeat_commands,
    heartbeat_events,
    heartbeat_histories,
)
from outlive.testing._drawn.runs import histories, run_commands, run_events, run_histories
from outlive.testing._drawn.tasks import task_commands, task_events, task_histories
from outlive.testing._drawn.threads import thread_commands, thread_events, thread_histories
from outlive.testing._drawn.values import durations, values

__all__ = [
    "PlannedAgent",
    "PlannedTool",
    "agents",
    "crashes",
    "durations",
    "fates",
    "heartbeat_commands",
    "heartbeat_events",
    "heartbeat_histories",
    "histories",
    "run_commands",
    "run_events",
    "run_histories",
    "task_commands",
    "task_events",
    "task_histories",
    "thread_commands",
    "thread_events",
    "thread_histories",
    "values",
]

settings.register_profile(
    "outlive-ci",
    deadline=None,
    derandomize=True,
    database=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(
    "outlive-nightly",
    deadline=None,
    derandomize=False,
    max_examples=2_000,
    print_blob=True,
    stateful_step_count=200,
    suppress_health_check=[HealthCheck.too_slow],
)
