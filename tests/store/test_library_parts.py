"""Parts of the library: folders, pinned and blocked ones, equal texts, what documents tell, lists of any length."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlite_utils.migrations import Migrations

from fathom.core.types import Scope
from fathom.store.database import open_database
from fathom.store.library import LibraryStore
from fathom.store.library_schema import m001_collections_files_documents
from fathom.store.library_values import Failure, FileState, NewDocument, NewFile

DONE = FileState(size=1, mtime_ns=1)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LibraryStore]:
    store = LibraryStore(open_database(tmp_path / "library.db"))
    yield store
    store.database.close()


def file(document_id: str, text: str, root: str = "/papers", title: str = "") -> NewFile:
    document = NewDocument(id=document_id, title=title or document_id, text=text)
    folder = document_id.rpartition("/")[0]
    return NewFile(path=f"{root}/{document_id}", folder=folder, documents=(document,), state=DONE)


def papers(store: LibraryStore) -> None:
    store.add_collection("papers", "Papers", "documents", "/papers")
    store.put_files(
        "papers",
        [
            file("top.txt", "A river in the north."),
            file("2024/a.txt", "A river in the south."),
            file("2024/may/b.txt", "A river in the east."),
            file("20245/c.txt", "A river in the west."),
        ],
    )


def found(store: LibraryStore, query: str = "river", **scope: object) -> list[str]:
    hits = store.search(query, Scope(**scope))  # type: ignore[arg-type]
    return sorted(hit.uri.removeprefix("library://") for hit in hits)


def check_index(store: LibraryStore) -> None:
    store.database.rows("INSERT INTO documents_fts (documents_fts) VALUES ('integrity-check')")


def test_search_can_be_narrowed_to_a_folder_with_what_is_in_it(store: LibraryStore) -> None:
    papers(store)
    assert found(store, collections=("papers/2024",)) == ["papers/2024/a.txt", "papers/2024/may/b.txt"]
    assert found(store, collections=("papers/2024/may", "papers/20245")) == [
        "papers/2024/may/b.txt",
        "papers/20245/c.txt",
    ]
    assert found(store, collections=("papers/none",)) == []
    assert len(found(store, collections=("papers",))) == 4


def test_words_of_the_index_s_own_are_not_searched(store: LibraryStore) -> None:
    papers(store)
    (root,) = store.database.rows("SELECT places FROM folders WHERE path = ''")[0]
    (hit, *_) = store.search("river", Scope())
    assert root not in hit.snippet
    weights = {one.score for one in store.search(f"north {root}", Scope())}
    assert max(weights) == pytest.approx(store.search("north", Scope())[0].score, abs=1e-5)


def test_blocked_folder_is_left_out_and_comes_back(store: LibraryStore) -> None:
    papers(store)
    assert store.prefer("papers", "2024", "blocked")
    assert found(store) == ["papers/20245/c.txt", "papers/top.txt"]
    assert found(store, collections=("papers/2024",)) == []
    assert store.prefer("papers", "2024", "normal")
    assert len(found(store)) == 4
    assert not store.prefer("papers", "none", "pinned")
    assert not store.prefer("none", "", "pinned")


def test_pinned_collection_comes_first_among_equals_only(store: LibraryStore) -> None:
    papers(store)
    store.add_collection("other", "Other", "documents", "/other")
    store.put_files(
        "other",
        [
            file("z.txt", "A river somewhere else, far away, wide and slow.", "/other"),
            file("y.txt", "A hill.", "/other"),
        ],
    )
    first = store.search("river", Scope())[0].uri
    store.prefer("other", "", "pinned")
    assert store.collections()[0].preference == "pinned"
    assert store.search("river", Scope())[0].uri == "library://other/z.txt" != first
    assert store.search("river in the north", Scope())[0].uri == "library://papers/top.txt"
    store.prefer("other", "", "normal")
    store.prefer("papers", "2024/may", "pinned")
    assert store.search("river", Scope())[0].uri == "library://papers/2024/may/b.txt"
    assert [(one.path, one.preference) for one in store.folders("papers")] == [
        ("2024", "normal"),
        ("2024/may", "pinned"),
        ("20245", "normal"),
    ]


def test_equal_texts_are_found_once_with_every_path(store: LibraryStore) -> None:
    papers(store)
    store.put_files("papers", [file("copy/of a.txt", "A river in the south.", title="Another title")])
    store.add_collection("files", "Single files", "files", "")
    single = NewDocument(id="a.txt", title="a", text="A river in the south.")
    store.put_files("files", [NewFile(path="/papers/2024/a.txt", documents=(single,), state=DONE)])
    hits = [hit for hit in store.search("south", Scope()) if "south" in hit.snippet]
    assert len(hits) == 1
    assert {hits[0].path, *hits[0].also} == {"/papers/2024/a.txt", "/papers/copy/of a.txt"}
    document = store.document("library://papers/2024/a.txt")
    assert document is not None
    assert document.also == ("/papers/copy/of a.txt",)
    (twins,) = store.twins("papers")
    assert twins.paths == ("/papers/2024/a.txt", "/papers/copy/of a.txt")
    store.forget_files("papers", ["/papers/copy/of a.txt"])
    assert store.twins("papers") == []


def test_what_a_document_tells_comes_with_hit_document_and_passage(store: LibraryStore) -> None:
    store.add_collection("papers", "Papers", "documents", "/papers")
    text = "First page of it. " * 30 + "\n\n" + "Crocodiles are on the second. " * 3
    second = text.index("Crocodiles")
    document = NewDocument(
        id="p.pdf", title="P", text=text, author="Kim", date="2024-05-01", doi="10.1/x", pages=(0, second)
    )
    store.put_files("papers", [NewFile(path="/papers/p.pdf", documents=(document,), state=DONE)])
    (hit,) = store.search("crocodiles second", Scope())
    assert hit.snippet == text[hit.start : hit.end]
    opened = store.document(hit.uri)
    assert opened is not None
    passage = opened.passage(second, second + 10)
    assert (passage.text, passage.page) == ("Crocodiles", 2)
    assert (passage.author, passage.date, passage.doi) == ("Kim", "2024-05-01", "10.1/x")
    assert opened.passage(0, 5).page == 1
    assert hit.page == 2
    (entry,) = store.entries("papers")
    assert (entry.author, entry.date, entry.pages) == ("Kim", "2024-05-01", 2)
    changed = NewDocument(id="p.pdf", title="P", text=text, author="Lee")
    store.put_files("papers", [NewFile(path="/papers/p.pdf", documents=(changed,), state=DONE)])
    assert store.entries("papers")[0].author == "Lee"
    assert store.database.rows("SELECT count(*) FROM details") == [(1,)]


def test_file_that_moves_to_another_folder_is_found_there(store: LibraryStore) -> None:
    papers(store)
    document = NewDocument(id="x", title="x", text="A river in the south.")
    store.put_files("papers", [NewFile(path="/papers/x", folder="2024", documents=(document,), state=DONE)])
    store.put_files("papers", [NewFile(path="/papers/x", folder="20245", documents=(document,), state=DONE)])
    assert found(store, collections=("papers/20245",)) == ["papers/20245/c.txt", "papers/x"]
    assert store.collections()[0].documents == store.count("papers") == 5
    check_index(store)


def test_hidden_collection_is_nowhere_until_it_is_restored(store: LibraryStore) -> None:
    papers(store)
    assert store.hide_collection("papers")
    assert store.collections() == []
    assert found(store) == []
    assert store.hidden_collections() == ["papers"]
    store.hide_collection("papers", False)
    assert len(found(store)) == 4
    assert not store.hide_collection("none")


def test_large_collection_is_removed_in_several_transactions(store: LibraryStore) -> None:
    store.add_collection("many", "Many", "documents", "/many")
    store.put("many", "/many", [NewDocument(id=str(n), title="t", text=f"river {n}") for n in range(1203)], state=DONE)
    papers(store)
    assert store.remove_collection("many")
    assert [one.name for one in store.collections()] == ["papers"]
    assert store.database.rows("SELECT count(*) FROM documents") == [(4,)]
    assert store.database.rows("SELECT count(*) FROM folders WHERE path = ''") == [(1,)]
    check_index(store)


def test_entries_come_in_pages_by_folder(store: LibraryStore) -> None:
    papers(store)
    ids = [entry.uri.removeprefix("library://papers/") for entry in store.entries("papers")]
    assert ids == ["2024/a.txt", "2024/may/b.txt", "20245/c.txt", "top.txt"]
    assert [entry.uri for entry in store.entries("papers", "", 2, 2)] == [
        "library://papers/20245/c.txt",
        "library://papers/top.txt",
    ]
    assert store.count("papers", "2024") == len(store.entries("papers", "2024")) == 2


def test_near_tells_whether_anything_is_about_the_question(store: LibraryStore) -> None:
    assert not store.near("Which river is in the north?", Scope())
    papers(store)
    assert store.near("Which river is in the north?", Scope())
    assert not store.near("How do heat pumps work in winter?", Scope())
    assert not store.near("Which river is in the north?", Scope(documents=False))


def test_common_words_are_not_marked(store: LibraryStore) -> None:
    papers(store)
    assert [term.text for term in store.telling("the north river")] == ["north", "river"]
    store.put_files("papers", [file(f"n{n}.txt", f"The {n} hills.") for n in range(40)])
    assert [term.text for term in store.telling("the river hills")] == ["river"]
    assert [term.text for term in store.telling("the")] == ["the"]


def test_library_of_the_first_form_is_brought_over(tmp_path: Path) -> None:
    database = open_database(tmp_path / "old.db")
    database.migrate("library", [m001_collections_files_documents])
    with database.transaction() as connection:
        connection.execute("INSERT INTO collections VALUES (7, 'docs', 'Docs', 'documents', '/docs', 1, '2026-01-01')")
        connection.execute("INSERT INTO files VALUES (3, 7, '/docs/a.txt', 5, 6, '[]', 1)")
        connection.execute("INSERT INTO documents VALUES (9, 7, 3, 1, 'a.txt', 'A', x'00', 'A river of Africa.')")
        connection.execute("INSERT INTO documents_fts (rowid, title, text) VALUES (9, 'A', 'A river of Africa.')")
    store = LibraryStore(database)
    assert found(store, "africa") == ["docs/a.txt"]
    assert store.files("docs")["/docs/a.txt"].size == -1  # it is read again at the next look
    store.put_files("docs", [file("a.txt", "A lake of Africa.", "/docs")])
    assert found(store, "river") == []
    assert found(store, "lake") == ["docs/a.txt"]
    check_index(store)
    assert database.check() == ""
    assert Migrations("library").applied(database.tables) is not None
    database.close()


def test_failures_are_kept_with_whether_ocr_could_help(store: LibraryStore) -> None:
    store.add_collection("papers", "Papers", "documents", "/papers")
    failures = (Failure(path="a.pdf", reason="scanned", scanned=True),)
    state = FileState(size=1, mtime_ns=1, failed=failures)
    store.put_files("papers", [NewFile(path="/papers/a.pdf", state=state)])
    assert store.collections()[0].failed == failures
    assert store.files("papers")["/papers/a.pdf"].failed == failures
