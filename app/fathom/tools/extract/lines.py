"""Draws an HTML tree as lines of Markdown: headings, paragraphs, list items, table rows, code.

Knows nothing of which part of a page matters. Walks without recursion: pages may be nested thousands of levels deep.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from lxml.etree import iterwalk
from lxml.html import HtmlElement

_SPACE = re.compile(r"\s+")
_SKIPPED = frozenset(
    {"script", "style", "noscript", "template", "svg", "iframe", "head", "form", "button", "select", "nav", "object"}
)
_HEADINGS = {f"h{level}": "#" * level + " " for level in range(1, 7)}
_BLOCKS = frozenset(
    {
        "address", "article", "aside", "blockquote", "body", "br", "caption", "center", "dd", "details", "div", "dl",
        "dt", "figcaption", "figure", "footer", "header", "hr", "html", "li", "main", "ol", "p", "pre", "section",
        "summary", "table", "tbody", "tfoot", "thead", "tr", "ul", *_HEADINGS,
    }
)  # fmt: skip
_CELLS = frozenset({"td", "th"})


def markdown_lines(root: HtmlElement) -> list[str]:
    """The visible text of ``root``, a line for each block; a code block is one item, fenced, with its own line ends."""
    return [line for line in _drawn(root) if line.strip()]


def _drawn(root: HtmlElement) -> Iterator[str]:
    parts: list[str] = []
    prefix = ""
    preformatted = 0
    skip_until: HtmlElement | None = None

    def flush() -> Iterator[str]:
        nonlocal prefix
        text = "".join(parts)
        parts.clear()
        if preformatted:
            code = "\n".join(line.rstrip() for line in text.expandtabs(4).split("\n")).strip("\n")
            if code.strip():
                yield f"```\n{code}\n```"
            return
        line = _SPACE.sub(" ", text).strip().rstrip("|").strip()
        if line:
            yield prefix + line
            prefix = ""

    for event, element in iterwalk(root, events=("start", "end", "comment", "pi")):
        tag = element.tag if isinstance(element.tag, str) else ""
        if event == "start":
            if skip_until is not None:
                continue
            if tag in _SKIPPED or "display:none" in (element.get("style") or "").replace(" ", ""):
                skip_until = element
                continue
            if tag in _BLOCKS:
                yield from flush()
                if tag in _HEADINGS:
                    prefix = _HEADINGS[tag]
                elif tag == "li":
                    prefix = "- "
                elif tag == "pre":
                    preformatted += 1
            parts.append(element.text or "")
            continue
        if event == "end" and skip_until is None:
            if tag in _CELLS:
                parts.append(" | ")
            elif tag in _BLOCKS:
                yield from flush()
                if tag == "pre":
                    preformatted -= 1
                prefix = ""
        elif event == "end" and element is skip_until:
            skip_until = None
        if skip_until is None and element is not root:
            parts.append(element.tail or "")
    yield from flush()
