"""Settings, Search: order, ticks, keys, addresses, tests and sites, by mouse and by keyboard."""

from __future__ import annotations

import json
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import keyring.backends.fail
import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QAbstractButton, QApplication, QLineEdit, QRadioButton
from workbench import run_qt, until

from fathom.core.settings import SearchSettings, Settings
from fathom.services.keys import Keys
from fathom.services.search_service import SearchService
from fathom.ui import theme
from fathom.ui.bridge import Tasks
from fathom.ui.settings.search import SearchCard

KEY = "key-of-the-settings-tests"


@pytest.fixture
def app(qapp: QApplication) -> QApplication:
    theme.apply(qapp, "light")
    return qapp


@contextmanager
def serving(status: int, body: bytes) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", "0")))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Not wanted."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@asynccontextmanager
async def card(**search: object) -> AsyncIterator[tuple[SearchCard, SearchService]]:
    tasks = Tasks()
    settings = Settings(search=SearchSettings(**search))  # type: ignore[arg-type]
    service = SearchService(settings, Keys(keyring.backends.fail.Keyring()))
    made = SearchCard(tasks)
    made.resize(720, 1400)
    made.show()
    made.attach(service)
    await until(lambda: "Keys are kept until" in made.store.label.text())
    try:
        yield made, service
    finally:
        await tasks.close()
        made.deleteLater()


def shown_order(made: SearchCard) -> list[str]:
    return sorted(made.rows, key=lambda name: made.rows[name].y())


def test_ticks_say_who_is_asked_and_where_words_go(app: QApplication, fathom_home: Path) -> None:
    async def main() -> None:
        async with card() as (made, service):
            assert made.goes_to.label.text() == "Search words go to: en.wikipedia.org"
            made.rows["arxiv"].tick.click()
            assert made.goes_to.label.text() == "Search words go to: en.wikipedia.org, export.arxiv.org"
            made.rows["arxiv"].tick.click()
            made.rows["wikipedia"].tick.click()
            assert "No service is ticked" in made.goes_to.label.text()
            assert service.settings.on == () and Settings.load().search.on == ()

    run_qt(app, main())


def test_the_order_is_changed_by_keyboard_and_the_focus_stays_on_the_moved_one(
    app: QApplication, fathom_home: Path
) -> None:
    async def main() -> None:
        async with card() as (made, service):
            assert not made.rows["serper"].up.isEnabled() and not made.rows["openalex"].down.isEnabled()
            down = made.rows["serper"].down
            down.setFocus()
            QTest.keyClick(down, Qt.Key.Key_Space)
            assert service.order()[:2] == ["brave", "serper"]
            await until(lambda: shown_order(made)[:2] == ["brave", "serper"])
            assert made.focusWidget() is down
            QTest.keyClick(made.rows["serper"].up, Qt.Key.Key_Space)
            assert service.order()[0] == "serper"
            assert made.focusWidget() is down  # the first one cannot go up

    run_qt(app, main())


def test_a_key_is_hidden_kept_tested_and_never_shown_again(app: QApplication, fathom_home: Path) -> None:
    async def main(base: str) -> None:
        async with card(addresses={"serper": base}) as (made, service):
            one = made.rows["serper"]
            assert one.health.label.text() == "No key yet"
            one.set_up.click()
            assert one.field.echoMode() == QLineEdit.EchoMode.Password
            QTest.keyClicks(one.field, KEY)
            QTest.keyClick(one.field, Qt.Key.Key_Return)
            assert one.field.text() == ""
            await until(lambda: one.health.label.text() == "Serper works: 1 result for “lighthouse”")
            assert one.tick.isChecked() and "replace it" in one.field.placeholderText()
            assert KEY not in (fathom_home / "settings.json").read_text()
            assert await service.has_key("serper")
            one.remove.click()
            await until(lambda: not one.remove.isVisible())
            assert not await service.has_key("serper")

    good = json.dumps({"organic": [{"link": "https://a.org/", "title": "A", "snippet": "s"}]}).encode()
    with serving(200, good) as base:
        run_qt(app, main(base))


def test_a_refused_key_shows_the_services_own_words(app: QApplication, fathom_home: Path) -> None:
    async def main(base: str) -> None:
        async with card(addresses={"serper": base}) as (made, _service):
            one = made.rows["serper"]
            one.key_given.emit("serper", KEY)
            await until(lambda: "403" in one.health.label.text())
            assert "Unauthorized" in one.health.label.text() and one.health.icon.name == "warn"
            assert one.test.isEnabled()
            one.key_given.emit("serper", "short")
            await until(lambda: "This cannot be a key." in one.health.label.text())

    with serving(403, b'{"message":"Unauthorized."}') as base:
        run_qt(app, main(base))


def test_an_address_sites_and_the_way_to_ask_are_kept(app: QApplication, fathom_home: Path) -> None:
    async def main() -> None:
        async with card() as (made, service):
            one = made.rows["searxng"]
            one.set_up.click()
            one.field.setText("localhost")
            one.save.click()
            assert "no address of a server" in one.health.label.text()
            one.field.setText("http://localhost:8888/")
            one.save.click()
            assert service.settings.addresses == {"searxng": "http://localhost:8888"}
            made.blocked.setText("a.org, , huggingface.co/datasets")
            made.blocked.editingFinished.emit()
            assert service.settings.blocked == ("a.org", "huggingface.co/datasets")
            made.ways.button(1).click()
            assert service.settings.together
            kept = Settings.load().search
            assert (kept.together, kept.blocked) == (True, ("a.org", "huggingface.co/datasets"))

    run_qt(app, main())


def test_everything_that_can_be_pressed_or_filled_has_a_name_of_its_own(app: QApplication, fathom_home: Path) -> None:
    async def main() -> None:
        async with card() as (made, _service):
            for one in made.rows.values():
                one.open()
            parts = [
                part
                for kind in (QAbstractButton, QLineEdit)
                for part in made.findChildren(kind)
                if part.isVisible() and not part.objectName().startswith("qt_")
            ]
            names = [part.accessibleName() for part in parts]
            assert len(names) > 50 and all(names)
            assert len(names) == len(set(names))
            tabbed = [part for part in parts if not isinstance(part, QRadioButton)]  # arrows move among those
            unreachable = [one.accessibleName() for one in tabbed if not one.focusPolicy() & Qt.FocusPolicy.TabFocus]
            assert unreachable == []

    run_qt(app, main())


def test_no_label_is_cut_in_the_narrow_column(app: QApplication, fathom_home: Path) -> None:
    from fathom.ui.widgets.labels import Label

    async def main() -> None:
        async with card() as (made, _service):
            made.resize(560, 1600)
            await until(lambda: made.rows["openalex"].width() < 560)
            assert not [label.text() for label in made.findChildren(Label) if label.isVisible() and label.is_cut()]

    run_qt(app, main())
