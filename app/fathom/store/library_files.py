"""Files of a person's library turned into documents: which ones there are, text and Markdown, JSONL line by line.

Knows nothing of the index. The other formats are hostile and are parsed elsewhere, in a process that can be killed.
"""

from __future__ import annotations

import codecs
import os
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec

from fathom.core.protocols import Document, FileKind
from fathom.store.library_values import Failure, NewDocument

Kind = FileKind | Literal["markdown", "jsonl"]

KINDS: dict[str, Kind] = {
    ".txt": "text",
    ".text": "text",
    ".md": "markdown",
    ".markdown": "markdown",
    ".html": "html",
    ".htm": "html",
    ".xhtml": "html",
    ".pdf": "pdf",
    ".docx": "docx",
    ".xlsx": "xlsx",
    ".pptx": "pptx",
    ".hwpx": "hwpx",
    ".csv": "csv",
    ".tsv": "csv",
    ".json": "json",
    ".rss": "feed",
    ".atom": "feed",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
}
FORMATS = "text, Markdown, HTML, PDF, Word, Excel, PowerPoint, HWPX, CSV, JSON and RSS files"
MAX_FILE_BYTES = 50 * 1024 * 1024
"""A larger file is not read; a JSONL is read line by line and may have any size."""

MAX_FAILURES = 100
"""Broken lines of one JSONL that are listed one by one; the rest are counted."""

_HEADING = re.compile(r"^#\s+(.+?)\s*#*\s*$", re.MULTILINE)
_DOI = re.compile(r"\b10\.\d{4,9}/[-._;()/:A-Za-z0-9]*[A-Za-z0-9]")
_DOI_WITHIN = 6_000  # characters: further on it is another work's


class FoundFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file that can be indexed. ``id`` is its path relative to the collection's folder, with slashes."""

    path: Path
    id: str
    kind: Kind
    size: int
    mtime_ns: int

    @property
    def folder(self) -> str:
        """The folder that it lies in, relative to the collection's, "" at its top."""
        return self.id.rpartition("/")[0]


def find_files(path: Path) -> list[FoundFile]:
    """The indexable files of a folder (no hidden ones, no links followed), or the one file; sorted by id.

    In a folder, JSONL files are left alone: they are seldom documents. Raises OSError.
    """
    if not path.is_dir():
        return [found] if (found := _found(path, path.name)) else []
    files = []
    for folder, folders, names in os.walk(path, onerror=_raise):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in names:
            file = Path(folder, name)
            if name.startswith(".") or file.is_symlink() or KINDS.get(file.suffix.lower()) == "jsonl":
                continue
            if found := _found(file, file.relative_to(path).as_posix()):
                files.append(found)
    return sorted(files, key=lambda found: found.id)


def find_file(path: Path, name: str) -> FoundFile | None:
    """The file under the id ``name``; None when it is gone or of no known kind. Raises OSError."""
    return _found(path, name)


def decode_text(data: bytes) -> str | None:
    """UTF-8 or UTF-16 with a byte order mark, or UTF-8; None when it is something else."""
    for mark, encoding in (
        (codecs.BOM_UTF8, "utf-8-sig"),
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):
        if data.startswith(mark):
            return data.decode(encoding, errors="replace")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return None


def text_document(file: FoundFile, text: str) -> NewDocument:
    """A text or Markdown file: the title is the first top heading of a Markdown, else the file's name."""
    heading = _HEADING.search(text) if file.kind == "markdown" else None
    text = clean(text)
    return NewDocument(
        id=file.id, title=clean(heading[1] if heading else file.path.stem), text=text, doi=find_doi(text)
    )


def parsed_document(file: FoundFile, parsed: Document) -> NewDocument:
    """What a parser made of a file; the places of its pages are kept."""
    pages = parsed.pages or (0,)
    ends = (*pages[1:], len(parsed.text))
    texts = [clean(parsed.text[start:end]) for start, end in zip((0, *pages[1:]), ends, strict=True)]
    starts, text = [], ""
    for one in texts:
        text += "\n\n" if text and one else ""
        starts.append(len(text))
        text += one
    title = clean(parsed.title) if file.kind != "text" else ""
    return NewDocument(
        id=file.id,
        title=title or clean(file.path.stem),
        text=text,
        author=clean(parsed.author)[:300],
        date=clean(parsed.date)[:40],
        doi=parsed.doi or find_doi(text),
        pages=tuple(starts) if parsed.pages else (),
    )


def find_doi(text: str) -> str:
    """The DOI that a document begins with, "" when there is none."""
    found = _DOI.search(text, 0, _DOI_WITHIN)
    return found[0] if found else ""


def clean(text: str) -> str:
    """NFC, without what no reader sees: NUL, carriage returns, halves of surrogate pairs, which UTF-8 cannot hold."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "").strip()
    return unicodedata.normalize("NFC", text.encode("utf-8", "replace").decode())


class JsonlBatch(msgspec.Struct, frozen=True, kw_only=True):
    """Some documents of a JSONL and the broken lines met on the way; ``read_bytes`` counts from the beginning."""

    documents: tuple[NewDocument, ...]
    failed: tuple[Failure, ...]
    read_bytes: int


class _Row(msgspec.Struct):
    text: str
    id: str | int | None = None
    title: str = ""


def read_jsonl(path: Path, batch_documents: int = 500) -> Iterator[JsonlBatch]:
    """Read lines ``{"id", "title", "text"}``; id and title may be missing. A broken line is told with its number.

    Raises OSError.
    """
    decoder = msgspec.json.Decoder(_Row)
    documents: list[NewDocument] = []
    failed: list[Failure] = []
    seen: set[str] = set()
    broken = read = 0
    with path.open("rb") as lines:
        for number, raw in enumerate(lines, 1):
            read += len(raw)
            line = raw.removeprefix(codecs.BOM_UTF8).strip() if number == 1 else raw.strip()
            if not line:
                continue
            try:
                row = decoder.decode(line)
                document_id = str(number if row.id is None else row.id)
                problem = (
                    "it has no text"
                    if not row.text.strip()
                    else f"the id {document_id!r} was there before"
                    if document_id in seen
                    else ""
                )
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                problem = str(error)
            if problem:
                broken += 1
                if broken <= MAX_FAILURES:
                    failed.append(Failure(path=f"{path.name}, line {number}", reason=problem))
                continue
            seen.add(document_id)
            documents.append(NewDocument(id=document_id, title=clean(row.title) or document_id, text=clean(row.text)))
            if len(documents) == batch_documents:
                yield JsonlBatch(documents=tuple(documents), failed=tuple(failed), read_bytes=read)
                documents, failed = [], []
    if broken > MAX_FAILURES:
        failed.append(Failure(path=path.name, reason=f"{broken - MAX_FAILURES} more broken lines"))
    yield JsonlBatch(documents=tuple(documents), failed=tuple(failed), read_bytes=read)


def _found(path: Path, name: str) -> FoundFile | None:
    kind = KINDS.get(path.suffix.lower())
    if kind is None or not path.is_file():
        return None
    stat = path.stat()
    return FoundFile(path=path, id=name, kind=kind, size=stat.st_size, mtime_ns=stat.st_mtime_ns)


def _raise(error: OSError) -> None:
    raise error
