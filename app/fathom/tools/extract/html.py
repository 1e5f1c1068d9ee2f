"""The article of an HTML page as Markdown: readability's block, its lines voted on by trafilatura.

Documentation pages, where readability drops code, tables and lists, are taken from their ``main`` or ``article`` node.
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
from fathom.tools.extract.lines import markdown_lines

_TOO_LITTLE = 250
_STRUCTURE = ("pre", "tr", "li")
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af]|[^\W_]+")
_MARK = re.compile(r"^(?:#{1,6} |- )")
_DECLARATION = re.compile(r"^\s*<\?xml[^>]*\?>")


def extract_html(data: bytes, url: str = "", charset: str = "") -> Document:
    """The article of a page. Raises ToolError when there is no text in it."""
    page = _DECLARATION.sub("", decode(data, charset)).replace("\0", "")
    utf8 = page.encode("utf-8", "replace")
    try:
        root = _parsed(utf8)
    except (lxml.etree.LxmlError, ValueError) as error:
        raise ToolError(f"the page cannot be parsed: {error}") from None
    by_readability = _readability(page)
    lines = _node_lines(root, by_readability)
    if not lines:
        by_trafilatura = trafilatura.extract(utf8, include_comments=False, include_tables=True, fast=True) or ""
        lines = _voted(markdown_lines(by_readability) if by_readability is not None else [], by_trafilatura)
        if sum(map(len, lines)) < _TOO_LITTLE:
            lines = max(by_trafilatura.splitlines(), lines, key=lambda found: sum(map(len, found)))
    if sum(map(len, lines)) < _TOO_LITTLE // 5:  # a stub page: all that it shows
        lines = max(markdown_lines(root), lines, key=lambda found: sum(map(len, found)))
    text = tidy(_joined(lines))
    if not text:
        raise ToolError("the page has no text; it may be made by scripts only")
    return Document(uri=url, title=_title(root), text=text)


def _parsed(utf8: bytes) -> HtmlElement:
    parser = lxml.html.HTMLParser(encoding="utf-8", no_network=True)
    return lxml.html.document_fromstring(utf8, parser=parser)


def _readability(page: str) -> HtmlElement | None:
    try:
        summary = Readability(page).summary(html_partial=True)
        return _parsed(str(summary).encode("utf-8", "replace"))
    except (Unparseable, lxml.etree.LxmlError, ValueError):
        return None


def _node_lines(root: HtmlElement, chosen: HtmlElement | None) -> list[str]:
    """The lines of the page's own main node, when readability lost over a fifth of its code, table rows or items."""
    nodes: list[HtmlElement] = root.xpath("//main | //article | //*[@role='main']")
    nodes = [node for node in nodes if len(node.text_content().strip()) >= _TOO_LITTLE]
    if not nodes:
        return []
    node = max(nodes, key=lambda element: len(element.text_content()))
    for tag in _STRUCTURE:
        there = len(node.findall(f".//{tag}"))
        kept = len(chosen.findall(f".//{tag}")) if chosen is not None else 0
        if there and kept < 0.8 * there and (tag != "li" or there >= 5):
            return markdown_lines(node)
    return []


def _voted(lines: Sequence[str], other: str) -> list[str]:
    """The lines of which at least half of the word trigrams stand in ``other``."""
    known = _trigrams(other)
    words = set(_WORD.findall(other.casefold()))
    kept = []
    for line in lines:
        own = _trigrams(_MARK.sub("", line))
        if own:
            agreed = sum(trigram in known for trigram in own) * 2 >= len(own)
        else:
            agreed = all(word in words for word in _WORD.findall(line.casefold()))
        if agreed:
            kept.append(line)
    return kept


def _trigrams(text: str) -> set[tuple[str, ...]]:
    words = _WORD.findall(text.casefold())
    return set(zip(words, words[1:], words[2:], strict=False))


def _joined(lines: Sequence[str]) -> str:
    """Blank lines between paragraphs, none between the items of a list or the rows of a table."""
    text = ""
    previous = ""
    for line in lines:
        together = (line.startswith("- ") and previous.startswith("- ")) or (" | " in line and " | " in previous)
        text += ("\n" if together else "\n\n") + line
        previous = line
    return text


def _title(root: HtmlElement) -> str:
    for path in ("//meta[@property='og:title']/@content", "//title//text()", "//h1//text()"):
        found = " ".join("".join(root.xpath(path)[:1] if "@" in path else root.xpath(path)).split())
        if found:
            return found[:200]
    return ""
