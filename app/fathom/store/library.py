"""The local library: collections of documents and their full-text index, in SQLite FTS5.

Ranks with BM25 (porter stems, title weight 6, CJK bigrams). The index is contentless: the original text is stored once,
in ``documents``, and snippets are cut from it to the letter. Knows nothing of files, parsers or threads of its own.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from urllib.parse import quote, unquote

import msgspec

from fathom.core.protocols import Document, Hit
from fathom.core.types import Scope
from fathom.store import terms
from fathom.store.database import Database
from fathom.store.library_index import FileWriter, put_file, remove_documents
from fathom.store.library_schema import MIGRATIONS, folder_id, place, rebuild_index
from fathom.store.library_values import (
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
)
from fathom.store.snippets import best_span, places
from fathom.store.terms import Term

__all__ = ["Collection", "Failure", "FileState", "LibraryStore", "NewDocument", "NewFile", "document_uri"]

TITLE_WEIGHT = 6.0
LARGE = 5_000
COMMON_FRACTION = 0.10
"""In a library of LARGE documents or more, query words that occur in over a tenth of them are dropped.

On 300 HotpotQA questions over 10,977 documents both gold documents are in the top 5 for .65 of them at a tenth, .62 at
a twentieth and .64 at a fifth, which takes twice the time. With title weight 3 it is .637, 4 .647, 6 .653, 8 .657.
"""
PINNED_WEIGHT = 1.5
PINNED_CANDIDATES = 60
REMOVED_AT_ONCE = 500
MARKED_FRACTION = 0.2
NEAR = 0.4
"""A document is near a question when it holds the words that make up this share of the question's weight.

The weights are inverse document frequencies. Of 300 questions that the sample library answers 95 % are near; of ten
questions about other things two were.
"""

URI_SCHEME = "library://"


def document_uri(collection: str, document_id: str) -> str:
    """``library://<collection>/<document id>``, percent-encoded where needed."""
    return f"{URI_SCHEME}{quote(collection, safe='')}/{quote(document_id, safe='/')}"


def _for_snippet(weighted: Sequence[tuple[Term, float]], title: str) -> list[tuple[Term, float]]:
    """The title is shown beside the snippet: what stands in it need not be shown again."""
    shown = terms.fold(title)
    return [(term, weight * 0.2 if terms.fold(term.text) in shown else weight) for term, weight in weighted]


class _Part(msgspec.Struct, frozen=True):
    """A folder's row, the collection's own one included."""

    id: int
    collection: str
    kind: str
    path: str
    preference: Preference
    removed: bool


class _Found(msgspec.Struct, frozen=True):
    """A search result's row, without its text's details."""

    collection: str
    document_id: str
    title: str
    text: str
    path: str
    content: bytes
    pages: str | None


class LibraryStore:
    """Implements core.protocols.LibraryIndex; safe from any thread."""

    def __init__(self, database: Database) -> None:
        self.database = database
        database.migrate("library", MIGRATIONS)
        rebuild_index(database)
        self._frequencies: dict[str, int] = {}
        self._frequencies_version = (-1, -1)

    # --- searching ------------------------------------------------------------------------------------------------

    def search(self, query: str, scope: Scope, limit: int = 10, offset: int = 0) -> list[Hit]:
        """The best documents in scope, best first; any word of the query may match. Equal texts are found once."""
        words = terms.query_terms(query)
        with self.database.snapshot():  # an indexing may remove a document while it is looked for
            parts = self._parts()
            within = self._within(parts, scope)
            if not words or within is None:
                return []
            weighted = self._weighted(words)
            pinned = [place(part.id) for part in parts if part.preference == "pinned"]
            candidates = max(2 * (offset + limit), PINNED_CANDIDATES if pinned else 0)
            ranked = self._ranked(weighted, within, candidates)
            if pinned:
                ranked = self._with_pinned_first(ranked, pinned)
            ranked = self._without_twins(ranked)[offset : offset + limit]
            found = self._found([row for row, _ in ranked])
            also = self._also(found)
        return [self._hit(found[row], score, weighted, also[row]) for row, score in ranked]

    def _hit(self, found: _Found, score: float, weighted: Sequence[tuple[Term, float]], also: tuple[str, ...]) -> Hit:
        start, end = best_span(found.text, _for_snippet(weighted, found.title))
        pages = msgspec.json.decode(found.pages, type=tuple[int, ...]) if found.pages else ()
        marked = places(found.text[start:end], [term for term, _ in weighted], 1) if pages else []
        at = start + (marked[0][0] if marked else 0)
        document = Document(uri="", title="", text="", pages=pages)
        return Hit(
            uri=document_uri(found.collection, found.document_id),
            title=found.title,
            snippet=found.text[start:end],
            score=-score,
            collection=found.collection,
            start=start,
            end=end,
            page=document.page_at(at),
            path=found.path,
            also=also,
        )

    def near(self, question: str, scope: Scope) -> bool:
        """Whether any document in scope holds the words that say what the question is about."""
        words = [term for term in terms.query_terms(question) if term.text not in terms.FUNCTION_WORDS]
        with self.database.snapshot():
            within = self._within(self._parts(), scope)
            if not words or within is None:
                return False
            weighted = self._weighted(words, drop_common=False)
            ranked = self._ranked(self._weighted(words), within, 8)
            found = self._found([row for row, _ in ranked])
        total = sum(weight for _, weight in weighted) or 1.0
        for document in found.values():
            text = terms.fold(f"{document.title}\n{document.text}")
            held = sum(weight for term, weight in weighted if terms.stands_in(term, text))
            if held >= NEAR * total:
                return True
        return False

    def telling(self, query: str) -> list[Term]:
        """The words of a query that are worth marking in a text: not the ones that stand everywhere."""
        total = self._total()
        words = terms.query_terms(query)
        about = [term for term in words if term.text not in terms.FUNCTION_WORDS] or words
        rare = [term for term in about if self._frequency(term) <= MARKED_FRACTION * total]
        return rare or about

    def _ranked(self, weighted: Sequence[tuple[Term, float]], within: str, limit: int) -> list[tuple[int, float]]:
        match = " OR ".join(term.match for term, _ in weighted)
        sql = (
            "SELECT rowid, bm25(documents_fts, ?, 1.0, 0.0) AS score FROM documents_fts "
            "WHERE documents_fts MATCH ? ORDER BY score, rowid LIMIT ?"
        )
        return self.database.rows(sql, (TITLE_WEIGHT, f"({match}){within}", limit))

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
            also=tuple(
                dict.fromkeys(other for other in self._paths_of({content}, {row}).get(content, ()) if other != path)
            ),
        )

    def _parts(self) -> list[_Part]:
        """Every collection's own folder, and the folders that are pinned or blocked."""
        rows = self.database.rows(
            "SELECT g.id, c.name, c.kind, g.path, g.preference, c.removed FROM folders g "
            "JOIN collections c ON c.id = g.collection_id WHERE g.path = '' OR g.preference != 'normal'"
        )
        return [
            _Part(row, name, kind, path, preference, bool(removed))
            for row, name, kind, path, preference, removed in rows
        ]

    def _within(self, parts: Sequence[_Part], scope: Scope) -> str | None:
        """What narrows a MATCH to the scope, "" when nothing does; None when nothing is in scope."""
        whole = [part for part in parts if not part.path]
        narrowed = [name.partition("/") for name in scope.collections]
        chosen: list[int] = []
        complete = True
        for part in whole:
            if not (scope.sample if part.kind == "sample" else scope.documents) or part.removed:
                complete = False
            elif part.kind == "sample" or not narrowed or any(n == part.collection and not f for n, _, f in narrowed):
                chosen.append(part.id)
            else:
                complete = False
                folders = [folder for name, _, folder in narrowed if name == part.collection]
                chosen += self._folder_ids(part.collection, folders)
        if not chosen:
            return None
        blocked = [part.id for part in parts if part.preference == "blocked"]
        words = "" if complete else f" AND ({' OR '.join(place(one) for one in chosen)})"
        return words + (f" NOT ({' OR '.join(place(one) for one in blocked)})" if blocked else "")

    def _folder_ids(self, collection: str, folders: Sequence[str]) -> list[int]:
        marks = ", ".join("?" * len(folders))
        sql = (
            "SELECT g.id FROM folders g JOIN collections c ON c.id = g.collection_id "
            f"WHERE c.name = ? AND g.path IN ({marks})"
        )
        return [row for (row,) in self.database.rows(sql, (collection, *folders))]

    def _weighted(self, words: Sequence[Term], *, drop_common: bool = True) -> list[tuple[Term, float]]:
        """The terms to search for with their inverse document frequency; common ones left out of a large library."""
        total = self._total()
        counted = [(term, self._frequency(term)) for term in words]
        if total >= LARGE and drop_common:
            rare = [pair for pair in counted if pair[1] <= COMMON_FRACTION * total]
            counted = rare or [min(counted, key=lambda pair: pair[1])]
        return [(term, math.log(1 + (total - min(n, total) + 0.5) / (n + 0.5))) for term, n in counted]

    def _total(self) -> int:
        version = self.database.version()
        if version != self._frequencies_version:
            self._frequencies = {"": self.database.rows("SELECT coalesce(sum(documents), 0) FROM collections")[0][0]}
            self._frequencies_version = version
        return self._frequencies[""]

    def _frequency(self, term: Term) -> int:
        """In how many documents it occurs; counted once, until the index changes."""
        if term.match not in self._frequencies:
            sql = "SELECT count(*) FROM documents_fts WHERE documents_fts MATCH ?"
            self._frequencies[term.match] = self.database.rows(sql, (term.match,))[0][0]
        return self._frequencies[term.match]

    def _with_pinned_first(self, ranked: list[tuple[int, float]], pinned: Sequence[str]) -> list[tuple[int, float]]:
        marks = ", ".join("?" * len(ranked))
        places: dict[int, str] = dict(
            self.database.rows(
                "SELECT d.id, g.places FROM documents d JOIN files f ON f.id = d.file_id "
                f"JOIN folders g ON g.id = f.folder_id WHERE d.id IN ({marks})",
                [row for row, _ in ranked],
            )
        )
        lifted = [
            (row, score * (PINNED_WEIGHT if set(pinned) & set(places[row].split()) else 1.0)) for row, score in ranked
        ]
        return sorted(lifted, key=lambda pair: pair[1])  # BM25 is negative here: the smallest is the best

    def _without_twins(self, ranked: list[tuple[int, float]]) -> list[tuple[int, float]]:
        """Each text once, also when two files or collections hold it."""
        marks = ", ".join("?" * len(ranked))
        contents = dict(
            self.database.rows(f"SELECT id, content FROM documents WHERE id IN ({marks})", [row for row, _ in ranked])
        )
        first: dict[bytes, tuple[int, float]] = {}
        for row, score in ranked:
            first.setdefault(contents[row], (row, score))
        return list(first.values())

    def _found(self, rows: Sequence[int]) -> dict[int, _Found]:
        marks = ", ".join("?" * len(rows))
        sql = (
            "SELECT d.id, c.name, d.document_id, d.title, d.text, f.path, d.content, t.pages FROM documents d "
            "JOIN collections c ON c.id = d.collection_id JOIN files f ON f.id = d.file_id "
            f"LEFT JOIN details t ON t.document = d.id WHERE d.id IN ({marks})"
        )
        return {row: _Found(*rest) for row, *rest in self.database.rows(sql, rows)}

    def _also(self, found: dict[int, _Found]) -> dict[int, tuple[str, ...]]:
        others = self._paths_of({one.content for one in found.values()}, set(found))
        return {
            row: tuple(dict.fromkeys(path for path in others.get(one.content, ()) if path != one.path))
            for row, one in found.items()
        }

    def _paths_of(self, contents: set[bytes], but: set[int]) -> dict[bytes, tuple[str, ...]]:
        """The files of other documents with these texts."""
        marks = ", ".join("?" * len(contents))
        sql = (
            "SELECT d.content, d.id, f.path FROM documents d JOIN files f ON f.id = d.file_id "
            f"JOIN collections c ON c.id = d.collection_id WHERE d.content IN ({marks}) AND NOT c.removed "
            "ORDER BY f.path"
        )
        paths: dict[bytes, tuple[str, ...]] = {}
        for content, row, path in self.database.rows(sql, list(contents)):
            if row not in but:
                paths[content] = (*paths.get(content, ()), path)
        return paths

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
                paths |= self._paths_of({content for content, _, _ in rows[begin : begin + 100]}, set())
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
