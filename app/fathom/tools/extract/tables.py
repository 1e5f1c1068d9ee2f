"""Tables of HTML as GFM tables, and which tables only lay a page out.

Code of several lines and tables inside of cells are flattened in their row, and left to the caller to show in full.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from lxml.etree import iterwalk
from lxml.html import HtmlElement

_SPACE = re.compile(r"\s+")
_MAX_COLUMNS = 100
_REPEATED_CHARS = 80
_LONG_CELL = 300
_HEADINGS = ("h1", "h2", "h3", "h4")
_BROKEN = frozenset({"p", "div", "br", "li", "ul", "ol", "dl", "dt", "dd", "pre", "tr", "td", "th", "table", "section"})
_DROPPED = frozenset({"script", "style", "noscript", "template", "svg", "button", "select", "textarea", "iframe", "rt"})


def is_data(table: HtmlElement) -> bool:
    """Whether the table holds data, and not the page."""
    if table.get("role") in ("presentation", "none"):
        return False
    rows = list(own_rows(table))
    columns = max((len(own_cells(row)) for row in rows), default=0)
    inner = [one for one in table.iter("table") if one is not table]
    length = len(table.text_content())
    if inner and 10 * sum(len(one.text_content()) for one in inner) > 6 * length:
        return False
    if any(True for row in rows for cell in own_cells(row) if cell.tag == "th"):
        return len(rows) > 1 or columns > 1
    if inner or columns < 2 or next(table.iter(*_HEADINGS), None) is not None:
        return False
    if len(rows) == 1:
        return next(table.iter("p", "pre", "ul", "ol", "div"), None) is None
    return length <= _LONG_CELL * sum(len(own_cells(row)) for row in rows)


def own_rows(table: HtmlElement) -> Iterator[HtmlElement]:
    """The rows of the table itself, not those of tables inside of it."""
    for child in table:
        if child.tag == "tr":
            yield child
        elif child.tag in ("thead", "tbody", "tfoot"):
            yield from (row for row in child if row.tag == "tr")


def own_cells(row: HtmlElement) -> list[HtmlElement]:
    """The cells of a row."""
    return [cell for cell in row if cell.tag in ("td", "th")]


def gfm(table: HtmlElement) -> str:
    """The table as Markdown, "" when every cell is empty. A short cell that spans rows is repeated in each."""
    rows = list(_grid(table))
    columns = max((len(row) for row in rows), default=0)
    if not any(any(row) for row in rows):
        return ""
    lines = [_line(row + [""] * (columns - len(row))) for row in rows if any(row)]
    return "\n".join([lines[0], "|" + " --- |" * columns, *lines[1:]])


def is_grid(box: HtmlElement) -> bool:
    """Whether the box is a table of Javadoc's that is made of boxes."""
    return "summary-table" in (box.get("class") or "").split() and len(box) >= len(_grid_columns(box)) > 1


def grid(box: HtmlElement) -> str:
    """Javadoc's table of boxes as Markdown."""
    columns = len(_grid_columns(box))
    cells = [cell_text(cell) for cell in box if isinstance(cell.tag, str)]
    rows = [cells[start : start + columns] for start in range(0, len(cells), columns)]
    lines = [_line(row + [""] * (columns - len(row))) for row in rows]
    return "\n".join([lines[0], "|" + " --- |" * columns, *lines[1:]])


def _grid_columns(box: HtmlElement) -> list[HtmlElement]:
    """The boxes of the head row: they come first, and each has a column's name."""
    return [cell for cell in box if "table-header" in (cell.get("class") or "").split()]


def caption(table: HtmlElement) -> str:
    """The table's caption, "" for none."""
    found = table.find("caption")
    return cell_text(found) if found is not None else ""


def cell_text(cell: HtmlElement) -> str:
    """The text of a cell in one line."""
    parts: list[str] = []
    walk = iterwalk(cell, events=("start", "end", "comment", "pi"))
    for event, node in walk:
        tag = node.tag if isinstance(node.tag, str) else ""
        if event == "start":
            if tag in _DROPPED:
                walk.skip_subtree()
                continue
            if tag in _BROKEN:
                parts.append(" ")
            parts.append(node.text or "")
            continue
        if event == "end" and tag in _BROKEN:
            parts.append(" ")
        if node is not cell:
            parts.append(node.tail or "")
    return _SPACE.sub(" ", "".join(parts)).strip()


def _grid(table: HtmlElement) -> Iterator[list[str]]:
    """The rows with cells that span columns padded; empty cells at the end of a row are left out."""
    hanging: dict[int, tuple[int, str]] = {}  # column -> (rows still to fill, text)
    for row in own_rows(table):
        texts: list[str] = []
        for cell in own_cells(row):
            _fill(texts, hanging)
            text = cell_text(cell)
            down = _span(cell.get("rowspan"))
            for column in range(len(texts), len(texts) + _span(cell.get("colspan"))):
                if column >= _MAX_COLUMNS:
                    break
                if down > 1:
                    hanging[column] = (down - 1, text if len(text) <= _REPEATED_CHARS else "")
                texts.append(text)
                text = ""
            if text:  # beyond the last column
                texts[-1] = f"{texts[-1]} {text}".strip()
        _fill(texts, hanging)
        while texts and not texts[-1]:
            texts.pop()
        yield texts


def _fill(texts: list[str], hanging: dict[int, tuple[int, str]]) -> None:
    """Append the cells that hang down from rows above."""
    while len(texts) in hanging:
        column = len(texts)
        left, text = hanging.pop(column)
        if left > 1:
            hanging[column] = (left - 1, text)
        texts.append(text)


def _span(value: str | None) -> int:
    return int(value) if value and value.isascii() and value.isdigit() and 0 < len(value) < 5 else 1


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
