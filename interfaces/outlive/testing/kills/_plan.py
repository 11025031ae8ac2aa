"""What is to be played: whose agents, how often they are killed, and with what chance."""

from __future__ import annotations

import importlib
import pickle
import random
import re
import shlex
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias, cast

from outlive.actors import Agent, BackgroundTasks, Heartbeat, Steering, UntilIdle
from outlive.events import InvalidDefinition
from outlive.projections import Pending, Projection
from outlive.testing.kills._account import Ledger

People: TypeAlias = Callable[[Steering, str, Sequence[Pending], random.Random], Awaitable[object]]
"""What a person says to a run: `async def people(rt, run_id, waiting, rng)`.

It is called again and again, in every process, for some run, with what that waits for, which is
often nothing. It may answer, approve, decline, resolve and cancel, twice, wrongly and too late:
a refusal that it lets through is fine, if it fits. But sooner or later everything has to be
answered. What it leaves to chance it draws from `rng`.
"""


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What is played, when that is more than agents. See `Runtime`, and `People`.

    All runs are started with `until_idle`, as `Runtime.start` has it. With `threads`, half of them
    work on one of so many threads, which are signalled, too. The `heartbeats` are declared by every
    process but the last one.
    """

    agents: Sequence[Agent]
    deps: object = None
    projections: Sequence[Projection] = ()
    people: People | None = None
    background_tasks: BackgroundTasks | None = None
    until_idle: bool | UntilIdle = False
    threads: int = 0
    heartbeats: Sequence[Heartbeat] = ()

    def __post_init__(self) -> None:
        """Refuse what cannot be played."""
        if type(self.threads) is not int or self.threads < 0:
            raise InvalidDefinition(f"threads is 0 or more, not {self.threads!r}")


Make: TypeAlias = Callable[[Ledger], Sequence[Agent] | Setup]

_DRAWN: Final = re.compile(r"r[0-9]+-[0-9]+(-[0-9]+)?")
_DEFAULTS: Final[Mapping[str, object]] = {"freezes": 0.2, "lease": 0.5, "every": 0.1}


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All that processes need to know of what is played. See `assert_survives_kills`."""

    make: str | Make
    folder: Path
    seed: int
    kills: int | None
    seconds: float | None
    processes: int
    freezes: float
    lease: float
    every: float
    runs_at_once: int
    inputs: Sequence[str]
    agents: Sequence[str] | None
    disk_bytes: int | None
    finish_within: float
    ledger: Path = field(init=False)
    log: Path = field(init=False)
    output: Path = field(init=False)
    observed: Path = field(init=False)

    def __post_init__(self) -> None:
        """Refuse what cannot be played."""
        if not isinstance(self.make, str):
            _check_can_be_sent(self.make)
        elif not all(self.make.partition(":")):
            raise InvalidDefinition(f"make is a function or 'module:function', not {self.make!r}")
        for name in ("processes", "runs_at_once", *(["kills"] if self.kills is not None else [])):
            value = getattr(self, name)
            if type(value) is not int or value < 1:
                raise InvalidDefinition(f"{name} is 1 or more, not {value!r}")
        if not 0 <= self.freezes < 1:
            raise InvalidDefinition(f"freezes is a share from 0 to below 1, not {self.freezes!r}")
        for name in ("lease", "every", "finish_within"):
            if getattr(self, name) <= 0:
                raise InvalidDefinition(f"{name} is above 0 seconds, not {getattr(self, name)!r}")
        if self.seconds is not None and self.seconds <= 0:
            raise InvalidDefinition(f"seconds is above 0, not {self.seconds!r}")
        if not self.inputs or isinstance(self.inputs, str):
            raise InvalidDefinition("inputs is a list of at least one text")
        object.__setattr__(self, "inputs", tuple(self.inputs))
        if self.disk_bytes is not None and self.disk_bytes < 1 << 22:
            raise InvalidDefinition("a small disk has 4 MiB at least (disk_bytes)")
        for name in ("ledger", "log", "output", "observed"):
            object.__setattr__(self, name, self.folder / name)

    @property
    def module(self) -> str:
        """The module that has `make`."""
        return self.make.partition(":")[0] if isinstance(self.make, str) else self.make.__module__

    def setup(self, ledger: Ledger) -> Setup:
        """Make the agents, in this process. Raises InvalidDefinition, and what `make` raises."""
        made: Any = self._function()(ledger)
        if not isinstance(made, Setup | list | tuple):
            raise InvalidDefinition(f"make returns agents, or a Setup, not {made!r}")
        agents = cast("Sequence[Agent]", made)
        setup = made if isinstance(made, Setup) else Setup(agents=agents)
        known = [agent.id for agent in setup.agents]
        for agent in self.agents or known[:1] or [""]:
            if agent not in known:
                raise InvalidDefinition(f"make has not made the agent {agent!r}, but {known}")
        return setup

    def _function(self) -> Make:
        if not isinstance(self.make, str):
            return self.make
        module, _, name = self.make.partition(":")
        try:
            found: Any = importlib.import_module(module)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{module}.".startswith(f"{error.name}."):
                raise  # It is there, and misses something itself.
            raise InvalidDefinition(
                f"there is no module {error.name!r} to be found from {str(Path.cwd())!r}"
            ) from None
        for part in name.split("."):
            if not hasattr(found, part):
                raise InvalidDefinition(f"module {module!r} has no {name!r}")
            found = getattr(found, part)
        if not callable(found):
            raise InvalidDefinition(f"{self.make!r} is no function, but {found!r}")
        return cast("Make", found)

    def start_of(self, run_id: str, setup: Setup) -> tuple[str, str]:
        """Return the agent and the input of a run: the same whenever it is started again."""
        rng = random.Random(f"{self.seed}/{run_id}")
        agents = self.agents or [agent.id for agent in setup.agents]
        return rng.choice(list(agents)), rng.choice(list(self.inputs))

    def thread_of(self, key: str, setup: Setup) -> str | None:
        """Return the thread that a run works on, the same whenever it is started again.

        None: on none.
        """
        rng = random.Random(f"{self.seed}/{key}/thread")
        number = rng.randint(1, max(2 * setup.threads, 1))
        return f"thread{number}" if number <= setup.threads else None

    @staticmethod
    def draws(run_id: str) -> bool:
        """Whether a run was started by a process of the play: others are begun by signals, say."""
        return _DRAWN.fullmatch(run_id) is not None

    @property
    def again(self) -> str:
        """What makes the same decisions once more: a command line, or a call."""
        made = (
            self.make if isinstance(self.make, str) else f"{self.module}:{self.make.__qualname__}"
        )
        words = ["python", "-m", "outlive.testing.kills", made]
        words += ["--seed", str(self.seed)]
        if self.kills is not None:
            words += ["--kills", str(self.kills)]
        words += ["--processes", str(self.processes), "--runs-at-once", str(self.runs_at_once)]
        if self.seconds is not None:
            words += ["--seconds", f"{self.seconds:g}"]
        for name, default in _DEFAULTS.items():
            if getattr(self, name) != default:
                words += [f"--{name}", f"{getattr(self, name):g}"]
        if self.disk_bytes is not None:
            words += ["--disk-mib", str(self.disk_bytes >> 20)]
        for agent in self.agents or ():
            words += ["--agent", agent]
        for text in self.inputs:
            words += ["--input", text]
        if self.module != "__main__":
            return shlex.join(words)
        return f"your script, with seed={self.seed} (in a module: {shlex.join(words)})"


def _check_can_be_sent(make: object) -> None:
    """Raise InvalidDefinition unless another process can find the function."""
    try:
        pickle.dumps(make)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise InvalidDefinition(
            f"make has to be found by other processes: a function of a module, or "
            f"'module:function' ({error})"
        ) from None
