"""What had to hold about fetches: what is recorded is never fetched again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from outlive.cli._demo.course import Course
from outlive.cli._demo.facts import Check
from outlive.cli._demo.moments import Killed
from outlive.cli._demo.web_server import Counts
from outlive.cli._text import counted


def fetched_again(
    course: Course, kills: Sequence[Killed], fetches: Sequence[Counts] | None
) -> list[tuple[str, ...]]:
    """Return for each kill the pages that it cut off: fetched by who died, recorded by another.

    Args:
        course: of the run and its tasks, in the end.
        kills: those that were made.
        fetches: what the server had counted at each of them, and in the end; None: nobody did.
    """
    if fetches is None:
        return [()] * len(kills)
    recorded_by = course.recorded_by
    found: list[tuple[str, ...]] = []
    before: dict[str, int] = {}
    for kill, counts in zip(kills, fetches, strict=False):
        lost = [
            path
            for path, times in counts.started.items()
            if times > before.get(path, 0) and recorded_by.get(path, 0) > kill.owner
        ]
        found.append(tuple(sorted(lost)))
        before = counts.started
    return found


def fetched_once(
    course: Course, again: Sequence[Sequence[str]], counts: Counts, *, before: int = 0
) -> Check:
    """Return whether each page was fetched once, and once more for each kill that cut it off.

    And those not at all that an owner up to `before` has recorded: the server knows nothing of
    what was fetched then.
    """
    cut_off = Counter(path for paths in again for path in paths)
    times = {path: counts.started.get(path, 0) for path in course.recorded_by}
    fresh = {path: times[path] for path, owner in course.recorded_by.items() if owner > before}
    kept = len(times) - len(fresh)
    holds = bool(times) and all(
        count == (1 + cut_off[path] if path in fresh else 0) for path, count in times.items()
    )
    more = [
        f"{path} {count} times"
        for path, count in sorted(times.items())
        if count != (1 if path in fresh else 0)
    ]
    which = f"{counted(kept, 'page')} kept and not fetched again; " if kept else ""
    which += counted(len(fresh), "page")
    says = f"{which}, each fetched once, as the web server counted"
    if more:
        says = f"{which}, fetched once but for {', '.join(more)}"
        says += ", which a kill cut off before it was recorded" if holds else ""
    return Check(name="fetched once", holds=holds, says=says)
