"""Values as tools return them, and lengths of time."""

from __future__ import annotations

from typing import Final

from hypothesis import strategies as st

from outlive.events import Value

_UNITS: Final = (1.0, 0.001, 0.02, 0.5, 60.0, 3_600.0, 86_400.0)

_LEAVES: Final = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=10)
    | st.binary(max_size=10)
)


def values(*, max_leaves: int = 6) -> st.SearchStrategy[Value]:
    """Draw plain values, as events hold them: what a tool has returned, or a step.

    Shrinks to None. There is no NaN among them, which would not equal itself.

    Args:
        max_leaves: how many numbers, texts and so on are in one of them.
    """
    return st.recursive(
        _LEAVES,
        lambda inner: (
            st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4)
        ),
        max_leaves=max_leaves,
    )


def durations(
    *, min_seconds: float = 0.0, max_seconds: float = 86_400.0
) -> st.SearchStrategy[float]:
    """Draw lengths of time in seconds: nothing, milliseconds, minutes, days, each as likely.

    Shrinks to 0, or to `min_seconds`, and to whole seconds.

    Raises:
        ValueError: `min_seconds` is negative, or above `max_seconds`.
    """
    if not 0 <= min_seconds <= max_seconds:
        raise ValueError(f"durations are from 0 up, not from {min_seconds} to {max_seconds}")
    units = [unit for unit in _UNITS if unit <= max_seconds] or [max_seconds]

    def within(unit: float, count: int) -> float:
        return min(max(min_seconds, count * unit), max_seconds)

    return st.builds(within, st.sampled_from(units), st.integers(0, 9))
