"""LibraryService: folders and files are added off the loop, broken ones listed, unchanged ones skipped."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest

from fathom.core.errors import LibraryError, ToolError
from fathom.core.protocols import Document
from fathom.core.settings import resource_path
from fathom.core.types import Scope
from fathom.services.library_service import IndexProgress, LibraryService
from fathom.store.database import open_database
from fathom.store.library import Collection, Failure, LibraryStore

MINE = Scope(sample=False)


class TagStripper:
    """A parser for these tests: takes the text between tags; refuses what says that it is broken."""

    def __init__(self) -> None:
        self.parsed: list[str] = []

    async def parse(self, data: bytes, kind: Literal["html", "pdf", "text"], url: str = "") -> Document:
        self.parsed.append(url.rpartition("/")[2])
        text = data.decode("euc-kr" if kind == "text" else "utf-8")
        if "broken" in text:
            raise ToolError(f"the {kind} is encrypted")
        return Document(uri=url, title="A page" if kind == "html" else "", text=text.replace("<p>", ""))


@pytest.fixture
def parser() -> TagStripper:
    return TagStripper()


@pytest.fixture
def service(tmp_path: Path, parser: TagStripper) -> Iterator[LibraryService]:
    store = LibraryStore(open_database(tmp_path / "data" / "library.db"))
    yield LibraryService(store, parser)
    store.database.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "My Notes"
    (folder / "deep").mkdir(parents=True)
    (folder / "a.txt").write_text("Crocodiles live in the Nile.")
    (folder / "deep" / "b.md").write_text("# Rivers\nThe Amazon has dolphins.")
    (folder / "c.html").write_text("<p>Hippos sleep.")
    (folder / "d.pdf").write_text("broken")
    (folder / "e.txt").write_bytes("서울은 수도이다".encode("euc-kr"))
    (folder / "empty.txt").write_text(" \n")
    return folder


def add(service: LibraryService, path: Path, told: list[IndexProgress] | None = None) -> Collection:
    return asyncio.run(service.add(path, told.append if told is not None else None))


def titles(service: LibraryService, query: str) -> list[str]:
    return [hit.title for hit in service.search(query, MINE)]


def test_folder_is_indexed_and_broken_files_are_listed(service: LibraryService, folder: Path) -> None:
    collection = add(service, folder)
    assert (collection.name, collection.label, collection.documents) == ("my-notes", "My Notes", 4)
    assert collection.failed == (
        Failure(path="d.pdf", reason="the pdf is encrypted"),
        Failure(path="empty.txt", reason="there is no text in it"),
    )
    assert titles(service, "crocodile") == ["a"]
    assert titles(service, "dolphins") == ["Rivers"]
    assert titles(service, "hippo") == ["A page"]
    assert titles(service, "서울") == ["e"]
    document = service.document("library://my-notes/deep/b.md")
    assert document is not None
    assert document.path == str(folder / "deep" / "b.md")


def test_only_what_changed_is_read_again(service: LibraryService, folder: Path, parser: TagStripper) -> None:
    add(service, folder)
    assert sorted(parser.parsed) == ["c.html", "d.pdf", "e.txt"]
    parser.parsed.clear()
    (folder / "a.txt").write_text("Herons live at the Nile.")
    (folder / "deep" / "b.md").unlink()
    (folder / "new.txt").write_text("Ibises too.")
    told: list[IndexProgress] = []
    collection = add(service, folder, told)
    assert parser.parsed == []
    assert told[-1].unchanged == 4
    assert collection.documents == 4
    assert len(collection.failed) == 2
    assert titles(service, "crocodiles") == titles(service, "dolphins") == []
    assert titles(service, "herons") == ["a"]
    assert titles(service, "ibises") == ["new"]


def test_progress_reaches_its_end(service: LibraryService, folder: Path) -> None:
    told: list[IndexProgress] = []
    add(service, folder, told)
    done = [one.done for one in told]
    assert done == sorted(done)
    assert told[-1].done == told[-1].total == sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    assert (told[-1].documents, told[-1].failed) == (4, 2)


def write_jsonl(path: Path, count: int, word: str = "river") -> Path:
    rows = [json.dumps({"id": f"d{n}", "title": f"T{n}", "text": f"{word} {n}"}) for n in range(count)]
    path.write_text("\n".join([*rows, "broken"]))
    return path


def test_jsonl_is_indexed_with_its_broken_line_listed(service: LibraryService, tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "corpus.jsonl", 1200)
    collection = add(service, path)
    assert collection.documents == 1200
    assert len(collection.failed) == 1
    assert collection.failed[0].path == "corpus.jsonl, line 1201"
    assert titles(service, "river 7")[0] == "T7"
    told: list[IndexProgress] = []
    add(service, path, told)
    assert (told[-1].unchanged, told[-1].documents) == (1, 0)
    write_jsonl(path, 600, "lake")
    os.utime(path, ns=(1, 1))
    assert add(service, path).documents == 600
    assert titles(service, "river") == []


def test_event_loop_stays_free_and_cancelling_keeps_what_is_indexed(service: LibraryService, tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "corpus.jsonl", 3000)

    async def main() -> int:
        begun = asyncio.Event()

        def report(progress: IndexProgress) -> None:
            if progress.documents:
                begun.set()

        adding = asyncio.create_task(service.add(path, report))
        await begun.wait()
        assert service.search("river", MINE)  # answered while it indexes
        adding.cancel()
        with pytest.raises(asyncio.CancelledError):
            await adding
        return service.collections()[0].documents

    kept = asyncio.run(main())
    assert 0 < kept < 3000
    assert add(service, path).documents == 3000


def test_closing_ends_an_add(service: LibraryService, tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "corpus.jsonl", 3000)

    async def main() -> None:
        begun = asyncio.Event()
        adding = asyncio.create_task(service.add(path, lambda _: begun.set()))
        await begun.wait()
        await service.close()
        with pytest.raises(asyncio.CancelledError):
            await adding

    asyncio.run(main())


def test_two_adds_at_once_take_turns(service: LibraryService, folder: Path, tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "corpus.jsonl", 50)

    async def main() -> list[Collection]:
        return await asyncio.gather(service.add(folder), service.add(path))

    assert [one.documents for one in asyncio.run(main())] == [4, 50]


def test_two_folders_of_one_name_are_two_collections(service: LibraryService, tmp_path: Path) -> None:
    for parent in ("x", "y", "sample"):
        place = tmp_path / parent / "sample"
        place.mkdir(parents=True)
        (place / "a.txt").write_text(f"river {parent}")
    names = [add(service, tmp_path / parent / "sample").name for parent in ("x", "y", "x")]
    assert names == ["sample-2", "sample-3", "sample-2"]


@pytest.mark.parametrize("content", [{}, {"x.png": "x"}, {"x.txt": ""}, {"x.pdf": "broken"}])
def test_folder_with_nothing_usable_is_refused(
    service: LibraryService, tmp_path: Path, content: dict[str, str]
) -> None:
    place = tmp_path / "place"
    place.mkdir()
    for name, text in content.items():
        (place / name).write_text(text)
    with pytest.raises(LibraryError, match="nothing in place") as caught:
        add(service, place)
    assert caught.value.remedy == "add_folder"
    assert service.collections() == []


def test_missing_path_is_told(service: LibraryService, tmp_path: Path) -> None:
    with pytest.raises(LibraryError, match="cannot be read") as caught:
        add(service, tmp_path / "nowhere")
    assert "does not exist" in caught.value.has


def test_removed_collection_is_no_longer_found(service: LibraryService, folder: Path) -> None:
    add(service, folder)
    assert asyncio.run(service.remove("my-notes"))
    assert not asyncio.run(service.remove("my-notes"))
    assert titles(service, "crocodile") == []
    assert (folder / "a.txt").exists()


def test_without_a_parser_text_is_still_read(tmp_path: Path, folder: Path) -> None:
    service = LibraryService(LibraryStore(open_database(tmp_path / "library.db")))
    collection = add(service, folder)
    assert collection.documents == 2
    assert Failure(path="c.html", reason="it needs the parser, which is not available") in collection.failed
    asyncio.run(service.close())


# --- the sample library -------------------------------------------------------------------------------------------


def test_sample_library_is_indexed_once(service: LibraryService) -> None:
    collection = asyncio.run(service.ensure_sample())
    assert (collection.name, collection.kind, collection.failed) == ("sample", "sample", ())
    assert collection.documents == 1500
    assert asyncio.run(service.ensure_sample()) == collection


def test_examples_can_be_answered_from_the_sample(service: LibraryService) -> None:
    asyncio.run(service.ensure_sample())
    examples = json.loads(resource_path("library", "examples.json").read_text())
    assert len(examples) == 3
    assert examples[0]["question"].startswith("What government position was held by the woman who portrayed Corliss")
    for example in examples:
        first, second = (service.document(uri) for uri in example["documents"])
        assert first is not None
        assert second is not None
        assert service.search(example["question"], Scope())[0].uri == first.uri
        assert any(answer in second.text for answer in example["answers"])
        named_in_first = service.search(second.title, Scope(), limit=3)
        assert second.uri in [hit.uri for hit in named_in_first]


def test_sample_is_small_clean_and_licensed() -> None:
    path = resource_path("library", "sample.jsonl")
    assert path.stat().st_size <= 2_000_000
    text = path.read_text(encoding="utf-8")
    assert "&quot;" not in text
    assert "&amp;" not in text
    licence = resource_path("library", "LICENSE.md").read_text(encoding="utf-8")
    for name in ("HotpotQA", "CC BY-SA 4.0", "Wikipedia", "2WikiMultihopQA", "Apache-2.0"):
        assert name in licence
