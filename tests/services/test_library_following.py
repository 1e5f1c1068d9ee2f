"""LibraryService: single files, changes in folders, scans, broken files, missing folders, removal and its undoing."""

from __future__ import annotations

import asyncio
import shutil
import stat
import time
import unicodedata
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from pdf_samples import pdf, scan

from fathom.core.errors import LibraryError
from fathom.core.types import Scope
from fathom.services import library_service, library_watch
from fathom.services.library_service import IndexProgress, LibraryService, advice
from fathom.store.database import open_database
from fathom.store.library import LibraryStore
from fathom.workers.ocr import OcrReader
from fathom.workers.parser import ParserClient

TESSERACT = shutil.which("tesseract")
needs_tesseract = pytest.mark.skipif(TESSERACT is None, reason="tesseract is not installed")


@asynccontextmanager
async def opened(tmp_path: Path, ocr: OcrReader | None = None) -> AsyncGenerator[LibraryService, None]:
    parser = ParserClient()
    service = LibraryService(LibraryStore(open_database(tmp_path / "data" / "library.db")), parser, ocr)
    try:
        yield service
    finally:
        await service.close()
        await parser.close()


async def until(seen: Callable[[], object], timeout_s: float = 30.0) -> None:
    end = time.monotonic() + timeout_s
    while not seen():
        assert time.monotonic() < end, "it did not happen in time"
        await asyncio.sleep(0.02)


def titles(service: LibraryService, query: str) -> list[str]:
    return [hit.title for hit in service.search(query, Scope(sample=False))]


def folder_of(tmp_path: Path, **files: str) -> Path:
    folder = tmp_path / "notes"
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / f"{name}.txt").write_text(text)
    return folder


# --- single files -------------------------------------------------------------------------------------------------


def test_single_files_share_a_collection_and_names_that_are_alike_do_not_clash(tmp_path: Path) -> None:
    for place in ("x", "y"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "note.txt").write_text(f"River {place}")

    async def main() -> None:
        async with opened(tmp_path) as service:
            paths = [tmp_path / "x" / "note.txt", tmp_path / "y" / "note.txt", tmp_path / "none.txt", tmp_path]
            collection = await service.add_files(paths)
            assert (collection.name, collection.kind, collection.documents) == ("files", "files", 2)
            uris = [entry.uri for entry in await service.entries("files")]
            assert uris == ["library://files/note%20%282%29.txt", "library://files/note.txt"]
            assert (await service.add_files(paths[:1])).documents == 2
            (tmp_path / "x" / "note.txt").write_text("Lake x, and more")
            assert (await service.refresh("files")).documents == 2
            assert titles(service, "lake") == ["note"]
            await service.remove_file("files", str(tmp_path / "y" / "note.txt"))
            assert [entry.path for entry in await service.entries("files")] == [str(tmp_path / "x" / "note.txt")]
            (tmp_path / "x" / "note.txt").unlink()
            await service.refresh("files")
            assert titles(service, "lake") == ["note"]  # what was read of a file that is gone stays

    asyncio.run(main())


def test_files_that_cannot_be_read_at_all_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(b"nothing")

    async def main() -> None:
        async with opened(tmp_path) as service:
            with pytest.raises(LibraryError, match=r"nothing in a\.pdf"):
                await service.add_files([tmp_path / "a.pdf"])
            with pytest.raises(LibraryError, match="these files"):
                await service.add_files([tmp_path / "b.xyz", tmp_path / "c.xyz"])
            assert service.collections() == []

    asyncio.run(main())


# --- following changes --------------------------------------------------------------------------------------------


def test_where_the_system_cannot_watch_it_says_so_looks_anyway_and_tries_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = folder_of(tmp_path, a="Crocodiles")
    watch = library_watch.watchfiles.watch
    full = True

    def watch_or_fail(*paths: Path, **options: Any) -> Iterator[Any]:
        if full:
            raise OSError("OS file watch limit reached.")
        return watch(*paths, **options)

    monkeypatch.setattr(library_watch.watchfiles, "watch", watch_or_fail)
    monkeypatch.setattr(library_service, "LOOK_EVERY_S", 0.05)

    async def main() -> None:
        nonlocal full
        async with opened(tmp_path) as service:
            await service.add(folder)
            service.start_following()
            await until(lambda: service._watch_problem)
            assert (await service.overview()).watch_problem == "OS file watch limit reached."
            (folder / "b.txt").write_text("Herons")
            monkeypatch.setattr(library_service, "LOOK_WITHOUT_WATCH_S", 0.1)
            await until(lambda: titles(service, "herons"))
            full = False
            await asyncio.sleep(0.5)  # several tries later
            await until(lambda: not service._watch_problem)
            monkeypatch.setattr(library_service, "LOOK_EVERY_S", 600.0)  # now only the watch can tell
            await asyncio.sleep(0.2)
            (folder / "c.txt").write_text("Ibises")
            await until(lambda: titles(service, "ibises"))

    asyncio.run(main())


def test_new_changed_and_removed_files_are_followed_by_themselves(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, a="Crocodiles", b="Herons")

    async def main() -> None:
        async with opened(tmp_path) as service:
            await service.add(folder)
            (folder / "c.txt").write_text("Ibises")  # before it is followed: found at the start
            service.start_following()
            await until(lambda: titles(service, "ibises"))
            await until(lambda: service._watch is not None and service._watch.paths == {folder})
            (folder / "a.txt").write_text("Hippos now")
            await until(lambda: titles(service, "hippos"))
            (folder / "b.txt").unlink()
            await until(lambda: not titles(service, "herons"))
            (folder / "deep" / "er").mkdir(parents=True)
            (folder / "deep" / "er" / "d.md").write_text("# Storks\nThey clatter.")
            await until(lambda: titles(service, "storks"))
            assert [one.path for one in await service.folders("notes")] == ["deep", "deep/er"]
            shutil.rmtree(folder / "deep")
            await until(lambda: not titles(service, "storks"))
            assert titles(service, "crocodiles") == []
            assert service.collections()[0].documents == 2

    asyncio.run(main())


def test_changes_are_looked_at_alone(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, **{f"n{n}": f"note {n}" for n in range(30)})

    async def main() -> None:
        async with opened(tmp_path) as service:
            await service.add(folder)
            told: list[IndexProgress] = []
            service.subscribe(lambda progress: told.append(progress) if progress is not None else None)
            (folder / "n3.txt").write_text("Cranes have come")
            (folder / "n4.txt").unlink()
            (folder / ".hidden.txt").write_text("Cranes hide")
            changed = [folder / name for name in ("n3.txt", "n4.txt", ".hidden.txt", "x.png")]
            collection = await service.refresh("notes", changed=changed)
            assert collection.documents == 29
            assert titles(service, "cranes") == ["n3"]
            assert max(progress.files for progress in told) == 1

    asyncio.run(main())


def test_missing_folder_keeps_its_documents_and_is_told(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, a="Crocodiles")

    async def main() -> None:
        async with opened(tmp_path) as service:
            await service.add(folder)
            folder.rename(tmp_path / "elsewhere")
            assert (await service.overview()).missing == {"notes"}
            with pytest.raises(LibraryError, match="cannot be read"):
                await service.refresh("notes")
            assert titles(service, "crocodiles") == ["a"]
            (tmp_path / "elsewhere").rename(folder)
            assert (await service.overview()).missing == frozenset()

    asyncio.run(main())


def test_progress_is_published_and_a_job_can_be_cancelled_by_name(tmp_path: Path) -> None:
    lines = "\n".join(f'{{"id": "{n}", "text": "river {n}"}}' for n in range(20_000))
    path = tmp_path / "corpus.jsonl"
    path.write_text(lines)

    async def main() -> None:
        async with opened(tmp_path) as service:
            begun = asyncio.Event()
            states: list[str] = []

            def heard(progress: IndexProgress | None) -> None:
                if progress is not None:
                    states.append(progress.state)
                    if progress.documents:
                        begun.set()

            end = service.subscribe(heard)
            adding = asyncio.create_task(service.add(path))
            await begun.wait()
            assert [one.collection for one in (await service.overview()).running] == ["corpus"]
            assert service.cancel("corpus")
            with pytest.raises(asyncio.CancelledError):
                await adding
            assert not service.cancel("corpus")
            (collection,) = service.collections()
            assert 0 < collection.documents < 20_000
            assert collection.indexed == ""
            end()
            assert states[:2] == ["waiting", "looking"]
            collection = await service.refresh("corpus")
            assert (collection.documents, bool(collection.indexed)) == (20_000, True)

    asyncio.run(main())


# --- removing -----------------------------------------------------------------------------------------------------


def test_removal_can_be_undone_and_is_finished_at_the_next_start(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, a="Crocodiles")

    async def main() -> None:
        async with opened(tmp_path) as service:
            await service.add(folder)
            await service.hide("notes")
            assert service.collections() == []
            assert titles(service, "crocodiles") == []
            await service.restore("notes")
            assert titles(service, "crocodiles") == ["a"]
            await service.hide("notes")
        async with opened(tmp_path) as service:
            service.start_following()
            await until(lambda: service._store.hidden_collections() == [])
            assert service._store.database.rows("SELECT count(*) FROM documents") == [(0,)]
        assert (folder / "a.txt").exists()

    asyncio.run(main())


def test_adding_a_hidden_folder_again_brings_it_back(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, a="Crocodiles")

    async def main() -> None:
        async with opened(tmp_path) as service:
            await service.add(folder)
            await service.hide("notes")
            assert (await service.add(folder)).documents == 1
            assert [one.label for one in service.collections()] == ["notes"]

    asyncio.run(main())


# --- formats ------------------------------------------------------------------------------------------------------


def test_pdf_is_found_and_broken_ones_say_what_to_do(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    doi = "https://doi.org/10.1016/j.demo.2024.01234."
    (folder / "a.pdf").write_bytes(pdf([f"Crocodiles of the Nile\n{doi}", "Second page"], title="Nile", author="Kim"))
    (folder / "b.pdf").write_bytes(b"%PDF-1.4 broken")

    async def main() -> None:
        async with opened(tmp_path) as service:
            collection = await service.add(folder)
            assert titles(service, "crocodiles") == ["Nile"]
            document = service.document("library://notes/a.pdf")
            assert document is not None
            assert document.doi == "10.1016/j.demo.2024.01234"
            (failure,) = collection.failed
            assert failure.path == "b.pdf"
            assert "save it again" in advice(failure)

    asyncio.run(main())


def test_decomposed_korean_is_found_and_stored_composed(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    name = unicodedata.normalize("NFD", "서울 기록.txt")
    (folder / name).write_text(unicodedata.normalize("NFD", "측우기는 비의 양을 잰다."))

    async def main() -> None:
        async with opened(tmp_path) as service:
            await service.add(folder)
            (hit,) = service.search("측우기", Scope())
            assert (hit.title, hit.snippet) == ("서울 기록", "측우기는 비의 양을 잰다.")

    asyncio.run(main())


# --- scans --------------------------------------------------------------------------------------------------------


def test_scan_without_ocr_says_what_it_needs_and_is_read_once_ocr_is_there(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, a="Crocodiles")
    (folder / "scan.pdf").write_bytes(scan(["Tapirs swim"]))
    program = program_that(tmp_path, 'cat > /dev/null; echo "Tapirs swim well"')

    async def main() -> None:
        async with opened(tmp_path) as service:
            collection = await service.add(folder)
            (failure,) = collection.failed
            assert failure.scanned
            assert "needs OCR" in failure.reason
            assert "apt install tesseract-ocr" in advice(failure)
        async with opened(tmp_path, OcrReader(str(program))) as service:
            collection = await service.refresh("notes")
            assert collection.failed == ()
            assert titles(service, "tapirs") == ["scan"]

    asyncio.run(main())


def program_that(tmp_path: Path, does: str) -> Path:
    """A program that is called like tesseract and does something else."""
    path = tmp_path / "tesseract-like"
    path.write_text(f'#!/bin/sh\nif [ "$1" = --list-langs ]; then echo "List:"; echo eng; exit; fi\n{does}\n')
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@needs_tesseract
def test_scan_is_read_page_by_page_by_tesseract(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    (folder / "scan.pdf").write_bytes(scan(["Crocodiles of the Nile", "Herons of the Danube"]))

    async def main() -> None:
        async with opened(tmp_path, OcrReader()) as service:
            told: list[IndexProgress] = []
            await service.add(folder, told.append)
            assert "scan.pdf, OCR: page 2 of 2" in [progress.current for progress in told]
            (hit,) = service.search("herons danube", Scope())
            document = service.document(hit.uri)
            assert document is not None
            assert len(document.pages) == 2
            assert document.page_at(document.text.index("Danube")) == 2

    asyncio.run(main())


def test_ocr_that_hangs_or_fails_is_a_broken_file_no_more(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, a="Crocodiles")
    (folder / "scan.pdf").write_bytes(scan(["Tapirs"]))

    async def main(does: str, seconds: float) -> str:
        program = program_that(tmp_path, does)
        async with opened(tmp_path, OcrReader(str(program), seconds)) as service:
            collection = await service.add(folder)
            assert collection.documents == 1
            (failure,) = collection.failed
            assert advice(failure) == "Scan it again with more contrast."
            return failure.reason

    assert "longer than 0.5 s" in asyncio.run(main("sleep 60", 0.5))
    shutil.rmtree(tmp_path / "data")
    assert "CalledProcessError" in asyncio.run(main("cat > /dev/null; exit 3", 20.0))


def test_cancelling_an_ocr_ends_it(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, a="Crocodiles")
    (folder / "scan.pdf").write_bytes(scan(["Tapirs"]))
    running = tmp_path / "running"
    program = program_that(tmp_path, f"echo $$ > {running}; exec sleep 60")

    async def main() -> None:
        async with opened(tmp_path, OcrReader(str(program))) as service:
            adding = asyncio.create_task(service.add(folder))
            await until(lambda: running.exists() and running.read_text().strip())
            adding.cancel()
            with pytest.raises(asyncio.CancelledError):
                await adding
            pid = int(running.read_text())
            await until(lambda: not alive(pid))

    asyncio.run(main())


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
