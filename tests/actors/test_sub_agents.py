"""Agents with sub-agents: what a model sees, and what cannot be."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from outlive.actors import Agent, EchoModel, Runtime, StopOnTool, tool
from outlive.actors.sub_agents import problem_with, tool_name, with_sub_agents
from outlive.events import InvalidDefinition


def agent(id: str, *agents: Agent, **more: Any) -> Agent:
    return Agent(id, model=EchoModel(), agents=agents, **more)


@pytest.mark.parametrize(
    ("id", "name"),
    [
        ("research", "research"),
        ("web research", "web_research"),
        ("größe/2", "gr__e_2"),
        ("7up", "_7up"),
        ("-x", "_-x"),
        ("x" * 100, "x" * 64),
    ],
)
def test_a_models_name_for_a_sub_agent_is_made_of_its_id(id: str, name: str) -> None:
    assert tool_name(id) == name


class Report(msgspec.Struct):
    """What is wanted."""

    words: int


def test_a_sub_agent_is_a_tool_with_one_argument() -> None:
    helper = agent("help desk", description="Knows everything.", output_type=Report)
    (schema,) = agent("boss", helper).tool_schemas
    assert (schema.name, schema.description) == ("help_desk", "Knows everything.")
    assert schema.parameters["required"] == ["input"]
    assert schema.output is not None
    assert "words" in str(schema.output)


def test_without_a_description_its_name_is_told() -> None:
    (schema,) = agent("boss", agent("helper", name="The helper")).tool_schemas
    assert (schema.description, schema.output) == ("The helper", {"type": "string"})


@pytest.mark.parametrize("arguments", [{}, {"input": 3}, {"input": "x", "more": 1}, {"text": "x"}])
def test_other_arguments_go_back_to_the_model(arguments: dict[str, Any]) -> None:
    problem = problem_with(arguments)
    assert problem is not None
    assert problem.kind == "invalid_arguments"
    assert problem_with({"input": "x"}) is None


def test_a_run_may_stop_on_a_sub_agent() -> None:
    assert agent("boss", agent("help desk"), stop_when=[StopOnTool("help_desk")]).stop_when


def test_an_agent_with_another_model_has_the_same_sub_agents() -> None:
    helper = agent("helper")
    assert agent("boss", helper).with_model(EchoModel()).agents == {"helper": helper}


@tool(read_only=True)
def helper() -> None:
    """Help."""


@pytest.mark.parametrize(
    ("agents", "more", "why"),
    [
        ([agent("helper")], {"tools": [helper]}, "has a tool named 'helper'"),
        ([agent("a b"), agent("a_b")], {}, "two sub-agents .* 'a b' and 'a_b'"),
        ([agent("x"), agent("x")], {}, "two sub-agents"),
        ([agent("boss")], {}, "below itself"),
        ([agent("x", agent("boss"))], {}, "below itself"),
        ([agent("x", agent("z")), agent("y", agent("z"))], {}, "two agents have the id 'z'"),
        (["helper"], {}, "are of type Agent"),
        ("helper", {}, "are a list"),
    ],
)
def test_what_cannot_be_is_refused(agents: Any, more: dict[str, Any], why: str) -> None:
    with pytest.raises(InvalidDefinition, match=why):
        Agent("boss", model=EchoModel(), agents=agents, **more)


def test_one_agent_may_work_for_several() -> None:
    shared = agent("shared")
    boss = agent("boss", agent("x", shared), agent("y", shared), shared)
    assert list(with_sub_agents([boss])) == ["boss", "x", "y", "shared"]


def test_a_runtime_knows_the_sub_agents_of_its_agents_and_no_others_of_their_ids() -> None:
    boss = agent("boss", agent("helper"))
    Runtime(None, agents=[boss, boss.agents["helper"]])
    with pytest.raises(InvalidDefinition, match="two agents have the id 'helper'"):
        Runtime(None, agents=[boss, agent("helper")])


def test_functions_of_sub_agents_must_be_there() -> None:
    boss = agent("boss", agent("helper", stop_when=["enough"]))
    with pytest.raises(InvalidDefinition, match="'helper' refers to a function 'enough'"):
        Runtime(None, agents=[boss])
