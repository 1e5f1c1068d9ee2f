"""How near an extracted text is to the article: precision, recall and F1 of runs of four words, averaged over pages.

The measure of scrapinghub's article-extraction benchmark: words are ``\\w+``, so that Markdown's marks do not count;
precision and recall are those of each page, and F1 is that of their two means.
"""

from __future__ import annotations

import re
import statistics
from collections import Counter
from collections.abc import Iterable


def _runs(text: str, length: int = 4) -> Counter[tuple[str, ...]]:
    words = re.findall(r"\w+", text)
    return Counter(tuple(words[at : at + length]) for at in range(max(1, len(words) - length + 1)) if words)


def precision_recall(article: str, extracted: str) -> tuple[float, float]:
    """Of one page; 1.0 when nothing was to be found and nothing was."""
    wanted, found = _runs(article), _runs(extracted)
    if wanted == found:
        return 1.0, 1.0
    shared = sum((wanted & found).values())
    return (shared / sum(found.values()) if found else 0.0), (shared / sum(wanted.values()) if wanted else 0.0)


def f1(pages: Iterable[tuple[str, str]]) -> float:
    """Of (article, extracted) pairs."""
    scores = [precision_recall(article, extracted) for article, extracted in pages]
    precision = statistics.mean(score[0] for score in scores)
    recall = statistics.mean(score[1] for score in scores)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0
