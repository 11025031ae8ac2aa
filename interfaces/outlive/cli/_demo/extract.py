"""Which sentences of some pages answer a question: ranking by the words they share.

No language model, and nothing learnt. Words are cut to their stems and rare ones weigh more
(BM25, Robertson and Zaragoza 2009), over pages first and then over sentences. The question is
widened by near synonyms and by words of the best matches (Rocchio 1971). A sentence gains from
its paragraph, heading and page, and loses when it cannot stand alone. What repeats a sentence
already picked is passed over (maximal marginal relevance, Carbonell and Goldstein 1998).

Pure and deterministic: the same pages and question give the same answer; ties are broken by
reading order.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from outlive.cli._demo.fitness import asks_for_duty, fitness
from outlive.cli._demo.html import Passage
from outlive.cli._demo.words import alike, split_sentences, terms_of

_PARAGRAPH: Final = 25
"""Words of an average passage from which on a page is prose; below, it is a list of links."""
_CANDIDATES: Final = 200
"""Sentences that are compared with each other, at most: it takes their number squared."""


class Question(msgspec.Struct, frozen=True):
    """A question as weighted stems. An aspect is a word that was asked, with its synonyms."""

    text: str
    weights: dict[str, float]
    aspects: tuple[frozenset[str], ...]


class Sentence(msgspec.Struct, frozen=True):
    """A sentence, and where it stands. `page` counts from 0, `place` is its reading order."""

    page: int
    passage: int
    place: int
    heading: str
    text: str
    terms: tuple[str, ...]


class _Texts:
    """BM25 (b = 0.6) over texts of one kind. The longer they are, the larger `k1` should be."""

    def __init__(self, texts: Sequence[Counter[str]], *, k1: float) -> None:
        self._k1 = k1
        self._texts = texts
        self._mean = sum(text.total() for text in texts) / max(len(texts), 1) or 1.0
        found = Counter(term for text in texts for term in text)
        self.weights: Final = {
            term: math.log(1 + (len(texts) - times + 0.5) / (times + 0.5))
            for term, times in found.items()
        }

    def match(self, question: Mapping[str, float]) -> list[float]:
        return [self._score(question, text) for text in self._texts]

    def _score(self, question: Mapping[str, float], text: Counter[str]) -> float:
        length, total = self._k1 * (0.4 + 0.6 * text.total() / self._mean), 0.0
        for term, weight in question.items():
            times = text.get(term, 0)
            if times:
                total += weight * self.weights[term] * times * (self._k1 + 1) / (times + length)
        return total


class Library:
    """Pages, cut into sentences, with the weight of each word among them.

    Args:
        pages: title and passages of each.
    """

    def __init__(self, pages: Sequence[tuple[str, Sequence[Passage]]]) -> None:
        self.sentences: Final[list[Sentence]] = []
        self._titles: Final = [terms_of(title) for title, _ in pages]
        self._prose: Final[list[float]] = []
        passage_terms: list[Counter[str]] = []
        page_terms: list[Counter[str]] = []
        for page, (title, passages) in enumerate(pages):
            whole = Counter(terms_of(title) * 3)
            for passage in passages:
                terms: Counter[str] = Counter()
                for text in split_sentences(passage.text):
                    sentence = Sentence(
                        page,
                        len(passage_terms),
                        len(self.sentences),
                        passage.heading,
                        text,
                        terms_of(text),
                    )
                    self.sentences.append(sentence)
                    terms.update(sentence.terms)
                passage_terms.append(terms)
                whole.update(terms)
            page_terms.append(whole)
            words = sum(len(passage.text.split()) for passage in passages)
            self._prose.append(min(1.0, words / max(len(passages), 1) / _PARAGRAPH))
        self._pages = _Texts(page_terms, k1=6.0)
        self._passages = _Texts(passage_terms, k1=2.0)
        self._texts = _Texts([Counter(sentence.terms) for sentence in self.sentences], k1=0.6)
        self._weights = self._texts.weights

    def knows(self, term: str) -> bool:
        """Whether any sentence has this stem."""
        return term in self._weights

    def question(self, text: str, *, widen: int = 8) -> Question:
        """Return the question's stems with weights, widened.

        Near synonyms weigh up to half, and up to `widen` words of the best matches a quarter.
        """
        weights: dict[str, float] = {}
        aspects: list[frozenset[str]] = []
        for term in dict.fromkeys(terms_of(text)):
            known = [other for other in alike(term) if self.knows(other)]
            if self.knows(term):
                weights[term] = 1.0
            for other in known:
                weights.setdefault(other, min(0.5, 1.5 / len(known)))
            if known or self.knows(term):
                aspects.append(frozenset((term, *known)))
        if weights:
            weights |= self._near(weights, widen)
        return Question(text=text, weights=weights, aspects=tuple(aspects))

    def _near(self, asked: Mapping[str, float], count: int) -> dict[str, float]:
        """Return words that several of the best matches share, with weights up to a quarter."""
        scores = self._texts.match(asked)
        best = sorted(self.sentences, key=lambda s: (-scores[s.place], s.place))[:15]
        found: Counter[str] = Counter()
        for sentence in best:
            found.update(set(sentence.terms) - asked.keys())
        near = {term: times * self._weights[term] for term, times in found.items() if times > 1}
        ranked = sorted(near.items(), key=lambda item: (-item[1], item[0]))[:count]
        top = ranked[0][1] if ranked else 1.0
        return {term: 0.25 * weight / top for term, weight in ranked}

    def rank(self, question: Question) -> tuple[list[float], list[float]]:
        """Return how well each sentence and each page answers; 0 is not at all."""
        pages = [
            score * prose * (1 + self._share(question.weights, title))
            for score, prose, title in zip(
                self._pages.match(question.weights), self._prose, self._titles, strict=True
            )
        ]
        top_page = max(pages, default=0.0) or 1.0
        own = self._texts.match(question.weights)
        around = self._passages.match(question.weights)
        duty = asks_for_duty(question.text)
        scores: list[float] = []
        for sentence in self.sentences:
            score = own[sentence.place]
            if score:
                score += 0.35 * around[sentence.passage]
                heading = terms_of(sentence.heading)
                score *= 1 + 0.4 * self._share(question.weights, heading)
                score *= 0.1 + pages[sentence.page] / top_page
                words = {*sentence.terms, *heading, *self._titles[sentence.page]}
                score *= 0.3 + sum(not words.isdisjoint(aspect) for aspect in question.aspects)
                score *= self._lead(sentence) * fitness(sentence.text, duty=duty)
            scores.append(score)
        return scores, pages

    def _lead(self, sentence: Sentence) -> float:
        """The first sentence of a paragraph says what it is about, that of a page even more."""
        before = self.sentences[sentence.place - 1] if sentence.place else None
        if before is None or before.page != sentence.page:
            return 1.5
        return 1.2 if before.passage != sentence.passage else 1.0

    def _share(self, question: Mapping[str, float], terms: Iterable[str]) -> float:
        """Return the share of the question's weight that these words carry, 0 to 1."""
        whole = sum(weight * self._weights[term] for term, weight in question.items())
        held = sum(question.get(t, 0.0) * self._weights.get(t, 0.0) for t in set(terms))
        return held / whole if whole else 0.0

    def likeness(self, one: Sentence, other: Sentence) -> float:
        """Return how much two sentences say the same: the cosine of their words, 0 to 1."""
        mine, theirs = set(one.terms), set(other.terms)
        both = sum(self._weights[term] ** 2 for term in sorted(mine & theirs))
        size = math.sqrt(
            sum(self._weights[term] ** 2 for term in sorted(mine))
            * sum(self._weights[term] ** 2 for term in sorted(theirs))
        )
        return both / size if size else 0.0

    def pick(
        self,
        candidates: Iterable[Sentence],
        scores: Sequence[float],
        count: int,
        *,
        besides: Sequence[Sentence] = (),
        a_page: int | None = None,
        a_passage: int | None = None,
    ) -> list[Sentence]:
        """Return up to `count` sentences, best first, that do not repeat each other.

        Args:
            candidates: what to pick from; those that score 0 are never picked.
            scores: of all sentences, by reading order.
            count: how many at most.
            besides: picked before; not to be repeated either.
            a_page, a_passage: how many of one page or passage at most.
        """
        left = [sentence for sentence in candidates if scores[sentence.place] > 0]
        left.sort(key=lambda sentence: (-scores[sentence.place], sentence.place))
        del left[_CANDIDATES:]
        top = scores[left[0].place] if left else 1.0
        picked: list[Sentence] = []
        while left and len(picked) < count:
            best, best_value = None, -math.inf
            for sentence in left:
                again = max(
                    (self.likeness(sentence, other) for other in (*besides, *picked)), default=0.0
                )
                value = 0.75 * scores[sentence.place] / top - 0.25 * again
                if again < 0.6 and value > best_value:
                    best, best_value = sentence, value
            if best is None:
                break
            picked.append(best)
            page_full = a_page is not None and _count(picked, "page", best) >= a_page
            passage_full = a_passage is not None and _count(picked, "passage", best) >= a_passage
            left = [
                sentence
                for sentence in left
                if sentence is not best
                and not (page_full and sentence.page == best.page)
                and not (passage_full and sentence.passage == best.passage)
            ]
        return picked


def _count(picked: Sequence[Sentence], field: str, like: Sentence) -> int:
    return sum(getattr(sentence, field) == getattr(like, field) for sentence in picked)
