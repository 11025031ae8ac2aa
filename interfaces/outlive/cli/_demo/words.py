"""Words and sentences of English text: stems, stop words, near synonyms, sentence ends."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

_STOP_WORDS: Final = (
    "a about above after all also although always am among an and another any anyone anything are "
    "around as at away back be because been before being below best better between both but by "
    "call called can cannot come could did do does doing done down during each either else enough "
    "ever every everyone everything exactly few first for from further get give given gives go "
    "goes had has have having he her here him his how however i if in instead into is it its "
    "itself just keep know known last less let like likely made make makes making many may me "
    "means might more most much must my need needed needs neither never new next no nobody none "
    "nor not nothing now of off often old on one only or other others otherwise our out over own "
    "part per perhaps put quite rather really same say says see set several shall she should since "
    "so some somebody something still such take takes than that the their them then there "
    "therefore these they thing things this those though three through thus to together too two "
    "under until up upon us use used uses using usually very want was way we well were what "
    "whatever when where whether which while who whole whom whose why will with within without "
    "would yes yet you your"
)
_STOP: Final = frozenset(_STOP_WORDS.split())
_ALIKE: Final = (
    "twice duplicate repeat once repetition idempotent",
    "crash kill death die dies dead outage failure fail sigkill",
    "survive recover recovery resume restart durable",
    "approve approval approver decision",
    "slow latency delay wait",
    "cost price expensive cheap money",
    "overload backpressure burst backlog load",
    "test verify check",
    "store save record write",
    "schema format version",
    "schedule timer cron",
    "deploy release upgrade",
    "observe watch progress monitor",
    "space interval backoff jitter",
)
_ENDINGS: Final = (
    ("ational", "ate"),
    ("abilities", "able"),
    ("ability", "able"),
    ("isation", "ise"),
    ("ization", "ise"),
    ("itions", "it"),
    ("ition", "it"),
    ("ations", "ate"),
    ("ation", "ate"),
    ("encies", "ent"),
    ("ency", "ent"),
    ("ence", "ent"),
    ("ities", "ity"),
    ("ments", "ment"),
    ("izing", "ise"),
    ("ized", "ise"),
    ("ures", ""),
    ("ably", "able"),
    ("sses", "ss"),
    ("ches", "ch"),
    ("shes", "sh"),
    ("ings", ""),
    ("edly", ""),
    ("ies", "y"),
    ("ied", "y"),
    ("ing", ""),
    ("ure", ""),
    ("als", ""),
    ("al", ""),
    ("ed", ""),
    ("ly", ""),
    ("ss", "ss"),
    ("us", "us"),
    ("is", "is"),
    ("s", ""),
)
_SHORTEST_STEM: Final = 4
_WORD: Final = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)*")
_END: Final = re.compile(r"(?<=[.!?])[\"'\u201d\u2019)\]]*\s+(?=[\"'\u201c\u2018(\[]?[A-Z0-9])")
_ABBREVIATION: Final = re.compile(r"\b(?:e\.g|i\.e|etc|vs|cf|Dr|Mr|Ms|Mrs|St|No|Fig|[A-Z])\.$")


def terms_of(text: str) -> tuple[str, ...]:
    """Return the stems of the words that carry meaning, in order, repeats included."""
    words = (word.lower().replace("\u2019", "'").removesuffix("'s") for word in _WORD.findall(text))
    return tuple(stem(word) for word in words if word not in _STOP and len(word) > 1)


def stem(word: str) -> str:
    """Cut an English ending: `crashes`, `crashed` and `crashing` become `crash`."""
    for ending, instead in _ENDINGS:
        kept = len(word) - len(ending)
        if word.endswith(ending) and kept + len(instead) >= _SHORTEST_STEM:
            word = word[:kept] + instead
            break
    if len(word) > _SHORTEST_STEM and word[-1] == word[-2] and word[-1] not in "aeiouls":
        word = word[:-1]
    return word[:-1] if len(word) > _SHORTEST_STEM and word[-1] in "ey" else word


def alike(term: str) -> tuple[str, ...]:
    """Return the stems that mean nearly the same as this one, from a short built-in list."""
    return _SYNONYMS.get(term, ())


def split_sentences(text: str) -> Iterator[str]:
    """Yield the sentences of a paragraph, in order."""
    start = 0
    for end in _END.finditer(text):
        if _ABBREVIATION.search(text[start : end.start()]):
            continue
        yield text[start : end.end()].strip()
        start = end.end()
    if text[start:].strip():
        yield text[start:].strip()


def _synonyms() -> dict[str, tuple[str, ...]]:
    found: dict[str, dict[str, None]] = {}
    for group in _ALIKE:
        stems = [stem(word) for word in group.split()]
        for one in stems:
            found.setdefault(one, {}).update({other: None for other in stems if other != one})
    return {one: tuple(others) for one, others in found.items()}


_SYNONYMS: Final = _synonyms()
