"""Picks from a document what a request asks for: BM25 over its blocks, within a budget of characters.

Order, headings, neighbours and offsets are kept. That nothing was found is said, not covered up. Knows no tool.
"""

from __future__ import annotations

import bisect
import itertools
import math
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from fathom.tools.extract.passages import Block, Span, blocks, sentences
from fathom.tools.extract.terms import query_terms, terms

GAP = "[...]"
_USUAL, _SMALLEST = 500, 60
_BETWEEN = 24
_LONGEST_HEAD = 300
_K1, _B = 1.2, 0.75
_LESS = 0.3


class Selection(NamedTuple):
    """What was picked.

    ``spans`` are in document order and do not touch each other; ``text`` is what they hold, with headings, and with
    ``GAP`` where something is left out. ``found`` is False when no telling word of the request is in the document;
    ``spans`` is then its beginning. ``best`` is the sentence that answers best.
    """

    text: str
    spans: tuple[Span, ...]
    best: Span | None
    found: bool
    whole: bool


def select(
    text: str, request: str, budget_chars: int, *, title: str = "", also: str = "", pages: Sequence[int] = ()
) -> Selection:
    """Pick up to ``budget_chars`` characters of ``text`` for ``request``.

    ``pages`` are the offsets at which its pages begin; their numbers are shown. Words of the document's ``title`` say
    little of where in it something stands. ``also`` adds words of less weight, for instance the question that the whole
    run is about. A document that fits is given whole.
    """
    pieces = blocks(text, max(_SMALLEST, min(_USUAL, budget_chars // 3)))  # the best one has to fit
    wanted = query_terms(request)
    telling = _telling(wanted, title)
    weights = dict.fromkeys((*query_terms(also), *wanted), _LESS) | dict.fromkeys(telling, 1.0)
    documents = [terms(f"{piece.heading} {text[piece.start : piece.end]}") for piece in pieces]
    scores = bm25(documents, weights)
    present = set(telling).intersection(itertools.chain.from_iterable(documents))
    found = bool(present) and len(present) * 4 >= len(telling)
    best = _best_sentence(text, pieces, scores, weights) if found else None
    if len(text.strip()) <= budget_chars:
        spans = [Span(piece.start, piece.end) for piece in pieces]
        return Selection(text.strip(), tuple(spans), best or _first_sentence(text, spans), found, whole=True)
    chosen = _within_budget(text, pieces, scores, budget_chars) if found else _beginning(pieces, budget_chars // 4)
    spans = _merged(pieces, chosen)
    return Selection(
        _render(text, pieces, chosen, pages), tuple(spans), best or _first_sentence(text, spans), found, whole=False
    )


def bm25(documents: Sequence[Sequence[str]], weights: dict[str, float]) -> list[float]:
    """BM25 (k1 = 1.2, b = 0.75) of each document's terms for the weighted query terms; 0.0 where none occurs."""
    counts = [Counter(document) for document in documents]
    average = sum(map(len, documents)) / len(documents) if documents else 1.0
    holding = {term: sum(term in count for count in counts) for term in weights}
    idf = {term: math.log(1 + (len(documents) - n + 0.5) / (n + 0.5)) for term, n in holding.items()}
    scores = []
    for document, count in zip(documents, counts, strict=True):
        norm = _K1 * (1 - _B + _B * len(document) / max(average, 1.0))
        scores.append(
            sum(
                w * idf[term] * count[term] * (_K1 + 1) / (count[term] + norm)
                for term, w in weights.items()
                if count[term]
            )
        )
    return scores


def best_sentence(text: str, request: str, title: str = "") -> str:
    """The sentence of ``text`` that shares the most with ``request``; the first one when none shares anything."""
    spans = list(sentences(text))
    if not spans:
        return ""
    wanted = query_terms(request)
    weights = dict.fromkeys(wanted, _LESS) | dict.fromkeys(_telling(wanted, title), 1.0)
    scores = bm25([terms(text[span.start : span.end]) for span in spans], weights)
    span = spans[max(range(len(spans)), key=scores.__getitem__)]
    return text[span.start : span.end]


def _telling(wanted: Sequence[str], title: str) -> list[str]:
    """The words that are not in the title; all of them when none is left."""
    in_title = set(terms(title))
    return [term for term in wanted if term not in in_title] or list(wanted)


def _best_sentence(
    text: str, pieces: Sequence[Block], scores: Sequence[float], weights: dict[str, float]
) -> Span | None:
    top = sorted(range(len(pieces)), key=scores.__getitem__, reverse=True)[:5]
    spans = [span for index in top for span in sentences(text, pieces[index].start, pieces[index].end)]
    if not spans:
        return None
    ranked = bm25([terms(text[span.start : span.end]) for span in spans], weights)
    return spans[max(range(len(spans)), key=ranked.__getitem__)]


def _first_sentence(text: str, spans: Sequence[Span]) -> Span | None:
    return next(sentences(text, spans[0].start, spans[0].end), None) if spans else None


def _within_budget(text: str, pieces: Sequence[Block], scores: Sequence[float], budget: int) -> list[int]:
    chosen: set[int] = set()
    used = 0

    def add(index: int) -> bool:
        nonlocal used
        if index in chosen or not 0 <= index < len(pieces):
            return True
        piece = pieces[index]
        size = piece.end - piece.start + len(GAP) + len(piece.heading) + len(_table_head(text, piece)) + 24
        if used + size > budget:
            return False
        chosen.add(index)
        used += size
        return True

    ranked = [index for index in sorted(range(len(pieces)), key=scores.__getitem__, reverse=True) if scores[index] > 0]
    for rank, index in enumerate(ranked):
        if not add(index):
            continue
        if rank < 3:  # what stands beside the best ones often holds the answer
            add(index + 1)
            add(index - 1)
    return sorted(chosen) or _beginning(pieces, budget)


def _beginning(pieces: Sequence[Block], budget: int) -> list[int]:
    chosen = [index for index, piece in enumerate(pieces) if piece.end <= budget]
    return chosen or ([0] if pieces else [])


def _merged(pieces: Sequence[Block], chosen: Sequence[int]) -> list[Span]:
    merged: list[Span] = []
    previous = -2
    for index in chosen:
        piece = pieces[index]
        if index == previous + 1 and merged and piece.heading == pieces[previous].heading:
            merged[-1] = Span(merged[-1].start, piece.end)
        else:
            merged.append(Span(piece.start, piece.end))
        previous = index
    return merged


def _render(text: str, pieces: Sequence[Block], chosen: Sequence[int], pages: Sequence[int]) -> str:
    """The pieces with what tells where they stand: gaps, page numbers, headings, the head of a table.

    Between neighbours the text's own white space is kept: code and lists depend on it.
    """
    parts: list[str] = []
    previous = -1
    heading = ""
    page = 0
    for index in chosen:
        piece = pieces[index]
        body = text[piece.start : piece.end]
        number = bisect.bisect_right(pages, piece.start)
        between = text[pieces[previous].end : piece.start] if 0 <= previous == index - 1 else "\0"
        if number == page and piece.heading == heading and len(between) <= _BETWEEN and not between.strip():
            parts[-1] += between + body
        else:
            if index != previous + 1:
                parts.append(GAP)
            if number != page:
                parts.append(f"(page {number})")
            if piece.heading and piece.heading != heading:
                parts.append(f"## {piece.heading}")
            if between == "\0" and (head := _table_head(text, piece)):
                parts.append(head)
            parts.append(body)
        heading, page, previous = piece.heading, number, index
    if chosen and previous != len(pieces) - 1:
        parts.append(GAP)
    return "\n".join(parts)


def _table_head(text: str, piece: Block) -> str:
    """The head of the Markdown table that the piece is cut from, "" when it begins there, or is no table."""
    if text[piece.start] != "|":
        return ""
    gap = text.rfind("\n\n", 0, piece.start)
    start = gap + 2 if gap >= 0 else 0
    head = "\n".join(text[start : start + _LONGEST_HEAD].split("\n", 2)[:2])
    is_head = head.startswith("|") and "\n| ---" in head and len(head) < _LONGEST_HEAD
    return head if is_head and start + len(head) <= piece.start else ""
