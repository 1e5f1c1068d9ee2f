"""A report's Markdown as HTML for a Qt text view: raw HTML stays text, pictures become their words, [n] become links.

``citation:n`` links open saved passages; only http, https and in-page addresses stay links besides. Knows nothing of
Qt; markdown-it is imported at the first report, not at the start of the app.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

from fathom.core.types import Report

if TYPE_CHECKING:
    from collections.abc import Sequence

    from markdown_it import MarkdownIt
    from markdown_it.renderer import RendererProtocol
    from markdown_it.rules_core import StateCore
    from markdown_it.token import Token
    from markdown_it.utils import EnvType, OptionsDict

_MARK = re.compile(r"\[(\d{1,4})\]")
_ALIGNED = re.compile(r' style="text-align:(left|center|right)"')
_ALLOWED = re.compile(r"(?:https?://|#)", re.IGNORECASE)


def render(report: Report) -> str:
    """The HTML of the report's body. 60,000 characters take some 0.3 s: not for the window's thread."""
    numbers = frozenset(citation.number for citation in report.citations)
    html = str(_markdown().render(without_first_heading(report.body), {"numbers": numbers}))
    html = html.replace("<th>", '<th align="left">')  # as the cells below it
    return _ALIGNED.sub(r' align="\1"', html)  # Qt drops a cell's border when the cell has a style of its own


def without_first_heading(body: str) -> str:
    """``body`` without the heading of the short answer, which the view draws itself, beside the answer's badge."""
    return body.removeprefix("## Short answer\n").lstrip("\n")


@cache
def _markdown() -> MarkdownIt:
    from markdown_it import MarkdownIt
    from mdit_py_plugins.footnote import footnote_plugin

    markdown = MarkdownIt("commonmark", {"html": False, "linkify": False})
    markdown.enable(["table", "strikethrough"])
    markdown.use(footnote_plugin)
    markdown.validateLink = lambda url: bool(_ALLOWED.match(url.strip()))  # type: ignore[method-assign]
    # Before text_join, an escaped bracket is a token of its own: "\[1]" in a page's title is no citation.
    markdown.core.ruler.before("text_join", "citations", _cite)
    markdown.add_render_rule("image", _picture)
    markdown.add_render_rule("heading_open", _heading)
    markdown.add_render_rule("heading_close", _heading)
    return markdown


def _cite(state: StateCore) -> None:

    numbers: frozenset[int] = state.env.get("numbers", frozenset())
    for block in state.tokens:
        if block.type != "inline" or not block.children:
            continue
        made: list[Token] = []
        inside_link = 0
        for token in block.children:
            inside_link += (token.type == "link_open") - (token.type == "link_close")
            if token.type == "text" and not inside_link:
                made += _split(token.content, numbers, token.level)
            else:
                made.append(token)
        block.children = made


def _split(text: str, numbers: frozenset[int], level: int) -> list[Token]:
    from markdown_it.token import Token

    made: list[Token] = []
    last = 0
    for match in _MARK.finditer(text):
        if int(match[1]) not in numbers:
            continue
        if match.start() > last:
            made.append(Token("text", "", 0, content=text[last : match.start()], level=level))
        made += [
            Token("link_open", "a", 1, attrs={"href": f"citation:{int(match[1])}"}, level=level),
            Token("text", "", 0, content=f"[{int(match[1])}]", level=level + 1),
            Token("link_close", "a", -1, level=level),
        ]
        last = match.end()
    if last < len(text) or not made:
        made.append(Token("text", "", 0, content=text[last:], level=level))
    return made


def _heading(
    renderer: RendererProtocol, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType
) -> str:
    """A paragraph of a class: Qt scales h1 to h6 whatever the style sheet says."""
    token = tokens[index]
    return f'<p class="{token.tag}">' if token.nesting == 1 else "</p>\n"


def _picture(
    renderer: RendererProtocol, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType
) -> str:
    """A picture's words in place of the picture: nothing is ever loaded."""
    from markdown_it.common.utils import escapeHtml

    return f"[picture: {escapeHtml(tokens[index].content)}]" if tokens[index].content else "[picture]"
