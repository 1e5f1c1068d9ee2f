"""Draws an HTML tree as pieces of Markdown: headings, paragraphs, list items, tables, code.

Knows nothing of which part of a page matters, except for what is furniture by its own name (navigation, share bars,
comments). Walks without recursion: pages may be nested thousands of levels deep.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

from lxml.etree import iterwalk
from lxml.html import HtmlElement

from fathom.tools.extract import code_blocks, tables
from fathom.tools.extract.charset import clean, tidy

PieceKind = Literal["text", "heading", "item", "term", "definition", "code", "table", "grid"]

_SPACE = re.compile(r"\s+")
_SKIPPED = frozenset(
    {
        "script", "style", "noscript", "template", "svg", "iframe", "head", "button", "select", "textarea", "nav",
        "object", "embed", "canvas", "audio", "video", "map", "datalist", "dialog", "rt", "rp",
    }
)  # fmt: skip
_HEADINGS = {f"h{level}": "#" * level + " " for level in range(1, 7)}
_BLOCKS = frozenset(
    {
        "address", "article", "aside", "blockquote", "body", "br", "caption", "center", "dd", "details", "div", "dl",
        "dt", "figcaption", "figure", "footer", "form", "header", "hgroup", "hr", "html", "legend", "li", "main",
        "menu", "ol", "p", "section", "summary", "table", "tbody", "td", "tfoot", "th", "thead", "tr", "ul", *_HEADINGS,
    }
)  # fmt: skip
_LISTS = frozenset({"ul", "ol", "menu"})
_BOXES = frozenset({"div", "section", "ul", "ol", "aside", "footer", "header", "p", "dl", "form", "details"})
_ANCHOR = re.compile(
    r"(?:^|\s)(?:headerlink|header-anchor|hash-link|anchorjs-link|mw-editsection|anchor|viewcode-link)"
)
_ANCHOR_TEXT = frozenset({"", "¶", "#", "§", "🔗", "[source]", "[edit]", "link", "permalink"})
_FURNITURE = re.compile(
    r"(?:^|[\s_-])(?:comments?|disqus|share|sharing|social|breadcrumbs?|cookies?|newsletter|subscribe|pagination|pager"
    r"|advert\w*|ads?|promo|related|recommend\w*|sidebar|toc|tableofcontents|navbar|navigation|nav|menu|footer|skip-?link"
    r"|edit-this-page|prev-?next|feedback|byline|toolbar)(?:[\s_-]|$)",
    re.I,
)


_ALWAYS = re.compile(
    r"(?:^|\s)(?:comments|comment-?list|comments?-(?:area|section|wrapper)|disqus_thread|modal|cookie-?(?:banner|notice))"
    r"(?:\s|$)",
    re.I,
)


class Piece(NamedTuple):
    """A block of Markdown, without empty lines around it. A grid is a table without a head: it may hold anything."""

    kind: PieceKind
    text: str


def draw(root: HtmlElement, *, without_furniture: bool = False) -> list[Piece]:
    """The visible text of ``root`` in order. A code block is one piece, and so is a table."""
    return [piece for piece in _Drawing(root, without_furniture).pieces() if piece.text.strip()]


def joined(pieces: Sequence[Piece]) -> str:
    """The pieces as one text: empty lines between them, none between the items of a list."""
    text: list[str] = []
    previous: PieceKind | None = None
    for piece in pieces:
        if previous is not None:
            close = (piece.kind == previous == "item") or (piece.kind == "definition" and previous == "term")
            text.append("\n" if close else "\n\n")
        text.append(clean(piece.text) if piece.kind == "code" else _line(piece.text))
        previous = piece.kind
    return "".join(text).strip("\n")


def is_furniture(element: HtmlElement) -> bool:
    """Whether the element is around the text, by its tag, role or class; with code or data inside only a few are."""
    tag = element.tag
    if tag in _BOXES and (_ALWAYS.search(element.get("class") or "") or element.get("role") == "dialog"):
        return True
    if tag in ("nav", "footer") or element.get("role") in ("navigation", "search", "contentinfo", "banner"):
        pass
    elif tag not in _BOXES or not _FURNITURE.search(element.get("class") or ""):
        return False
    return next(element.iter("pre", "tr", "main", "article"), None) is None


class _Drawing:
    def __init__(self, root: HtmlElement, without_furniture: bool) -> None:
        self._root = root
        self._without_furniture = without_furniture
        self._parts: list[str] = []
        self._kind: PieceKind = "text"
        self._marker = ""  # stands before the next line: of a heading, an item, a definition
        self._lists: list[list[int]] = []  # [next number or 0 for bullets, width of the item's marker or 0]
        self._quotes = 0

    def pieces(self) -> Iterator[Piece]:
        walk = iterwalk(self._root, events=("start", "end", "comment", "pi"))
        for event, element in walk:
            tag = element.tag if isinstance(element.tag, str) else ""
            if event == "start":
                if self._hidden(element, tag):
                    walk.skip_subtree()
                    continue
                own = self._own(element, tag)
                if own is not None:
                    yield from self._flush()
                    self._marker, self._kind = "", "text"
                    yield from own
                    walk.skip_subtree()
                    continue
                if tag == "math":
                    self._parts.append(_tex(element))
                    walk.skip_subtree()
                    continue
                if tag in _BLOCKS:
                    yield from self._flush()
                    self._open(element, tag)
                self._parts.append(element.text or "")
                continue
            if event == "end" and tag in _BLOCKS:
                yield from self._flush()
                self._close(tag)
            if element is not self._root:
                self._parts.append(element.tail or "")
        yield from self._flush()

    def _hidden(self, element: HtmlElement, tag: str) -> bool:
        if tag in _SKIPPED:
            return True
        names = element.get("class") or ""
        if tag in ("a", "span", "div") and names:
            if _ANCHOR.search(names) and element.text_content().strip().lower() in _ANCHOR_TEXT:
                return True
            if "katex-html" in names or "mw-editsection" in names:
                return True
        if tag == "a" and element.get("href", "").startswith("#") and element.text_content().strip() in ("¶", "#", "§"):
            return True
        unseen = "hidden" in element.attrib or "display:none" in (element.get("style") or "").replace(" ", "").lower()
        # Tabs hide the panels that are not chosen, and formulas hide what a screen reader says
        if unseen and next(element.iter("pre", "tr", "math"), None) is None:
            return True
        return self._without_furniture and element is not self._root and is_furniture(element)

    def _own(self, element: HtmlElement, tag: str) -> list[Piece] | None:
        """What draws itself and not its children: code and tables; None for everything else."""
        if tag in code_blocks.CODE or (tag == "code" and element.find(".//br") is not None):
            return [_code(element)]
        if tag == "div" and tables.is_grid(element):
            return [Piece("table", tables.grid(element))]
        if tag != "table":
            return None
        lines = code_blocks.lines_of_table(element)
        if lines:
            return [Piece("code", code_blocks.fenced(lines, code_blocks.language(element)))]
        blocks = [one for one in element.iter("pre") if not _in_gutter(one, element)]
        if blocks and any(map(code_blocks.is_gutter, element.iter("td", "pre"))):  # line numbers beside the code
            return [_code(block) for block in blocks]
        if not tables.is_data(element):
            return None
        pieces = [Piece("text", tables.caption(element)), _table(element)]
        for inside in element.iter("pre", "table"):
            if inside.tag == "table" and inside is not element and tables.is_data(inside):
                pieces.append(_table(inside))
            elif inside.tag == "pre" and "\n" in code_blocks.code_text(inside):
                pieces.append(_code(inside))
        return pieces

    def _open(self, element: HtmlElement, tag: str) -> None:
        if tag in _HEADINGS:
            self._marker, self._kind = _HEADINGS[tag], "heading"
        elif tag in _LISTS:
            start = element.get("start") or "1"
            number = int(start) if start.isascii() and start.isdigit() and len(start) < 6 else 1
            self._lists.append([number if tag == "ol" else 0, 0])
        elif tag == "li":
            self._open_item()
        elif tag == "dt":
            self._marker, self._kind = "", "term"
        elif tag == "dd":
            self._marker, self._kind = ": ", "definition"
        elif tag == "blockquote":
            self._quotes += 1

    def _open_item(self) -> None:
        if not self._lists:
            self._lists.append([0, 0])  # an item without its list
        here = self._lists[-1]
        self._marker = f"{here[0]}. " if here[0] else "- "
        if here[0]:
            here[0] += 1
        here[1] = len(self._marker)
        self._kind = "item"

    def _close(self, tag: str) -> None:
        if tag in _LISTS and self._lists:
            self._lists.pop()
        elif tag == "li" and self._lists:
            self._lists[-1][1] = 0
        elif tag == "blockquote":
            self._quotes = max(self._quotes - 1, 0)
        if tag != "br" and tag not in _LISTS:
            self._marker, self._kind = "", "text"

    def _flush(self) -> Iterator[Piece]:
        text = _SPACE.sub(" ", "".join(self._parts)).strip()
        self._parts.clear()
        if not text:
            return
        if self._kind == "heading":
            indent = 0
        elif self._kind == "item":
            indent = sum(width for _, width in self._lists[:-1])
        else:
            indent = sum(width for _, width in self._lists)
        yield Piece(self._kind, "> " * min(self._quotes, 5) + " " * min(indent, 24) + self._marker + text)
        if self._kind == "heading" and self._lists:
            self._lists[-1][1] = 0  # an item that is a section: what follows is not indented
        self._kind = "text"
        self._marker = ""


def _code(element: HtmlElement) -> Piece:
    text = code_blocks.code_text(element)
    return Piece("code", code_blocks.fenced(text, code_blocks.language(element)) if text.strip() else "")


def _table(element: HtmlElement) -> Piece:
    return Piece("grid" if element.find(".//th") is None else "table", tables.gfm(element))


def _in_gutter(element: HtmlElement, top: HtmlElement) -> bool:
    while element is not None and element is not top:
        if code_blocks.is_gutter(element):
            return True
        element = element.getparent()
    return False


def _tex(math: HtmlElement) -> str:
    """The formula as TeX where the page has it so, else the text of its parts."""
    for note in math.iter("annotation"):
        if note.get("encoding") == "application/x-tex":
            return f"${(note.text or '').strip()}$"
    return f" {math.text_content()} "


def _line(text: str) -> str:
    lead = text[: len(text) - len(text.lstrip(" "))]
    return lead + tidy(text)
