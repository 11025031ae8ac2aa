"""Functions of the user around a fire: before it, and once it is known what it came to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, cast

import msgspec
from msgspec import UNSET, UnsetType
from msgspec.structs import force_setattr

from outlive.actors.heartbeat.commands import HooksAtHand
from outlive.actors.patience import HOOK_S, answer_of
from outlive.actors.retry import seconds
from outlive.events import InvalidDefinition
from outlive.events.heartbeat import FireKind, FireOutcome

if TYPE_CHECKING:
    from outlive.projections import HeartbeatInfo, RunResult, TaskInfo


class _Skip:
    """The type of `SKIP`."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "SKIP"


SKIP: Final = _Skip()
"""Returned by `prepare`: nothing is to be done this time, and no model is called."""


class Trigger(msgspec.Struct, frozen=True, kw_only=True):
    """What has made a heartbeat fire. `id` is the same each time: deduplicate by it.

    `kind` is `schedule`, or `manual` where somebody wanted it to fire. `due_at` is the instant
    of the schedule, `fired_at` when it was claimed. Times are in UTC.
    """

    id: str
    kind: FireKind
    due_at: datetime
    fired_at: datetime


class HeartbeatContext(msgspec.Struct, frozen=True, kw_only=True):
    """What the functions are given.

    Those that are called at the end are also given `run_id` (or `task_id`), the `outcome`, the
    `result` as far as there is one, and the `phase` in which it ended: `prepare` where that has
    raised, `signal` where a thread was told and has begun no run for it, else `run`.
    """

    agent_id: str
    heartbeat: HeartbeatInfo
    trigger: Trigger
    run_id: str | None = None
    task_id: str | None = None
    outcome: FireOutcome | None = None
    result: RunResult | TaskInfo | None = None
    error: str = ""
    phase: Literal["prepare", "signal", "run"] = "run"


_FUNCTIONS: Final = ("prepare", "on_finish", "on_error", "on_abort")
Hook: TypeAlias = Callable[[HeartbeatContext], object]
_ABORTED: Final = frozenset({"aborted"})
_ERRORS: Final = frozenset({"failed", "timed_out"})


class HeartbeatHooks(msgspec.Struct, frozen=True, kw_only=True):
    """Functions that are called for every fire of every heartbeat, sync or async.

    A heartbeat with `hook="name"` has those of that name in their place, as far as there are some
    of it; without them the runtime does not create it, and one that was created is `blocked`.
    They are called on the event loop of the owner, at least once: when the process dies in the
    middle, once more, with the same `trigger.id`. One that raises is logged and recorded, and so
    is an async one that takes longer than `timeout`: it is cancelled, and waited for no more.

    Args:
        prepare: called before anything is done. It returns `SKIP`, or what is to be otherwise
            this time, or None: a dict of `prompt`, `request_context`, `provider_options`, and
            `thread_id` and `resource_id` (that thread is told this time, also by one that has
            none otherwise); on a thread also `signal_type`, `tag_name`, `attributes`, `if_active`
            and `if_idle`, without one also `metadata`; of a tool `args` and `request_context`.
            If it raises, takes too long, or says what cannot be, nothing is done, and that is an
            error.
        on_finish: it has succeeded, or waits for a person, or a thread was told.
        on_error: it has failed or timed out, or `prepare` has raised.
        on_abort: it was cancelled.
        timeout: so long each call of them may take, in seconds or as a `timedelta`; None: however
            long. Left out: two minutes; of `named` ones, as for all.
        named: by name, those of the heartbeats that name them; they have no names themselves.

    Raises:
        InvalidDefinition: one of them is no function, or `timeout` or `named` is something else.
    """

    prepare: Hook | None = None
    on_finish: Hook | None = None
    on_error: Hook | None = None
    on_abort: Hook | None = None
    timeout: float | timedelta | UnsetType | None = UNSET
    named: Mapping[str, HeartbeatHooks] = {}

    def __post_init__(self) -> None:
        """Refuse what cannot be called."""
        for name in _FUNCTIONS:
            hook = getattr(self, name)
            if hook is not None and not callable(hook):
                raise InvalidDefinition(f"{name} is a function, not {hook!r}")
        if self.timeout is not UNSET and self.timeout is not None:
            seconds("timeout", self.timeout)
        _check_named(self.named)
        # Of one that was added later it would not be known that it is to be called.
        force_setattr(self, "named", MappingProxyType(dict(self.named)))

    def of(self, name: str) -> HeartbeatHooks | None:
        """Return those of the heartbeats that name them so; None if the name is not known."""
        if not name:
            return self
        own = self.named.get(name)
        if own is None:
            return None
        return HeartbeatHooks(
            prepare=own.prepare or self.prepare,
            on_finish=own.on_finish or self.on_finish,
            on_error=own.on_error or self.on_error,
            on_abort=own.on_abort or self.on_abort,
            timeout=self.timeout if own.timeout is UNSET else own.timeout,
        )

    def at_hand(self) -> HooksAtHand:
        """Return which functions there are, by name."""
        found = {name: self.of(name) or self for name in ("", *self.named)}
        return HooksAtHand(
            prepare=frozenset(name for name, hooks in found.items() if hooks.prepare),
            end=frozenset(name for name, hooks in found.items() if hooks.at_the_end),
            known=frozenset(found),
        )

    async def call(self, function: Hook, context: HeartbeatContext) -> object:
        """Return what one of them says. Raises OutOfTime, or what it raises."""
        return await answer_of(function, context, self._timeout_s)

    @property
    def _timeout_s(self) -> float | None:
        if self.timeout is UNSET:
            return HOOK_S
        return None if self.timeout is None else seconds("timeout", self.timeout)

    @property
    def at_the_end(self) -> bool:
        """Whether one of them is called when a fire is over."""
        return any((self.on_finish, self.on_error, self.on_abort))

    def for_outcome(self, outcome: FireOutcome) -> tuple[str, Hook | None]:
        """Return what is called for an outcome, with its name."""
        if outcome in _ERRORS:
            return "on_error", self.on_error
        if outcome in _ABORTED:
            return "on_abort", self.on_abort
        return "on_finish", self.on_finish


def _check_named(named: object) -> None:
    if not isinstance(named, Mapping):
        raise InvalidDefinition(f"named is HeartbeatHooks by name, not {named!r}")
    for name, hooks in cast("Mapping[object, object]", named).items():
        if not isinstance(name, str) or not name.strip():
            raise InvalidDefinition(f"the name of hooks is text, not {name!r}")
        if not isinstance(hooks, HeartbeatHooks) or hooks.named:
            raise InvalidDefinition(
                f"named[{name!r}] is HeartbeatHooks(...) without names, not {hooks!r}"
            )


NO_HOOKS: Final = HeartbeatHooks()


def check_heartbeat_hooks(hooks: HeartbeatHooks | None) -> HeartbeatHooks:
    """Return the hooks. Raises InvalidDefinition unless they are some, or None."""
    if not isinstance(hooks, HeartbeatHooks | None):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidDefinition(f"heartbeat_hooks is HeartbeatHooks(...), not {hooks!r}")
    return hooks or NO_HOOKS
