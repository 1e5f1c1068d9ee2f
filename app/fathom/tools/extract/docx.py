"""Word documents to Markdown: headings, lists, tables, footnotes and links as text, by way of mammoth's HTML."""

from __future__ import annotations

import io

import lxml.html
import mammoth

from fathom.core.errors import ToolError
from fathom.core.protocols import Document
from fathom.tools.extract import office
from fathom.tools.extract.drawing import draw, joined

_STYLES = "comment-reference => sup\np[style-name='Title'] => h1:fresh\np[style-name='Subtitle'] => h2:fresh"


def extract_docx(data: bytes, url: str = "", charset: str = "") -> Document:
    """The text of a DOCX. Raises ToolError when it is broken, encrypted, a bomb, or without text."""
    with office.open_archive(data, "DOCX") as archive:
        known = office.properties(archive)
    try:
        html = mammoth.convert_to_html(
            io.BytesIO(data), style_map=_STYLES, convert_image=mammoth.images.img_element(_no_image)
        ).value
    except (MemoryError, RecursionError):
        raise
    except Exception as error:  # mammoth raises whatever its XML makes it stumble over
        raise ToolError(f"the DOCX file is broken ({type(error).__name__}: {str(error)[:200]})") from None
    text = ""
    if html.strip():
        parser = lxml.html.HTMLParser(encoding="utf-8")
        text = joined(draw(lxml.html.document_fromstring(f"<div>{html}</div>".encode(), parser=parser)))
    if not text:
        raise ToolError("the DOCX file has no text: it may hold pictures only")
    return Document(uri=url, title=known.title, text=text, author=known.author, date=known.date)


def _no_image(image: object) -> dict[str, str]:
    return {"src": ""}
