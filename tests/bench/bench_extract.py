"""How well and how fast the text of pages is found.

``article_f1``: runs of four words on scrapinghub's article-extraction benchmark, when ``--data`` names its folder or
one that holds ``article-extraction-benchmark``. Otherwise ``handmade_f1``, on the pages of ``tests/tools``, which say
little about the web. Beside it stand the two libraries that the extraction is made of.
"""

from __future__ import annotations

import gzip
import json
import logging
import sys
import time
from collections.abc import Callable
from pathlib import Path

import trafilatura
from lxml.html import document_fromstring
from options import Options
from readability import Document as Readability

from fathom.core.errors import ToolError
from fathom.tools.extract.html import extract_html

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tools"))

from article_pages import PAGES
from article_score import f1

TARGETS = {"article_f1": ("at least", 0.964)}


def measure(options: Options) -> dict[str, float]:
    """Scores by name."""
    logging.disable(logging.ERROR)  # the libraries tell of every odd page
    pages = _benchmark(options.data)
    name = "article" if pages else "handmade"
    pages = pages or [(page.encode(), article) for page, article in PAGES.values()]
    began = time.perf_counter()
    ours = _score(pages, _ours)
    took = time.perf_counter() - began
    return {
        f"{name}_f1": round(ours, 4),
        f"{name}_f1_readability": round(_score(pages, _readability), 4),
        f"{name}_f1_trafilatura": round(_score(pages, _trafilatura), 4),
        f"{name}_pages": float(len(pages)),
        "pages_per_second": round(len(pages) / took, 1),
    }


def _benchmark(data: Path | None) -> list[tuple[bytes, str]]:
    for folder in [data / "article-extraction-benchmark", data] if data is not None else []:
        truth = folder / "ground-truth.json"
        if truth.is_file():
            articles = json.loads(truth.read_text("utf-8"))
            return [
                (gzip.decompress((folder / "html" / f"{name}.html.gz").read_bytes()), entry.get("articleBody", ""))
                for name, entry in sorted(articles.items())
            ]
    return []


def _score(pages: list[tuple[bytes, str]], extract: Callable[[bytes], str]) -> float:
    return f1((article, extract(page)) for page, article in pages)


def _ours(page: bytes) -> str:
    try:
        return extract_html(page).text
    except ToolError:
        return ""


def _readability(page: bytes) -> str:
    return "\n".join(
        document_fromstring(Readability(page.decode("utf-8", "replace")).summary(html_partial=True)).itertext()
    )


def _trafilatura(page: bytes) -> str:
    return trafilatura.extract(page, include_comments=False) or ""
