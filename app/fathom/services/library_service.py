"""The library service: adds folders and files off the event loop, follows their changes, and answers searches.

Knows no window. Hostile formats go through a Parser (a process that can be killed); a broken file is listed, never
fatal. Panes call the ``async`` methods, which never hold the loop; the tools have threads and call the others.
"""

from __future__ import annotations

import asyncio
import os
import re
import unicodedata
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec

from fathom.core.errors import LibraryError, UserError
from fathom.core.protocols import Document, Hit, Parser
from fathom.core.settings import resource_path
from fathom.core.types import Scope
from fathom.services.library_indexing import Indexing, IndexProgress, advice, free_id, in_thread, names_taken
from fathom.services.library_watch import FolderWatch
from fathom.store import library_files, snippets
from fathom.store.database import open_database
from fathom.store.library import LibraryStore
from fathom.store.library_files import FORMATS, FoundFile
from fathom.store.library_values import Collection, Entry, Failure, FileState, Folder, Preference, Twins
from fathom.workers.ocr import OcrReader

__all__ = [
    "FORMATS",
    "Collection",
    "Entry",
    "Failure",
    "Folder",
    "IndexProgress",
    "LibraryService",
    "Overview",
    "Preference",
    "Twins",
    "advice",
]

SAMPLE = "sample"
SAMPLE_LABEL = "Sample library"
FILES = "files"
FILES_LABEL = "Single files"
LOOK_EVERY_S = 30.0
LOOK_WITHOUT_WATCH_S = 600.0
MOST_SINGLE_CHANGES = 500
"""More changes at once are a new look at the whole folder."""


class Overview(msgspec.Struct, frozen=True, kw_only=True):
    """What the window lists. ``missing`` are collections whose folder or file is not there now; ``watch_problem`` is ""
    or why the system does not tell of changes, so that folders are looked through every LOOK_WITHOUT_WATCH_S."""

    collections: tuple[Collection, ...] = ()
    missing: frozenset[str] = frozenset()
    running: tuple[IndexProgress, ...] = ()
    watch_problem: str = ""


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """A result with the places of the query's words in its snippet."""

    hit: Hit
    places: tuple[tuple[int, int], ...] = ()


class Opened(msgspec.Struct, frozen=True, kw_only=True):
    """A document with the places of the query's words in its text."""

    document: Document
    places: tuple[tuple[int, int], ...] = ()


class LibraryService:
    """Collections of the library; implements core.protocols.LibraryIndex by delegation."""

    def __init__(self, store: LibraryStore, parser: Parser | None = None, ocr: OcrReader | None = None) -> None:
        self._store = store
        self._parser = parser
        self._ocr = ocr
        self._adding = asyncio.Lock()
        self._tasks: set[asyncio.Task[object]] = set()
        self._jobs: dict[str, tuple[IndexProgress, asyncio.Task[object]]] = {}
        self._listeners: list[Callable[[IndexProgress | None], None]] = []
        self._watch: FolderWatch | None = None
        self._watch_problem = ""
        self._followed: asyncio.Task[None] | None = None

    # --- reading, from any thread ---------------------------------------------------------------------------------

    def search(self, query: str, scope: Scope, limit: int = 10, offset: int = 0) -> Sequence[Hit]:
        """As LibraryStore.search."""
        return self._store.search(query, scope, limit, offset)

    def document(self, uri: str) -> Document | None:
        """As LibraryStore.document."""
        return self._store.document(uri)

    def collections(self) -> list[Collection]:
        """The sample first, then by label."""
        return self._store.collections()

    # --- reading, off the loop ------------------------------------------------------------------------------------

    async def overview(self) -> Overview:
        """Collections with what runs and what is missing."""
        collections = await in_thread(self._store.collections)
        missing = await in_thread(_missing, collections)
        running = tuple(progress for progress, _ in self._jobs.values())
        return Overview(
            collections=tuple(collections), missing=missing, running=running, watch_problem=self._watch_problem
        )

    async def find(self, query: str, scope: Scope, limit: int = 30, offset: int = 0) -> list[Found]:
        """As ``search``, with what to mark."""
        return await in_thread(self._find_hits, query, scope, limit, offset)

    def _find_hits(self, query: str, scope: Scope, limit: int, offset: int) -> list[Found]:
        hits = self._store.search(query, scope, limit, offset)
        words = self._store.telling(query)
        return [Found(hit=hit, places=tuple(snippets.places(hit.snippet, words))) for hit in hits]

    async def near(self, question: str, scope: Scope) -> bool:
        """As LibraryStore.near: whether anything in scope is about the question."""
        return await in_thread(self._store.near, question, scope)

    async def open(self, uri: str, query: str = "") -> Opened | None:
        """As ``document``, with the places of ``query``'s words in it."""
        return await in_thread(self._open, uri, query)

    def _open(self, uri: str, query: str) -> Opened | None:
        document = self._store.document(uri)
        if document is None:
            return None
        found = snippets.places(document.text, self._store.telling(query)) if query else []
        return Opened(document=document, places=tuple(found))

    async def entries(self, collection: str, folder: str = "", limit: int = 200, offset: int = 0) -> list[Entry]:
        """Documents of a collection or of a folder in it, by name."""
        return await in_thread(self._store.entries, collection, folder, limit, offset)

    async def count(self, collection: str, folder: str = "") -> int:
        """How many documents ``entries`` would give in all."""
        return await in_thread(self._store.count, collection, folder)

    async def folders(self, collection: str) -> list[Folder]:
        """The folders inside a collection."""
        return await in_thread(self._store.folders, collection)

    async def twins(self, collection: str) -> list[Twins]:
        """Equal texts: a search finds them once."""
        return await in_thread(self._store.twins, collection)

    def subscribe(self, listener: Callable[[IndexProgress | None], None]) -> Callable[[], None]:
        """Be told of progress, and with None that the collections changed. Returns what ends it."""
        self._listeners.append(listener)

        def end() -> None:
            if listener in self._listeners:
                self._listeners.remove(listener)

        return end

    def _publish(self, progress: IndexProgress | None = None) -> None:
        for listener in list(self._listeners):
            listener(progress)

    # --- the sample -----------------------------------------------------------------------------------------------

    async def ensure_sample(self) -> Collection:
        """Index the sample library that comes with Fathom unless it is indexed already (some 50 ms, off the loop).

        Raises LibraryError when its file is missing.
        """
        return await in_thread(self._index_sample)

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
                self._store.looked_at(SAMPLE)
        return next(collection for collection in self.collections() if collection.kind == "sample")

    # --- changing -------------------------------------------------------------------------------------------------

    async def add(self, path: Path, progress: Callable[[IndexProgress], None] | None = None) -> Collection:
        """Index a folder of documents (library_files.FORMATS), one such file, or a JSONL of ``{id, title, text}``.

        What was indexed before and is unchanged (size and time) is skipped; what is gone is removed. Cancelling keeps
        what is indexed so far; the next ``add`` goes on. ``progress`` is called in the event loop.
        Raises LibraryError when there is nothing usable, DatabaseError when it cannot be saved.
        """
        path = _absolute(path)
        name, label = _name(path, await in_thread(self._store.collections))
        async with self._job(name, label, str(path), progress) as (writer, report):
            files = await self._files_of(path)
            is_new = not any(one.name == name for one in await in_thread(writer.collections))
            await in_thread(writer.add_collection, name, label, "documents", str(path))
            self._publish()
            await self._indexing(writer, name, label, report, str(path)).run(files, whole=True)
            await in_thread(writer.looked_at, name)
            collection = await self._collection(writer, name)
            if collection.documents == 0:
                if is_new:
                    await in_thread(writer.remove_collection, name)
                raise _nothing(path, collection.failed)
        self._follow()
        return collection

    async def add_files(
        self, paths: Iterable[Path], progress: Callable[[IndexProgress], None] | None = None
    ) -> Collection:
        """Index single files into the one collection of single files. A JSONL is to be given to ``add``.

        Raises LibraryError when none of them can be read.
        """
        wanted = [_absolute(path) for path in paths]
        async with self._job(FILES, FILES_LABEL, "", progress) as (writer, report):
            files = await in_thread(self._single_files, writer, wanted)
            if not files:
                raise _nothing(wanted[0] if len(wanted) == 1 else Path("these files"), ())
            await in_thread(writer.add_collection, FILES, FILES_LABEL, "files", "")
            self._publish()
            await self._indexing(writer, FILES, FILES_LABEL, report).run(files)
            await in_thread(writer.looked_at, FILES)
            collection = await self._collection(writer, FILES)
            if collection.documents == 0:
                await in_thread(writer.remove_collection, FILES)
                raise _nothing(wanted[0] if len(wanted) == 1 else Path("these files"), collection.failed)
        self._follow()
        return collection

    def _single_files(self, store: LibraryStore, paths: Sequence[Path]) -> list[FoundFile]:
        known = store.document_ids(FILES)
        taken = names_taken(known.values())
        files = []
        for path in dict.fromkeys(paths):
            with suppress(OSError):
                file = library_files.find_file(path, known.get(str(path)) or free_id(path, taken))
                if file is not None and file.kind != "jsonl":
                    # the id is the file's name, and never a path: single files have no folders
                    files.append(msgspec.structs.replace(file, id=file.id.replace("/", "_")))
        return files

    async def refresh(self, name: str, *, again: bool = False, changed: Iterable[Path] = ()) -> Collection:
        """Look through a collection's folder for what is new, changed or gone; with ``changed`` at those paths only.

        ``again``: files that could not be read are tried again. Raises LibraryError when the folder is not there.
        """
        collection = await self._collection(self._store, name)
        root = Path(collection.path) if collection.path else None
        async with self._job(name, collection.label, collection.path) as (writer, report):
            indexing = self._indexing(writer, name, collection.label, report, collection.path)
            if collection.kind == "files" or root is None:
                paths = [Path(path) for path in await in_thread(writer.files, name)]
                await indexing.run(await in_thread(self._single_files, writer, paths), again=again)
            elif single := await in_thread(_singles, root, list(changed), set(await in_thread(writer.files, name))):
                files, gone = single
                await in_thread(writer.forget_files, name, gone)
                await indexing.run(files, again=again)
            else:
                await indexing.run(await self._files_of(root), whole=True, again=again)
            await in_thread(writer.looked_at, name)
        return await self._collection(self._store, name)

    def cancel(self, name: str) -> bool:
        """Stop what is being indexed into a collection; what is indexed so far stays. False when nothing is."""
        job = self._jobs.get(name)
        if job is not None:
            job[1].cancel()
        return job is not None

    async def prefer(self, name: str, preference: Preference, folder: str = "") -> bool:
        """Pin a collection or a folder in it, block it, or neither; False when there is no such one."""
        changed = await in_thread(self._store.prefer, name, folder, preference)
        self._publish()
        return changed

    async def hide(self, name: str) -> None:
        """Take a collection out of lists and searches at once; ``restore`` brings it back, ``remove`` ends it."""
        self.cancel(name)
        await in_thread(self._store.hide_collection, name)
        self._publish()

    async def restore(self, name: str) -> None:
        """Bring a hidden collection back."""
        await in_thread(self._store.hide_collection, name, False)
        self._publish()
        self._follow()

    async def remove(self, name: str) -> bool:
        """Remove a collection from the library (not its files); False when there is no such one."""
        self.cancel(name)
        async with self._writer() as writer:
            removed = await in_thread(writer.remove_collection, name)
        self._publish()
        self._follow()
        return removed

    async def remove_file(self, name: str, path: str) -> None:
        """Take one file out of a collection of single files; it stays on the disk."""
        async with self._writer() as writer:
            await in_thread(writer.forget_files, name, [path])
        self._publish()

    async def close(self) -> None:
        """Cancel what is being added, and close the library's database."""
        if self._watch is not None:
            await self._watch.close()
        ending = {self._followed, *self._tasks} - {None, asyncio.current_task()}
        for task in ending:
            if task is not None:
                task.cancel()
        await asyncio.gather(*(task for task in ending if task is not None), return_exceptions=True)
        async with self._adding:
            self._store.database.close()

    # --- following changes ----------------------------------------------------------------------------------------

    def start_following(self) -> None:
        """From now on index what changes in the folders; first what changed meanwhile. For the window."""
        if self._followed is None:
            self._watch = FolderWatch(self._paths_changed, self._cannot_watch)
            self._followed = asyncio.get_running_loop().create_task(self._keep_looking())

    def _follow(self) -> None:
        if self._watch is not None:
            self._start(self._follow_folders())

    async def _follow_folders(self) -> None:
        if self._watch is not None:
            collections = await in_thread(self._store.collections)
            folders = [Path(one.path) for one in collections if one.kind == "documents"]
            there = await in_thread(lambda: [path for path in folders if path.is_dir()])
            if self._watch.follow(there) and self._watch_problem:  # whether it is gone is told at once if not
                self._watch_problem = ""
                self._publish()

    async def _keep_looking(self) -> None:
        for name in await in_thread(self._store.hidden_collections):
            await self.remove(name)
        await self._refresh_all()
        await self._follow_folders()
        missing = (await self.overview()).missing
        since = 0.0
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            since += LOOK_EVERY_S
            before, missing = missing, await in_thread(_missing, await in_thread(self._store.collections))
            if missing != before:
                self._publish()
                await self._follow_folders()
            for name in before - missing:
                await self._refresh_quietly(name)
            for name in await in_thread(self._changed_files):
                await self._refresh_quietly(name)
            if self._watch_problem and since >= LOOK_WITHOUT_WATCH_S:
                since = 0.0
                await self._refresh_all()
                await self._follow_folders()  # the system's limit may have been raised

    def _changed_files(self) -> list[str]:
        """Collections of single files, of which one is not as it was: their folders are not watched."""
        changed = []
        for collection in self._store.collections():
            if collection.kind == "files" or Path(collection.path).is_file():
                known = self._store.files(collection.name)
                if any(_is_changed(Path(path), state) for path, state in known.items()):
                    changed.append(collection.name)
        return [name for name in changed if name != SAMPLE]

    async def _refresh_all(self) -> None:
        for collection in await in_thread(self._store.collections):
            if collection.kind != "sample":
                await self._refresh_quietly(collection.name)

    async def _refresh_quietly(self, name: str, changed: Iterable[Path] = ()) -> None:
        with suppress(UserError, KeyError):  # a folder that is not there is listed as missing
            await self.refresh(name, changed=changed)

    def _paths_changed(self, paths: set[Path]) -> None:
        self._start(self._take_up(paths))

    async def _take_up(self, paths: set[Path]) -> None:
        for collection in await in_thread(self._store.collections):
            if collection.kind == "documents":
                root = Path(collection.path)
                if within := [path for path in paths if path == root or root in path.parents]:
                    await self._refresh_quietly(collection.name, within)

    def _cannot_watch(self, reason: str) -> None:
        self._watch_problem = reason
        self._publish()

    # --- inside ---------------------------------------------------------------------------------------------------

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _indexing(
        self, store: LibraryStore, name: str, label: str, report: Callable[[IndexProgress], None], path: str = ""
    ) -> Indexing:
        return Indexing(store, name, label, parser=self._parser, ocr=self._ocr, report=report, path=path)

    async def _collection(self, store: LibraryStore, name: str) -> Collection:
        """Raises KeyError when there is none of that name."""
        for collection in await in_thread(store.collections):
            if collection.name == name:
                return collection
        raise KeyError(name)

    async def _files_of(self, path: Path) -> list[FoundFile]:
        try:
            if not await in_thread(path.exists):
                raise FileNotFoundError(f"{path} does not exist")
            files = await in_thread(library_files.find_files, path)
        except OSError as error:
            raise LibraryError(
                f"{path.name} cannot be read.",
                needs="a folder or file that can be read",
                has=str(error),
                do="Check the path and its permissions, or choose another folder.",
                remedy="add_folder",
            ) from error
        if not files:
            raise _nothing(path, ())
        return files

    @asynccontextmanager
    async def _job(
        self, name: str, label: str, path: str, progress: Callable[[IndexProgress], None] | None = None
    ) -> AsyncGenerator[tuple[LibraryStore, Callable[[IndexProgress], None]], None]:
        """A writer for indexing, one at a time, that is listed as running and can be cancelled by its name."""
        task = asyncio.current_task()
        assert task is not None

        def report(told: IndexProgress) -> None:
            self._jobs[name] = (told, task)
            self._publish(told)
            if progress is not None:
                progress(told)

        def begin(told: IndexProgress) -> None:
            self._jobs[name] = (told, task)
            self._publish(told)

        state = IndexProgress(collection=name, label=label, done=0, total=0, path=path, state="waiting")
        begin(state)
        try:
            async with self._writer() as writer:
                begin(msgspec.structs.replace(state, state="looking"))
                yield writer, report
        finally:
            if self._jobs.get(name, (None, None))[1] is task:
                del self._jobs[name]
            self._publish()

    @asynccontextmanager
    async def _writer(self) -> AsyncGenerator[LibraryStore, None]:
        """A database handle of its own for a long change; one change at a time."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            async with self._adding:
                writer = await in_thread(lambda: LibraryStore(open_database(self._store.database.path)))
                try:
                    yield writer
                finally:
                    writer.database.close()
        finally:
            self._tasks.discard(task)


def _is_changed(path: Path, state: FileState) -> bool:
    try:
        found = path.stat()
    except OSError:
        return False  # what was read of it stays
    return (found.st_size, found.st_mtime_ns) != (state.size, state.mtime_ns)


def _missing(collections: Sequence[Collection]) -> frozenset[str]:
    return frozenset(one.name for one in collections if one.path and not Path(one.path).exists())


def _singles(root: Path, changed: list[Path], known: set[str]) -> tuple[list[FoundFile], list[str]] | None:
    """The changed files and the ones that are gone; None when the whole folder has to be looked through."""
    if not changed or len(changed) > MOST_SINGLE_CHANGES or not root.is_dir():
        return None
    files, gone = [], []
    for path in changed:
        inside = path.relative_to(root)
        if any(part.startswith(".") for part in inside.parts) or path.is_symlink():
            continue
        if path.is_dir():
            return None  # a folder came
        if not path.exists():
            gone += [one for one in known if one == str(path) or one.startswith(f"{path}{os.sep}")]
        elif (file := library_files.find_file(path, inside.as_posix())) and file.kind != "jsonl":
            files.append(file)
    return files, gone


def _nothing(path: Path, failed: Sequence[Failure]) -> LibraryError:
    return LibraryError(
        f"There is nothing in {path.name} that Fathom can read.",
        needs=f"{library_files.FORMATS}, or a JSONL of {{id, title, text}}",
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
    taken = {collection.name for collection in collections} | {SAMPLE, FILES}
    name, number = slug, 1
    while name in taken:
        number += 1
        name = f"{slug}-{number}"
    return name, unicodedata.normalize("NFC", label)
