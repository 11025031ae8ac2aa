"""What is configured of background tasks, and what of it holds for one call. Pure.

The agent's entry for a tool comes first, then what the tool says, then the runtime. What none
of them says of a call is as it would be in the foreground.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final, Literal, TypeAlias, cast, get_args

import msgspec
from msgspec.structs import replace

from outlive.actors.retry import Retry, as_retry, seconds
from outlive.actors.task.admission import Backpressure
from outlive.events import InvalidDefinition, TaskLimits, Value
from outlive.events.background import OnComplete

Mode: TypeAlias = Literal["foreground", "deferred", "awaited"]
CHOICE: Final = "_background"
"""The argument by which a model chooses, where it may."""

PROGRESS_THROTTLE_S: Final = 0.5
"""Between two events of one call's progress, where nobody says otherwise."""

_NS: Final = 1_000_000_000
_LARGEST: Final = 2**31


class Background(msgspec.Struct, frozen=True, kw_only=True):
    """How a tool is called in the background. What is left out is as the next layer says.

    Each of these by itself: the agent's entry for a tool may say of its timeout alone.

    Args:
        timeout: seconds, or a `timedelta`, for one attempt; without one here, the tool's own,
            or the runtime's `default_timeout`.
        stall_timeout: an attempt that tells of no progress and finishes no step for so long
            has timed out, too.
        retry: how often, or how, an attempt that has failed is made again; without one here,
            the tool's own, or the runtime's `default_retry`.
        mode: `deferred`, if nobody says one: the model is told at once that the task has begun,
            and of its result when there is one. `awaited`: the step waits for the result.
            `foreground`: no task.
        priority: of the tasks of one agent the highest one starts first; 0, if nobody says one.
        detached: it goes on when its run is cancelled.
        on_complete: what becomes of a result that comes when the run is over, if it was on a
            thread. `append`, if nobody says otherwise: the thread keeps it, and the next run sees
            it. `wake`: whoever is active is told, or a run begins. `ignore`: it stands in the
            task.
        let_model_choose: the model may pass `_background`, with `mode`, `timeout` and `retry`;
            it gets no longer timeout and no more retries than there would be without.

    Raises:
        InvalidDefinition: a value that cannot hold.
    """

    timeout: float | timedelta | None = None
    stall_timeout: float | timedelta | None = None
    retry: int | Retry | None = None
    mode: Mode | None = None
    priority: int | None = None
    detached: bool | None = None
    on_complete: OnComplete | None = None
    let_model_choose: bool | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot hold."""
        for name in ("timeout", "stall_timeout"):
            value = getattr(self, name)
            if value is not None:
                seconds(name, value)
        if self.retry is not None:
            as_retry(self.retry)
        if self.mode is not None:
            _require_one_of("mode", self.mode, get_args(Mode))
        if self.on_complete is not None:
            _require_one_of("on_complete", self.on_complete, get_args(OnComplete))
        first = self.priority
        if first is not None and (type(first) is not int or abs(first) > _LARGEST):
            raise InvalidDefinition(f"priority is a whole number, not {first!r}")
        for name in ("detached", "let_model_choose"):
            value = getattr(self, name)
            if value is not None and type(value) is not bool:
                raise InvalidDefinition(f"{name} is True or False, not {value!r}")


class BackgroundTasks(msgspec.Struct, frozen=True, kw_only=True):
    """What holds for all tasks of a runtime.

    Args:
        global_concurrency: tasks that run at the same time, over all runs.
        per_agent_concurrency: of one agent.
        backpressure: what becomes of a task for which there is no slot: it waits for one
            (`queue`), the model is told that there is none (`reject`), or the step waits while
            it runs without one (`run_inline`).
        max_queued: where tasks queue, no more than so many; further ones are rejected.
        default_timeout: seconds, or a `timedelta`, for one attempt, where nobody says another
            one. None: no bound.
        default_retry: where nobody says another one.
        progress_throttle: seconds, or a `timedelta`, from one event of a task's progress to the
            next. What an attempt tells last is always recorded.

    Raises:
        InvalidDefinition: a value that cannot hold.
    """

    global_concurrency: int = 20
    per_agent_concurrency: int = 5
    backpressure: Backpressure = "queue"
    max_queued: int | None = None
    default_timeout: float | timedelta | None = 120
    default_retry: int | Retry = 0
    progress_throttle: float | timedelta = PROGRESS_THROTTLE_S

    def __post_init__(self) -> None:
        """Refuse what cannot hold."""
        for name in ("global_concurrency", "per_agent_concurrency"):
            value = getattr(self, name)
            if type(value) is not int or value < 1:
                raise InvalidDefinition(f"{name} is 1 or more, not {value!r}")
        _require_one_of("backpressure", self.backpressure, get_args(Backpressure))
        most = self.max_queued
        if most is not None and (type(most) is not int or most < 0):
            raise InvalidDefinition(f"max_queued is 0 or more, or None, not {most!r}")
        if most is not None and self.backpressure != "queue":
            raise InvalidDefinition("max_queued is for backpressure='queue': else nothing queues")
        if self.default_timeout is not None:
            seconds("default_timeout", self.default_timeout)
        as_retry(self.default_retry, "default_retry")
        seconds("progress_throttle", self.progress_throttle)


def check_background_tasks(settings: BackgroundTasks | None) -> BackgroundTasks:
    """Return the settings, or what holds without. Raises InvalidDefinition if they are none."""
    if not isinstance(settings, BackgroundTasks | None):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidDefinition(f"background_tasks is BackgroundTasks(...), not {settings!r}")
    return settings or BackgroundTasks()


class Plan(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What holds for one call of a tool."""

    mode: Mode = "deferred"
    limits: TaskLimits = TaskLimits()
    priority: int = 0
    detached: bool = False
    on_complete: OnComplete = "append"
    let_model_choose: bool = False


Entry: TypeAlias = Background | bool
Entries: TypeAlias = Mapping[str, Entry]


def plan_of(
    entry: Entry | None,
    *,
    own: Entry,
    timeout: float | None,
    retry: Retry | None,
    defaults: BackgroundTasks,
) -> Plan | None:
    """Return how a tool is called in the background; None: it is not.

    Args:
        entry: what the agent says of it; None: nothing.
        own: what the tool says.
        timeout, retry: the tool's own, which hold in the foreground too; None: it says nothing.
        defaults: the runtime's.
    """
    first, then = (own, own) if entry is None else (entry, own)
    if first is False:
        return None
    said = [one for one in (first, then) if isinstance(one, Background)]
    mode: Mode = _first([*(one.mode for one in said), "deferred"])
    let_model_choose: bool = _first([*(one.let_model_choose for one in said), False])
    if mode == "foreground" and not let_model_choose:
        return None
    retries = _first([*(one.retry for one in said), retry, defaults.default_retry])
    last = defaults.default_timeout if timeout is None else timeout
    return Plan(
        mode=mode,
        limits=stored_limits(
            timeout=_first([*(one.timeout for one in said), last]),
            stall_timeout=_first(one.stall_timeout for one in said),
            retry=as_retry(retries),
        ),
        priority=_first([*(one.priority for one in said), 0]),
        detached=_first([*(one.detached for one in said), False]),
        on_complete=_first([*(one.on_complete for one in said), "append"]),
        let_model_choose=let_model_choose,
    )


def _first(values: Any) -> Any:  # noqa: ANN401  # the first one that was said, of whatever type
    return next((value for value in values if value is not None), None)


def _require_one_of(name: str, value: object, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise InvalidDefinition(f"{name} is one of {', '.join(allowed)}, not {value!r}")


def stored_limits(
    *,
    timeout: float | timedelta | None,
    stall_timeout: float | timedelta | None,
    retry: Retry,
) -> TaskLimits:
    """Return limits in the form in which a task keeps them."""
    return TaskLimits(
        timeout_ns=_ns("timeout", timeout),
        stall_timeout_ns=_ns("stall_timeout", stall_timeout),
        max_retries=retry.max_retries,
        delay_ns=round(retry.delay * _NS),
        factor=float(retry.factor),
        max_delay_ns=round(retry.max_delay * _NS),
        jitter=float(retry.jitter),
        retry_on=retry.retry_on,
    )


def retry_of(limits: TaskLimits) -> Retry:
    """Return the retries that a task has kept."""
    return Retry(
        limits.max_retries,
        delay=limits.delay_ns / _NS,
        factor=limits.factor,
        max_delay=limits.max_delay_ns / _NS,
        jitter=limits.jitter,
        retry_on=limits.retry_on,
    )


def _ns(name: str, value: float | timedelta | None) -> int | None:
    return None if value is None else max(round(seconds(name, value) * _NS), 1)


class _Chosen(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    mode: Mode | None = None
    timeout: float | None = None
    retry: int | None = None


def check_entries(
    background: Mapping[str, Entry] | Literal["all"] | None,
    tools: Mapping[str, Entry],
    agent_id: str,
) -> dict[str, Entry]:
    """Return what an agent says of its tools, by their names. `tools` are what they say themselves.

    Raises:
        InvalidDefinition: there is no such tool, or what is said of it is nothing of the sort.
    """
    if background is None:
        return {}
    if background == "all":
        return {name: own or True for name, own in tools.items()}
    if not isinstance(background, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidDefinition(
            f'agent {agent_id!r}: background is "all", or says of tools by their names whether '
            f"they are called so: {background!r}"
        )
    for name, entry in background.items():
        if name not in tools:
            raise InvalidDefinition(f"agent {agent_id!r} has no tool {name!r}: background is of it")
        check_entry(f"agent {agent_id!r}, background of {name!r}", entry)
    return dict(background)


def check_entry(where: str, entry: Entry) -> None:
    """Raise InvalidDefinition unless this says how something is called in the background."""
    if not isinstance(entry, bool | Background):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidDefinition(f"{where}: True, False or Background(...), not {entry!r}")


def clamped(plan: Plan, choice: Value) -> Plan:
    """Return the plan as a model wants it, within what it would be without.

    Raises:
        msgspec.ValidationError: that is no choice; the message says why.
    """
    chosen = msgspec.convert(choice, _Chosen)
    limits = plan.limits
    if chosen.timeout is not None:
        if not chosen.timeout > 0:
            raise msgspec.ValidationError("`timeout` is above zero")
        most = limits.timeout_ns
        wanted = _LONGEST_NS if chosen.timeout > _LONGEST_NS / _NS else round(chosen.timeout * _NS)
        timeout_ns = max(wanted if most is None else min(wanted, most), 1)
        limits = replace(limits, timeout_ns=timeout_ns)
    if chosen.retry is not None:
        if chosen.retry < 0:
            raise msgspec.ValidationError("`retry` is 0 or more")
        limits = replace(limits, max_retries=min(chosen.retry, limits.max_retries))
    mode = chosen.mode or plan.mode
    if mode == "foreground" and (chosen.timeout is not None or chosen.retry is not None):
        raise msgspec.ValidationError("`timeout` and `retry` are for calls in the background")
    return replace(plan, mode=mode, limits=limits)


_LONGEST_NS: Final = 366 * 24 * 3600 * _NS


def with_choice(parameters: dict[str, Value], plan: Plan) -> dict[str, Value]:
    """Return a tool's parameters with the argument by which a model chooses."""
    limits = plan.limits
    timeout: dict[str, Value] = {
        "type": "number",
        "exclusiveMinimum": 0,
        "description": "seconds for one attempt",
    }
    if limits.timeout_ns is not None:
        timeout["maximum"] = limits.timeout_ns / _NS
    choice: dict[str, Value] = {
        "type": "object",
        "description": "how the tool is called: in the foreground, deferred (its result is told "
        "later) or awaited",
        "properties": {
            "mode": {"enum": list(get_args(Mode))},
            "timeout": timeout,
            "retry": {"type": "integer", "minimum": 0, "maximum": limits.max_retries},
        },
        "additionalProperties": False,
    }
    properties = cast("dict[str, Value]", parameters.get("properties", {}))
    return {**parameters, "properties": {**properties, CHOICE: choice}}
