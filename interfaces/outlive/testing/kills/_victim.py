"""A process that exists to be killed and frozen, as the one who does that sees it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Concatenate, Final, ParamSpec, TypeAlias

from outlive.events import failpoints

P = ParamSpec("P")
Message: TypeAlias = tuple[Any, ...]

# A server that has imported everything forks each process off: it is up in milliseconds, and
# nothing of its parent (threads, locks, open logs) is in it.
_processes: Final = multiprocessing.get_context("forkserver")
_preloaded: Final[list[str]] = []


def preload(modules: Sequence[str]) -> None:
    """Have modules imported before the first `Victim` is made, rather than in each one."""
    for name in modules:
        if name != "__main__" and name not in _preloaded:
            _preloaded.append(name)
    _processes.set_forkserver_preload(list(_preloaded))


def kill_me_at(point: str, nth: int = 1) -> None:
    """Kill this process when it comes by a point of `outlive.events.failpoints`."""
    failpoints.arm(point, lambda: os.kill(os.getpid(), signal.SIGKILL), nth=nth)


class Victim:
    """A process that runs `target(pipe, *args)`, and talks to its maker through the pipe.

    It ends with its maker, if it reads from the pipe and takes its end (EOFError) for that.

    Args:
        target: a function of a module, not one within another.
        args: can be pickled.
    """

    def __init__(
        self,
        target: Callable[Concatenate[Connection, P], object],
        *args: P.args,
        **options: P.kwargs,
    ) -> None:
        preload([target.__module__])
        self._pipe, theirs = _processes.Pipe()
        self._process: BaseProcess = _processes.Process(
            target=target, args=(theirs, *args), kwargs=options, daemon=True
        )
        self._process.start()
        theirs.close()
        self._unheard: list[Message] = []
        self._frozen = False

    @property
    def pid(self) -> int:
        """The id of the process."""
        assert self._process.pid is not None
        return self._process.pid

    @property
    def frozen(self) -> bool:
        """Whether it was frozen and not thawed since."""
        return self._frozen

    @property
    def exit_code(self) -> int | None:
        """What it ended with, -9 if it was killed; None while it lives."""
        return self._process.exitcode

    def say(self, *words: Any) -> None:
        """Send it a message. Raises OSError if it is dead."""
        self._pipe.send(words)

    def hear(self, *words: str, timeout: float = 30) -> Message:
        """Return the next message that begins with one of these words; keep the others.

        Raises:
            TimeoutError: there is none within so many seconds.
            EOFError: it is dead, and has sent none.
        """
        for message in self._unheard:
            if message[0] in words:
                self._unheard.remove(message)
                return message
        while self._pipe.poll(timeout):
            heard: Message = self._pipe.recv()
            if heard[0] in words:
                return heard
            self._unheard.append(heard)
        raise TimeoutError(f"no {' or '.join(words)} within {timeout:g} s")

    def heard(self) -> list[Message]:
        """Return the messages that are there, also those of one that is dead; wait for none."""
        found, self._unheard = self._unheard, []
        with suppress(EOFError, OSError):
            while self._pipe.poll():
                found.append(self._pipe.recv())
        return found

    def kill(self) -> bool:
        """Kill it with SIGKILL, frozen or not, and wait until it is gone.

        Returns whether that was its end: False if it had come to another one before.
        """
        if self.exit_code is not None:
            return False
        self._process.kill()
        return self.wait() == -signal.SIGKILL

    def freeze(self) -> None:
        """Stop it with SIGSTOP, in the middle of whatever it does."""
        self._signal(signal.SIGSTOP)
        self._frozen = True

    def thaw(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)
        self._frozen = False

    def wait(self, timeout: float = 30) -> int:
        """Wait for its end and return what it ended with.

        Raises:
            TimeoutError: it has none within so many seconds. Linux says what keeps its threads:
                one that waits for the disk (D) cannot be killed until that has answered.
        """
        self._process.join(timeout)
        if self._process.exitcode is None:
            told = f"process {self.pid} lives after {timeout:g} s{_threads_of(self.pid)}"
            raise TimeoutError(told)
        return self._process.exitcode

    def end(self) -> None:
        """Kill it if it lives, and let go of it. Messages that were not heard are gone."""
        if self._process.is_alive():
            self.kill()
        self._pipe.close()

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):  # It may have died by itself.
            os.kill(self.pid, number)


def _threads_of(pid: int) -> str:
    """Return what the threads of a process do and where in the kernel, as far as that is told."""
    found: list[str] = []
    for thread in Path(f"/proc/{pid}/task").glob("*"):
        with suppress(OSError):  # It has ended meanwhile.
            state = (thread / "stat").read_text().rpartition(") ")[2][:1]
            found.append(f"{state} in {(thread / 'wchan').read_text()}")
    return "".join(f", {count} x {what}" for what, count in sorted(Counter(found).items()))


def write_output_to(path: str) -> None:
    """Send what this process and its libraries print to the end of a file."""
    file = os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o644)
    sys.stdout.flush()
    sys.stderr.flush()
    for descriptor in (1, 2):
        os.dup2(file, descriptor)
    os.close(file)
