"""What a heartbeat's effects are done to: functions of the user, and what it fires."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, Literal, cast

from outlive.actors.heartbeat.beginning import parcel_to_fired
from outlive.actors.heartbeat.commands import (
    CallHook,
    ConcludeHook,
    ConcludePrepare,
    Effect,
    Prepare,
)
from outlive.actors.heartbeat.entity import HEARTBEAT
from outlive.actors.heartbeat.hooks import (
    SKIP,
    HeartbeatContext,
    HeartbeatHooks,
    Trigger,
)
from outlive.actors.heartbeat.preparing import overrides_of
from outlive.actors.logs import told
from outlive.actors.mail import Courier, Deliver, Parcel
from outlive.actors.run.model_call import cut, failure
from outlive.actors.snapshots import restored
from outlive.actors.surroundings import Address, Surroundings
from outlive.events import (
    Event,
    Failure,
    FireOverrides,
    HeartbeatEvent,
    HeartbeatState,
    HookNotFound,
    LogError,
    Position,
    StreamId,
    Version,
)
from outlive.events.heartbeat import FireKind, evolve
from outlive.events.heartbeat.state import Hook
from outlive.events.ids import NO_VERSION, id_of, kind_of
from outlive.events.logger import get_logger
from outlive.projections import RunResult, TaskInfo, heartbeat_info, run_result, task_info
from outlive.projections.lists import utc

_PAGE: Final = 1_000
_log: Final = get_logger()


class HeartbeatWorld:
    """Performs one heartbeat's effects. Fulfils `entity.World`.

    It knows the heartbeat's state as it is in the log, behind that of the actor.
    """

    def __init__(self, stream: StreamId, surroundings: Surroundings) -> None:
        self._stream = stream
        self._all = surroundings
        self.reset(NO_VERSION)

    def reset(self, version: Version) -> None:
        """Begin with the saved state at `version`; with none if that is 0."""
        self._state = HeartbeatState()
        found = self._all.log.snapshot(self._stream) if version else None
        if found is None or found.version != version:
            self._read(version)
            return
        saved = restored(found, self._stream, HEARTBEAT)
        if saved is None:
            self._read(version)
        else:
            self._state = saved

    def _read(self, version: Version) -> None:
        """Fold the events up to `version`: the state that was saved there is not there any more."""
        after = NO_VERSION
        while after < version:
            page = self._all.log.read(self._stream, after=after, limit=min(_PAGE, version - after))
            self.committed([recorded.event for recorded in page], version)
            after = page[-1].version

    def committed(self, events: Sequence[Event], version: Version) -> None:
        """Take note of durable events."""
        for event in events:
            self._state = evolve(self._state, cast("HeartbeatEvent", event))

    def perform(self, effect: Effect, cause: Position) -> None:
        """Start an effect, unless it runs already. Raises LogError."""
        if isinstance(effect, Deliver):
            courier = Courier(self._stream, post=self._all.post, effects=self._all.effects)
            courier.start(effect, partial(self._pack, effect), cause)
            return
        if self._all.effects.get(self._stream, effect) is not None:
            return
        settings, status = self._state.settings, self._state.status
        if self._all.heartbeat_hooks.of(settings.hook) is None and status != "deleted":
            return  # It stays owed: the heartbeat stands still until they are there.
        home = Address(self._all, self._stream, effect, cause)
        if isinstance(effect, Prepare):
            body = partial(self._prepare, effect, home)
            failed: Callable[[str], None] = partial(self._prepare_broke, effect, home)
        else:
            body = partial(self._call_hook, effect, home)
            failed = partial(self._hook_broke, effect, home)
        self._all.effects.start(self._stream, effect, body, failed=failed)

    def _pack(self, message: Deliver) -> Parcel:
        return parcel_to_fired(message, self._state, self._all)

    async def _prepare(self, effect: Prepare, home: Address) -> None:
        claimed = self._state.claims[effect.fire]
        said: object = None
        try:
            hooks = self._hooks()
            if hooks.prepare is not None:
                trigger = self._trigger(effect.fire, claimed.kind, claimed.due_ns, claimed.at_ns)
                context = self._context(trigger, phase="prepare")
                said = await hooks.call(hooks.prepare, context)
            skip = said is SKIP
            overrides = None if skip else overrides_of(said, self._state.settings, self._all)
        except Exception as error:  # noqa: BLE001  # a function's end is not the heartbeat's
            _log.error("heartbeat_hook_failed", stream=self._stream, error=told(error))
            home.conclude(self._prepared(effect, error=failure("prepare", error)))
        else:
            home.conclude(self._prepared(effect, skip=skip, overrides=overrides))

    def _prepared(
        self,
        effect: Prepare,
        *,
        skip: bool = False,
        overrides: FireOverrides | None = None,
        error: Failure | None = None,
    ) -> ConcludePrepare:
        return ConcludePrepare(
            fire=effect.fire,
            attempt=effect.attempt,
            skip=skip,
            overrides=overrides,
            error=error,
            now_ns=self._all.clock.now_ns(),
            hooks=self._all.hooks_at_hand,
        )

    def _prepare_broke(self, effect: Prepare, home: Address, reason: str) -> None:
        if not self._all.effects.given_up(self._stream, effect):
            error = Failure(kind="prepare", message=cut(reason))
            home.conclude(self._prepared(effect, error=error))

    async def _call_hook(self, effect: CallHook, home: Address) -> None:
        hook = self._state.hooks[effect.fire]
        name, error = "", None
        try:
            hooks = self._hooks()
            name, function = hooks.for_outcome(hook.outcome)
            if function is None:
                name = ""
            else:
                context = self._end_context(effect.fire, hook)
                await hooks.call(function, context)
        except LogError:
            raise
        except Exception as raised:  # noqa: BLE001  # a hook's end is not the heartbeat's
            _log.error("heartbeat_hook_failed", stream=self._stream, error=told(raised))
            error = failure("error", raised)
        home.conclude(
            ConcludeHook(fire=effect.fire, attempt=effect.attempt, hook=name, error=error)
        )

    def _hooks(self) -> HeartbeatHooks:
        """Return what is called around its fires. Raises HookNotFound."""
        hooks, name = self._all.heartbeat_hooks, self._state.settings.hook
        found = hooks.of(name)
        if found is None:
            raise HookNotFound(name, tuple(hooks.named))
        return found

    def _hook_broke(self, effect: CallHook, home: Address, reason: str) -> None:
        if not self._all.effects.given_up(self._stream, effect):
            error = Failure(kind="error", message=cut(reason))
            home.conclude(
                ConcludeHook(fire=effect.fire, attempt=effect.attempt, hook="", error=error)
            )

    def _end_context(self, fire: int, hook: Hook) -> HeartbeatContext:
        run_id = task_id = None
        result: RunResult | TaskInfo | None = None
        phase: Literal["prepare", "signal", "run"] = "prepare" if hook.stream is None else "run"
        if hook.stream is not None and kind_of(hook.stream) == "thread":
            phase = "signal"
        elif hook.stream is not None and self._all.log.version(hook.stream):
            if kind_of(hook.stream) == "run":
                run_id = id_of(hook.stream)
                if hook.outcome in ("delivered", "queued"):
                    phase = "signal"  # That run goes on, and was not begun for it.
                else:
                    result = run_result(self._all.log, run_id)
            else:
                task_id = id_of(hook.stream)
                result = task_info(self._all.log, task_id)
        error = "" if hook.error is None else f"{hook.error.kind}: {hook.error.message}"
        return self._context(
            self._trigger(fire, hook.kind, hook.due_ns, hook.at_ns),
            run_id=run_id,
            task_id=task_id,
            outcome=hook.outcome,
            result=result,
            error=error.rstrip(": "),
            phase=phase,
        )

    def _context(self, trigger: Trigger, **more: object) -> HeartbeatContext:
        return HeartbeatContext(
            agent_id=self._state.settings.agent_id,
            heartbeat=heartbeat_info(id_of(self._stream), self._state),
            trigger=trigger,
            **more,  # type: ignore[arg-type]
        )

    def _trigger(self, fire: int, kind: FireKind, due_ns: int, at_ns: int) -> Trigger:
        return Trigger(
            id=f"{id_of(self._stream)}:{fire}", kind=kind, due_at=utc(due_ns), fired_at=utc(at_ns)
        )

    def give_up(self, effect: Effect) -> None:
        """Stop an effect that is owed no more, if it still runs."""
        self._all.effects.settle(self._stream, effect)
