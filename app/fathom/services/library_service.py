"""The library service: adds folders and files to the library off the event loop, and answers searches.

Knows no window. HTML and PDF go through a Parser (a process that can be killed); a broken file is listed, never fatal.
"""

from __future__ import annotations

import asyncio
import re
import unicodedata
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Literal, ParamSpec, TypeVar

import msgspec

from fathom.core.errors import LibraryError, ToolError
from fathom.core.protocols import Document, Hit, Parser
from fathom.core.settings import resource_path
from fathom.core.types import Scope
from fathom.store import library_files
from fathom.store.database import open_database
from fathom.store.library import Collection, Failure, FileState, LibraryStore, NewDocument
from fathom.store.library_files import FoundFile, JsonlBatch

SAMPLE = "sample"
SAMPLE_LABEL = "Sample library"

_P = ParamSpec("_P")
_T = TypeVar("_T")


class IndexProgress(msgspec.Struct, frozen=True, kw_only=True):
    """How far an ``add`` is: ``done`` of ``total`` bytes; ``documents`` indexed so far; ``current`` is a file's name.

    ``unchanged`` counts files that were skipped because they are as they were; ``failed`` files or lines left out.
    """

    collection: str
    label: str
    done: int
    total: int
    current: str = ""
    documents: int = 0
    unchanged: int = 0
    failed: int = 0


class LibraryService:
    """Collections of the library; implements core.protocols.LibraryIndex by delegation."""

    def __init__(self, store: LibraryStore, parser: Parser | None = None) -> None:
        self._store = store
        self._parser = parser
        self._adding = asyncio.Lock()
        self._tasks: set[asyncio.Task[object]] = set()

    # --- reading --------------------------------------------------------------------------------------------------

    def search(self, query: str, scope: Scope, limit: int = 10, offset: int = 0) -> Sequence[Hit]:
        """As LibraryStore.search."""
        return self._store.search(query, scope, limit, offset)

    def document(self, uri: str) -> Document | None:
        """As LibraryStore.document."""
        return self._store.document(uri)

    def collections(self) -> list[Collection]:
        """The sample first, then by label."""
        return self._store.collections()

    # --- changing -------------------------------------------------------------------------------------------------

    async def ensure_sample(self) -> Collection:
        """Index the sample library that comes with Fathom unless it is indexed already (some 50 ms, off the loop).

        Raises LibraryError when its file is missing.
        """
        return await _in_thread(self._index_sample)

    def _index_sample(self) -> Collection:
        path = resource_path("library", "sample.jsonl")
        found = library_files.find_files(path)
        if not found:
            raise LibraryError(
                "The sample library is missing.",
                needs=str(path),
                has="no such file",
                do="Install Fathom again, or add a folder of your own.",
                remedy="add_folder",
            )
        file = found[0]
        known = self._store.files(SAMPLE)
        state = known.get(str(path))
        if state is None or (state.size, state.mtime_ns) != (file.size, file.mtime_ns):
            with self._store.database.transaction():
                self._store.add_collection(SAMPLE, SAMPLE_LABEL, "sample", str(path))
                self._store.forget_files(SAMPLE, known.keys() - {str(path)})  # Fathom was moved
                documents = [document for batch in library_files.read_jsonl(path) for document in batch.documents]
                state = FileState(size=file.size, mtime_ns=file.mtime_ns)
                self._store.put(SAMPLE, str(path), documents, state=state)
        return next(collection for collection in self.collections() if collection.kind == "sample")

    async def add(self, path: Path, progress: Callable[[IndexProgress], None] | None = None) -> Collection:
        """Index a folder of .txt .md .html .pdf, one such file, or a JSONL of ``{id, title, text}``.

        What was indexed before and is unchanged (size and time) is skipped; what is gone is removed. Cancelling keeps
        what is indexed so far; the next ``add`` goes on. ``progress`` is called in the event loop.
        Raises LibraryError when there is nothing usable, DatabaseError when it cannot be saved.
        """
        async with self._writer() as writer:
            return await _Indexing(writer, self._parser, _absolute(path), progress).run()

    async def remove(self, name: str) -> bool:
        """Remove a collection from the library (not its files); False when there is no such one."""
        async with self._writer() as writer:
            return await _in_thread(writer.remove_collection, name)

    async def close(self) -> None:
        """Cancel what is being added, and close the library's database."""
        for task in self._tasks:
            task.cancel()
        async with self._adding:
            self._store.database.close()

    @asynccontextmanager
    async def _writer(self) -> AsyncGenerator[LibraryStore, None]:
        """A database handle of its own for a long change; one change at a time."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            async with self._adding:
                writer = LibraryStore(open_database(self._store.database.path))
                try:
                    yield writer
                finally:
                    writer.database.close()
        finally:
            self._tasks.discard(task)


class _Indexing:
    """One ``add``, with a database handle of its own."""

    def __init__(
        self, store: LibraryStore, parser: Parser | None, path: Path, report: Callable[[IndexProgress], None] | None
    ) -> None:
        self._store = store
        self._parser = parser
        self._path = path
        self._report = report
        self._name, self._label = _name(path, store.collections())
        self._done = self._total = self._documents = self._unchanged = self._failed = 0

    async def run(self) -> Collection:
        files = await self._find()
        is_new = not any(collection.name == self._name for collection in self._store.collections())
        self._total = sum(file.size for file in files)
        await _in_thread(self._store.add_collection, self._name, self._label, "documents", str(self._path))
        known = await _in_thread(self._store.files, self._name)
        gone = known.keys() - {str(file.path) for file in files}
        if gone:
            await _in_thread(self._store.forget_files, self._name, sorted(gone))
        for file in files:
            self._tell(file.id)
            state = known.get(str(file.path))
            if state is not None and (state.size, state.mtime_ns) == (file.size, file.mtime_ns):
                self._unchanged += 1
                self._failed += len(state.failed)
                self._done += file.size
            elif file.kind == "jsonl":
                await self._add_jsonl(file)
            else:
                await self._add_file(file)
                self._done += file.size
            self._tell(file.id)
        collection = next(one for one in self._store.collections() if one.name == self._name)
        if collection.documents == 0:
            if is_new:
                await _in_thread(self._store.remove_collection, self._name)
            raise self._nothing(collection.failed)
        return collection

    async def _find(self) -> list[FoundFile]:
        try:
            if not self._path.exists():
                raise FileNotFoundError(f"{self._path} does not exist")
            files = await _in_thread(library_files.find_files, self._path)
        except OSError as error:
            raise LibraryError(
                f"{self._path.name} cannot be read.",
                needs="a folder or file that can be read",
                has=str(error),
                do="Check the path and its permissions, or choose another folder.",
                remedy="add_folder",
            ) from error
        if not files:
            raise self._nothing(())
        return files

    async def _add_file(self, file: FoundFile) -> None:
        documents: list[NewDocument] = []
        failed: tuple[Failure, ...] = ()
        try:
            document = await self._read(file)
            if document.text:
                documents.append(document)
            else:
                failed = (Failure(path=file.id, reason="there is no text in it"),)
        except ToolError as error:
            failed = (Failure(path=file.id, reason=str(error)),)
        except OSError as error:
            failed = (Failure(path=file.id, reason=error.strerror or str(error)),)
        state = FileState(size=file.size, mtime_ns=file.mtime_ns, failed=failed)
        await _in_thread(partial(self._store.put, self._name, str(file.path), documents, state=state))
        self._documents += len(documents)
        self._failed += len(failed)

    async def _read(self, file: FoundFile) -> NewDocument:
        if file.size > library_files.MAX_FILE_BYTES:
            raise ToolError(f"it is larger than {library_files.MAX_FILE_BYTES // 1024**2} MB")
        data = await _in_thread(file.path.read_bytes)
        kind: Literal["html", "pdf", "text"] = "text"
        if file.kind in ("text", "markdown"):
            text = library_files.decode_text(data)
            if text is not None:
                return library_files.text_document(file, text)
        else:
            kind = "pdf" if file.kind == "pdf" else "html"
        if self._parser is None:
            raise ToolError("it needs the parser, which is not available" if kind != "text" else "it is not UTF-8 text")
        parsed = await self._parser.parse(data, kind, file.path.as_uri())
        title = library_files.clean(parsed.title) if kind != "text" else ""
        return NewDocument(id=file.id, title=title or file.path.stem, text=library_files.clean(parsed.text))

    async def _add_jsonl(self, file: FoundFile) -> None:
        batches = library_files.read_jsonl(file.path)
        failed: list[Failure] = []
        before, first = self._done, True
        while batch := await _in_thread(self._put_batch, file, batches, first):
            first = False
            failed += batch.failed
            self._documents += len(batch.documents)
            self._failed += len(batch.failed)
            self._done = before + batch.read_bytes
            self._tell(file.id)
        state = FileState(size=file.size, mtime_ns=file.mtime_ns, failed=tuple(failed))
        await _in_thread(partial(self._store.put, self._name, str(file.path), (), state=state, first=False))

    def _put_batch(self, file: FoundFile, batches: Iterator[JsonlBatch], first: bool) -> JsonlBatch | None:
        batch = next(batches, None)
        if batch is not None:
            self._store.put(self._name, str(file.path), batch.documents, first=first)
        return batch

    def _tell(self, current: str) -> None:
        if self._report is not None:
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
                )
            )

    def _nothing(self, failed: Sequence[Failure]) -> LibraryError:
        return LibraryError(
            f"There is nothing in {self._path.name} that Fathom can read.",
            needs="text, Markdown, HTML or PDF files, or a JSONL of {id, title, text}",
            has="; ".join(f"{one.path}: {one.reason}" for one in failed[:5]) or "no such file",
            do="Choose another folder or file.",
            remedy="add_folder",
        )


def _absolute(path: Path) -> Path:
    return path.expanduser().absolute()


def _name(path: Path, collections: Sequence[Collection]) -> tuple[str, str]:
    """The name and label of the collection of ``path``: its old one, or a new name that is free."""
    for collection in collections:
        if collection.kind == "documents" and collection.path == str(path):
            return collection.name, collection.label
    label = (path.stem if path.is_file() else path.name) or "documents"
    slug = re.sub(r"[\W_]+", "-", unicodedata.normalize("NFKC", label).lower()).strip("-") or "documents"
    taken = {collection.name for collection in collections} | {SAMPLE}
    name, number = slug, 1
    while name in taken:
        number += 1
        name = f"{slug}-{number}"
    return name, label


async def _in_thread(function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
    """Run it off the event loop. A cancelled caller still waits for the thread, so that nobody closes its database."""
    work: Awaitable[_T] = asyncio.to_thread(function, *args, **kwargs)
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise
