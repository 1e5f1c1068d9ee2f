"""Searching the library: BM25 with what the words weigh, the scope, pinned and blocked folders, equal texts once.

Each search reads one state of the index, whatever an indexing writes meanwhile. Snippets are cut to the letter.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from fathom.core.protocols import Document, Hit
from fathom.core.types import Scope
from fathom.store import terms
from fathom.store.database import Database
from fathom.store.library_schema import place
from fathom.store.library_values import Preference, document_uri
from fathom.store.snippets import best_span, places
from fathom.store.terms import Term

TITLE_WEIGHT = 6.0
LARGE = 5_000
COMMON_FRACTION = 0.10
"""In a library of LARGE documents or more, query words that occur in over a tenth of them are dropped.

On 300 HotpotQA questions over 10,977 documents both gold documents are in the top 5 for .65 of them at a tenth, .62 at
a twentieth and .64 at a fifth, which takes twice the time. With title weight 3 it is .637, 4 .647, 6 .653, 8 .657.
"""
PINNED_WEIGHT = 1.5
PINNED_CANDIDATES = 60
MARKED_FRACTION = 0.2
NEAR = 0.4
"""A document is near a question when it holds the words that make up this share of the question's weight.

The weights are inverse document frequencies. Of 300 questions that the sample library answers 95 % are near; of ten
questions about other things two were.
"""


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


class LibrarySearch:
    """Searches an open library; safe from any thread."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._frequencies: dict[str, int] = {}
        self._frequencies_version = (-1, -1)

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
        words = terms.query_terms(query)
        about = [term for term in words if term.text not in terms.FUNCTION_WORDS] or words
        with self.database.snapshot():
            total = self._total()
            rare = [term for term in about if self._frequency(term) <= MARKED_FRACTION * total]
        return rare or about

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

    def _ranked(self, weighted: Sequence[tuple[Term, float]], within: str, limit: int) -> list[tuple[int, float]]:
        match = " OR ".join(term.match for term, _ in weighted)
        sql = (
            "SELECT rowid, bm25(documents_fts, ?, 1.0, 0.0) AS score FROM documents_fts "
            "WHERE documents_fts MATCH ? ORDER BY score, rowid LIMIT ?"
        )
        return self.database.rows(sql, (TITLE_WEIGHT, f"({match}){within}", limit))

    def _also(self, found: dict[int, _Found]) -> dict[int, tuple[str, ...]]:
        others = paths_of(self.database, {one.content for one in found.values()}, set(found))
        return {
            row: tuple(dict.fromkeys(path for path in others.get(one.content, ()) if path != one.path))
            for row, one in found.items()
        }


def paths_of(database: Database, contents: set[bytes], but: set[int]) -> dict[bytes, tuple[str, ...]]:
    """The files of documents with these texts, those of the rows ``but`` left out."""
    marks = ", ".join("?" * len(contents))
    sql = (
        "SELECT d.content, d.id, f.path FROM documents d JOIN files f ON f.id = d.file_id "
        f"JOIN collections c ON c.id = d.collection_id WHERE d.content IN ({marks}) AND NOT c.removed "
        "ORDER BY f.path"
    )
    paths: dict[bytes, tuple[str, ...]] = {}
    for content, row, path in database.rows(sql, list(contents)):
        if row not in but:
            paths[content] = (*paths.get(content, ()), path)
    return paths


def _for_snippet(weighted: Sequence[tuple[Term, float]], title: str) -> list[tuple[Term, float]]:
    """The title is shown beside the snippet: what stands in it need not be shown again."""
    shown = terms.fold(title)
    return [(term, weight * 0.2 if terms.fold(term.text) in shown else weight) for term, weight in weighted]
