"""Finds what a model copied from a text in that text, word for word; what is not there is not taken.

Case, white space and punctuation may differ, words may not. Knows no model.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Iterable

from fathom.tools.extract.passages import Span, sentences

_CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af"
_WORD = re.compile(rf"[{_CJK}]|[^\W_{_CJK}]+")
_CLOSING = re.compile(r"[.!?…。！？\"'”’)\]」』]*")
_SHORTEST = 3
_MARK = re.compile(r"^\s*(?:[-*•>]|\d{1,3}[.)])\s+")
_JOINT = "\0"


def found_in(text: str, lines: Iterable[str]) -> tuple[list[Span], int]:
    """Where the lines stand in ``text``, in its order, without overlaps; and how many sentences of them do not.

    A line that is not there as a whole is looked for sentence by sentence. What has fewer than three words (characters
    of CJK) says too little to be looked for, and is not counted.
    """
    words = _Words(text)
    spans: list[Span] = []
    missing = 0
    for line in lines:
        line = _MARK.sub("", line)
        whole = words.span(line)
        if whole is not None:
            spans.append(whole)
            continue
        for sentence in sentences(line):
            part = line[sentence.start : sentence.end]
            found = words.span(part)
            if found is not None:
                spans.append(found)
            else:
                missing += len(_folded(part)) >= _SHORTEST
    return _apart(spans), missing


class _Words:
    """A text as its words in a row, so that words are found in it whatever stands between them."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._words = list(_WORD.finditer(text))
        self._starts: list[int] = []  # of each word in the row
        position = 1
        for match in self._words:
            self._starts.append(position)
            position += len(match.group().casefold()) + 1
        self._row = _JOINT + _JOINT.join(match.group().casefold() for match in self._words) + _JOINT

    def span(self, quote: str) -> Span | None:
        """Where the words of ``quote`` stand together, with the punctuation that closes them."""
        wanted = _folded(quote)
        if len(wanted) < _SHORTEST:
            return None
        at = self._row.find(_JOINT + _JOINT.join(wanted) + _JOINT)
        if at < 0:
            return None
        first = bisect.bisect_left(self._starts, at + 1)
        end = self._words[first + len(wanted) - 1].end()
        closing = _CLOSING.match(self._text, end)
        return Span(self._words[first].start(), closing.end() if closing else end)


def _folded(text: str) -> list[str]:
    return [match.group().casefold() for match in _WORD.finditer(text)]


def _apart(spans: list[Span]) -> list[Span]:
    apart: list[Span] = []
    for span in sorted(set(spans)):
        if apart and span.start <= apart[-1].end:
            apart[-1] = Span(apart[-1].start, max(apart[-1].end, span.end))
        else:
            apart.append(span)
    return apart
