"""Bytes of a page or file to plain text or Markdown: one file a kind, found by name, all without network or store.

Each is a function ``(data, url, charset) -> Document`` that raises ToolError when there is nothing to read. They take
hostile input, and so are called in a process that can be killed. A new kind is one file and one line here.
"""

from __future__ import annotations

EXTRACTORS: dict[str, str] = {
    "html": "fathom.tools.extract.html:extract_html",
    "pdf": "fathom.tools.extract.pdf:extract_pdf",
    "text": "fathom.tools.extract.text:extract_text",
}
"""Kind -> "module:attr"."""
