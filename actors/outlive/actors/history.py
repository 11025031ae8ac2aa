"""How much of its thread a run sees."""

from __future__ import annotations

from typing import Final

import msgspec

from outlive.actors.summaries import Summarize, check_summarize
from outlive.events import InvalidDefinition

LEAST_TOKENS: Final = 100
"""With fewer there is no room for a summary."""


class History(msgspec.Struct, frozen=True, kw_only=True):
    """How much of a thread a run on it sees, so that a long one stays affordable.

    What is left out stays in the thread. What the run itself says and hears is always seen.

    With `summarize`, what is left out is condensed, and a run sees that first. It is done before
    a run begins whose thread has outgrown the bounds: all but the last half of them is condensed,
    along with what was before, so it is not done for each run. The thread records it, once; what
    cannot be condensed within two minutes is recorded as an error, and tried again for the next
    run.

    Args:
        max_messages: so many messages at most, the last ones. None: all of them.
        max_tokens: so many tokens at most, estimated at four characters each, an image at a
            thousand, with those of the summary, which has half of them at most. None: no bound.
        summarize: what condenses: a function, sync or async, that is given a `ToSummarize` on the
            event loop of the owner, and returns text; a model; or an agent, of which the model
            and the instructions are used.

    Raises:
        InvalidDefinition: a value that cannot hold.
    """

    max_messages: int | None = 40
    max_tokens: int | None = None
    summarize: Summarize | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot hold."""
        for option, value in (("max_messages", self.max_messages), ("max_tokens", self.max_tokens)):
            if value is not None and (type(value) is not int or value < 0):
                raise InvalidDefinition(f"{option} is 0 or more, or None, not {value!r}")
        if self.summarize is not None:
            check_summarize(self.summarize)
            if self.max_messages is None and self.max_tokens is None:
                raise InvalidDefinition("summarize: without a bound nothing is ever left out")
            if self.max_tokens is not None and self.max_tokens < LEAST_TOKENS:
                raise InvalidDefinition(
                    f"summarize: {self.max_tokens} max_tokens have no room for a summary, "
                    f"{LEAST_TOKENS} are the least"
                )

    @property
    def summary_tokens(self) -> int | None:
        """So many tokens a summary may have; None: no bound."""
        return None if self.max_tokens is None else self.max_tokens // 2


LAST_FORTY: Final = History()


def check_history(agent_id: str, history: History | None) -> History:
    """Return how much of a thread an agent's runs see. Raises InvalidDefinition."""
    if history is None:
        return LAST_FORTY
    if not isinstance(history, History):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidDefinition(f"agent {agent_id!r}: history is History(...), not {history!r}")
    return history
