"""Finds the main node of a documentation page, where the article that readability chose lost code, rows or items.

Readability takes code, tables and lists of links for furniture. On pages that are made of them, the page's own ``main``
or ``article`` node is the better text; on a news page it is the worse one, since share bars and lists of other articles
stand inside of it. Draws nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from lxml.html import HtmlElement

from fathom.tools.extract import tables
from fathom.tools.extract.drawing import is_furniture

_MAIN = (
    "//article[contains(concat(' ', @class, ' '), ' markdown-body ')] | //main | //article | //*[@role='main']"
    " | //*[@itemprop='articleBody']"
)
_NAMED = " | ".join(
    [
        *(
            f"//div[contains(concat(' ', @class, ' '), ' {name} ')]"
            for name in ("rst-content", "markdown-body", "mw-parser-output", "contentContainer", "document", "contents")
        ),
        *(f"//*[@id='{name}']" for name in ("main-content", "main", "content", "bodyContent", "doc-content")),
    ]
)
_TOOLS = re.compile(
    r"\b(?:sphinx|mkdocs|docusaurus|javadoc|doxygen|vitepress|vuepress|gitbook|antora|asciidoctor|mdbook|docfx|pdoc\d?"
    r"|typedoc|rustdoc|starlight|nextra|docsify|yard|exdoc|makeinfo|texinfo|texi2any|docbook|wy-body-for-nav)\b",
    re.I,
)
_SPACE = re.compile(r"\s+")
_SHARE = 0.2  # of rows or items, on a page that need not be documentation
_FEW = 5
_MIN_ITEM = 25
_TOO_LITTLE = 250
_MOST_SEARCHES = 300


def main_node(root: HtmlElement) -> HtmlElement | None:
    """The node that holds the text of the page, and at least half of its code; None for a page of hardly any text."""
    code = len(_code(root))
    for path, share in ((_MAIN, 0.5), (_NAMED, 1.0), ("//body", 0.0)):
        nodes = [node for node in root.xpath(path) if len(node.text_content().strip()) >= _TOO_LITTLE]
        node = _best(nodes) if nodes else None
        if node is not None and len(_code(node)) >= share * code:
            return node
    return None


def made_by_a_tool(root: HtmlElement) -> bool:
    """Whether a documentation tool made the page, by what it says of itself."""
    named = root.xpath("//meta[@name='generator']/@content | //body/@class | //html/@class")
    return any(_TOOLS.search(str(name)) for name in named) or bool(root.xpath("//script[contains(@src, '_static/')]"))


def lost_too_much(node: HtmlElement, chosen: HtmlElement | None) -> bool:
    """Whether ``chosen`` lacks too much of what ``node`` holds.

    On a page with code any block of code or row of data counts, and a fifth of the list items; on others only a fifth
    of the rows, when they are a good part of the text.
    """
    return _lost(node, _Kept(chosen))


def _best(nodes: list[HtmlElement]) -> HtmlElement:
    """The largest, or one inside of it that holds all of its code and nearly all of its text."""
    sizes = {node: len(node.text_content()) for node in nodes}
    best = max(nodes, key=sizes.__getitem__)
    code = len(_code(best))
    for node in nodes:
        readme = "markdown-body" in (node.get("class") or "") and node.tag == "article"
        if readme and sizes[node] > 500:
            return node
        if sizes[node] >= 0.7 * sizes[best] and len(_code(node)) == code and sizes[node] < sizes[best]:
            best = node
    return best


class _Kept:
    """What readability chose, to be asked whether it holds a text."""

    def __init__(self, chosen: HtmlElement | None) -> None:
        self.text = _squeezed(chosen.text_content()) if chosen is not None else ""
        self._parts = {_text(element) for element in chosen.iter("pre", "tr", "li")} if chosen is not None else set()
        self._searches = _MOST_SEARCHES

    def missing(self, texts: Iterable[str]) -> int:
        """How many of the texts it lacks. After very many that are no part of their own, all such count as missing."""
        count = 0
        for text in texts:
            if text in self._parts:
                continue
            self._searches -= 1
            count += self._searches < 0 or text not in self.text
        return count


def _lost(node: HtmlElement, kept: _Kept) -> bool:
    code = [text for text in map(_text, _code(node)) if text]
    if kept.missing(code):
        return True
    rows = [text for text in map(_text, _rows(node)) if text]
    lost_rows = kept.missing(rows)
    if lost_rows and (code or lost_rows > _SHARE * len(rows)):
        return bool(code) or 3 * sum(map(len, rows)) > len(kept.text)
    if not code:
        return False
    items = [text for text in map(_text, _items(node)) if len(text) >= _MIN_ITEM]
    return len(items) >= _FEW and kept.missing(items) > _SHARE * len(items)


def _code(node: HtmlElement) -> list[HtmlElement]:
    return [block for block in node.iter("pre") if not _in_furniture(block, node)]


def _rows(node: HtmlElement) -> list[HtmlElement]:
    return [
        row
        for table in node.iter("table")
        if tables.is_data(table) and not _in_furniture(table, node)
        for row in tables.own_rows(table)
    ]


def _items(node: HtmlElement) -> list[HtmlElement]:
    return [item for item in node.iter("li") if item.find(".//li") is None and not _in_furniture(item, node)]


def _in_furniture(element: HtmlElement, top: HtmlElement) -> bool:
    parent = element.getparent()
    while parent is not None and parent is not top:
        if is_furniture(parent):
            return True
        parent = parent.getparent()
    return False


def _text(element: HtmlElement) -> str:
    return _squeezed(element.text_content())


def _squeezed(text: str) -> str:
    return _SPACE.sub("", text)
