"""Hostile text made safe for a Markdown file: no HTML, no pictures, no links but to the web.

A page that the model read can steer what a report says; whoever opens the exported file with another program must not
fetch a picture or run a script by it. Knows nothing of reports.
"""

from __future__ import annotations

import re

from markdown_it import MarkdownIt

_SPECIAL = re.compile(r"([\\`*_\[\]<>~|$])")
_LINE_START = re.compile(r"^(\s*)([#+\-=:]|\d{1,9}(?=[.)]))")
_NO_HTML = MarkdownIt("commonmark", {"html": False})
_WEB_LINK = r"\s*<?https?://[^\s<>]"
_INLINE_LINK = re.compile(rf"\]\((?!{_WEB_LINK})", re.IGNORECASE)
_REFERENCE = re.compile(rf"\]:(?!{_WEB_LINK})", re.IGNORECASE)
_CONTROLS = dict.fromkeys(
    [*range(9), 11, 12, *range(14, 32), *range(127, 160), *range(0x202A, 0x202F), *range(0x2066, 0x206A)]
)


def plain(text: str) -> str:
    """One line of text that shows as it is: Markdown's signs escaped, line breaks made blanks."""
    line = " ".join(text.translate(_CONTROLS).split())
    line = _SPECIAL.sub(r"\\\1", line).replace("&", "&amp;").replace("!\\[", "&#33;\\[")
    return _LINE_START.sub(lambda match: f"{match[1]}{_escaped_mark(match[2])}", line)


def quoted(text: str) -> str:
    """A block quotation of plain text, paragraph by paragraph."""
    paragraphs = [plain(part) for part in re.split(r"\n\s*\n", text) if part.strip()]
    return "\n>\n".join(f"> {paragraph}" for paragraph in paragraphs)


def code(text: str) -> str:
    """A code span that shows ``text`` as it is."""
    text = " ".join(text.translate(_CONTROLS).split())
    fence = "`" * (max((len(run) for run in re.findall(r"`+", text)), default=0) + 1)
    pad = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{pad}{text}{pad}{fence}"


def address(uri: str) -> str:
    """An address: a link when it is a web page, else a code span."""
    is_web = re.fullmatch(r"https?://[^\s<>\\]+", uri, re.IGNORECASE) and uri.translate(_CONTROLS) == uri
    return f"<{uri}>" if is_web else code(uri)


def disarmed(markdown: str) -> str:
    """Markdown that a model wrote, still Markdown, but without HTML, pictures and links elsewhere than to the web.

    Fenced and indented code stays to the letter. Entities are used and not backslashes, since a backslash of the
    model's own before them would undo them.
    """
    markdown = markdown.replace("\r\n", "\n").replace("\r", "\n").translate(_CONTROLS)
    lines = markdown.split("\n")
    in_code = {
        number
        for token in _NO_HTML.parse(markdown)
        if token.type in ("fence", "code_block") and token.map is not None
        for number in range(*token.map)
    }
    return "\n".join(line if number in in_code else _disarmed_line(line) for number, line in enumerate(lines))


def _disarmed_line(line: str) -> str:
    line = re.sub(r"<(?!https?://[^\s<>]+>)", "&lt;", line, flags=re.IGNORECASE)
    line = line.replace("![", "&#33;[")
    line = _INLINE_LINK.sub("]&#40;", line)
    return _REFERENCE.sub("]&#58;", line)


def _escaped_mark(mark: str) -> str:
    return f"{mark}\\" if mark.isdigit() else f"\\{mark}"
