"""The article of an HTML page as Markdown: readability's block, its lines voted on by trafilatura.

Documentation pages, where readability drops code, tables and lists, are taken from their main node (``documentation``).
Parses hostile input (attribute and entity bombs take minutes): to be called in a process that can be killed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import lxml.etree
import lxml.html
import trafilatura
from lxml.html import HtmlElement
from readability import Document as Readability
from readability.readability import Unparseable

from fathom.core.errors import ToolError
from fathom.core.protocols import Document
from fathom.tools.extract.charset import decode, tidy
from fathom.tools.extract.documentation import lost_too_much, made_by_a_tool, main_node
from fathom.tools.extract.drawing import Piece, draw, joined

_TOO_LITTLE = 250
_STUB = 50
_CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af"
_WORD = re.compile(rf"[{_CJK}]|[^\W_]+")
_ONE_CJK = re.compile(rf"[{_CJK}]")
_DECLARATION = re.compile(r"^\s*<\?xml[^>]*\?>")
_MARK = re.compile(r"^(?:> )*\s*(?:#{1,6} |- |\d+\. |: )?")
_CAPTION = re.compile(
    r"(?:^|[\s_-])(?:wp-caption-text|captions?|figcaption|img-?caption|photo-?credits?|image-?credits?)(?:[\s_-]|$)",
    re.I,
)
_LONG_CAPTION = 500
_AUTHOR = (
    "//meta[@name='author']/@content",
    "//meta[@property='article:author']/@content",
    "//*[@itemprop='author']//*[@itemprop='name']/text()",
    "//a[@rel='author']/text()",
)
_DATE = (
    "//meta[@property='article:published_time']/@content",
    "//meta[@name='date' or @name='DC.date' or @name='dc.date' or @name='citation_publication_date']/@content",
    "//*[@itemprop='datePublished']/@content",
    "//*[@itemprop='datePublished']/@datetime",
    "//time/@datetime",
)


def extract_html(data: bytes, url: str = "", charset: str = "") -> Document:
    """The article of a page, without a title that only stands above it. Raises ToolError when there is no text."""
    page = _DECLARATION.sub("", decode(data, charset)).replace("\0", "")
    utf8 = page.encode("utf-8", "replace")
    try:
        root = _parsed(utf8)
    except (lxml.etree.LxmlError, ValueError) as error:
        raise ToolError(f"the page cannot be parsed: {error}") from None
    title = _title(root)
    text = joined(_pieces(root, page, utf8, title))
    if not text:
        raise ToolError("the page has no text; it may be made by scripts only")
    return Document(uri=url, title=title, text=text, author=_first(root, _AUTHOR), date=_first(root, _DATE)[:40])


def _pieces(root: HtmlElement, page: str, utf8: bytes, title: str) -> list[Piece]:
    node = main_node(root)
    whole = draw(node, without_furniture=True) if node is not None else []
    if _size(whole) >= _STUB and made_by_a_tool(root):
        return whole
    chosen = _readability(page)
    if node is not None and _size(whole) >= _STUB and lost_too_much(node, chosen):
        return whole
    other = _trafilatura(utf8)
    pieces = _voted(draw(_without_captions(chosen)) if chosen is not None else [], other)
    pieces = _with_tables(_with_headings(pieces, other, root), whole)
    if _size(pieces) < _TOO_LITTLE:
        pieces = max([Piece("text", line) for line in other.splitlines()], pieces, key=_size)
    pieces = _without_title(pieces, title, root)
    if _size(pieces) < _STUB:  # a stub page: all that it shows
        pieces = max(draw(root), pieces, key=_size)
    return pieces


def _parsed(utf8: bytes) -> HtmlElement:
    parser = lxml.html.HTMLParser(encoding="utf-8", no_network=True)
    return lxml.html.document_fromstring(utf8, parser=parser)


def _readability(page: str) -> HtmlElement | None:
    try:
        summary = Readability(page).summary(html_partial=True)
        return _parsed(str(summary).encode("utf-8", "replace"))
    except (Unparseable, lxml.etree.LxmlError, ValueError):
        return None


def _trafilatura(utf8: bytes) -> str:
    try:
        return trafilatura.extract(utf8, include_comments=False, include_tables=True, fast=True) or ""
    except MemoryError:
        raise
    except Exception:  # hostile pages find its bugs; readability may still have read the page
        return ""


def _voted(pieces: Sequence[Piece], other: str) -> list[Piece]:
    """Code, tables with a head, and the lines of which at least half of the word trigrams stand in ``other``."""
    known = _trigrams(other)
    words = set(_WORD.findall(other.casefold()))
    kept = []
    for piece in pieces:
        if piece.kind in ("code", "table"):
            kept.append(piece)
            continue
        own = _trigrams(_MARK.sub("", piece.text))
        if own:
            agreed = sum(trigram in known for trigram in own) * 2 >= len(own)
        else:
            agreed = all(word in words for word in _WORD.findall(_MARK.sub("", piece.text).casefold()))
        if agreed:
            kept.append(piece)
    return kept


def _without_captions(chosen: HtmlElement) -> HtmlElement:
    """Without what stands under pictures: it is no sentence of the article."""
    for element in list(chosen.iter("figcaption", "p", "div", "span", "dd")):
        caption = element.tag == "figcaption" or _CAPTION.search(element.get("class") or "")
        if caption and element.getparent() is not None and len(element.text_content()) < _LONG_CAPTION:
            element.drop_tree()
    return chosen


def _with_headings(pieces: list[Piece], other: str, root: HtmlElement) -> list[Piece]:
    """With the headings that readability drops and trafilatura has between two lines that both have."""
    levels = {_words(heading.text_content()): int(heading.tag[1]) for heading in root.iter("h2", "h3", "h4")}
    places = {_words(_MARK.sub("", piece.text)): index for index, piece in enumerate(pieces)}
    lines = [(line, _words(line)) for line in other.splitlines() if line.strip()]
    missing: dict[int, Piece] = {}  # the index of the piece that it stands before
    for (_, before), (line, words), (_, after) in zip(lines, lines[1:], lines[2:], strict=False):
        at = places.get(after, 0)
        if words in levels and words not in places and at and places.get(before) == at - 1:
            missing[at] = Piece("heading", f"{'#' * levels[words]} {line.strip()}")
    return [one for index, piece in enumerate(pieces) for one in (missing.get(index), piece) if one is not None]


def _with_tables(pieces: list[Piece], whole: Sequence[Piece]) -> list[Piece]:
    """With the tables that readability drops before a line that it keeps: after the last one come side bars."""
    places = {_words(_MARK.sub("", piece.text)): index for index, piece in enumerate(pieces)}
    places.pop((), None)  # a line of signs only
    missing: dict[int, list[Piece]] = {}  # the index of the piece that they stand before
    for index, piece in enumerate(whole):
        if piece.kind != "table" or _words(piece.text) in places:
            continue
        left, right = (places.get(_beside(whole, index, step)) for step in (-1, 1))
        if right is not None:
            missing.setdefault(left + 1 if left is not None else right, []).append(piece)
    return [one for index in range(len(pieces) + 1) for one in (*missing.get(index, ()), *pieces[index : index + 1])]


def _beside(whole: Sequence[Piece], index: int, step: int) -> tuple[str, ...]:
    """The words of the next line in a direction that is no heading and no table; () when it is more than three away."""
    for at in range(index + step, index + 4 * step, step):
        if 0 <= at < len(whole) and whole[at].kind not in ("heading", "table"):
            return _words(_MARK.sub("", whole[at].text))
    return ()


def _words(text: str) -> tuple[str, ...]:
    return tuple(_WORD.findall(text.casefold()))


def _trigrams(text: str) -> set[tuple[str, ...]]:
    """Of words, and of characters where there are no spaces between words."""
    words = _WORD.findall(text.casefold())
    return set(zip(words, words[1:], words[2:], strict=False))


def _size(pieces: Sequence[Piece]) -> int:
    """How much text it is in characters of a Latin script; a character of CJK says as much as three."""
    return sum(len(piece.text) + 2 * len(_ONE_CJK.findall(piece.text)) for piece in pieces)


def _without_title(pieces: list[Piece], title: str, root: HtmlElement) -> list[Piece]:
    """Without a top heading that is the page's title: the document has it beside its text."""
    titles = [title, *(" ".join(heading.text_content().split()) for heading in root.iter("h1"))]
    for index, piece in enumerate(pieces[:3]):
        words = _MARK.sub("", piece.text).casefold()
        if piece.kind == "heading" and len(words) > 5 and any(one.casefold().startswith(words) for one in titles):
            return [*pieces[:index], *pieces[index + 1 :]]
    return pieces


def _title(root: HtmlElement) -> str:
    found = _first(root, ("//meta[@property='og:title']/@content",))
    return (found or _joined_text(root, "//title//text()") or _joined_text(root, "//h1//text()"))[:200]


def _joined_text(root: HtmlElement, path: str) -> str:
    return " ".join(tidy("".join(root.xpath(path))).split())


def _first(root: HtmlElement, paths: Sequence[str]) -> str:
    for path in paths:
        for value in root.xpath(path)[:1]:
            found = " ".join(tidy(str(value)).split())
            if found:
                return found[:200]
    return ""
