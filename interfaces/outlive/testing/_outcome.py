"""What a scenario came to, and whether that is what it comes to without crashes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Final, TypeAlias, cast

from outlive.projections import RunResult, TaskInfo
from outlive.testing._simulation.client import Observed
from outlive.testing._simulation.simulation import Simulation

_COMPARED: Final = ("status", "output", "finish_reason", "error", "messages", "steps")


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a scenario came to."""

    returned: object
    """What the scenario returned."""
    results: Mapping[str, RunResult]
    """Each run's result, as the log has it in the end, by id."""
    effects: Mapping[tuple[str, str], int]
    """How often each effect has happened in the `World`, by its name and key."""
    tasks: Mapping[str, TaskInfo] = field(default_factory=dict[str, TaskInfo])
    """Each background task, as the log has it in the end, by id."""


Promise: TypeAlias = Callable[[Outcome, Outcome], None]
"""Judges what came out in spite of crashes (second) by what came out without any (first).

Raises AssertionError if it is not what was promised.
"""


def check_told(simulation: Simulation) -> None:
    """What clients were told is what the log says."""
    told = simulation.acknowledged
    for run_id in told.started:
        if not simulation.records(run_id):
            raise AssertionError(f"the start of {run_id} was acknowledged, and is not in the log")
    for observed in told.observed:
        check_observed(simulation, observed)


def check_observed(simulation: Simulation, observed: Observed) -> None:
    """What an observer saw is what the log says, in order and without a hole."""
    run_id, seen = observed.run_id, observed.seen
    versions = [version for version, _ in seen]
    if versions != list(range(observed.after + 1, observed.after + 1 + len(versions))):
        raise AssertionError(
            f"an observer of {run_id} beyond {observed.after} saw the versions {versions}"
        )
    events = simulation.events(run_id)
    for version, event in seen:
        if version > len(events) or events[version - 1] != event:
            found = events[version - 1] if version <= len(events) else "nothing"
            raise AssertionError(
                f"an observer of {run_id} saw {event} at version {version}, the log has {found}"
            )


def same(calm: Outcome, stormy: Outcome) -> None:
    """The same was returned, and every run has come to the same."""
    if _comparable(calm.returned) != _comparable(stormy.returned):
        if isinstance(calm.returned, RunResult) and isinstance(stormy.returned, RunResult):
            same_result(calm.returned, stormy.returned)
        raise AssertionError(
            f"the scenario returned {stormy.returned!r}, without a crash {calm.returned!r}"
        )
    _same_tasks(calm, stormy)
    before, after = calm.results, stormy.results
    # Runs that are started side by side may be given each other's ids.
    if sorted(map(_without_id, before.values())) == sorted(map(_without_id, after.values())):
        return
    for id in before:
        if id not in after:
            raise AssertionError(f"there is no run {id}, as there is without a crash")
        same_result(before[id], after[id])
    for id in after:
        if id not in before:
            raise AssertionError(f"there is a run {id}, which is not there without a crash")


def _same_tasks(calm: Outcome, stormy: Outcome) -> None:
    """Every background task has come to the same."""
    ends = [sorted(map(_end_of, outcome.tasks.values())) for outcome in (calm, stormy)]
    if ends[0] != ends[1]:
        was, now = next((a, b) for a, b in zip_longest(*ends) if a != b)
        raise AssertionError(f"a background task came to {now}, without a crash {was}")


def _end_of(task: TaskInfo) -> str:
    """Return what is compared of a task; not its id, which holds that of its run."""
    error = None if task.error is None else f"{task.error.kind}: {task.error.message}"
    return f"{task.tool} {task.arguments}: {task.status}, result {task.result!r}, error {error}"


def same_result(calm: RunResult, stormy: RunResult) -> None:
    """A run has come to the same."""
    fields = [(name, getattr(calm, name), getattr(stormy, name)) for name in _COMPARED]
    apart = [_apart(name, was, now) for name, was, now in fields if was != now]
    if apart:
        raise AssertionError(f"run {stormy.run_id} came to other {'; '.join(apart)}")


def _apart(name: str, was: object, now: object) -> str:
    """Say how a field differs; of messages, where they part."""
    if isinstance(was, tuple) and isinstance(now, tuple):
        pairs = zip_longest(cast("Sequence[object]", was), cast("Sequence[object]", now))
        number, was, now = next((n, a, b) for n, (a, b) in enumerate(pairs, 1) if a != b)
        name = f"{name}, of which number {number} is"
    return f"{name} {now}, without a crash {was}"


def _comparable(value: object) -> object:
    """Return what is compared of a value: of a run's result all but its id and its tokens."""
    if isinstance(value, RunResult):
        return tuple(getattr(value, field) for field in _COMPARED)
    if isinstance(value, list | tuple):
        return [_comparable(item) for item in cast("Sequence[object]", value)]
    if isinstance(value, dict):
        items = cast("dict[object, object]", value).items()
        return {key: _comparable(item) for key, item in items}
    return value


def _without_id(result: RunResult) -> str:
    return repr(_comparable(result)).replace(result.run_id, "")


def check_effects(
    calm: Outcome,
    stormy: Outcome,
    *,
    at_most_once: Collection[str] = (),
    deaths: int = 0,
    judged: bool = False,
) -> None:
    """Effects have happened as often as promised, under as many keys as without a crash.

    Args:
        calm, stormy: without crashes, and with them.
        at_most_once: names of effects that never happen twice under one key.
        deaths: how many processes were killed or frozen: each may repeat what was under way.
        judged: somebody else judges what comes of it, so there may be effects of other names, and
            more runs: what is said to a thread begins one if it comes too late for another.
    """
    more_runs = len(stormy.results) - len(calm.results)
    if more_runs < 0 or (more_runs and not judged):
        raise AssertionError(
            f"there are {len(stormy.results)} runs, without a crash {len(calm.results)}"
        )
    for name in sorted({name for name, _ in (*calm.effects, *stormy.effects)}):
        once = name in at_most_once
        before, after = _keys(calm, name), _keys(stormy, name)
        fewer = len(after) < len(before) and not once
        more = len(after) > len(before) and not (judged and not before)
        if fewer or more:
            raise AssertionError(
                f"effect {name!r} happened under {len(after)} keys, "
                f"without a crash under {len(before)}"
            )
        for key, count in after.items():
            if once and count > 1:
                raise AssertionError(f"effect {name!r} happened {count} times under key {key!r}")
            most = before.get(key, max(before.values(), default=count)) * (1 + deaths)
            if count > most:
                raise AssertionError(
                    f"effect {name!r} happened {count} times under key {key!r}: without a crash "
                    f"{before.get(key, 0)} times, and {deaths} deaths explain {most} at most"
                )


def check_keys(calm: Outcome, stormy: Outcome) -> None:
    """Effects have happened under the very keys that they have without a crash.

    For itself that does no harm. It is what a repeat, at another point, is not known by.
    """
    if not _same_runs(calm, stormy):
        return
    for name in sorted({name for name, _ in calm.effects}):
        before, after = _keys(calm, name), _keys(stormy, name)
        for key in after:
            if key not in before:
                missing = next((other for other in before if other not in after), "")
                raise AssertionError(
                    f"effect {name!r} happened under key {key!r}, without a crash under "
                    f"{missing!r}: who knows repeats by their key would not know this one"
                )


def _keys(outcome: Outcome, name: str) -> dict[str, int]:
    """Return the keys of an effect, and how often it happened under each."""
    return {key: count for (other, key), count in outcome.effects.items() if other == name}


def _same_runs(calm: Outcome, stormy: Outcome) -> bool:
    """Whether the same ids are those of the same runs."""
    before, after = (
        {id: result.messages[:1] for id, result in outcome.results.items()}
        for outcome in (calm, stormy)
    )
    return before == after
