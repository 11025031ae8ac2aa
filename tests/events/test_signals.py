"""What may be signalled, what is refused, and what a model sees of it."""

from __future__ import annotations

import math
from typing import Any
from xml.etree import ElementTree

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from outlive.events import IfActive, IfIdle, ImagePart, InvalidSignal, Signal, TextPart
from outlive.events.signals import check_if_active, check_if_idle, new_signal
from outlive.events.sizes import MAX_VALUE_BYTES
from outlive.events.values import Value

IMAGE = ImagePart(media_type="image/png", url="https://example.org/a.png")


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("contents", {"contents": ""}),
        ("contents", {"contents": []}),
        ("contents", {"contents": 7}),
        ("contents", {"contents": ["text"]}),
        ("contents", {"contents": "\ud800"}),
        ("contents", {"contents": [ImagePart(media_type="png", url="https://example.org")]}),
        ("type", {"type": "shout"}),
        ("type", {"type": ["user"]}),
        ("tag_name", {"tag_name": ""}),
        ("tag_name", {"tag_name": "two words"}),
        ("tag_name", {"tag_name": "1st"}),
        ("tag_name", {"tag_name": "a>"}),
        ("tag_name", {"tag_name": "a\n"}),
        ("tag_name", {"tag_name": "a" * 101}),
        ("tag_name", {"tag_name": 7}),
        ("attributes", {"attributes": {"": 1}}),
        ("attributes", {"attributes": {'a"': 1}}),
        ("attributes", {"attributes": {"a b": 1}}),
        ("attributes", {"attributes": {7: 1}}),
        ("attributes", {"attributes": ["a"]}),
        ("attributes", {"attributes": {"a": b"bytes"}}),
        ("attributes", {"attributes": {"a": {"deep": [b"bytes"]}}}),
        ("attributes", {"attributes": {"a": object()}}),
        ("attributes", {"attributes": {"a": math.nan}}),
        ("attributes", {"attributes": {"a": [math.inf]}}),
        ("attributes", {"attributes": {"a": 1 << 64}}),
        ("provider_options", {"provider_options": "fast"}),
        ("provider_options", {"provider_options": {"a": b"bytes"}}),
        ("transient", {"transient": "no"}),
    ],
)
def test_a_signal_that_could_not_be_shown_is_refused_by_its_field(
    field: str, wrong: dict[str, Any]
) -> None:
    arguments: dict[str, Any] = {"contents": "hello", **wrong}
    with pytest.raises(InvalidSignal) as caught:
        new_signal(**arguments)
    assert caught.value.field == field
    assert field in str(caught.value)


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("if_active", "deliver"),
        ("if_active", IfActive("wake")),  # type: ignore[arg-type]
        ("if_active.attributes", IfActive(attributes={"a b": 1})),
        ("if_idle", "wake"),
        ("if_idle", IfIdle("deliver")),  # type: ignore[arg-type]
        ("if_idle.attributes", IfIdle(attributes={"a": b""})),
        ("if_idle.request_context", IfIdle(request_context={"a": b""})),
        ("if_idle.request_context", IfIdle("persist", request_context={"a": 1})),
    ],
)
def test_a_behaviour_that_cannot_be_is_refused_by_its_field(field: str, wrong: Any) -> None:
    check: Any = check_if_active if field.startswith("if_active") else check_if_idle
    with pytest.raises(InvalidSignal) as caught:
        check(wrong)
    assert caught.value.field == field


def test_behaviours_come_back_in_their_stored_form() -> None:
    assert check_if_active(IfActive("persist", attributes={"n": 1})) == IfActive(
        "persist", attributes={"n": 1}
    )
    given = IfIdle(attributes={"tags": ("a", "b")}, request_context={"user": 7})  # type: ignore[dict-item]
    assert check_if_idle(given) == IfIdle(
        attributes={"tags": ["a", "b"]}, request_context={"user": 7}
    )


@pytest.mark.parametrize(
    ("signal", "shown"),
    [
        (new_signal("hello", type="user"), "hello"),
        (new_signal("a < b", type="user"), "a < b"),
        (new_signal("hi", type="user", attributes={"name": "Ann"}), '<user name="Ann">hi</user>'),
        (new_signal("hi", type="user", tag_name="said"), "<said>hi</said>"),
        (new_signal("done"), "<notification>done</notification>"),
        (new_signal("be brief", type="reactive"), "<system-reminder>be brief</system-reminder>"),
        (new_signal("so", type="system-reminder"), "<system-reminder>so</system-reminder>"),
        (new_signal("42", type="state", tag_name="heat"), "<heat>42</heat>"),
        (new_signal("</x> & <y>", tag_name="x"), "<x>&lt;/x&gt; &amp; &lt;y&gt;</x>"),
        (
            new_signal("x", tag_name="t", attributes={"a": '"<&>\n', "b": 2, "c": None, "d": [1]}),
            '<t a="&quot;&lt;&amp;&gt;&#10;" b="2" c="null" d="[1]">x</t>',
        ),
        (new_signal("x", tag_name="über:größe", attributes={"日": True}), None),
    ],
)
def test_a_signal_is_shown_as_an_element(signal: Signal, shown: str | None) -> None:
    expected = shown or '<über:größe 日="true">x</über:größe>'
    assert signal.rendered() == (expected, ())


def test_a_signal_of_parts_is_shown_between_its_tags() -> None:
    signal = new_signal([TextPart("look <here>"), IMAGE], tag_name="seen")
    text, parts = signal.rendered()
    assert text == "<seen>look &lt;here&gt;</seen>"
    assert parts == (TextPart("<seen>"), TextPart("look &lt;here&gt;"), IMAGE, TextPart("</seen>"))


def test_what_a_person_says_in_parts_is_shown_as_it_is() -> None:
    signal = new_signal([TextPart("<b>"), IMAGE], type="user")
    assert signal.rendered() == ("<b>", (TextPart("<b>"), IMAGE))


def test_attributes_of_a_branch_are_merged_over_those_of_the_signal() -> None:
    signal = new_signal("x", attributes={"a": 1, "b": 2}).with_attributes({"b": 3, "c": 4})
    assert signal.attributes == {"a": 1, "b": 3, "c": 4}


def test_a_signal_that_is_too_large_is_refused() -> None:
    with pytest.raises(ValueError, match="too many to be stored"):
        new_signal("x" * (MAX_VALUE_BYTES + 1))


names = st.from_regex(r"[A-Za-z_][A-Za-z0-9._-]{0,9}", fullmatch=True)
json_values: st.SearchStrategy[Value] = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 63) - 1) | st.text(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=4,
)


@given(
    text=st.text(min_size=1),
    tag=names,
    attributes=st.dictionaries(names, json_values, max_size=3),
)
def test_whatever_is_said_stays_within_its_element(
    text: str, tag: str, attributes: dict[str, Value]
) -> None:
    signal = new_signal(text, tag_name=tag, attributes=attributes)

    stored = msgspec.msgpack.decode(msgspec.msgpack.encode(signal), type=Signal)
    assert stored == signal
    element = ElementTree.fromstring(signal.rendered()[0])

    assert (element.tag, len(element), list(element.attrib)) == (tag, 0, list(attributes))
    assert len(element.text or "") == len(text)
    for name, value in attributes.items():
        shown = element.attrib[name]
        if isinstance(value, str):
            assert len(shown) == len(value)
        else:
            assert "\ufffd" in shown or msgspec.json.decode(shown) == value
