"""CSV as a Markdown table, JSON as indented text."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import PurePosixPath

from fathom.core.errors import ToolError
from fathom.core.protocols import Document
from fathom.tools.extract.charset import clean, decode
from fathom.tools.extract.xlsx import table

_MAX_CHARS = 4_000_000
_MAX_FIELD = 1_000_000
_DELIMITERS = ",;\t|"


def extract_csv(data: bytes, url: str = "", charset: str = "") -> Document:
    """The rows of a CSV or TSV, whatever its delimiter. Raises ToolError when it is broken or empty."""
    text = clean(decode(data, charset))
    csv.field_size_limit(_MAX_FIELD)
    rows: list[list[str]] = []
    length, rest = 0, ""
    try:
        for row in csv.reader(io.StringIO(text, newline=""), _dialect(text)):
            if length > _MAX_CHARS:
                rest = f"\n\nThe rest was not read: it has more than {_MAX_CHARS:,} characters."
                break
            if any(cell.strip() for cell in row):
                rows.append(row)
                length += sum(map(len, row)) + 2
    except csv.Error as error:
        raise ToolError(f"the CSV file is broken: {error}") from None
    if not rows:
        raise ToolError("the CSV file is empty")
    return Document(uri=url, title=_file_name(url), text=table(rows) + rest)


def extract_json(data: bytes, url: str = "", charset: str = "") -> Document:
    """A JSON value, a line for each of its parts; one that is broken as it came. Raises ToolError when it is empty."""
    text = clean(decode(data, charset)).strip()
    if not text:
        raise ToolError("the JSON file is empty")
    try:
        value = json.loads(text)
        text = _cut("".join(_within(json.JSONEncoder(ensure_ascii=False, indent=1).iterencode(value))))
    except (ValueError, RecursionError):  # cut off, several values in a row, or nested too deeply to be told apart
        text = _cut(text)
    return Document(uri=url, title=_file_name(url), text=clean(text))


def _dialect(text: str) -> type[csv.Dialect] | csv.Dialect:
    try:
        return csv.Sniffer().sniff(text[:8192], _DELIMITERS)
    except csv.Error:
        return csv.excel


def _within(pieces: Iterator[str]) -> Iterator[str]:
    length = 0
    for piece in pieces:
        yield piece
        length += len(piece)
        if length > _MAX_CHARS:
            return


def _cut(text: str) -> str:
    if len(text) <= _MAX_CHARS:
        return text
    return f"{text[:_MAX_CHARS]}\n\nThe rest was not read: it has more than {_MAX_CHARS:,} characters."


def _file_name(url: str) -> str:
    return PurePosixPath(url.partition("?")[0].partition("#")[0]).name[:200]
