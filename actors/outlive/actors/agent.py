"""An agent: a model, what it is told, and the tools it may use."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from copy import copy
from typing import Final, Literal, TypeAlias, cast

from outlive.actors.background import Entry, check_entries
from outlive.actors.history import History, check_history
from outlive.actors.model import Model, ToolSchema
from outlive.actors.model_error import MODEL_RETRY
from outlive.actors.output import OutputType
from outlive.actors.retry import Retry, as_retry
from outlive.actors.run_context import RunContext, ask
from outlive.actors.stopping import StopWhen, stop_conditions
from outlive.actors.sub_agents import schema_of, sub_agents
from outlive.actors.task.hooks import TaskHooks, check_hooks
from outlive.actors.tool import AnyTool, Tool, as_tool
from outlive.events import (
    InvalidDefinition,
    InvalidId,
    UnserialisableValue,
    Value,
    to_plain,
)
from outlive.events.ids import stream_id
from outlive.events.run.stopping import StopFunction

Instructions: TypeAlias = str | Callable[[RunContext], str | Awaitable[str]]


class Agent:
    """What runs are made of. Immutable; the same object serves any number of runs.

    Args:
        id: what the log calls it. A run goes on after a restart with the agent that has its
            id then; while there is none, the run is blocked.
        model: answers. An object with `name` and `stream`, see `Model`.
        instructions: what the model is told before the messages: text, or a function, sync or
            async, that makes it of a `RunContext` for each call. It is called on the event loop.
            One that raises fails the run, with kind `instructions`.
        name, description: for people, and for the models of agents that have it as a sub-agent.
        tools: functions, or what `@tool` has made of them.
        agents: sub-agents. The model calls each as a tool that is named by its id (with `_` for
            what no tool's name may hold), described by its description, and takes one argument,
            `input`. The call is answered by a run of the sub-agent: a child run.
        max_steps: model calls a run may make. Reaching it completes the run with
            `finish_reason="max_steps"`, after the tools of the last step.
        tool_concurrency: tool calls of one step that run at the same time.
        output_type: what the last answer is, as JSON: a msgspec Struct, a dataclass or a pydantic
            model. Its JSON Schema reaches the model as `request.output_schema`. An answer that
            does not fit is sent back with the reason; see `RunResult.output_as`.
        output_repairs: how often in a run. Then the run fails, with kind `invalid_output`.
        stop_when: what ends a run before its model does, looked at when a step is over, before
            the model is called again: `StopAfterSteps(3)`, `StopOnTool("submit")`,
            `StopOnText("DONE")`, or the name of a function of `Runtime(functions=...)` that is
            given a `RunContext`. The run is completed, and its `finish_reason` tells which.
            What held at its start holds for a run, also after a restart.
        model_settings: JSON that reaches the model as `request.settings`: a temperature, say.
        model_retry: how often, or how, a model call is tried again that has failed for a reason
            that may pass: a rate limit, a 5xx, a timeout, an answer that broke off. The waits
            are durable, and as long as the provider asks for. See `ModelError`.
        fallback_models: asked in turn, once the model before is given up; each with the same
            retries. The run stays with the one that has answered.
        background: which tools are called in the background, and how: `"all"`, or by the tool's
            name `True`, `False` or `Background(...)`. What is not in it is as the tool says.
        task_hooks: called when one of its background tasks is over.
        history: how much of a thread its runs see; the last 40 messages if left out.

    Raises:
        InvalidDefinition: something that cannot work, with the reason.
    """

    def __init__(
        self,
        id: str,
        *,
        model: Model,
        instructions: Instructions = "",
        name: str | None = None,
        description: str | None = None,
        tools: Sequence[AnyTool] = (),
        agents: Sequence[Agent] = (),
        max_steps: int = 20,
        tool_concurrency: int = 10,
        model_retry: int | Retry = MODEL_RETRY,
        fallback_models: Sequence[Model] = (),
        stop_when: Sequence[StopWhen] = (),
        output_type: type | None = None,
        output_repairs: int = 1,
        model_settings: Mapping[str, object] | None = None,
        background: Mapping[str, Entry] | Literal["all"] | None = None,
        task_hooks: TaskHooks | None = None,
        history: History | None = None,
    ) -> None:
        try:
            stream_id("agent", id)
        except InvalidId as error:
            raise InvalidDefinition(str(error)) from None
        fallbacks = tuple(fallback_models)
        self.models: Final[dict[str, Model]] = {}
        for one in (model, *fallbacks):
            if not isinstance(one, Model):  # pyright: ignore[reportUnnecessaryIsInstance]
                raise InvalidDefinition(
                    f"agent {id!r}: a model is an object with `name` and `stream`, not {one!r}"
                )
            if one.name in self.models:
                raise InvalidDefinition(
                    f"agent {id!r} has two models named {one.name!r}: the log tells them apart "
                    "by their names"
                )
            self.models[one.name] = one
        if not isinstance(instructions, str) and not callable(instructions):  # pyright: ignore[reportUnnecessaryComparison]
            raise InvalidDefinition(f"agent {id!r}: instructions are text, or a function")
        if not isinstance(model_settings, Mapping | None):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidDefinition(f"agent {id!r}: model_settings are a mapping")
        try:
            settings = to_plain(dict(model_settings or {}))
        except UnserialisableValue as error:
            raise InvalidDefinition(f"agent {id!r}, model_settings: {error}") from None
        self.model_settings: Final = cast("dict[str, Value]", settings)
        for option, value in (("max_steps", max_steps), ("tool_concurrency", tool_concurrency)):
            if type(value) is not int or value < 1:
                raise InvalidDefinition(f"agent {id!r}: {option} is 1 or more, not {value!r}")
        if type(output_repairs) is not int or output_repairs < 0:
            raise InvalidDefinition(
                f"agent {id!r}: output_repairs is 0 or more, not {output_repairs!r}"
            )
        self.output: Final = None if output_type is None else OutputType(output_type, id)
        self.output_repairs: Final = output_repairs
        self.id: Final = id
        self.model: Final = model
        self.fallback_models: Final = fallbacks
        self.model_retry: Final = as_retry(model_retry, "model_retry")
        self.instructions: Final = instructions
        self.name: Final = name or id
        self.description: Final = description or ""
        self.max_steps: Final = max_steps
        self.tool_concurrency: Final = tool_concurrency
        self.tools: Final[dict[str, Tool[..., object]]] = {}
        for item in tools:
            made = as_tool(item)
            if made.name in self.tools:
                raise InvalidDefinition(f"agent {id!r} has two tools named {made.name!r}")
            self.tools[made.name] = made
        own = {name: made.background for name, made in self.tools.items()}
        self.background: Final = check_entries(background, own, id)
        for called, entry in self.background.items():
            self.tools[called].check_choice(entry)
        self.task_hooks: Final = check_hooks(f"agent {id!r}", task_hooks)
        self.history: Final = check_history(id, history)
        self.agents: Final[dict[str, Agent]] = sub_agents(agents, id, self.tools)
        self.tool_schemas: Final[tuple[ToolSchema, ...]] = (
            *(made.schema for made in self.tools.values()),
            *(schema_of(called, agent) for called, agent in self.agents.items()),
        )
        self.asks_people: Final = any(made.requires_approval for made in self.tools.values())
        self.stop_when: Final = stop_conditions(stop_when, id, {*self.tools, *self.agents})

    @property
    def functions(self) -> tuple[str, ...]:
        """The names of functions that the runtime has to know."""
        return tuple(one.name for one in self.stop_when if isinstance(one, StopFunction))

    async def made_instructions(self, context: RunContext) -> str:
        """Return what a function tells the model. Raises whatever it raises."""
        assert not isinstance(self.instructions, str), "there is no function"
        made = await ask(self.instructions, context)
        if not isinstance(made, str):
            raise TypeError(f"instructions are text, not {type(made).__name__}")
        to_plain(made)
        return made

    def model_named(self, name: str) -> Model:
        """Return the model that the log calls so; if there is none any more, the first one."""
        return self.models.get(name, self.model)

    def fallback_of(self, name: str) -> str:
        """Return the name of the model that is asked when this one is given up; "" if none."""
        names = list(self.models)
        at = names.index(name) + 1 if name in self.models else 1
        return names[at] if at < len(names) else ""

    def with_model(self, model: Model, *, fallback_models: Sequence[Model] | None = None) -> Agent:
        """Return the same agent with another model: a scripted one in a test, say.

        The fallback models stay, unless others are given.

        Raises:
            InvalidDefinition: that is no model.
        """
        return Agent(
            self.id,
            model=model,
            instructions=self.instructions,
            name=self.name,
            description=self.description,
            tools=list(self.tools.values()),
            agents=list(self.agents.values()),
            max_steps=self.max_steps,
            tool_concurrency=self.tool_concurrency,
            model_retry=self.model_retry,
            output_type=None if self.output is None else self.output.type,
            output_repairs=self.output_repairs,
            model_settings=self.model_settings,
            background=self.background,
            task_hooks=self.task_hooks,
            history=self.history,
            fallback_models=self.fallback_models if fallback_models is None else fallback_models,
            stop_when=[
                one.name if isinstance(one, StopFunction) else one for one in self.stop_when
            ],
        )

    def limited_to(self, names: Collection[str]) -> Agent:
        """Return the same agent with those of its tools and sub-agents that have these names."""
        limited = copy(self)
        kept = {
            "tools": {name: tool for name, tool in self.tools.items() if name in names},
            "agents": {name: agent for name, agent in self.agents.items() if name in names},
            "tool_schemas": tuple(each for each in self.tool_schemas if each.name in names),
        }
        vars(limited).update(kept)  # All else holds for it as it does for this one.
        return limited

    def __repr__(self) -> str:
        """Name the agent."""
        return f"<Agent {self.id}>"
