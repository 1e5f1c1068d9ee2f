"""What DOCX, XLSX, PPTX and HWPX have in common: a ZIP of XML, opened with limits, and who wrote it when.

A ZIP may unpack to a thousand times its size, and XML may define entities that do: both are refused before reading.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from typing import NamedTuple

import lxml.etree

from fathom.core.errors import ToolError

MAX_FILES = 10_000
MAX_BYTES = 200 * 2**20
MAX_PART_BYTES = 60 * 2**20
_CHUNK = 65536
_TITLE = "{http://purl.org/dc/elements/1.1/}title"
_CREATOR = "{http://purl.org/dc/elements/1.1/}creator"
_DATES = ("{http://purl.org/dc/terms/}modified", "{http://purl.org/dc/terms/}created")


class Properties(NamedTuple):
    """What a document says of itself, "" where it says nothing."""

    title: str = ""
    author: str = ""
    date: str = ""


def open_archive(data: bytes, kind: str) -> zipfile.ZipFile:
    """The archive, safe to be read. Raises ToolError when it is broken, encrypted, or unpacks to too much."""
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
        entries = archive.infolist()
    except (zipfile.BadZipFile, zlib.error, ValueError, NotImplementedError, OSError, EOFError) as error:
        raise ToolError(f"the {kind} file is broken and cannot be opened ({error})") from None
    if len(entries) > MAX_FILES or sum(entry.file_size for entry in entries) > MAX_BYTES:
        raise ToolError(f"the {kind} file unpacks to more than {MAX_BYTES // 2**20} MB or {MAX_FILES:,} files: refused")
    for entry in entries:
        if entry.flag_bits & 1:
            raise ToolError(f"the {kind} file is encrypted: it opens with a password only")
        if entry.filename.lower().endswith((".xml", ".rels", ".hpf", ".vml")):
            _check_xml(archive, entry, kind)
    return archive


def part(archive: zipfile.ZipFile, name: str, kind: str) -> bytes:
    """The bytes of a part. Raises ToolError when there is no such part or it is broken."""
    try:
        return archive.read(name)
    except KeyError:
        raise ToolError(f"the {kind} file is broken: {name} is missing in it") from None
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, ValueError) as error:
        raise ToolError(f"the {kind} file is broken: {name} cannot be unpacked ({error})") from None


def xml(data: bytes, kind: str) -> lxml.etree._Element:
    """The root of an XML part. Entities are not replaced, nothing is loaded. Raises ToolError when it is broken."""
    parser = lxml.etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, recover=True
    )
    try:
        root = lxml.etree.fromstring(data, parser)
    except (lxml.etree.LxmlError, ValueError) as error:
        raise ToolError(f"the {kind} file is broken: {error}") from None
    if root is None:
        raise ToolError(f"the {kind} file is broken: there is no XML in it")
    return root


def local_name(element: lxml.etree._Element) -> str:
    """The element's name without its name space, "" for a comment. Broken XML may use prefixes that it never binds."""
    return str(element.tag).rpartition("}")[2].rpartition(":")[2] if isinstance(element.tag, str) else ""


def properties(archive: zipfile.ZipFile) -> Properties:
    """Title, author and date of an Office document; what cannot be read is left empty."""
    try:
        root = xml(part(archive, "docProps/core.xml", "Office"), "Office")
    except ToolError:
        return Properties()
    date = next((found for name in _DATES if (found := (root.findtext(name) or "").strip())), "")
    return Properties(
        (root.findtext(_TITLE) or "").strip()[:200], (root.findtext(_CREATOR) or "").strip()[:200], date[:40]
    )


def _check_xml(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, kind: str) -> None:
    """Refuse a part that is too large, or that defines entities: no program writes those."""
    if entry.file_size > MAX_PART_BYTES:
        raise ToolError(f"the {kind} file holds a part of more than {MAX_PART_BYTES // 2**20} MB: refused")
    try:
        with archive.open(entry) as stream:
            start = stream.read(_CHUNK)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, ValueError) as error:
        raise ToolError(f"the {kind} file is broken: {entry.filename} cannot be unpacked ({error})") from None
    if b"<!DOCTYPE" in start or b"<!ENTITY" in start:
        raise ToolError(f"the {kind} file defines entities of its own in {entry.filename}: refused")
