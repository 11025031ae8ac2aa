"""Bytes that nobody wrote: refused with a name, or decoded; never run, imported or waited for.

`--atheris SECONDS` fuzzes for so long, with coverage as its guide.
"""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.events.decoders import DECODERS, is_decoded_or_refused
from tests.events.programs import ROOT

names = st.sampled_from(sorted(DECODERS))
TAKEN = sorted(DECODERS.keys() - {"marker"})


@st.composite
def mutated(draw: st.DrawFn) -> tuple[str, bytes]:
    """A decoder, and bytes that it takes with a few of them changed, added or left out."""
    name = draw(names)
    data = bytearray(DECODERS[name][1])
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        match draw(st.sampled_from(["flip", "set", "insert", "remove", "cut", "repeat"])):
            case "flip" if at < len(data):
                data[at] ^= 1 << draw(st.integers(0, 7))
            case "set" if at < len(data):
                data[at] = draw(st.sampled_from([0, 1, 0x7F, 0x80, 0xC1, 0xDD, 0xDF, 0xFF]))
            case "insert":
                data[at:at] = draw(st.binary(max_size=9))
            case "remove":
                del data[at : at + draw(st.integers(1, 9))]
            case "cut":
                del data[at:]
            case "repeat":
                data[at:at] = data[at : at + draw(st.integers(1, 40))]
            case _:
                pass
    return name, bytes(data)


@pytest.mark.parametrize("name", TAKEN)
def test_what_was_written_is_taken(name: str) -> None:
    assert is_decoded_or_refused(name, DECODERS[name][1])


@settings(max_examples=500, deadline=None)
@given(name=names, data=st.binary(max_size=300))
def test_any_bytes_are_decoded_or_refused_with_a_name(name: str, data: bytes) -> None:
    is_decoded_or_refused(name, data)


@settings(max_examples=1_500, deadline=None)
@given(found=mutated())
@example(("open entry", b"\xa1\xff"))
@example(("gap", b"\2"))
@example(("marker", b'{"log_id":"\x80"}'))
def test_nearly_right_bytes_are_decoded_or_refused_with_a_name(found: tuple[str, bytes]) -> None:
    is_decoded_or_refused(*found)


LONG = {
    "nested arrays": b"\x91" * 200_000,
    "nested maps": b"\x81\xa1a" * 200_000,
    "an array of four thousand million": b"\xdd\xff\xff\xff\xff",
    "a map of four thousand million": b"\xdf\xff\xff\xff\xff",
    "a text of four gigabytes": b"\xdb\xff\xff\xff\xff",
    "bytes of four gigabytes": b"\x91\xc6\xff\xff\xff\xff",
    "a row of 65,535 records": b"\1\xff\xff" + b"\xff" * 300_000,
    "nested JSON": b"[" * 200_000,
    "a nested value in an event": (
        b"\x91\x82\xa4type\xb3tool-call-completed\xa6result" + b"\x91" * 200_000
    ),
}


@pytest.mark.parametrize("what", LONG)
@pytest.mark.parametrize("name", sorted(DECODERS.keys() - {"row"}))  # cuts, does not look in
def test_what_claims_to_be_endless_is_refused(name: str, what: str) -> None:
    assert not is_decoded_or_refused(name, LONG[what])


def test_decoding_imports_nothing() -> None:
    """Whatever the bytes name: modules, classes, types of events that are none."""
    program = """
import sys
from tests.events.decoders import DECODERS, is_decoded_or_refused
for name, (_, data) in DECODERS.items():
    is_decoded_or_refused(name, data)
known = set(sys.modules)
named = [b"os.system", b"subprocess", b"antigravity", b"__reduce__", b"turtle.Turtle"]
for name, (_, data) in DECODERS.items():
    for at in range(0, len(data), 3):
        for text in named:
            is_decoded_or_refused(name, data[:at] + text + data[at:])
            is_decoded_or_refused(name, data[:at] + text + data[at + len(text):])
    for text in named:
        for tag in (b"run-started", b"model-delta"):
            is_decoded_or_refused(name, data.replace(tag, text))
print(sorted(set(sys.modules) - known))
"""
    found = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert found.stdout == "[]\n"


def test_atheris_finds_nothing(request: pytest.FixtureRequest) -> None:
    seconds: int = request.config.option.atheris
    if not seconds:
        pytest.skip("say for how many seconds: --atheris 60")
    if find_spec("atheris") is None:
        pytest.skip("atheris is not installed: pip install atheris")
    found = subprocess.run(
        [sys.executable, "-m", "tests.events.decoders", f"-max_total_time={seconds}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stderr
