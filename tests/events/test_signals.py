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


JSON_VALUES = "JSON values, and that of 'a' is none$"
MAPPING = "a mapping of names to JSON values, not"
TYPES = "one of user, notification, reactive, system-reminder, state, not"
XML_NAMES = r"XML names \(as 'ticket-id'\), which"


@pytest.mark.parametrize(
    ("field", "wrong", "why"),
    [
        ("contents", "", "what is to be told; it is empty$"),
        ("contents", [], "the input is a list of parts that is not empty$"),
        ("contents", 7, "the input is text, or a list of parts, not int$"),
        ("contents", ["text"], "a part is a TextPart, an ImagePart or a FilePart, not 'text'$"),
        ("contents", "\ud800", "str: .* surrogates not allowed$"),
        ("contents", [ImagePart(media_type="png", url="https://example.org")], "a media type is"),
        ("type", "shout", f"{TYPES} 'shout'$"),
        ("type", ["user"], rf"{TYPES} \['user'\]$"),
        ("tag_name", "", f"{XML_NAMES} '' is not$"),
        ("tag_name", "two words", f"{XML_NAMES} 'two words' is not$"),
        ("tag_name", "1st", f"{XML_NAMES} '1st' is not$"),
        ("tag_name", "a>", f"{XML_NAMES} 'a>' is not$"),
        ("tag_name", "a\n", XML_NAMES),
        ("tag_name", "a" * 101, "names of at most 100 characters, not 101$"),
        ("tag_name", 7, f"{XML_NAMES} 7 is not$"),
        ("attributes", {"": 1}, f"{XML_NAMES} '' is not$"),
        ("attributes", {'a"': 1}, f"{XML_NAMES} 'a\"' is not$"),
        ("attributes", {"a b": 1}, f"{XML_NAMES} 'a b' is not$"),
        ("attributes", {7: 1}, f"{MAPPING} {{7: 1}}$"),
        ("attributes", ["a"], rf"{MAPPING} \['a'\]$"),
        ("attributes", {"a": b"bytes"}, JSON_VALUES),
        ("attributes", {"a": {"deep": [b"bytes"]}}, JSON_VALUES),
        ("attributes", {"a": object()}, "JSON values, and this is none: .*type object"),
        ("attributes", {"a": math.nan}, JSON_VALUES),
        ("attributes", {"a": [math.inf]}, JSON_VALUES),
        ("attributes", {"a": 1 << 64}, "JSON values, and this is none: .*ints"),
        ("provider_options", "fast", f"{MAPPING} 'fast'$"),
        ("provider_options", {"a": b"bytes"}, JSON_VALUES),
        ("transient", "no", "True or False, not 'no'$"),
    ],
)
def test_a_signal_that_could_not_be_shown_is_refused_by_its_field_with_the_reason(
    field: str, wrong: Any, why: str
) -> None:
    arguments: dict[str, Any] = {"contents": "hello", field: wrong}
    with pytest.raises(InvalidSignal, match=f"^{field} of a signal: {why}") as caught:
        new_signal(**arguments)
    assert caught.value.field == field


def test_a_name_of_100_characters_will_do() -> None:
    longest = "n" * 100
    signal = new_signal("hello", tag_name=longest, attributes={longest: 1})
    assert (signal.tag, signal.attributes) == (longest, {longest: 1})


def test_a_signal_is_kept_unless_it_is_said_to_be_transient() -> None:
    assert not new_signal("hello").transient
    assert new_signal("hello", transient=True).transient


@pytest.mark.parametrize(
    ("field", "wrong", "why"),
    [
        ("if_active", "deliver", r"IfActive\(\.\.\.\), not 'deliver'$"),
        ("if_active", IfActive("wake"), "deliver, persist or discard, not 'wake'$"),  # type: ignore[arg-type]
        ("if_active.attributes", IfActive(attributes={"a b": 1}), f"{XML_NAMES} 'a b' is not$"),
        ("if_idle", "wake", r"IfIdle\(\.\.\.\), not 'wake'$"),
        ("if_idle", IfIdle("deliver"), "wake, persist or discard, not 'deliver'$"),  # type: ignore[arg-type]
        ("if_idle.attributes", IfIdle(attributes={"a": b""}), JSON_VALUES),
        ("if_idle.request_context", IfIdle(request_context={"a": b""}), JSON_VALUES),
        (
            "if_idle.request_context",
            IfIdle("persist", request_context={"a": 1}),
            "of a run, and only wake starts one$",
        ),
    ],
)
def test_a_behaviour_that_cannot_be_is_refused_by_its_field_with_the_reason(
    field: str, wrong: Any, why: str
) -> None:
    check: Any = check_if_active if field.startswith("if_active") else check_if_idle
    with pytest.raises(InvalidSignal, match=f"^{field} of a signal: {why}") as caught:
        check(wrong)
    assert caught.value.field == field


@pytest.mark.parametrize(
    "behaviour",
    [
        *(IfActive(one, attributes={"n": 1}) for one in ("deliver", "persist", "discard")),
        *(IfIdle(one, attributes={"n": 1}) for one in ("wake", "persist", "discard")),
    ],
    ids=lambda one: f"{type(one).__name__}-{one.behaviour}",
)
def test_each_behaviour_that_there_is_is_taken_as_it_is(behaviour: IfActive | IfIdle) -> None:
    if isinstance(behaviour, IfActive):
        assert check_if_active(behaviour) == behaviour
    else:
        assert check_if_idle(behaviour) == behaviour


def test_the_values_of_a_behaviour_come_back_in_their_stored_form() -> None:
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
