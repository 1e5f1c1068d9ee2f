"""PowerPoint presentations to Markdown: a heading for each slide, its text boxes, lists and tables, and its notes."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import pptx
from pptx.util import Emu

from fathom.core.errors import ToolError
from fathom.core.protocols import Document
from fathom.tools.extract import office
from fathom.tools.extract.charset import tidy
from fathom.tools.extract.xlsx import table

_MAX_SLIDES = 2000
_MAX_SHAPES = 2000  # of a slide
_MAX_CHARS = 4_000_000


def extract_pptx(data: bytes, url: str = "", charset: str = "") -> Document:
    """The text of a PPTX; a page is a slide. Raises ToolError when it is broken, encrypted, a bomb, or without text."""
    with office.open_archive(data, "PPTX") as archive:
        known = office.properties(archive)
    try:
        slides = list(_slides(pptx.Presentation(io.BytesIO(data))))
    except (MemoryError, RecursionError):
        raise
    except Exception as error:  # python-pptx raises whatever its XML makes it stumble over
        raise ToolError(f"the PPTX file is broken ({type(error).__name__}: {str(error)[:200]})") from None
    if not any(slides):
        raise ToolError("the PPTX file has no text: its slides may be pictures only")
    pages, text = [], ""
    for number, slide in enumerate(slides, 1):
        text += ("\n\n" if text else "") + (slide or f"## Slide {number}")
        pages.append(len(text) - len(slide or f"## Slide {number}"))
    return Document(uri=url, title=known.title, text=text, author=known.author, date=known.date, pages=tuple(pages))


def _slides(presentation: Any) -> Iterator[str]:
    length = 0
    for number, slide in enumerate(presentation.slides, 1):
        title = slide.shapes.title
        name = " ".join(title.text_frame.text.split()) if title is not None and title.has_text_frame else ""
        parts = [text for shape in _ordered(slide.shapes) if shape != title for text in _texts(shape)]
        if slide.has_notes_slide and (notes := slide.notes_slide.notes_text_frame) is not None and notes.text.strip():
            parts.append(f"Notes: {notes.text.strip()}")
        body = "\n\n".join(tidy(part) for part in parts if part.strip())
        heading = f"## Slide {number}" + (f": {tidy(name)}" if name else "")
        yield f"{heading}\n\n{body}".strip() if name or body else ""
        length += len(body)
        if number >= _MAX_SLIDES or length > _MAX_CHARS:
            return


def _ordered(shapes: Any) -> list[Any]:
    """From top to bottom, then from left to right, as they are read; those of groups among them."""
    found: list[Any] = []
    waiting = list(shapes)
    while waiting and len(found) < _MAX_SHAPES:
        shape = waiting.pop(0)
        if hasattr(shape, "shapes"):
            waiting = [*shape.shapes, *waiting]
        else:
            found.append(shape)
    return sorted(found, key=lambda shape: (shape.top or Emu(0), shape.left or Emu(0)))


def _texts(shape: Any) -> Iterator[str]:
    if getattr(shape, "has_table", False):
        yield table([[cell.text_frame.text for cell in row.cells] for row in shape.table.rows])
    elif shape.has_text_frame:
        paragraphs = [paragraph for paragraph in shape.text_frame.paragraphs if paragraph.text.strip()]
        listed = len(paragraphs) > 1 and shape.is_placeholder
        yield "\n".join(
            f"{'  ' * paragraph.level}- {_one_line(paragraph.text)}" if listed else _one_line(paragraph.text)
            for paragraph in paragraphs
        )


def _one_line(text: str) -> str:
    return " ".join(text.split())
