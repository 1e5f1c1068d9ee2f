"""Plain text and Markdown: the charset, the line ends, and a title when the text begins with a heading."""

from __future__ import annotations

import re

from fathom.core.protocols import Document
from fathom.tools.extract.charset import decode, tidy

_TITLE = re.compile(r"\A#{1,2} ([^\n]{1,200})")


def extract_text(data: bytes, url: str = "", charset: str = "") -> Document:
    """Never raises; the text may be empty."""
    text = tidy(decode(data, charset))
    heading = _TITLE.match(text)
    return Document(uri=url, title=heading.group(1).strip() if heading else "", text=text)
