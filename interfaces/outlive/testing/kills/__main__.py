"""`python -m outlive.testing.kills module:function`: kill your agents from a terminal."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path
from typing import NoReturn

from outlive.events import OutliveError
from outlive.testing.kills import KillsFailed, assert_survives_kills

INTERRUPTED = 130
"""What it ends with when somebody stops it, as a shell has it."""


def _stop(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def main(arguments: list[str] | None = None) -> int:
    """Kill, print what was found, and return 0 if everything held.

    Ctrl-C and SIGTERM end it, with all processes that it has begun: a frozen one would stay.
    """
    parser = argparse.ArgumentParser(
        prog="python -m outlive.testing.kills",
        description="Kill and freeze processes that run your agents; check what they acknowledged.",
    )
    add = parser.add_argument
    add("make", help="module:function that makes the agents from a Ledger")
    add("--seed", type=int, help="what decisions are drawn from (default: drawn, and told)")
    add("--kills", type=int, help="the end is reached after so many")
    add("--seconds", type=float, help="or after so much time (neither: 200 kills)")
    add("--processes", type=int, default=3, help="how many share the folder (%(default)s)")
    add("--freezes", type=float, default=0.2, help="share of strikes that freeze (%(default)s)")
    add("--lease", type=float, default=0.5, help="of the runtimes, in seconds (%(default)s)")
    add("--every", type=float, default=0.1, help="seconds between two strikes (%(default)s)")
    add("--runs-at-once", type=int, default=6, help="of each process (%(default)s)")
    add("--input", action="append", help="a text that runs are started with; may be repeated")
    add("--agent", action="append", help="an agent that runs are started of; may be repeated")
    add("--disk-mib", type=int, help="keep the log on a disk that small, and fill it (needs root)")
    add("--folder", type=Path, help="where everything is kept (default: a temporary one)")
    given = parser.parse_args(arguments)
    before = signal.signal(signal.SIGTERM, _stop)
    try:
        report = assert_survives_kills(
            given.make,
            folder=given.folder,
            seed=given.seed,
            kills=given.kills,
            seconds=given.seconds,
            processes=given.processes,
            freezes=given.freezes,
            lease=given.lease,
            every=given.every,
            runs_at_once=given.runs_at_once,
            inputs=given.input or ("Go on.",),
            agents=given.agent,
            disk_bytes=None if given.disk_mib is None else given.disk_mib << 20,
        )
    except (KillsFailed, OutliveError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped: nothing was checked", file=sys.stderr)
        return INTERRUPTED
    finally:
        signal.signal(signal.SIGTERM, before)
    print(report)
    return 0


if __name__ == "__main__":
    sys.exit(main())
