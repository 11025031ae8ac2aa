"""An agent: a model, what it is told, and the tools it may use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from outlive.actors.model import Model, ToolSchema
from outlive.actors.tool import AnyTool, Tool, as_tool
from outlive.events import InvalidDefinition, InvalidId
from outlive.events.ids import stream_id


class Agent:
    """What runs are made of. Immutable; the same object serves any number of runs.

    Args:
        id: what the log calls it. A run goes on after a restart with the agent that has its
            id then; while there is none, the run is blocked.
        model: answers. An object with `name` and `stream`, see `Model`.
        instructions: what the model is told before the messages.
        name, description: for people.
        tools: functions, or what `@tool` has made of them.
        max_steps: model calls a run may make. Reaching it completes the run with
            `finish_reason="max_steps"`, after the tools of the last step.
        tool_concurrency: tool calls of one step that run at the same time.

    Raises:
        InvalidDefinition: something that cannot work, with the reason.
    """

    def __init__(
        self,
        id: str,
        *,
        model: Model,
        instructions: str = "",
        name: str | None = None,
        description: str | None = None,
        tools: Sequence[AnyTool] = (),
        max_steps: int = 20,
        tool_concurrency: int = 10,
    ) -> None:
        try:
            stream_id("agent", id)
        except InvalidId as error:
            raise InvalidDefinition(str(error)) from None
        if not isinstance(model, Model):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidDefinition(
                f"agent {id!r}: a model is an object with `name` and `stream`, not {model!r}"
            )
        if not isinstance(instructions, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidDefinition(f"agent {id!r}: instructions are text")
        for option, value in (("max_steps", max_steps), ("tool_concurrency", tool_concurrency)):
            if type(value) is not int or value < 1:
                raise InvalidDefinition(f"agent {id!r}: {option} is 1 or more, not {value!r}")
        self.id: Final = id
        self.model: Final = model
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
        self.tool_schemas: Final[tuple[ToolSchema, ...]] = tuple(
            made.schema for made in self.tools.values()
        )

    def with_model(self, model: Model) -> Agent:
        """Return the same agent with another model: a scripted one in a test, say.

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
            max_steps=self.max_steps,
            tool_concurrency=self.tool_concurrency,
        )

    def __repr__(self) -> str:
        """Name the agent."""
        return f"<Agent {self.id}>"
