"""One walk through files that are to be indexed: what is unchanged is skipped, what is broken is listed, never fatal.

Works off the event loop, with a database handle of its own. Knows no window, and not who asked.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Literal, ParamSpec, TypeVar

import msgspec

from fathom.core.errors import ScannedError, ToolError
from fathom.core.protocols import FileKind, Parser
from fathom.store import library_files
from fathom.store.library import LibraryStore
from fathom.store.library_files import FoundFile, JsonlBatch
from fathom.store.library_values import Failure, FileState, NewDocument, NewFile
from fathom.workers.ocr import HOW_TO_GET_IT, OcrReader

_P = ParamSpec("_P")
_T = TypeVar("_T")

FILES_AT_ONCE = 100
BYTES_AT_ONCE = 4_000_000
SECONDS_AT_ONCE = 1.0
"""Whichever is reached first ends a transaction: each one waits for the disk."""
TOLD_EVERY_S = 0.1


class IndexProgress(msgspec.Struct, frozen=True, kw_only=True):
    """How far an indexing is: ``done`` of ``total`` bytes; ``documents`` indexed so far; ``current`` is a file's name.

    ``unchanged`` counts files that were skipped because they are as they were; ``failed`` files or lines left out.
    ``eta_s`` is None while the time left is not known.
    """

    collection: str
    label: str
    done: int
    total: int
    current: str = ""
    documents: int = 0
    unchanged: int = 0
    failed: int = 0
    files_done: int = 0
    files: int = 0
    eta_s: float | None = None
    state: Literal["waiting", "looking", "indexing"] = "indexing"
    path: str = ""


class Indexing:
    """Indexes files of one collection, which is there already. ``report`` is called in the event loop."""

    def __init__(
        self,
        store: LibraryStore,
        collection: str,
        label: str,
        *,
        parser: Parser | None = None,
        ocr: OcrReader | None = None,
        report: Callable[[IndexProgress], None] | None = None,
        path: str = "",
    ) -> None:
        self._store = store
        self._name = collection
        self._label = label
        self._parser = parser
        self._ocr = ocr
        self._report = report
        self._path = path
        self._pending: list[NewFile] = []
        self._pending_bytes = 0
        self._began = self._flushed = time.monotonic()
        self._told = 0.0
        self._skipped = self._done = self._total = 0
        self._documents = self._unchanged = self._failed = self._files_done = self._files = 0

    async def run(self, files: Sequence[FoundFile], *, whole: bool = False, again: bool = False) -> None:
        """Index what is new or changed of ``files``.

        ``whole``: they are all that there is, so that others of the collection go. ``again``: files that could not be
        read are tried again.
        """
        self._files, self._total = len(files), sum(file.size for file in files)
        changed, gone = await in_thread(self._compare, files, whole, again)
        self._skipped = self._done
        self._tell("", at_once=True)
        if gone:
            await in_thread(self._store.forget_files, self._name, gone)
        scanned: list[FoundFile] = []
        for file in changed:
            self._tell(file.id)
            if file.kind == "jsonl":
                await self._add_jsonl(file)
            elif not await self._add_file(file):
                scanned.append(file)  # pages are read by OCR last: they take long
                continue
            self._files_done += 1
        for file in scanned:
            await self._add_scanned(file)
            self._files_done += 1
        await self._flush()
        self._tell("", at_once=True)

    def _compare(self, files: Sequence[FoundFile], whole: bool, again: bool) -> tuple[list[FoundFile], list[str]]:
        known = self._store.files(self._name)
        changed = []
        can_ocr = self._ocr is not None and self._ocr.available()
        for file in files:
            state = known.get(str(file.path))
            same = state is not None and (state.size, state.mtime_ns) == (file.size, file.mtime_ns)
            if state is None or not same or (state.failed and (again or (can_ocr and _only_scanned(state)))):
                changed.append(file)
                continue
            self._unchanged += 1
            self._files_done += 1
            self._failed += len(state.failed)
            self._done += file.size
        gone = known.keys() - {str(file.path) for file in files} if whole else set()
        return changed, sorted(gone)

    # --- one file -------------------------------------------------------------------------------------------------

    async def _add_file(self, file: FoundFile) -> bool:
        """False when it is scanned and OCR can read it."""
        document: NewDocument | None = None
        failure: Failure | None = None
        try:
            document = await self._read(file)
        except ScannedError as error:
            if self._ocr is not None and self._ocr.available():
                return False
            failure = Failure(path=file.id, reason=f"{error}. It needs OCR, which is not installed.", scanned=True)
        except ToolError as error:
            failure = Failure(path=file.id, reason=str(error))
        except OSError as error:
            failure = Failure(path=file.id, reason=error.strerror or str(error))
        if document is not None and not document.text:
            document, failure = None, Failure(path=file.id, reason="there is no text in it")
        await self._put(file, document, failure)
        return True

    async def _add_scanned(self, file: FoundFile) -> None:
        assert self._ocr is not None
        document: NewDocument | None = None
        failure: Failure | None = None
        self._tell(f"{file.id}, OCR", at_once=True)
        try:
            data = await in_thread(file.path.read_bytes)
            read = await self._ocr.read(
                data, lambda page, pages: self._tell(f"{file.id}, OCR: page {page} of {pages}", at_once=True)
            )
            document = library_files.parsed_document(file, read)
        except (ToolError, OSError) as error:
            failure = Failure(path=file.id, reason=str(error))
        await self._put(file, document, failure)

    async def _put(self, file: FoundFile, document: NewDocument | None, failure: Failure | None) -> None:
        failed = (failure,) if failure is not None else ()
        state = FileState(size=file.size, mtime_ns=file.mtime_ns, failed=failed)
        documents = (document,) if document is not None else ()
        self._pending.append(NewFile(path=str(file.path), folder=file.folder, documents=documents, state=state))
        self._pending_bytes += len(document.text) if document is not None else 0
        self._documents += len(documents)
        self._failed += len(failed)
        self._done += file.size
        full = len(self._pending) >= FILES_AT_ONCE or self._pending_bytes >= BYTES_AT_ONCE
        if full or time.monotonic() - self._flushed > SECONDS_AT_ONCE:
            await self._flush()

    async def _flush(self) -> None:
        pending, self._pending, self._pending_bytes = self._pending, [], 0
        if pending:
            await in_thread(self._store.put_files, self._name, pending)
        self._flushed = time.monotonic()

    async def _read(self, file: FoundFile) -> NewDocument:
        if file.size > library_files.MAX_FILE_BYTES:
            raise ToolError(f"it is larger than {library_files.MAX_FILE_BYTES // 1024**2} MB")
        if file.kind in ("text", "markdown"):
            document = await in_thread(_read_text, file)
            if document is not None:
                return document
        kind: FileKind = "text" if file.kind == "markdown" or file.kind == "jsonl" else file.kind
        if self._parser is None:
            raise ToolError("it needs the parser, which is not available" if kind != "text" else "it is not UTF-8 text")
        data = await in_thread(file.path.read_bytes)
        parsed = await self._parser.parse(data, kind, file.path.as_uri())
        return library_files.parsed_document(file, parsed)

    # --- a JSONL --------------------------------------------------------------------------------------------------

    async def _add_jsonl(self, file: FoundFile) -> None:
        batches = library_files.read_jsonl(file.path)
        failed: list[Failure] = []
        before, first = self._done, True
        while batch := await in_thread(self._put_batch, file, batches, first):
            first = False
            failed += batch.failed
            self._documents += len(batch.documents)
            self._failed += len(batch.failed)
            self._done = before + batch.read_bytes
            self._tell(file.id, at_once=True)
        state = FileState(size=file.size, mtime_ns=file.mtime_ns, failed=tuple(failed))
        await in_thread(partial(self._store.put, self._name, str(file.path), (), state=state, first=False))

    def _put_batch(self, file: FoundFile, batches: Iterator[JsonlBatch], first: bool) -> JsonlBatch | None:
        batch = next(batches, None)
        if batch is not None:
            self._store.put(self._name, str(file.path), batch.documents, first=first)
        return batch

    # --- telling --------------------------------------------------------------------------------------------------

    def _tell(self, current: str, *, at_once: bool = False) -> None:
        now = time.monotonic()
        if self._report is None or (now - self._told < TOLD_EVERY_S and not at_once):
            return
        self._told = now
        self._report(
            IndexProgress(
                collection=self._name,
                label=self._label,
                done=min(self._done, self._total),
                total=self._total,
                current=current,
                documents=self._documents,
                unchanged=self._unchanged,
                failed=self._failed,
                files_done=self._files_done,
                files=self._files,
                eta_s=self._eta(now),
                path=self._path,
            )
        )

    def _eta(self, now: float) -> float | None:
        read, passed = self._done - self._skipped, now - self._began
        if passed < 1.0 or read * 50 < self._total - self._skipped:
            return None
        return passed * (self._total - self._done) / read if read else None


def _read_text(file: FoundFile) -> NewDocument | None:
    """None when it is not Unicode: the parser finds out what it is."""
    text = library_files.decode_text(file.path.read_bytes())
    return None if text is None else library_files.text_document(file, text)


def _only_scanned(state: FileState) -> bool:
    return bool(state.failed) and all(one.scanned for one in state.failed)


_ADVICE = (
    ("OCR could not read", "Scan it again with more contrast."),
    ("password", "Save a copy without its password."),
    ("encrypted", "Save a copy without its password."),
    ("longer than", "Split the file into smaller ones."),
    ("larger than", "Split the file into smaller ones."),
    ("memory", "Split the file into smaller ones."),
    ("ermission", "Check who may read the file."),
    ("no text", "Nothing to do: there are no words to search."),
    ("broken", "Open it in the program that made it, and save it again."),
    ("cannot be read", "Open it in the program that made it, and save it again."),
    ("was there before", "Give the line an id of its own."),
)


def advice(failure: Failure) -> str:
    """What a person can do about a file that could not be indexed, "" when there is nothing to say."""
    if failure.scanned:
        return HOW_TO_GET_IT
    return next((advice for words, advice in _ADVICE if words in failure.reason), "")


def names_taken(ids: Iterable[str]) -> set[str]:
    """The ids that a new file may not take, without regard to case."""
    return {one.casefold() for one in ids}


def free_id(path: Path, taken: set[str]) -> str:
    """A file's name as its id; "name (2).txt" when another file has it. Adds it to ``taken``."""
    name, number = path.name, 1
    while name.casefold() in taken:
        number += 1
        name = f"{path.stem} ({number}){path.suffix}"
    taken.add(name.casefold())
    return name


async def in_thread(function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
    """Run it off the event loop. A cancelled caller still waits for the thread, so that nobody closes its database."""
    work: Awaitable[_T] = asyncio.to_thread(function, *args, **kwargs)
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise
