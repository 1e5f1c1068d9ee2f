"""PDF to text with pypdfium2, page after page. Encrypted, scanned and broken files are told apart.

Runs native code on hostile input: to be called in a process that can be killed.
"""

from __future__ import annotations

import re

import pypdfium2

from fathom.core.errors import ScannedError, ToolError
from fathom.core.protocols import Document
from fathom.tools.extract.charset import clean, tidy

_MAX_PAGES = 2000
_MAX_CHARS = 4_000_000
_HYPHEN = re.compile(r"(?<=\w)[\ufffe\u00ad]\r?\n?(?=\w)")  # pdfium's mark for a word that is divided at a line's end
_SCANNED_CHARS_PER_PAGE = 8
_DATE = re.compile(r"D:(\d{4})(\d\d)?(\d\d)?")


def extract_pdf(data: bytes, url: str = "", charset: str = "") -> Document:
    """The text of a PDF and where its pages begin.

    Raises ToolError when it is encrypted, broken, or holds pictures of pages only.
    """
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
        known = {name: clean(value).strip() for name, value in pdf.get_metadata_dict(skip_empty=True).items()}
    finally:
        pdf.close()
    if length < _SCANNED_CHARS_PER_PAGE * len(texts):
        raise ScannedError(f"the PDF has no text: its {pages} pages are probably scanned pictures")
    text, starts = _joined(texts)
    if len(texts) < pages:
        text += f"\n\nOnly the first {len(texts)} of {pages} pages were read."
    written = _DATE.match(known.get("CreationDate", ""))
    return Document(
        uri=url,
        title=known.get("Title", "")[:200],
        text=text,
        author=known.get("Author", "")[:200],
        date="-".join(filter(None, written.groups())) if written else "",
        pages=starts,
    )


def _joined(texts: list[str]) -> tuple[str, tuple[int, ...]]:
    """The pages with an empty line between them, and where each begins."""
    parts: list[str] = []
    starts: list[int] = []
    length = 0
    for page in texts:
        words = tidy(_HYPHEN.sub("", page))
        gap = "\n\n" if length and words else ""
        parts += (gap, words)
        starts.append(length + len(gap))
        length += len(gap) + len(words)
    return "".join(parts), tuple(starts)


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
