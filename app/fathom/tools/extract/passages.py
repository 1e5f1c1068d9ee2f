"""Cuts a text into sentences and passages with their character offsets.

``text[passage.start:passage.end]`` is the passage to the letter, so that a quotation can be checked. Knows nothing of
relevance.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

_PARAGRAPH = re.compile(
    r"(?P<fence>`{3,})[^`\n]*\n(?:.*?\n)?(?P=fence)(?=[ \t]*(?:\n|\Z))"  # a block of code, with its empty lines
    r"|[^\n].*?(?=\n[ \t]*\n|\n`{3,}[^`\n]*\n|\Z)",
    re.DOTALL,
)
_HEADING = re.compile(r"#{1,6} \S[^\n]*(?=\n|\Z)")
_SENTENCE_END = re.compile(r"[.!?…]+[\"'”’)\]]*(?=\s|\Z)|[。！？｡]+[」』”’）]*|\n")
_ABBREVIATION = re.compile(
    r"(?:^|[\s(\"“])(?:[A-Z]|[A-Za-z](?:\.[A-Za-z])+|Mr|Mrs|Ms|Dr|St|Jr|Sr|Prof|Gen|Col|Lt|Sgt|Rev|Hon|vs|etc|No|Vol|Fig"
    r"|cf|ca|approx|Inc|Ltd|Co|Corp|e\.g|i\.e)\.$"
)


class Span(NamedTuple):
    """Characters ``start`` to ``end`` of a text."""

    start: int
    end: int


class Block(NamedTuple):
    """A piece of a document: ``heading`` is the heading line it stands under ("" for none)."""

    start: int
    end: int
    heading: str


def sentences(text: str, start: int = 0, end: int | None = None) -> Iterator[Span]:
    """The sentences of ``text[start:end]``, without the white space around them."""
    end = len(text) if end is None else end
    position = start
    for match in _SENTENCE_END.finditer(text, start, end):
        if match.group() == "." and _ABBREVIATION.search(text, max(start, match.end() - 12), match.end()):
            following = text[match.end() : match.end() + 2].strip()
            if not following or not _starts_sentence_after_abbreviation(text, match.end()):
                continue
        span = _trimmed(text, position, match.end())
        if span is not None:
            yield span
        position = match.end()
    span = _trimmed(text, position, end)
    if span is not None:
        yield span


def blocks(text: str, target_chars: int = 500) -> list[Block]:
    """The text as blocks of about ``target_chars``: a paragraph each, and long paragraphs in runs of whole sentences.

    A sentence longer than twice the target (a table row, text without punctuation) is cut at white space.
    """
    found: list[Block] = []
    heading = ""
    for paragraph in _PARAGRAPH.finditer(text):
        start, end = paragraph.span()
        title = None if paragraph["fence"] else _HEADING.match(text, start, end)
        if title:
            heading = title.group().lstrip("# ").strip()
            start = title.end()
        found.extend(Block(span.start, span.end, heading) for span in _runs(text, start, end, target_chars))
    return found


def _runs(text: str, start: int, end: int, target: int) -> Iterator[Span]:
    whole = _trimmed(text, start, end)
    if whole is None:
        return
    if whole.end - whole.start <= target * 1.5:
        yield whole
        return
    run: Span | None = None
    for sentence in sentences(text, start, end):
        for piece in _pieces(text, sentence, target * 2):
            if run is not None and piece.end - run.start > target:
                yield run
                run = None
            run = piece if run is None else Span(run.start, piece.end)
    if run is not None:
        yield run


def _pieces(text: str, sentence: Span, limit: int) -> Iterator[Span]:
    start = sentence.start
    while sentence.end - start > limit:
        cut = text.rfind(" ", start + limit // 2, start + limit)
        cut = cut if cut > 0 else start + limit
        yield Span(start, cut)
        start = cut
    span = _trimmed(text, start, sentence.end)
    if span is not None:
        yield span


def _starts_sentence_after_abbreviation(text: str, position: int) -> bool:
    # "Jr. In 1974", "U.S. The": a common opener after an abbreviation does begin a sentence
    return (
        re.match(r"\s+(?:The|He|She|It|In|They|This|His|Her|A|An|On|At|After|But|However)\s", text[position:])
        is not None
    )


def _trimmed(text: str, start: int, end: int) -> Span | None:
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return Span(start, end) if end > start else None
