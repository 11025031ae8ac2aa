"""Sweep every scenario and print a table of their points: `python -m tests.testing.sweep_table`."""

from __future__ import annotations

import sys

from outlive.testing import SimulationFailed
from tests.testing.scenarios import CASES, sweep
from tests.testing.scenarios_children import CHILDREN
from tests.testing.scenarios_features import CASES as FEATURES
from tests.testing.scenarios_features import FUNCTIONS
from tests.testing.scenarios_people import PEOPLE
from tests.testing.scenarios_tasks import TASKS
from tests.testing.scenarios_threads import THREADS


def main() -> int:
    print("| scenario | points | simulations | deaths | violations |")
    print("| --- | ---: | ---: | ---: | ---: |")
    failures: list[str] = []
    for case in [*CASES, *PEOPLE, *FEATURES, *CHILDREN, *TASKS, *THREADS]:
        try:
            swept = sweep(case, functions=FUNCTIONS, thorough=True)
        except SimulationFailed as failed:
            failures.append(f"{case.name}: {failed}")
            print(f"| {case.name} | | | | 1 |")
        else:
            counts = (len(swept.points), swept.simulations, swept.deaths, 0)
            print(f"| {case.name} | {' | '.join(map(str, counts))} |")
    print(*failures, sep="\n\n")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
