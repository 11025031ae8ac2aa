"""What the command line of pytest says about simulations: to repeat one that has failed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, cast, get_args

from outlive.testing._simulation.points import Fate


@dataclass
class _Settings:
    seed: int | None = None
    seeds: int | None = None
    crash_at: Mapping[int, Fate] | None = None


_settings: Final = _Settings()


def configure(
    *, seed: int | None = None, seeds: int | None = None, crash_at: str | None = None
) -> None:
    """Take what was said on the command line; without arguments, forget it. Raises ValueError."""
    _settings.seed, _settings.seeds = seed, seeds
    _settings.crash_at = None if crash_at is None else parse_crashes(crash_at)


def seed() -> int | None:
    """Return the seed that was asked for; None also where tests are to have several."""
    return _settings.seed if _settings.seeds in (None, 1) else None


def seeds() -> int | None:
    """Return for how many seeds tests are repeated, if that was asked for."""
    return _settings.seeds


def crash_at() -> Mapping[int, Fate] | None:
    """Return the only points to crash at, if some were asked for."""
    return _settings.crash_at


def parse_crashes(text: str) -> dict[int, Fate]:
    """Read `"17"`, or `"17:freeze,19"`: points by number, and what becomes of the process there.

    Raises:
        ValueError: that is not such a list.
    """
    crashes: dict[int, Fate] = {}
    for part in text.split(","):
        number, _, fate = part.strip().partition(":")
        if not number.isdigit() or int(number) < 1 or fate not in ("", *get_args(Fate)):
            raise ValueError(f"crash points are as '17' or '17:freeze,19:kill', not {text!r}")
        crashes[int(number)] = cast("Fate", fate or "kill")
    return crashes


def show_crashes(crashes: Mapping[int, Fate]) -> str:
    """Write what `parse_crashes` reads."""
    return ",".join(f"{number}:{fate}" for number, fate in sorted(crashes.items()))
