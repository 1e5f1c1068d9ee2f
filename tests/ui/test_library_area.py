"""The Library area on real services: adding, finding, opening at the passage, problems, removal, keyboard, names."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PySide6.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from PySide6.QtGui import QDragEnterEvent, QDropEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QAbstractButton, QApplication, QLineEdit
from pytestqt.qtbot import QtBot
from workbench import Workbench, run_qt, until

from fathom.core.errors import LibraryError
from fathom.ui import theme
from fathom.ui.bridge import Bridge, Tasks
from fathom.ui.library import words
from fathom.ui.library.area import LibraryArea
from fathom.ui.library.collection_page import PROBLEMS, TWINS
from fathom.ui.library.rows import PAGE, ROW, Row, one_paragraph
from fathom.ui.widgets.banner import Banner
from fathom.ui.widgets.labels import Label

Work = Callable[[LibraryArea, Workbench], Awaitable[None]]


@pytest.fixture
def drive(qapp: QApplication, qtbot: QtBot, tmp_path: Path) -> Callable[[Work], None]:
    """Runs a test's steps on an area that is shown, attached and has the sample library."""

    def run(work: Work) -> None:
        async def main() -> None:
            theme.apply(qapp, "light")
            bench = Workbench(tmp_path / "home")
            await bench.services.library.ensure_sample()
            bridge, tasks = Bridge(), Tasks()
            bridge.attach(bench.services)
            area = LibraryArea(bridge, tasks)
            qtbot.addWidget(area)
            area.resize(1200, 772)
            area.show()
            area.attach(bench.services)
            await until(lambda: area.list.model.rowCount() == 1)
            try:
                await work(area, bench)
            finally:
                area.close_down()
                await tasks.close()
                bridge.detach()
                await bench.services.close()

        run_qt(qapp, main())

    return run


def notes(tmp_path: Path, **files: str) -> Path:
    folder = tmp_path / "My Notes"
    (folder / "deep").mkdir(parents=True)
    for name, text in files.items():
        (folder / f"{name.replace('__', '/')}.txt").write_text(text)
    return folder


def shown(area: LibraryArea) -> list[str]:
    rows = area.page.list.rows
    return [rows.row(at).title for at in range(rows.rowCount())]


async def add_and_look_through(area: LibraryArea, folder: Path) -> None:
    """Add "My Notes" with its one document; "Look again" is there once this first look has ended."""
    area.add([folder])
    await until(lambda: shown(area) == ["a"] and area.list.model.progress("my-notes") is None)


def key(widget: Any, which: Qt.Key) -> None:
    QTest.keyClick(widget, which)


def said(area: LibraryArea) -> str:
    return area.toast.accessibleName()


def test_without_own_documents_it_says_how_to_add_some(drive: Callable[[Work], None]) -> None:
    async def work(area: LibraryArea, _bench: Workbench) -> None:
        assert area.stack.currentWidget() is area.welcome
        assert "HWPX" in area.welcome.text.text()
        area.welcome.sample.click()
        await until(lambda: area.page.list.rows.rowCount() == 1500)
        assert area.page.title.text() == "Sample library"
        assert not area.page.again.isVisible()
        assert area.page.foot.text() == "1,500 documents"

    drive(work)


def test_dropped_folder_is_indexed_and_listed(drive: Callable[[Work], None], tmp_path: Path) -> None:
    folder = notes(tmp_path, a="Crocodiles live in the Nile.", deep__b="Herons too.")

    async def work(area: LibraryArea, _bench: Workbench) -> None:
        mime = QMimeData()
        mime.setUrls([QUrl.fromLocalFile(str(folder)), QUrl("https://example.org/")])
        buttons, none = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
        enter = QDragEnterEvent(QPoint(9, 9), Qt.DropAction.CopyAction, mime, buttons, none)
        area.dragEnterEvent(enter)
        assert enter.isAccepted()
        assert area.sheet.isVisible()
        area.dropEvent(QDropEvent(QPointF(9, 9), Qt.DropAction.CopyAction, mime, buttons, none))
        assert not area.sheet.isVisible()
        await until(lambda: shown(area) == ["a", "b"])
        assert said(area) == "My Notes: 2 documents can be searched"
        assert area.list.current == "my-notes"
        assert area.page.state.text().startswith("Up to date  ·  2 documents  ·  Looked through today")
        area.page._choose_folder("deep")
        await until(lambda: shown(area) == ["b"])

    drive(work)


def test_search_is_live_and_opens_the_passage_with_its_matches(drive: Callable[[Work], None], tmp_path: Path) -> None:
    long = (
        "Nothing is said here. " * 400
        + "Crocodiles live in the Nile. "
        + "Nothing more. " * 2000
        + "A crocodile again."
    )
    folder = notes(tmp_path, a=long, deep__b="Herons too.")

    async def work(area: LibraryArea, _bench: Workbench) -> None:
        area.add([folder])
        await until(lambda: shown(area) == ["a", "b"])
        area.page.focus_search()
        QTest.keyClicks(area.page.field, "crocodile")
        await until(lambda: area.page.foot.text() == "1 result, best first")
        row = area.page.list.rows.row(0)
        assert row.second == "a.txt"
        assert [row.text[start:end] for start, end in row.places] == ["Crocodiles"]
        key(area.page.field, Qt.Key.Key_Down)
        await until(lambda: area.passage.uri == "library://my-notes/a.txt")
        view = area.passage.view
        assert area.passage.place.text() == "Match 1 of 2"
        assert len(view.text()) < len(long)
        assert len(view.marks()) == 1
        assert area.passage.before.isVisible() and area.passage.after.isVisible()
        area.passage.next.click()
        assert area.passage.place.text() == "Match 2 of 2"
        assert view.textCursor().selectedText() == "" and view.text().endswith("A crocodile again.")
        assert not area.passage.after.isVisible()
        area.passage.before.click()
        assert view.text() == long
        key(area.page.list, Qt.Key.Key_Up)  # from the first row back to the search
        key(area.page.field, Qt.Key.Key_Escape)
        await until(lambda: shown(area) == ["a", "b"])
        area.passage.close_button.click()
        assert area.passage.uri == ""
        QTest.keyClicks(area.page.field, "zebra")
        await until(lambda: area.page.under.currentWidget() is area.page.nothing)
        assert area.page.nothing.title == "Nothing about “zebra”"

    drive(work)


def test_problems_and_duplicates_have_lists_of_their_own(drive: Callable[[Work], None], tmp_path: Path) -> None:
    folder = notes(tmp_path, a="Crocodiles.", deep__copy="Crocodiles.", empty=" ")

    async def work(area: LibraryArea, _bench: Workbench) -> None:
        area.add([folder])
        # The folder's lists fill while it is read, in no set order; the end is told once.
        await until(lambda: said(area) == "My Notes: 2 documents can be searched; 1 file could not be read")
        await until(lambda: area.page.tabs.tabText(TWINS) == "Duplicates (1)")
        await until(lambda: area.page.tabs.tabText(PROBLEMS) == "Not read (1)")
        area.toast._action.click()  # Show
        await until(lambda: shown(area) == ["empty.txt"])
        row = area.page.list.rows.row(0)
        assert row.text == "There is no text in it."
        assert row.remedy.startswith("Nothing to do")
        (folder / "empty.txt").write_text("Not any more.")
        assert area.page.retry.isVisible()
        area.page.retry.click()
        await until(lambda: area.page.under.currentWidget() is area.page.nothing)
        assert area.page.nothing.title == "Everything could be read"
        area.page.tabs.setCurrentIndex(TWINS)
        await until(lambda: shown(area) == ["a"])
        assert area.page.list.rows.row(0).text == "a.txt\ndeep/copy.txt"

    drive(work)


def test_what_is_added_does_not_take_away_what_is_read(drive: Callable[[Work], None], tmp_path: Path) -> None:
    mine = notes(tmp_path, a="Crocodiles live in the Nile.")
    other = tmp_path / "Other"
    other.mkdir()
    (other / "heron.txt").write_text("Herons too.")
    (other / "empty.txt").write_text(" ")

    async def work(area: LibraryArea, _bench: Workbench) -> None:
        area.add([mine])
        await until(lambda: shown(area) == ["a"])
        area.page.focus_search()
        key(area.page.field, Qt.Key.Key_Down)  # to the first document, which opens
        await until(lambda: area.passage.uri == "library://my-notes/a.txt")
        area.add([other])
        await until(lambda: said(area) == "Other: 1 document can be searched; 1 file could not be read")
        assert area.passage.uri == "library://my-notes/a.txt"
        assert area.list.current == "my-notes"
        area.toast._action.click()  # Show
        await until(lambda: shown(area) == ["empty.txt"])
        assert area.list.current == "other"

    drive(work)


def test_a_folder_that_cannot_be_watched_says_so(
    drive: Callable[[Work], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = notes(tmp_path, a="Crocodiles.")

    def full(*_paths: Path, **_options: object) -> None:
        raise OSError("OS file watch limit reached.")

    monkeypatch.setattr("fathom.services.library_watch.watchfiles.watch", full)

    async def work(area: LibraryArea, bench: Workbench) -> None:
        area.add([folder])
        await until(lambda: shown(area) == ["a"])
        assert not area.page.banner.isVisible()
        bench.services.library.start_following()
        await until(lambda: area.page.banner.isVisible())
        assert area.page.banner.accessibleDescription().startswith(
            "New and changed files are noticed every ten minutes"
        )
        area.show_collection("sample")
        assert not area.page.banner.isVisible()

    drive(work)


def test_removed_collection_comes_back_with_undo_and_goes_without(
    drive: Callable[[Work], None], tmp_path: Path
) -> None:
    folder = notes(tmp_path, a="Crocodiles.")

    async def work(area: LibraryArea, bench: Workbench) -> None:
        area.add([folder])
        await until(lambda: shown(area) == ["a"])
        key(area.list.view, Qt.Key.Key_Delete)
        await until(lambda: said(area).startswith("My Notes removed"))
        await until(lambda: area.list.model.rowCount() == 1)
        assert area.stack.currentWidget() is area.welcome
        area.toast._action.click()
        await until(lambda: area.list.model.rowCount() == 2 and shown(area) == ["a"])
        area.remove("my-notes")
        await until(lambda: area.list.model.rowCount() == 1)
        area.toast.dismiss()
        await until(lambda: bench.services.library._store.hidden_collections() == [])
        area.remove("sample")
        assert area.list.model.rowCount() == 1
        assert (folder / "a.txt").exists()

    drive(work)


def test_folder_that_is_not_there_is_told_with_a_way_out(drive: Callable[[Work], None], tmp_path: Path) -> None:
    folder = notes(tmp_path, a="Crocodiles.")

    async def work(area: LibraryArea, bench: Workbench) -> None:
        await add_and_look_through(area, folder)
        shutil.move(folder, tmp_path / "away")
        area.look_again("my-notes")
        await until(lambda: area.page.banner.isVisible())
        text = " ".join(label.text() for label in area.page.banner.findChildren(Label))
        assert "This folder is not there now." in text
        assert "can still be searched" in text
        index = area.list.model.index(1)
        assert "Folder not found" in index.data(Qt.ItemDataRole.AccessibleTextRole)
        shutil.move(tmp_path / "away", folder)
        area.look_again("my-notes")
        await until(lambda: not area.page.banner.isVisible())
        assert bench.services.library.collections()[1].documents == 1

    drive(work)


def test_an_older_look_that_failed_does_not_speak_over_a_newer_one(
    drive: Callable[[Work], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = notes(tmp_path, a="Crocodiles.")

    async def work(area: LibraryArea, bench: Workbench) -> None:
        library = bench.services.library
        overview = library.overview
        await add_and_look_through(area, folder)
        held, late = asyncio.Event(), asyncio.Event()

        async def slow() -> object:
            if not held.is_set():  # the look that failed asks what there is, and hears of it late
                held.set()
                await late.wait()
            return await overview()

        shutil.move(folder, tmp_path / "away")
        refresh = library.refresh

        async def fail(name: str, *, again: bool = False) -> object:
            try:
                return await refresh(name, again=again)
            except LibraryError:
                monkeypatch.setattr(library, "overview", slow)
                raise

        monkeypatch.setattr(library, "refresh", fail)
        area.look_again("my-notes")
        await held.wait()
        await until(lambda: area.page.banner.isVisible())
        monkeypatch.setattr(library, "overview", overview)
        monkeypatch.setattr(library, "refresh", refresh)
        shutil.move(tmp_path / "away", folder)
        area.look_again("my-notes")
        late.set()
        await until(lambda: not area.page.banner.isVisible())
        await asyncio.sleep(0.3)
        assert not area.page.banner.isVisible()

    drive(work)


def test_an_error_of_a_look_stays_until_the_next_one(
    drive: Callable[[Work], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = notes(tmp_path, a="Crocodiles.")

    async def work(area: LibraryArea, bench: Workbench) -> None:
        library = bench.services.library
        await add_and_look_through(area, folder)
        refresh = library.refresh

        async def full(_name: str, *, again: bool = False) -> object:
            raise LibraryError("The index could not be saved.", needs="room on the disk", has="none", do="Make room.")

        monkeypatch.setattr(library, "refresh", full)
        area.look_again("my-notes")
        await until(lambda: area.page.banner.isVisible())
        for _ in range(3):
            library._publish()
            await asyncio.sleep(0.1)
        assert area.page.banner.isVisible()
        area.show_collection("sample")
        assert not area.page.banner.isVisible()
        area.show_collection("my-notes")
        monkeypatch.setattr(library, "refresh", refresh)
        area.look_again("my-notes")
        assert not area.page.banner.isVisible()

    drive(work)


def test_reading_shows_its_progress_and_can_be_stopped(drive: Callable[[Work], None], tmp_path: Path) -> None:
    path = tmp_path / "corpus.jsonl"
    path.write_text("\n".join(json.dumps({"id": f"d{n:05}", "text": f"river {n}"}) for n in range(30_000)))

    async def work(area: LibraryArea, _bench: Workbench) -> None:
        area.add([path])
        await until(lambda: area.page.reading.isVisible() and "so far" in area.page.reading.text.text())
        area.page.reading.cancel.click()
        await until(lambda: not area.page.reading.isVisible())
        assert said(area) == "Reading stopped; what was read can be searched"
        assert area.page.again.text() == "Go on reading"
        area.page.again.click()
        await until(lambda: area.page.foot.text() == "30,000 documents", 60)
        rows = area.page.list.rows
        assert rows.rowCount() == 30_000
        last = rows.index(29_999)
        area.page.list.scrollTo(last)  # far away: its page is fetched as it comes into sight
        last.data(ROW)
        await until(lambda: rows.index(29_999).data() == "d29999")
        assert sum(rows._rows[at] is not None for at in range(30_000)) <= 4 * PAGE

    drive(work)


def test_files_that_cannot_be_read_at_all_say_so(drive: Callable[[Work], None], tmp_path: Path) -> None:
    (tmp_path / "picture.png").write_bytes(b"x")

    async def work(area: LibraryArea, _bench: Workbench) -> None:
        area.add([tmp_path / "picture.png"])
        await until(lambda: QApplication.activeModalWidget() is not None)
        dialog = QApplication.activeModalWidget()
        assert dialog is not None
        assert "nothing in picture.png" in dialog.accessibleName()
        dialog.close()
        await until(lambda: area.stack.currentWidget() is area.welcome)

    drive(work)


def test_collection_and_folder_can_be_pinned_and_blocked(drive: Callable[[Work], None], tmp_path: Path) -> None:
    folder = notes(tmp_path, a="Crocodiles.", deep__b="Crocodiles swim.")

    async def work(area: LibraryArea, _bench: Workbench) -> None:
        area.add([folder])
        await until(lambda: shown(area) == ["a", "b"])
        menu = area.page.menu()
        assert menu is not None
        next(action for action in menu.actions() if action.text() == "Pinned").trigger()
        await until(lambda: "Pinned" in area.page.state.text())
        area.page._choose_folder("deep")
        blocked = next(one for one in area.page.folders_menu().actions() if one.text() == "This folder: blocked")
        blocked.trigger()
        await until(lambda: said(area) == "deep is blocked")
        area.page._choose_folder("")
        QTest.keyClicks(area.page.field, "crocodiles")
        await until(lambda: area.page.foot.text() == "1 result, best first")

    drive(work)


def test_single_file_can_be_taken_out_and_put_back(drive: Callable[[Work], None], tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Crocodiles.")
    (tmp_path / "b.txt").write_text("Herons.")

    async def work(area: LibraryArea, _bench: Workbench) -> None:
        area.add([tmp_path / "a.txt", tmp_path / "b.txt"])
        await until(lambda: shown(area) == ["a", "b"])
        area.page.list.enter()
        key(area.page.list, Qt.Key.Key_Delete)
        await until(lambda: shown(area) == ["b"])
        area.toast._action.click()
        await until(lambda: shown(area) == ["a", "b"])
        assert (tmp_path / "a.txt").exists()

    drive(work)


@pytest.mark.parametrize(("mode", "width", "height"), [("light", 1200, 772), ("dark", 1360, 872), ("light", 944, 612)])
def test_everything_has_a_name_and_fits(
    drive: Callable[[Work], None], qapp: QApplication, tmp_path: Path, mode: str, width: int, height: int
) -> None:
    name = "긴 이름을 가진 문서 모음 그리고 더 긴 이름을 가진 문서 모음"
    folder = tmp_path / name
    folder.mkdir()
    (folder / "장영실.txt").write_text("장영실은 측우기를 만들었다. " * 40)

    async def work(area: LibraryArea, _bench: Workbench) -> None:
        theme.apply(qapp, mode)  # type: ignore[arg-type]
        area.resize(width, height)
        area.add([folder])
        await until(lambda: shown(area) == ["장영실"])
        area.page.field.setText("측우기를")  # Qt's test keyboard has no Korean
        await until(lambda: area.page.foot.text() == "1 result, best first")
        area.page.list.enter()
        await until(lambda: area.passage.uri != "")
        area.grab()
        for button in area.findChildren(QAbstractButton):
            if button.isVisible():
                assert button.accessibleName(), button
                assert button.width() >= button.sizeHint().width() or button.parent() is area.page.tabs, button.text()
        for field in area.findChildren(QLineEdit):
            assert field.accessibleName()
        for label in area.findChildren(Label):
            if label.isVisible() and label not in (area.page.title, area.page.path, area.passage.path):
                assert not label.is_cut() or label.toolTip(), label.text()
        row = area.page.list.rows.index(0)
        assert "장영실. 장영실.txt." in row.data(Qt.ItemDataRole.AccessibleTextRole)

    drive(work)


def test_services_are_asked_off_the_loop_only(drive: Callable[[Work], None], tmp_path: Path) -> None:
    """While another thread holds the database, the window goes on."""
    folder = notes(tmp_path, a="Crocodiles.")

    async def work(area: LibraryArea, bench: Workbench) -> None:
        area.add([folder])
        await until(lambda: shown(area) == ["a"])
        database = bench.services.library._store.database
        held, let_go = asyncio.Event(), asyncio.Event()
        loop = asyncio.get_running_loop()

        def hold() -> None:
            with database._lock:
                loop.call_soon_threadsafe(held.set)
                asyncio.run_coroutine_threadsafe(let_go.wait(), loop).result(60)

        holding = asyncio.create_task(asyncio.to_thread(hold))
        await held.wait()
        QTest.keyClicks(area.page.field, "crocodiles")
        area.page.tabs.setCurrentIndex(TWINS)
        area.page.tabs.setCurrentIndex(0)
        area.look_again("my-notes")
        area.page._choose_folder("")
        area.show_collection("sample")
        area.show_collection("my-notes")
        await asyncio.sleep(0.3)  # the search's own pause; the loop would be stuck here for good
        let_go.set()
        await holding
        await until(lambda: shown(area) == ["a"])

    drive(work)


@given(text=st.text(max_size=60), data=st.data())
def test_one_paragraph_keeps_what_its_places_hold(text: str, data: Any) -> None:
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    paragraph, ((left, right),) = one_paragraph(text, [(start, end)])
    assert "\n" not in paragraph
    assert "  " not in paragraph
    assert 0 <= left <= right <= len(paragraph)
    alone, _ = one_paragraph(text[start:end])
    assert alone.strip() == paragraph[left:right].strip()


def test_words_of_sizes_times_and_places() -> None:
    assert [words.size(n) for n in (12, 12_300, 3_400_000)] == ["12 bytes", "12 KB", "3.4 MB"]
    assert words.place("/papers/2024/a.txt", "/papers") == "2024/a.txt"
    assert words.place("/elsewhere/a.txt", "/papers") == "/elsewhere/a.txt"
    assert words.looked("") == "not read to the end"
    assert words.details("Kim", "2024-05-01T00:00", 1) == ["Kim", "2024-05-01", "1 page"]
    assert Row(title="x").uri == ""
    assert Banner is not None
