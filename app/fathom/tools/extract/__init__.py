"""Bytes of a page or file to plain text or Markdown: one file a kind, found by name, all without network or store.

Each is a function ``(data, url, charset) -> Document`` that raises ToolError when there is nothing to read. They take
hostile input, and so are called in a process that can be killed. A new kind is one file and one line here.
"""

from __future__ import annotations

EXTRACTORS: dict[str, str] = {
    "html": "fathom.tools.extract.html:extract_html",
    "pdf": "fathom.tools.extract.pdf:extract_pdf",
    "docx": "fathom.tools.extract.docx:extract_docx",
    "xlsx": "fathom.tools.extract.xlsx:extract_xlsx",
    "pptx": "fathom.tools.extract.pptx:extract_pptx",
    "hwpx": "fathom.tools.extract.hwpx:extract_hwpx",
    "csv": "fathom.tools.extract.data:extract_csv",
    "json": "fathom.tools.extract.data:extract_json",
    "feed": "fathom.tools.extract.feed:extract_feed",
    "text": "fathom.tools.extract.text:extract_text",
}
"""Kind -> "module:attr"."""
