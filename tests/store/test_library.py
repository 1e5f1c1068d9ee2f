"""LibraryStore: ranking, snippets to the letter, scope, CJK, and an index that follows its documents."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fathom.core.protocols import LibraryIndex
from fathom.core.types import Scope
from fathom.store import library_search
from fathom.store.database import open_database
from fathom.store.library import Failure, FileState, LibraryStore, NewDocument

DOCUMENTS = [
    NewDocument(id="temple", title="Shirley Temple", text="An American actress who was Chief of Protocol."),
    NewDocument(
        id="kiss", title="Kiss and Tell (1945 film)", text="A comedy starring Shirley Temple as Corliss Archer."
    ),
    NewDocument(id="nile", title="Nile", text="A river of Africa. Temples stand on its banks, and more temples."),
]
LINE_3 = Failure(path="docs.jsonl, line 3", reason="it has no text")
DONE = FileState(size=1, mtime_ns=1)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LibraryStore]:
    store = LibraryStore(open_database(tmp_path / "library.db"))
    yield store
    store.database.close()


def fill(store: LibraryStore, documents: list[NewDocument], name: str = "docs", kind: str = "documents") -> None:
    store.add_collection(name, name, kind, f"/{name}")  # type: ignore[arg-type]
    store.put(name, f"/{name}", documents, state=DONE)


def found(store: LibraryStore, query: str, scope: Scope | None = None) -> list[str]:
    return [hit.uri.rpartition("/")[2] for hit in store.search(query, scope or Scope())]


def check_index(store: LibraryStore) -> None:
    store.database.rows("INSERT INTO documents_fts (documents_fts) VALUES ('integrity-check')")


def test_is_a_library_index(store: LibraryStore) -> None:
    index: LibraryIndex = store
    assert index.search("anything", Scope()) == []


def test_title_weighs_more_than_text(store: LibraryStore) -> None:
    fill(store, DOCUMENTS)
    assert found(store, "temple")[0] == "temple"


def test_a_search_holds_while_documents_come_and_go(tmp_path: Path, store: LibraryStore) -> None:
    fill(store, [*DOCUMENTS, NewDocument(id="twin", title="Temple", text="Shirley Temple was a star.")])
    writer = LibraryStore(open_database(tmp_path / "library.db"))

    def come_and_go() -> None:
        for _ in range(150):
            for text in ("Shirley Temple came.", "Shirley Temple went."):
                twice = [NewDocument(id=f"n{n}", title="Temple", text=text) for n in range(3)]
                writer.put("docs", "/docs/new", twice, state=DONE)
            writer.put("docs", "/docs/new", [], state=DONE)

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(come_and_go)
        while not writing.done():
            assert "temple" in found(store, "temple")
            store.near("Who is Shirley Temple?", Scope())
            store.twins("docs")
        writing.result()
    writer.database.close()


@pytest.mark.parametrize("query", ["stars", "COMEDIES", "who starred?", '"corliss archer"', "archer's"])
def test_words_match_by_their_stem(store: LibraryStore, query: str) -> None:
    fill(store, DOCUMENTS)
    assert "kiss" in found(store, query)


def test_quoted_phrase_ranks_documents_that_hold_it_first(store: LibraryStore) -> None:
    apart = NewDocument(id="apart", title="x", text="Tell me of the kiss and of the film. A kiss it was.")
    together = NewDocument(
        id="together", title="y", text="She was in a film of 1945, Kiss and Tell, and in many others too."
    )
    fill(store, [apart, together, *(NewDocument(id=str(n), title="z", text="A bridge.") for n in range(20))])
    assert found(store, "kiss and tell")[0] == "apart"
    assert found(store, '"kiss and tell"')[0] == "together"


@pytest.mark.parametrize(
    ("title", "text", "query"),
    [
        ("서울", "서울은 대한민국의 수도이다.", "대한민국"),
        ("서울", "서울은 대한민국의 수도이다.", "대한민국에서"),
        ("서울", "서울은 대한민국의 수도이다.", "수도는 어디"),
        ("x", "장영실은 조선의 과학자였다.", "장영실"),
        ("北京", "北京是中华人民共和国的首都。", "首都"),
        ("x", "北京是中华人民共和国的首都。", "北京"),
        ("x", "北京是中华人民共和国的首都。", "京"),
        ("x", "東京は日本の首都である。", "日本"),
        ("x", "ｶﾀｶﾅの説明", "カタカナ"),
        ("x", "한글 자모", "한글"),
        ("x", "The 2019 冠状病毒 outbreak", "冠状 outbreak"),
    ],
)
def test_cjk_is_found_with_and_without_particles(store: LibraryStore, title: str, text: str, query: str) -> None:
    fill(store, [NewDocument(id="it", title=title, text=text), NewDocument(id="no", title="Nile", text="A river.")])
    assert found(store, query) == ["it"]


def test_snippet_is_the_documents_own_text(store: LibraryStore) -> None:
    filler = "Nothing is said here about it. " * 60
    text = f"{filler}Later, Shirley Temple was Chief of Protocol of the United States. {filler}"
    fill(store, [NewDocument(id="long", title="Long", text=text)])
    (hit,) = store.search("chief of protocol", Scope())
    assert "Chief of Protocol" in hit.snippet
    assert len(hit.snippet) < 500
    document = store.document(hit.uri)
    assert document is not None
    assert document.text == text
    assert text[hit.start : hit.end] == hit.snippet


def test_scope_chooses_collections(store: LibraryStore) -> None:
    fill(store, [NewDocument(id="s", title="Temple", text="sample")], "sample", "sample")
    fill(store, [NewDocument(id="a", title="Temple", text="first")], "a")
    fill(store, [NewDocument(id="b", title="Temple", text="second")], "b")
    assert sorted(found(store, "temple")) == ["a", "b", "s"]
    assert sorted(found(store, "temple", Scope(sample=False))) == ["a", "b"]
    assert found(store, "temple", Scope(documents=False)) == ["s"]
    assert sorted(found(store, "temple", Scope(collections=("b",)))) == ["b", "s"]
    assert found(store, "temple", Scope(sample=False, documents=False)) == []


def test_same_text_in_two_collections_is_found_once(store: LibraryStore) -> None:
    fill(store, DOCUMENTS, "a")
    fill(store, DOCUMENTS, "b")
    assert found(store, "corliss") == ["kiss"]


def test_pages_of_results_do_not_overlap(store: LibraryStore) -> None:
    fill(store, [NewDocument(id=str(n), title="Temple", text=f"temple number {n}") for n in range(25)])
    pages = [store.search("temple", Scope(), limit=10, offset=offset) for offset in (0, 10, 20, 30)]
    assert [len(page) for page in pages] == [10, 10, 5, 0]
    assert len({hit.uri for page in pages for hit in page}) == 25


def test_common_words_are_dropped_in_a_large_library(store: LibraryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library_search, "LARGE", 40)
    fill(store, [NewDocument(id=str(n), title=f"t{n}", text=f"the river number{n}") for n in range(60)])
    assert found(store, "the number7") == ["7"]
    assert len(store.search("the river", Scope(), limit=60)) == 60


def test_frequencies_follow_a_change_by_another_handle(store: LibraryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library_search, "LARGE", 10)
    fill(store, [NewDocument(id=str(n), title="x", text=f"alpha w{n}") for n in range(5)])
    assert len(found(store, "alpha w1")) == 5
    other = LibraryStore(open_database(store.database.path))
    fill(other, [NewDocument(id=f"o{n}", title="x", text=f"alpha o{n}") for n in range(40)], "more")
    other.database.close()
    assert found(store, "alpha w1") == ["1"]


def test_unchanged_documents_stay_and_missing_ones_go(store: LibraryStore) -> None:
    fill(store, DOCUMENTS)
    rows = dict(store.database.rows("SELECT document_id, id FROM documents"))
    changed = NewDocument(id="nile", title="Nile", text="A river with crocodiles.")
    store.put("docs", "/docs", [DOCUMENTS[0], changed], state=DONE)
    after = dict(store.database.rows("SELECT document_id, id FROM documents"))
    assert after.keys() == {"temple", "nile"}
    assert after["temple"] == rows["temple"]
    assert found(store, "crocodiles") == ["nile"]
    assert found(store, "banks") == []
    assert store.collections()[0].documents == 2
    check_index(store)


def test_long_file_comes_in_several_calls(store: LibraryStore) -> None:
    fill(store, DOCUMENTS)
    store.put("docs", "/docs", DOCUMENTS[:1])
    assert store.files("docs") == {}
    assert store.collections()[0].documents == 3
    store.put("docs", "/docs", DOCUMENTS[1:2], first=False, state=FileState(size=2, mtime_ns=2, failed=(LINE_3,)))
    assert store.collections()[0].documents == 2
    assert store.collections()[0].failed == (LINE_3,)
    assert store.files("docs")["/docs"].size == 2


def test_removed_collection_is_gone_from_the_index(store: LibraryStore) -> None:
    fill(store, DOCUMENTS)
    fill(store, [NewDocument(id="other", title="Temple bell", text="rings")], "other")
    assert store.remove_collection("docs")
    assert not store.remove_collection("docs")
    assert found(store, "temple corliss river") == ["other"]
    assert store.database.rows("SELECT count(*) FROM documents") == [(1,)]
    check_index(store)


def test_index_of_another_version_is_rebuilt(store: LibraryStore) -> None:
    fill(store, DOCUMENTS)
    with store.database.transaction() as connection:
        connection.execute("INSERT INTO documents_fts (documents_fts) VALUES ('delete-all')")
        connection.execute("UPDATE meta SET value = '0' WHERE key = 'terms'")
    assert found(store, "corliss") == []
    again = LibraryStore(open_database(store.database.path))
    assert found(again, "corliss") == ["kiss"]
    again.database.close()


@pytest.mark.parametrize("document_id", ["a b/c.txt", "한국어/문서.md", "50%", "#1?", "../x", "", 'q"uote'])
def test_any_id_makes_an_address_that_opens_it(store: LibraryStore, document_id: str) -> None:
    fill(store, [NewDocument(id=document_id, title="t", text="temple")], "my docs")
    (hit,) = store.search("temple", Scope())
    assert hit.uri.isascii()
    assert " " not in hit.uri
    document = store.document(hit.uri)
    assert document is not None
    assert document.text == "temple"


@pytest.mark.parametrize("uri", ["", "library://", "library://docs", "library://docs/none", "https://docs/temple"])
def test_unknown_address_is_none(store: LibraryStore, uri: str) -> None:
    fill(store, DOCUMENTS)
    assert store.document(uri) is None


@given(query=st.text(max_size=60))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_query_breaks_the_search(store: LibraryStore, query: str) -> None:
    if not store.collections():
        fill(store, DOCUMENTS)
    for hit in store.search(query, Scope()):
        document = store.document(hit.uri)
        assert document is not None
        assert document.text[hit.start : hit.end] == hit.snippet


def test_searches_go_on_in_other_threads_while_another_handle_writes(store: LibraryStore) -> None:
    fill(store, DOCUMENTS)
    results: list[list[str]] = []
    problems: list[BaseException] = []

    def search() -> None:
        try:
            results.extend(found(store, "corliss archer") for _ in range(30))
        except BaseException as error:
            problems.append(error)

    threads = [threading.Thread(target=search) for _ in range(3)]
    for thread in threads:
        thread.start()
    writer = LibraryStore(open_database(store.database.path))
    for number in range(10):
        fill(writer, [NewDocument(id=str(number), title="x", text=f"note {number}")], f"c{number}")
    writer.database.close()
    for thread in threads:
        thread.join()
    assert not problems
    assert results == [["kiss"]] * 90
