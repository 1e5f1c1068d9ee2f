"""Excel workbooks to Markdown: a heading and a table a sheet, with the values that the formulas had when saved."""

from __future__ import annotations

import datetime
import io
from collections.abc import Iterator, Sequence

import openpyxl

from fathom.core.errors import ToolError
from fathom.core.protocols import Document
from fathom.tools.extract import office
from fathom.tools.extract.charset import clean

_MAX_ROWS = 50_000  # in all sheets
_MAX_SEEN_ROWS = 200_000  # of a sheet that holds mostly empty ones
_MAX_COLUMNS = 1000
_MAX_CHARS = 4_000_000


def extract_xlsx(data: bytes, url: str = "", charset: str = "") -> Document:
    """The cells of an XLSX. Raises ToolError when it is broken, encrypted, a bomb, or empty."""
    with office.open_archive(data, "XLSX") as archive:
        known = office.properties(archive)
    try:
        book = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True)
        try:
            text = _sheets(book)
        finally:
            book.close()
    except (MemoryError, RecursionError, ToolError):
        raise
    except Exception as error:  # openpyxl raises whatever its XML makes it stumble over
        raise ToolError(f"the XLSX file is broken ({type(error).__name__}: {str(error)[:200]})") from None
    if not text:
        raise ToolError("the XLSX file has no cells with a value")
    return Document(uri=url, title=known.title, text=text, author=known.author, date=known.date)


def table(rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, the first row as its head; "" when there are no rows. Only the head has all the columns."""
    if not rows:
        return ""
    width = max(map(len, rows))
    head = [*rows[0], *[""] * (width - len(rows[0]))]
    return "\n".join([_line(head), "|" + " --- |" * width, *map(_line, rows[1:])])


def _line(row: Sequence[str]) -> str:
    return "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in row) + " |"


def _sheets(book: openpyxl.Workbook) -> str:
    parts: list[str] = []
    left, length = _MAX_ROWS, 0
    for sheet in book.worksheets:
        if hasattr(sheet, "reset_dimensions"):
            sheet.reset_dimensions()  # what the file says of its size may be a lie
        rows: list[list[str]] = []
        for row in _rows(sheet):
            if left <= 0 or length > _MAX_CHARS:
                break
            rows.append(row)
            left -= 1
            length += sum(map(len, row))
        if rows:
            parts.append(f"## {clean(sheet.title)}\n\n{table(rows)}")
    if parts and (left <= 0 or length > _MAX_CHARS):
        parts.append(f"The rest of the workbook was not read: it has more than {_MAX_ROWS:,} rows, or is too long.")
    return "\n\n".join(parts)


def _rows(sheet: object) -> Iterator[list[str]]:
    rows = sheet.iter_rows(values_only=True)  # type: ignore[attr-defined]
    for number, row in enumerate(rows):
        if number >= _MAX_SEEN_ROWS:
            return
        cells = [_shown(value) for value in row[:_MAX_COLUMNS]]
        while cells and not cells[-1]:
            cells.pop()
        if cells:
            yield cells


def _shown(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime.datetime):
        return value.date().isoformat() if value.time() == datetime.time() else value.isoformat(" ", "seconds")
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return clean(str(value))
