"""Words of a text as search terms: folded, lightly stemmed, and overlapping bigrams for runs of CJK.

Knows no ranking. (The library's own index stems with FTS5's porter; this is for text that is in no index.)
"""

from __future__ import annotations

import functools
import re
import unicodedata

_CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff"
_RUN = re.compile(rf"[{_CJK}]+|[^\W_{_CJK}]+(?:['’][^\W_{_CJK}]+)*")
_IS_CJK = re.compile(rf"[{_CJK}]")
_SUFFIXES = (
    *("ements", "ations", "ation", "ement", "ments", "ment", "ings", "ing", "ers", "ies", "ied", "ely"),
    *("ed", "es", "er", "ly", "al", "s", "e", "y"),
)
_STOP = """
a about all also an and any are as at be been but by can could did do does for from get give given had has have he her
him his how i if in into is it its me more most my name not of on or our out she so than that the their them there
these they this those to up us was we were what when where which while who whom whose why will with would you your
find information page tell list details detail related please extract describe
"""
STOPWORDS = frozenset(_STOP.split())
"""Words that say nothing of what is looked for, the habitual ones of a request among them."""


def terms(text: str) -> list[str]:
    """The terms of ``text`` in order, with repetitions and stopwords."""
    found: list[str] = []
    for match in _RUN.finditer(unicodedata.normalize("NFKC", text).casefold()):
        run = match.group()
        if _IS_CJK.match(run):
            found += [run] if len(run) == 1 else [run[i : i + 2] for i in range(len(run) - 1)]
        else:
            found.append(stem(run))
    return found


def query_terms(text: str) -> list[str]:
    """The distinct terms of ``text`` that say something; all of them when it has nothing but stopwords."""
    telling = [
        term
        for match in _RUN.finditer(unicodedata.normalize("NFKC", text).casefold())
        if match.group() not in STOPWORDS
        for term in terms(match.group())
    ]
    return list(dict.fromkeys(telling or terms(text)))


@functools.lru_cache(maxsize=65536)
def stem(word: str) -> str:
    """The word without a common English suffix, at least four letters long; other words come back as they are."""
    word = re.sub(r"['’]s?$", "", word)
    if not word.isascii() or word.isdigit():
        return word
    for suffix in _SUFFIXES:
        if word.endswith(suffix) and len(word) - len(suffix) >= 4:
            return word[: -len(suffix)]
    return word
