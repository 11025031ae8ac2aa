"""The example of a digest plays a week: each morning has its decision, whatever dies."""

import runpy
from pathlib import Path

EXAMPLE = Path(__file__).parents[2] / "examples" / "nightly_digest" / "digest.py"


def test_each_morning_has_one_decision() -> None:
    played = runpy.run_path(str(EXAMPLE))
    assert played["play"]() == [
        "Mon 07 fired succeeded",
        "Tue 08 fired succeeded",
        "Wed 09 fired succeeded",
        "Thu 10 fired succeeded",
        "Fri 11 fired succeeded",
        "Sat 12 skipped prepare",
        "Sun 13 skipped prepare",
        "Mon 14 fired succeeded",
    ]
