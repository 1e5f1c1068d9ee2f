"""What the library's tables hold, as values. Knows no SQL."""

from __future__ import annotations

from typing import Literal
from urllib.parse import quote

import msgspec

CollectionKind = Literal["sample", "documents", "files"]
Preference = Literal["normal", "pinned", "blocked"]
"""How a collection or folder counts in a search: pinned weighs half as much again, blocked is left out."""

URI_SCHEME = "library://"


def document_uri(collection: str, document_id: str) -> str:
    """``library://<collection>/<document id>``, percent-encoded where needed."""
    return f"{URI_SCHEME}{quote(collection, safe='')}/{quote(document_id, safe='/')}"


class Failure(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A file, or a line of a JSONL ("docs.jsonl, line 3"), that could not be indexed, and why.

    ``scanned`` when OCR could read it, which is not there.
    """

    path: str
    reason: str
    scanned: bool = False


class Collection(msgspec.Struct, frozen=True, kw_only=True):
    """A folder, a JSONL, or the files added one by one (``path`` is "" then), and what of it could not be indexed."""

    name: str
    label: str
    kind: CollectionKind
    path: str = ""
    documents: int = 0
    failed: tuple[Failure, ...] = ()
    indexed: str = ""  # ISO 8601, UTC
    preference: Preference = "normal"


class NewDocument(msgspec.Struct, frozen=True, kw_only=True):
    """A document to index. ``id`` is unique in its collection; the rest as in core.protocols.Document."""

    id: str
    title: str
    text: str
    author: str = ""
    date: str = ""
    doi: str = ""
    pages: tuple[int, ...] = ()


class FileState(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of an indexed file: unchanged as long as size (bytes) and mtime (ns) are the same."""

    size: int
    mtime_ns: int
    failed: tuple[Failure, ...] = ()


class NewFile(msgspec.Struct, frozen=True, kw_only=True):
    """A whole file to index. ``folder`` is where it lies in its collection ("2024/may"), "" at its top."""

    path: str
    state: FileState
    folder: str = ""
    documents: tuple[NewDocument, ...] = ()


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A row of a list of documents."""

    uri: str
    title: str
    path: str
    size: int = 0
    mtime_ns: int = 0
    author: str = ""
    date: str = ""
    pages: int = 0


class Folder(msgspec.Struct, frozen=True, kw_only=True):
    """A folder inside a collection: ``path`` is relative to it ("2024/may")."""

    path: str
    preference: Preference = "normal"


class Twins(msgspec.Struct, frozen=True, kw_only=True):
    """Documents with one and the same text: a search finds it once."""

    title: str
    uri: str
    paths: tuple[str, ...]
