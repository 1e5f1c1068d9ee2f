"""What kind of file some bytes are: by what they begin with, then by what the server or the file's name says.

Reads nothing of the content beyond its marks, and never raises anything but ToolError.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from fathom.core.errors import ToolError
from fathom.core.protocols import FileKind

SUFFIXES: dict[str, FileKind] = {
    **dict.fromkeys((".html", ".htm", ".xhtml", ".shtml"), "html"),
    ".pdf": "pdf",
    ".docx": "docx",
    ".docm": "docx",
    **dict.fromkeys((".xlsx", ".xlsm"), "xlsx"),
    **dict.fromkeys((".pptx", ".pptm", ".ppsx"), "pptx"),
    ".hwpx": "hwpx",
    **dict.fromkeys((".csv", ".tsv"), "csv"),
    **dict.fromkeys((".json", ".geojson", ".jsonld"), "json"),
    **dict.fromkeys((".rss", ".atom"), "feed"),
    **dict.fromkeys((".txt", ".text", ".md", ".markdown", ".rst", ".tex", ".log", ".xml", ".jsonl", ".ndjson"), "text"),
}
"""What a file's name says, for files whose bytes say nothing."""

_MEDIA: dict[str, FileKind] = {
    "text/html": "html",
    "application/xhtml+xml": "html",
    "application/pdf": "pdf",
    "text/csv": "csv",
    "text/tab-separated-values": "csv",
    "application/json": "json",
    "text/json": "json",
    "application/rss+xml": "feed",
    "application/atom+xml": "feed",
}
_PARTS: tuple[tuple[bytes, FileKind], ...] = (
    (b"word/document", "docx"),
    (b"xl/workbook", "xlsx"),
    (b"ppt/presentation", "pptx"),
    (b"Contents/section", "hwpx"),
    (b"application/hwp+zip", "hwpx"),
)
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_BOMS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")
_PROLOGUE = re.compile(rb"\A(?:\s+|<\?.{0,400}?\?>|<!--.{0,2000}?-->|<!doctype (?!html)[^>\[]{0,400}>)+", re.I | re.S)
_FEED = re.compile(rb"<(?:rss|feed|rdf:RDF)[\s>]")


def kind_of(data: bytes, media_type: str = "", name: str = "") -> FileKind:
    """The kind of ``data``; ``name`` is a file's name or an address. Raises ToolError when it cannot be read."""
    media = media_type.partition(";")[0].strip().lower()
    suffix = PurePosixPath(name.partition("?")[0].partition("#")[0]).suffix.lower()
    return _by_bytes(data, name) or _by_media(media) or _by_name(data, media, suffix)


def _by_bytes(data: bytes, name: str) -> FileKind | None:
    start = data[:4096]
    if start[:1024].lstrip().startswith(b"%PDF-"):
        return "pdf"
    if start.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        for part, kind in _PARTS:
            if part in data:
                return kind
        raise ToolError("it is an archive that is neither DOCX, XLSX, PPTX nor HWPX, and cannot be read as text")
    if start.startswith(_OLE):
        if "EncryptedPackage".encode("utf-16-le") in data:
            raise ToolError("the document is encrypted: it opens with a password only")
        raise ToolError("it is of an old binary format (DOC, XLS, PPT, HWP): save it as DOCX, XLSX, PPTX, HWPX or PDF")
    text = _PROLOGUE.sub(b"", start.removeprefix(b"\xef\xbb\xbf"))[:200].lower()
    if text.startswith((b"<!doctype html", b"<html")):
        return "html"
    if _FEED.match(_PROLOGUE.sub(b"", start.removeprefix(b"\xef\xbb\xbf"))):
        return "feed"
    return None


def _by_media(media: str) -> FileKind | None:
    if media in _MEDIA:
        return _MEDIA[media]
    return "json" if media.endswith("+json") else None


def _by_name(data: bytes, media: str, suffix: str) -> FileKind:
    kind = SUFFIXES.get(suffix)
    binary = b"\0" in data[:1024] and not data.startswith(_BOMS)
    if kind in ("pdf", "docx", "xlsx", "pptx", "hwpx"):
        raise ToolError(f"it is called {suffix}, and is none: it is broken, or something else")
    if media.startswith("text/") or media == "application/xml" or media.endswith("+xml"):
        return kind if kind in ("csv", "json", "feed") else "text"
    if media not in ("", "application/octet-stream", "binary/octet-stream") or binary:
        raise ToolError(f"it is of type {media or 'binary'}, which cannot be read as text")
    return kind or "text"
