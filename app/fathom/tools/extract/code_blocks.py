"""Code in HTML: the text of a block with its own white space, and the language that its classes name.

Line numbers and copy buttons are no code. Knows nothing of the rest of a page.
"""

from __future__ import annotations

import re

from lxml.etree import iterwalk
from lxml.html import HtmlElement

CODE = frozenset({"pre", "xmp", "listing"})
"""Elements whose white space counts."""

_GUTTER = re.compile(
    r"(?:^|\s)(?:linenos?|linenodiv|gutter|rouge-gutter|line-?numbers?(?:-rows)?|lineno|blob-num|hljs-ln-numbers?|ln-num"
    r"|code-?copy|copy-?(?:btn|button|code)|crayon-nums)(?:\s|$)",
    re.I,
)
_LINE = re.compile(r"(?:^|\s)(?:line|code-?line|token-line|view-line|hljs-ln-line|react-code-line)(?:\s|$)")
_LANGUAGE = re.compile(
    r"(?:^|\s)(?:(?:language|lang|highlight-source|highlight)-|brush:\s*|sourceCode\s+)([\w+#.-]{1,20})(?=[\s;]|$)"
)
_NO_LANGUAGE = frozenset({"default", "none", "notranslate", "text", "plaintext", "plain", "code", "block", "wrapper"})
_LINES_AS_ROWS = re.compile(r"(?:^|\s)(?:blob-code|hljs-ln-code|js-file-line|react-code-cell)(?:-\w+)?(?:\s|$)")
_BLOCKS = frozenset({"div", "p", "li", "tr", "br", "ol", "ul", "table"})
_DROPPED = frozenset({"button", "script", "style", "svg", "template"})
_BACKTICKS = re.compile(r"`{3,}")


def code_text(element: HtmlElement) -> str:
    """The code to the letter, without line numbers and without the empty lines around it."""
    parts: list[str] = []  # none of them empty
    due = False  # a line ended with its element, and so its end is not in the text
    lines_without_ends = sum(map(_is_line, element.iter("span", "code", "div"))) > 1 and "\n" not in _plain(element)
    walk = iterwalk(element, events=("start", "end", "comment", "pi"))
    for event, node in walk:
        tag = node.tag if isinstance(node.tag, str) else ""
        inside = node is not element
        if event == "start" and inside and (tag in _DROPPED or is_gutter(node)):
            walk.skip_subtree()
            continue
        if tag == "br" and event == "start":
            parts.append("\n")
        elif inside and event != "comment" and (tag in _BLOCKS or (lines_without_ends and _is_line(node))):
            due = due or (bool(parts) and not parts[-1].endswith("\n"))
        text = node.text if event == "start" else node.tail if inside else ""
        if text:
            if due and not text.startswith("\n"):
                parts.append("\n")
            due = False
            parts.append(text)
    text = "".join(parts).replace("\r\n", "\n").replace("\r", "\n")
    return re.sub(r"\A(?:[ \t]*\n)+|\s+\Z", "", text)


def fenced(code: str, language: str = "") -> str:
    """A fenced block; the fence is longer than any in the code."""
    fence = "`" * max([3, *(len(run) + 1 for run in _BACKTICKS.findall(code))])
    return f"{fence}{language}\n{code}\n{fence}"


def language(element: HtmlElement) -> str:
    """The language that the block, its only child or its wrapper names, "" when none does."""
    places = [element, *element[:1]]
    parent = element.getparent()
    for _ in range(2):
        if parent is not None and parent.tag in ("div", "figure", "span") and len(parent) <= 3:
            places.append(parent)
            parent = parent.getparent()
    for place in places:
        for name in _LANGUAGE.findall(place.get("class") or ""):
            if name.lower() not in _NO_LANGUAGE and not name.startswith(("-", ".")):
                return str(name).lower()
    return ""


def is_gutter(element: HtmlElement) -> bool:
    """Whether the element holds line numbers or a copy button."""
    return bool(_GUTTER.search(element.get("class") or ""))


def lines_of_table(table: HtmlElement) -> str:
    """The code of a table that holds one line of code a row, "" when it is no such table."""
    cells = [cell for cell in table.iter("td") if _LINES_AS_ROWS.search(cell.get("class") or "")]
    rows = len(table.findall(".//tr"))
    if not cells or len(cells) * 2 < rows:
        return ""
    return "\n".join(code_text(cell) for cell in cells).strip("\n")


def _is_line(element: HtmlElement) -> bool:
    return bool(_LINE.search(element.get("class") or ""))


def _plain(element: HtmlElement) -> str:
    return str(element.text_content()).strip("\n")
