"""Whether a sentence can be quoted alone: cues in English text."""

from __future__ import annotations

import re
from typing import Final

_LEANS_BACK: Final = re.compile(
    r"[\"\u201c]?(?:it|its|they|their|he|she|this|that|these|those|such|so|but|and|or|yet|then|"
    r"thus|hence|here|there|both|neither|either|another|others?|some|otherwise|therefore|however|"
    r"instead|moreover|meanwhile|also|again|nor|no|only|for (?:example|instance)|in contrast|"
    r"the (?:same|former|latter|two|other|first|second|third|last|claim|reasons?|difference|"
    r"method|result|table)|one method|in that|as a result|afterwards|later)\b",
    re.IGNORECASE,
)
"""A sentence that begins like this is about the one before it, and odd by itself."""
_POINTS_ELSEWHERE: Final = re.compile(
    r"; see \S|\b(?:described|discussed|explained|given|set out|covered|listed) (?:in|under|on)\b|"
    r"\b(?:explains|describes|shows how|the subject of|the page on)\b|\bas in\b"
)
_ENTRY: Final = re.compile(r"\S+(?: \S+){0,3}: ")
"""An entry of a list, `Lease: ownership that ends by itself`: a fragment."""
_DUTY: Final = re.compile(
    r"\b(?:must|should|has to|have to|needs? to|never|always|only if|requires?|rule|may not)\b"
)
_ASKS_FOR_DUTY: Final = re.compile(r"\b(?:must|should|ought|needs?|how (?:to|do|can))\b", re.I)


def asks_for_duty(question: str) -> bool:
    """Whether a question wants to know what must be done."""
    return bool(_ASKS_FOR_DUTY.search(question))


def fitness(text: str, *, duty: bool) -> float:
    """Return how well a sentence stands by itself; 1 is an ordinary one, 0 is none.

    Args:
        text: the sentence.
        duty: whether one that says what must be done is wanted most.
    """
    words = len(text.split())
    if words < 5 or text[-1] not in ".!?\"')\u201d\u2019":
        return 0.0
    value = 1.0
    if words < 8:
        value *= 0.6
    elif words > 45:
        value *= 0.7
    if _LEANS_BACK.match(text):
        value *= 0.35
    if _ENTRY.match(text):
        value *= 0.5
    if _POINTS_ELSEWHERE.search(text):
        value *= 0.2
    if text.endswith("?"):
        value *= 0.5
    if duty and _DUTY.search(text):
        value *= 1.3
    return value
