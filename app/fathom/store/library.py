"""The local library: collections of documents and their full-text index, in SQLite FTS5.

The index (porter stems, CJK bigrams) is contentless: the original text is stored once, in ``documents``. Searching is
in library_search.py. Knows nothing of files, parsers or threads of its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from urllib.parse import unquote

import msgspec

from fathom.core.protocols import Document, Hit
from fathom.core.types import Scope
from fathom.store.database import Database
from fathom.store.library_index import FileWriter, put_file, remove_documents
from fathom.store.library_schema import MIGRATIONS, folder_id, rebuild_index
from fathom.store.library_search import LibrarySearch, paths_of
from fathom.store.library_values import (
    URI_SCHEME,
    Collection,
    CollectionKind,
    Entry,
    Failure,
    FileState,
    Folder,
    NewDocument,
    NewFile,
    Preference,
    Twins,
    document_uri,
)
from fathom.store.terms import Term

__all__ = ["Collection", "Failure", "FileState", "LibraryStore", "NewDocument", "NewFile"]

REMOVED_AT_ONCE = 500


class LibraryStore:
    """Implements core.protocols.LibraryIndex; safe from any thread."""

    def __init__(self, database: Database) -> None:
        self.database = database
        database.migrate("library", MIGRATIONS)
        rebuild_index(database)
        self._search = LibrarySearch(database)

    # --- searching ------------------------------------------------------------------------------------------------

    def search(self, query: str, scope: Scope, limit: int = 10, offset: int = 0) -> list[Hit]:
        """The best documents in scope, best first; any word of the query may match. Equal texts are found once."""
        return self._search.search(query, scope, limit, offset)

    def near(self, question: str, scope: Scope) -> bool:
        """Whether any document in scope holds the words that say what the question is about."""
        return self._search.near(question, scope)

    def telling(self, query: str) -> list[Term]:
        """The words of a query that are worth marking in a text: not the ones that stand everywhere."""
        return self._search.telling(query)

    def document(self, uri: str) -> Document | None:
        """The whole document, or None when there is no such one."""
        if not uri.startswith(URI_SCHEME):
            return None
        collection, _, document_id = uri.removeprefix(URI_SCHEME).partition("/")
        collection, document_id = unquote(collection), unquote(document_id)
        rows = self.database.rows(
            "SELECT d.id, d.title, d.text, f.path, d.content, t.author, t.date, t.doi, t.pages FROM documents d "
            "JOIN collections c ON c.id = d.collection_id JOIN files f ON f.id = d.file_id "
            "LEFT JOIN details t ON t.document = d.id WHERE c.name = ? AND d.document_id = ?",
            (collection, document_id),
        )
        if not rows:
            return None
        row, title, text, path, content, author, date, doi, pages = rows[0]
        others = paths_of(self.database, {content}, {row}).get(content, ())
        return Document(
            uri=document_uri(collection, document_id),
            title=title,
            text=text,
            collection=collection,
            path=path,
            author=author or "",
            date=date or "",
            doi=doi or "",
            pages=msgspec.json.decode(pages, type=tuple[int, ...]) if pages else (),
            also=tuple(dict.fromkeys(other for other in others if other != path)),
        )

    # --- collections ----------------------------------------------------------------------------------------------

    def collections(self) -> list[Collection]:
        """The sample first, then by label."""
        failed: dict[int, list[Failure]] = {}
        for collection_id, messages in self.database.rows(
            "SELECT collection_id, failed FROM files WHERE failed != '[]' ORDER BY path"
        ):
            failed.setdefault(collection_id, []).extend(msgspec.json.decode(messages, type=list[Failure]))
        rows = self.database.rows(
            "SELECT c.id, c.name, c.label, c.kind, c.path, c.documents, c.indexed, g.preference FROM collections c "
            "JOIN folders g ON g.collection_id = c.id AND g.path = '' WHERE NOT c.removed "
            "ORDER BY c.kind = 'sample' DESC, c.label COLLATE NOCASE"
        )
        return [
            Collection(
                name=name,
                label=label,
                kind=kind,
                path=path,
                documents=documents,
                failed=tuple(failed.get(row, ())),
                indexed=indexed,
                preference=preference,
            )
            for row, name, label, kind, path, documents, indexed, preference in rows
        ]

    def entries(self, collection: str, folder: str = "", limit: int = 200, offset: int = 0) -> list[Entry]:
        """Documents of a collection, or of a folder in it, in the order of their ids."""
        below, beyond = (f"{folder}/", f"{folder}0") if folder else ("", "\U0010ffff")  # "0" comes after "/"
        rows = self.database.rows(
            "WITH page AS (SELECT d.id FROM documents d JOIN collections c ON c.id = d.collection_id "
            "WHERE c.name = ? AND d.document_id >= ? AND d.document_id < ? ORDER BY d.document_id LIMIT ? OFFSET ?) "
            "SELECT d.document_id, d.title, f.path, f.size, f.mtime_ns, t.author, t.date, t.pages FROM page "
            "JOIN documents d ON d.id = page.id JOIN files f ON f.id = d.file_id "
            "LEFT JOIN details t ON t.document = d.id ORDER BY d.document_id",
            (collection, below, beyond, limit, offset),
        )
        return [
            Entry(
                uri=document_uri(collection, document_id),
                title=title,
                path=path,
                size=size,
                mtime_ns=mtime_ns,
                author=author or "",
                date=date or "",
                pages=len(msgspec.json.decode(pages)) if pages else 0,
            )
            for document_id, title, path, size, mtime_ns, author, date, pages in rows
        ]

    def count(self, collection: str, folder: str = "") -> int:
        """How many documents ``entries`` would give in all."""
        below, beyond = (f"{folder}/", f"{folder}0") if folder else ("", "\U0010ffff")
        sql = (
            "SELECT count(*) FROM documents d JOIN collections c ON c.id = d.collection_id "
            "WHERE c.name = ? AND d.document_id >= ? AND d.document_id < ?"
        )
        return int(self.database.rows(sql, (collection, below, beyond))[0][0])

    def folders(self, collection: str, limit: int = 500) -> list[Folder]:
        """The folders inside a collection, by path."""
        rows = self.database.rows(
            "SELECT g.path, g.preference FROM folders g JOIN collections c ON c.id = g.collection_id "
            "WHERE c.name = ? AND g.path != '' ORDER BY g.path LIMIT ?",
            (collection, limit),
        )
        return [Folder(path=path, preference=preference) for path, preference in rows]

    def twins(self, collection: str, limit: int = 500) -> list[Twins]:
        """Texts of a collection that stand in more than one file, here or in another collection; both paths each."""
        with self.database.snapshot():
            rows = self.database.rows(
                "WITH twice AS (SELECT content FROM documents GROUP BY content HAVING count(*) > 1) "
                "SELECT d.content, min(d.title), min(d.document_id) FROM twice "
                "JOIN documents d ON d.content = twice.content "
                "JOIN collections c ON c.id = d.collection_id JOIN files f ON f.id = d.file_id "
                "WHERE c.name = ? AND EXISTS (SELECT 1 FROM documents o "
                "JOIN collections oc ON oc.id = o.collection_id JOIN files of ON of.id = o.file_id "
                "WHERE o.content = d.content AND of.path != f.path AND NOT oc.removed) "
                "GROUP BY d.content ORDER BY 2 LIMIT ?",
                (collection, limit),
            )
            paths: dict[bytes, tuple[str, ...]] = {}
            for begin in range(0, len(rows), 100):
                paths |= paths_of(self.database, {content for content, _, _ in rows[begin : begin + 100]}, set())
        return [
            Twins(title=title, uri=document_uri(collection, document_id), paths=tuple(dict.fromkeys(paths[content])))
            for content, title, document_id in rows
        ]

    def add_collection(self, name: str, label: str, kind: CollectionKind, path: str) -> None:
        """Make the collection unless it is there."""
        with self.database.transaction() as connection:
            connection.execute(
                "INSERT INTO collections (name, label, kind, path, indexed) VALUES (?, ?, ?, ?, '') "
                "ON CONFLICT (name) DO UPDATE SET label = excluded.label, path = excluded.path, removed = 0",
                (name, label, kind, path),
            )
            (row,) = connection.execute("SELECT id FROM collections WHERE name = ?", (name,)).fetchone()
            folder_id(connection, row, "")

    def prefer(self, name: str, folder: str, preference: Preference) -> bool:
        """Pin or block a collection (``folder`` "") or a folder in it; False when there is no such one."""
        with self.database.transaction() as connection:
            changed = connection.execute(
                "UPDATE folders SET preference = ? WHERE path = ? AND collection_id = "
                "(SELECT id FROM collections WHERE name = ?)",
                (preference, folder, name),
            )
            return changed.rowcount > 0

    def hide_collection(self, name: str, hidden: bool = True) -> bool:
        """Take it out of every list and search at once, or bring it back; False when there is no such one."""
        with self.database.transaction() as connection:
            changed = connection.execute("UPDATE collections SET removed = ? WHERE name = ?", (hidden, name))
            return changed.rowcount > 0

    def hidden_collections(self) -> list[str]:
        """Those that were taken out and not yet removed."""
        return [name for (name,) in self.database.rows("SELECT name FROM collections WHERE removed")]

    def remove_collection(self, name: str) -> bool:
        """Remove it with its documents, some hundred in a transaction; False when there is no such one."""
        if not self.hide_collection(name):
            return False
        while True:
            with self.database.transaction() as connection:
                (row,) = connection.execute("SELECT id FROM collections WHERE name = ?", (name,)).fetchone()
                documents = connection.execute(
                    "SELECT id FROM documents WHERE collection_id = ? LIMIT ?", (row, REMOVED_AT_ONCE)
                ).fetchall()
                remove_documents(connection, documents)
                connection.execute(
                    "UPDATE collections SET documents = documents - ? WHERE id = ?", (len(documents), row)
                )
                if len(documents) < REMOVED_AT_ONCE:
                    connection.execute("DELETE FROM files WHERE collection_id = ?", (row,))
                    connection.execute("DELETE FROM collections WHERE id = ?", (row,))
                    return True

    def files(self, collection: str) -> dict[str, FileState]:
        """What was indexed of a collection, by path."""
        rows = self.database.rows(
            "SELECT f.path, f.size, f.mtime_ns, f.failed FROM files f JOIN collections c ON c.id = f.collection_id "
            "WHERE c.name = ? AND f.complete",
            (collection,),
        )
        return {
            path: FileState(
                size=size,
                mtime_ns=mtime_ns,
                failed=msgspec.json.decode(failed, type=tuple[Failure, ...]) if failed != "[]" else (),
            )
            for path, size, mtime_ns, failed in rows
        }

    def document_ids(self, collection: str) -> dict[str, str]:
        """Path -> id of the first document of each file."""
        rows = self.database.rows(
            "SELECT f.path, min(d.document_id) FROM documents d JOIN files f ON f.id = d.file_id "
            "JOIN collections c ON c.id = d.collection_id WHERE c.name = ? GROUP BY f.id",
            (collection,),
        )
        return dict(rows)

    # --- writing --------------------------------------------------------------------------------------------------

    def put(
        self,
        collection: str,
        path: str,
        documents: Iterable[NewDocument],
        *,
        state: FileState | None = None,
        first: bool = True,
    ) -> None:
        """Index documents of one file, in one transaction; what is unchanged is not written again.

        A long file comes in several calls: ``first`` only on the first, ``state`` only on the last one, which also
        removes the documents that the file no longer holds. Until then the file counts as not indexed.
        """
        with self.database.transaction() as connection:
            (row,) = connection.execute("SELECT id FROM collections WHERE name = ?", (collection,)).fetchone()
            writer = FileWriter(connection, row, path)
            if first:
                writer.begin()
            writer.put(documents)
            if state is not None:
                writer.finish(state)
            self._grown(row, writer.change)

    def put_files(self, collection: str, files: Iterable[NewFile]) -> None:
        """Index whole files, all in one transaction."""
        with self.database.transaction() as connection:
            (row,) = connection.execute("SELECT id FROM collections WHERE name = ?", (collection,)).fetchone()
            self._grown(row, sum(put_file(connection, row, file) for file in files))

    def forget_files(self, collection: str, paths: Iterable[str]) -> None:
        """Remove files and their documents: they are no longer in the folder."""
        with self.database.transaction() as connection:
            (row,) = connection.execute("SELECT id FROM collections WHERE name = ?", (collection,)).fetchone()
            removed = 0
            for path in paths:
                documents = connection.execute(
                    "SELECT d.id FROM documents d JOIN files f ON f.id = d.file_id "
                    "WHERE f.collection_id = ? AND f.path = ?",
                    (row, path),
                ).fetchall()
                remove_documents(connection, documents)
                removed += len(documents)
                connection.execute("DELETE FROM files WHERE collection_id = ? AND path = ?", (row, path))
            self._grown(row, -removed)

    def looked_at(self, collection: str) -> None:
        """Its files have been gone through just now."""
        with self.database.transaction() as connection:
            connection.execute("UPDATE collections SET indexed = ? WHERE name = ?", (_now(), collection))

    def _grown(self, collection_id: int, by: int) -> None:
        self.database.tables.conn.execute(
            "UPDATE collections SET documents = documents + ? WHERE id = ?", (by, collection_id)
        )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
