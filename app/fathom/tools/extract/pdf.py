"""PDF to text with pypdfium2, page after page. Encrypted, scanned and broken files are told apart.

Runs native code on hostile input: to be called in a process that can be killed.
"""

from __future__ import annotations

import re

import pypdfium2

from fathom.core.errors import ScannedError, ToolError
from fathom.core.protocols import Document
from fathom.tools.extract.charset import tidy

_MAX_PAGES = 2000
_MAX_CHARS = 4_000_000
_HYPHEN = re.compile(r"(?<=\w)[\ufffe\u00ad]\r?\n?(?=\w)")  # pdfium's mark for a word that is divided at a line's end
_SCANNED_CHARS_PER_PAGE = 8


def extract_pdf(data: bytes, url: str = "", charset: str = "") -> Document:
    """The text of a PDF. Raises ToolError when it is encrypted, broken, or holds pictures of pages only."""
    try:
        pdf = pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        if "password" in str(error).lower():
            raise ToolError("the PDF is encrypted: it opens with a password only") from None
        raise ToolError(f"the PDF is broken and cannot be opened ({error})") from None
    try:
        pages = len(pdf)
        texts: list[str] = []
        length = 0
        for number in range(min(pages, _MAX_PAGES)):
            texts.append(_page_text(pdf, number))
            length += len(texts[-1])
            if length > _MAX_CHARS:
                break
        title = (pdf.get_metadata_dict(skip_empty=True).get("Title") or "").strip()
    finally:
        pdf.close()
    if length < _SCANNED_CHARS_PER_PAGE * len(texts):
        raise ScannedError(f"the PDF has no text: its {pages} pages are probably scanned pictures")
    text = tidy(_HYPHEN.sub("", "\n\n".join(texts)))
    return Document(uri=url, title=title[:200], text=text)


def _page_text(pdf: pypdfium2.PdfDocument, number: int) -> str:
    try:
        page = pdf[number]
        try:
            reading = page.get_textpage()
            try:
                return str(reading.get_text_bounded())
            finally:
                reading.close()
        finally:
            page.close()
    except pypdfium2.PdfiumError:
        return ""  # one broken page; the others still count
