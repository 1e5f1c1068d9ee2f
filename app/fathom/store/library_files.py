"""Files of a person's library turned into documents: which ones there are, text and Markdown, JSONL line by line.

Knows nothing of the index. HTML and PDF are hostile and are parsed elsewhere, in a process that can be killed.
"""

from __future__ import annotations

import codecs
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec

from fathom.store.library import Failure, NewDocument

Kind = Literal["text", "markdown", "html", "pdf", "jsonl"]

KINDS: dict[str, Kind] = {
    ".txt": "text",
    ".text": "text",
    ".md": "markdown",
    ".markdown": "markdown",
    ".html": "html",
    ".htm": "html",
    ".xhtml": "html",
    ".pdf": "pdf",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
}
MAX_FILE_BYTES = 50 * 1024 * 1024
"""A larger text, HTML or PDF file is not read; a JSONL is read line by line and may have any size."""

MAX_FAILURES = 100
"""Broken lines of one JSONL that are listed one by one; the rest are counted."""

_HEADING = re.compile(r"^#\s+(.+?)\s*#*\s*$", re.MULTILINE)


class FoundFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file that can be indexed. ``id`` is its path relative to the collection's folder, with slashes."""

    path: Path
    id: str
    kind: Kind
    size: int
    mtime_ns: int


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
    return NewDocument(id=file.id, title=clean(heading[1] if heading else file.path.stem), text=clean(text))


def clean(text: str) -> str:
    """Without what no reader sees: NUL, carriage returns, and halves of surrogate pairs, which UTF-8 cannot hold."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "").strip()
    return text.encode("utf-8", "replace").decode()


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
