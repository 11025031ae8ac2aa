"""Who wants to know how tasks end: functions of the runtime, of agents and of tools."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Final, TypeAlias

import msgspec

from outlive.actors.patience import HOOK_S, answer_of
from outlive.actors.retry import seconds
from outlive.events import InvalidDefinition

if TYPE_CHECKING:
    from outlive.projections import TaskInfo

Hook: TypeAlias = Callable[["TaskInfo"], object]
_FUNCTIONS: Final = ("on_task_complete", "on_task_failed", "on_task_cancelled")
_FAILED = frozenset({"failed", "timed_out", "rejected"})


class TaskHooks(msgspec.Struct, frozen=True, kw_only=True):
    """Functions that are called when a task is over, sync or async, with its `TaskInfo`.

    Those of the runtime, of the agent and of the tool are all called, in this order, on the event
    loop of the owner. One that raises is logged and recorded, and changes nothing else, and so is
    an async one that takes longer than `timeout`: it is cancelled, and waited for no more. When a
    process dies in the middle, all of them are called once more.

    Args:
        on_task_complete: the task has succeeded.
        on_task_failed: it has failed, timed out, or was rejected.
        on_task_cancelled: it was cancelled.
        timeout: so long each call of them may take, in seconds or as a `timedelta`; None: however
            long.

    Raises:
        InvalidDefinition: one of them is no function, or `timeout` is no duration.
    """

    on_task_complete: Hook | None = None
    on_task_failed: Hook | None = None
    on_task_cancelled: Hook | None = None
    timeout: float | timedelta | None = HOOK_S

    def __post_init__(self) -> None:
        """Refuse what cannot be called."""
        if self.timeout is not None:
            seconds("timeout", self.timeout)
        for name in _FUNCTIONS:
            hook = getattr(self, name)
            if hook is not None and not callable(hook):
                raise InvalidDefinition(f"{name} is a function, not {hook!r}")

    def for_status(self, status: str) -> Hook | None:
        """Return what is called when a task has come to this end."""
        if status == "succeeded":
            return self.on_task_complete
        return self.on_task_failed if status in _FAILED else self.on_task_cancelled

    async def call(self, hook: Hook, info: TaskInfo) -> None:
        """Call one of them. Raises OutOfTime, or what it raises."""
        timeout = self.timeout
        await answer_of(hook, info, None if timeout is None else seconds("timeout", timeout))


def check_hooks(where: str, hooks: TaskHooks | None) -> TaskHooks | None:
    """Return the hooks. Raises InvalidDefinition unless they are some, or None."""
    if not isinstance(hooks, TaskHooks | None):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidDefinition(f"{where}: task_hooks is TaskHooks(...), not {hooks!r}")
    return hooks


def hooks_for(
    layers: Iterable[TaskHooks | None], status: str
) -> list[Callable[[TaskInfo], Awaitable[None]]]:
    """Return what is called when a task has come to this end, the outer layers first."""
    found = ((layer, layer.for_status(status)) for layer in layers if layer is not None)
    return [partial(layer.call, hook) for layer, hook in found if hook is not None]
