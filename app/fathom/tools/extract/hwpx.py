"""HWPX, the Korean word processor's ZIP of XML: paragraphs, tables and footnotes in order.

The elements are known by their local names, since each version of the format has name spaces of its own.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator

from lxml.etree import _Element

from fathom.core.errors import ToolError
from fathom.core.protocols import Document
from fathom.tools.extract import office
from fathom.tools.extract.charset import tidy
from fathom.tools.extract.xlsx import table

_SECTION = re.compile(r"Contents/section(\d+)\.xml\Z")
_BREAKS = {"lineBreak": "\n", "tab": "\t", "nbSpace": " ", "fwSpace": " ", "hyphen": "-"}
_DROPPED = frozenset({"shapeComment", "fieldBegin", "fieldEnd", "secPr", "ctrlHeader", "parameters"})


def extract_hwpx(data: bytes, url: str = "", charset: str = "") -> Document:
    """The text of a HWPX. Raises ToolError when it is broken, encrypted, a bomb, or without text."""
    with office.open_archive(data, "HWPX") as archive:
        names = archive.namelist()
        if "META-INF/manifest.xml" in names and b"encryption-data" in office.part(
            archive, "META-INF/manifest.xml", "HWPX"
        ):
            raise ToolError("the HWPX file is encrypted: it opens with a password only")
        sections = sorted((int(found[1]), name) for name in names if (found := _SECTION.match(name)))
        if not sections:
            raise ToolError("the HWPX file is broken: it has no section")
        roots = [office.xml(office.part(archive, name, "HWPX"), "HWPX") for _, name in sections]
        known = _properties(archive)
    text = tidy("\n\n".join(piece for root in roots for piece in _pieces(root) if piece.strip()))
    if not text:
        raise ToolError("the HWPX file has no text: it may hold pictures only")
    return Document(uri=url, title=known.title, text=text, author=known.author, date=known.date)


def _pieces(root: _Element) -> Iterator[str]:
    """A paragraph each, or a table; text boxes and footnotes after the paragraph that they hang on."""
    waiting = [child for child in reversed(root) if isinstance(child.tag, str)]
    while waiting:
        element = waiting.pop()
        name = office.local_name(element)
        if name == "tbl":
            yield table([[_cell(cell) for cell in _within(row, "tc")] for row in _within(element, "tr")])
        elif name == "p":
            yield "".join(_words(element))
            waiting += reversed(_hanging(element))
        elif name not in _DROPPED:
            waiting += [child for child in reversed(element) if isinstance(child.tag, str)]


def _words(paragraph: _Element) -> Iterator[str]:
    """The text of a paragraph itself, not that of tables, boxes and notes in it."""
    for run in paragraph:
        if office.local_name(run) != "run":
            continue
        for part in run:
            if office.local_name(part) == "t":
                yield _text(part)


def _text(element: _Element) -> str:
    parts = [element.text or ""]
    for child in element.iterdescendants():
        name = office.local_name(child)
        parts.append(_BREAKS.get(name, "") + ((child.text or "") if name not in _DROPPED and name else ""))
        parts.append(child.tail or "")
    return "".join(parts)


def _hanging(paragraph: _Element) -> list[_Element]:
    return [part for run in paragraph if isinstance(run.tag, str) for part in run if office.local_name(part) != "t"]


def _cell(cell: _Element) -> str:
    return " ".join(_text(part) for part in cell.iter() if office.local_name(part) == "t")


def _within(element: _Element, name: str) -> list[_Element]:
    return [child for child in element if office.local_name(child) == name]


def _properties(archive: zipfile.ZipFile) -> office.Properties:
    try:
        root = office.xml(office.part(archive, "Contents/content.hpf", "HWPX"), "HWPX")
    except ToolError:
        return office.Properties()
    found = {"title": "", "creator": "", "CreatedDate": ""}
    for element in root.iter():
        name = office.local_name(element)
        key = name if name == "title" else (element.get("name") or "") if name == "meta" else ""
        if key in found and not found[key]:
            found[key] = (element.text or "").strip()
    return office.Properties(found["title"][:200], found["creator"][:200], found["CreatedDate"][:40])
