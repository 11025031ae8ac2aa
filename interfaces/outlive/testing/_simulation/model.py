"""A model whose calls are effects on the world: processes can die before, amid and after them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from outlive.actors import Agent, Model, ModelPart, ModelRequest
from outlive.testing._simulation.points import Points, When
from outlive.testing._simulation.process import ProcessDied, here


class WatchedModel:
    """Another model, with points around its calls and after each part."""

    def __init__(self, model: Model, points: Points) -> None:
        self._model = model
        self._points = points

    @property
    def name(self) -> str:
        """What the log calls it."""
        return self._model.name

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelPart]:
        """Stream the other model's answer."""
        what = f"model call {request.step} of {request.run_id}"
        self._come_by("before", what)
        process = here()
        if process is not None and process.frozen:
            await asyncio.sleep(0)  # It goes on from here.
        async for part in self._model.stream(request):
            yield part
            self._come_by("after", f"{type(part).__name__} of {what}")

    def _come_by(self, when: When, what: str) -> None:
        if not self._points.come_by(here(), when, what):
            raise ProcessDied


def watched_agent(agent: Agent, points: Points) -> Agent:
    """Return the same agent, whose models are watched."""
    return agent.with_model(
        WatchedModel(agent.model, points),
        fallback_models=[WatchedModel(model, points) for model in agent.fallback_models],
    )
