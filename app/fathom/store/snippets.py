"""Snippets: the stretch of a document's own text that says most about a query. Knows nothing of databases."""

from __future__ import annotations

import re
from collections.abc import Sequence

from fathom.store.terms import Term, fold

WIDTH = 320
"""Characters of a snippet, more or less: it begins and ends at a sentence or a word."""

_MOST_FINDS = 60
"""Places of one term that are looked at; a long document repeats itself."""

_SENTENCE_END = re.compile(r"(?<=[.!?])[\"”')\]]*\s+|(?<=[。！？])|\n+")


def best_span(text: str, weighted: Sequence[tuple[Term, float]], width: int = WIDTH) -> tuple[int, int]:
    """Offsets of the best stretch of ``text``: the most, and the rarest, different terms in ``width`` characters.

    ``text[start:end]`` has no white space at its ends. Without any term in the text it is the text's beginning.
    """
    if len(text) <= width:
        return _strip(text, 0, len(text))
    places = sorted(_places(fold(text), weighted))
    first, last = _densest(places, width)
    start = _start(text, first, max(0, last - width))
    end = _end(text, start, last, width)
    return _strip(text, _earlier_sentence(text, start, max(0, end - width)), end)


def places(text: str, terms: Sequence[Term], most: int = 500) -> list[tuple[int, int]]:
    """Where the terms stand in ``text``, whole words, in order; what touches is one place. At most ``most`` places."""
    folded = fold(text)
    found = []
    for start, end, _, _ in _places(folded, [(term, 1.0) for term in terms], most):
        while end < len(folded) and folded[end].isascii() and folded[end].isalnum() and folded[end - 1].isascii():
            end += 1
        found.append((start, end))
    merged: list[tuple[int, int]] = []
    for start, end in sorted(found):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged[:most]


def _places(
    folded: str, weighted: Sequence[tuple[Term, float]], most: int = _MOST_FINDS
) -> list[tuple[int, int, int, float]]:
    """(start, end, term number, weight) of each place of a term; stems match by their common beginning."""
    found = []
    for number, (term, weight) in enumerate(weighted):
        needle = fold(term.text)
        if needle.isascii() and not term.phrase and len(needle) > 5:
            needle = needle[: max(4, len(needle) - 3)]
        at, count = folded.find(needle), 0
        while at >= 0 and count < most:
            within_a_word = needle[0].isascii() and at > 0 and folded[at - 1].isalnum()
            if not within_a_word:
                found.append((at, at + len(needle), number, weight))
                count += 1
            at = folded.find(needle, at + 1)
    return found


def _densest(places: Sequence[tuple[int, int, int, float]], width: int) -> tuple[int, int]:
    """Where the best group of places begins and ends: the greatest weight of different terms, then the shortest."""
    best, best_weight = (0, 0), 0.0
    for index, (start, _, _, _) in enumerate(places):
        weights: dict[int, float] = {}
        for _, end, number, weight in places[index:]:
            if end > start + width * 3 // 4:
                break
            if number in weights:
                continue
            weights[number] = weight
            total = sum(weights.values())
            shorter = end - start < best[1] - best[0]
            if total > best_weight + 1e-9 or (total > best_weight - 1e-9 and shorter):
                best, best_weight = (start, end), total
    return best


def _start(text: str, first: int, earliest: int) -> int:
    """The beginning of the sentence that ``first`` stands in, when that is not before ``earliest``; else of a word."""
    starts = [match.end() for match in _SENTENCE_END.finditer(text, earliest, first)]
    if starts:
        return starts[-1]
    if earliest == 0:
        return 0
    space = text.find(" ", earliest, first)
    return space + 1 if space >= 0 else earliest


def _earlier_sentence(text: str, start: int, earliest: int) -> int:
    """With room left over, the sentences before ``start`` as far as they fit."""
    if earliest == 0:
        return 0
    return min((match.end() for match in _SENTENCE_END.finditer(text, earliest, start)), default=start)


def _end(text: str, start: int, last: int, width: int) -> int:
    """The end of the last sentence that fits, not before ``last``; else of a word."""
    limit = min(len(text), start + width)
    if limit == len(text):
        return limit
    least = max(last, start + width // 2)
    ends = [match.start() for match in _SENTENCE_END.finditer(text, least, limit)]
    if ends:
        return ends[-1]
    space = text.rfind(" ", least, limit)
    return space if space >= 0 else limit


def _strip(text: str, start: int, end: int) -> tuple[int, int]:
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return start, end
