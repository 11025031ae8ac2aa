"""What a scenario came to, and whether that is what it comes to without crashes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias, cast

from outlive.projections import RunResult
from outlive.testing._simulation.client import Observed
from outlive.testing._simulation.simulation import Simulation

_COMPARED: Final = ("run_id", "status", "output", "finish_reason", "error", "messages", "steps")


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a scenario came to."""

    returned: object
    """What the scenario returned."""
    results: Mapping[str, RunResult]
    """Each run's result, as the log has it in the end, by id."""
    effects: Mapping[tuple[str, str], int]
    """How often each effect has happened in the `World`, by its name and key."""


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
        raise AssertionError(
            f"the scenario returned {stormy.returned!r}, without a crash {calm.returned!r}"
        )
    before = {id: _comparable(result) for id, result in calm.results.items()}
    after = {id: _comparable(result) for id, result in stormy.results.items()}
    if before != after:
        # Ids are drawn from the seed, so another order may give them to other runs.
        if sorted(map(_without_id, calm.results.values())) == sorted(
            map(_without_id, stormy.results.values())
        ):
            return
        for id in {**before, **after}:
            if before.get(id) != after.get(id):
                raise AssertionError(_apart(id, before.get(id), after.get(id)))


def same_result(calm: RunResult, stormy: RunResult) -> None:
    """A run has come to the same."""
    wanted, found = _comparable(calm), _comparable(stormy)
    if wanted != found:
        raise AssertionError(_apart(calm.run_id, wanted, found))


def _comparable(value: object) -> object:
    """Return what is compared of a value: of a run's result all but the tokens it has cost."""
    if isinstance(value, RunResult):
        return tuple(getattr(value, field) for field in _COMPARED)
    if isinstance(value, list | tuple):
        return [_comparable(item) for item in cast("Sequence[object]", value)]
    if isinstance(value, dict):
        items = cast("dict[object, object]", value).items()
        return {key: _comparable(item) for key, item in items}
    return value


def _apart(id: str, before: object, after: object) -> str:
    """Say in what a run's results differ, as `_comparable` gives them."""
    if not isinstance(before, tuple) or not isinstance(after, tuple):
        return f"run {id} came to {after}, without a crash to {before}"
    fields = zip(
        _COMPARED, cast("Sequence[object]", before), cast("Sequence[object]", after), strict=True
    )
    apart = [f"{name} {now}, without a crash {was}" for name, was, now in fields if was != now]
    return f"run {id} came to other {'; '.join(apart)}"


def _without_id(result: RunResult) -> str:
    return repr(_comparable(result)).replace(result.run_id, "")


def check_effects(calm: Outcome, stormy: Outcome, at_most_once: Collection[str]) -> None:
    """Effects have happened as often as promised, under no more keys than without a crash."""
    for (name, key), count in stormy.effects.items():
        if name in at_most_once and count > 1:
            raise AssertionError(f"effect {name!r} happened {count} times under key {key!r}")
    if len(calm.results) != len(stormy.results):
        raise AssertionError(
            f"there are {len(stormy.results)} runs, without a crash {len(calm.results)}"
        )
    for name in {name for name, _ in (*calm.effects, *stormy.effects)}:
        wanted = sum(other == name for other, _ in calm.effects)
        found = sum(other == name for other, _ in stormy.effects)
        fewer = found < wanted and name not in at_most_once
        if fewer or found > wanted:
            raise AssertionError(
                f"effect {name!r} happened under {found} keys, without a crash under {wanted}"
            )
