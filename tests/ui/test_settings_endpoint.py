"""Settings, A server of your own: address, leave, test, models, key and use; and what the status bar then says."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import keyring.backends.fail
import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QAbstractButton, QApplication, QLineEdit
from workbench import run_qt, until

from chat_server import ChatServer, serving
from fathom.core.events import EngineStatus
from fathom.core.settings import EndpointSettings, Settings
from fathom.services.engine_service import EngineService
from fathom.services.keys import Keys
from fathom.ui import theme
from fathom.ui.bridge import Tasks
from fathom.ui.main_window import Footer
from fathom.ui.settings.endpoint import EndpointCard
from fathom.ui.widgets.labels import Label

KEY = "key-of-the-endpoint-tests"


@pytest.fixture
def app(qapp: QApplication) -> QApplication:
    theme.apply(qapp, "light")
    return qapp


@asynccontextmanager
async def card(**endpoint: object) -> AsyncIterator[tuple[EndpointCard, EngineService, Settings]]:
    tasks = Tasks()
    settings = Settings(endpoint=EndpointSettings(**endpoint))  # type: ignore[arg-type]
    engine = EngineService(settings, Keys(keyring.backends.fail.Keyring()))
    made = EndpointCard(tasks)
    made.resize(720, 700)
    made.show()
    made.attach(engine, settings)
    await until(lambda: "Keys are kept until" in made.store.label.text())
    try:
        yield made, engine, settings
    finally:
        await tasks.close()
        await engine.close()
        made.deleteLater()


def write(field: QLineEdit, text: str) -> None:
    field.setFocus()
    field.selectAll()
    QTest.keyClicks(field, text)
    QTest.keyClick(field, Qt.Key.Key_Return)


def test_an_address_a_key_a_test_a_model_and_then_it_is_used(app: QApplication, fathom_home: Path) -> None:
    async def main() -> None:
        async with serving(ChatServer("vllm", ("small", "qwen3-8b"), max_model_len=40960)) as server, card() as made:
            shown, engine, settings = made
            assert not shown.use.isEnabled() and not shown.test.isEnabled()
            write(shown.address, f"{server.base}/v1/")
            assert settings.endpoint.base_url == server.base and shown.test.isEnabled()
            assert shown.allow.isHidden()  # it is this computer
            write(shown.key, KEY)
            assert shown.key.text() == ""
            await until(lambda: "answers: small, a context of 40,960 tokens." in shown.state.label.text())
            assert server.asked[-1].headers["authorization"] == f"Bearer {KEY}"
            assert KEY not in (fathom_home / "settings.json").read_text()
            assert shown.models.isEnabled()
            shown._choose_model()
            [menu] = [one for one in app.topLevelWidgets() if one.inherits("QMenu") and one.isVisible()]
            [action] = [one for one in menu.actions() if one.text() == "qwen3-8b"]
            action.trigger()
            menu.close()
            assert Settings.load().endpoint.model == "qwen3-8b"
            shown.use.click()
            await until(lambda: engine.status.state == "ready")
            assert engine.status.model == "qwen3-8b" and engine.info is not None
            assert shown.use.text() == "Use a model on this computer"
            shown.remove_key.click()
            await until(lambda: shown.remove_key.isHidden())
            assert not await engine.endpoint.has_key()

    run_qt(app, main())


def test_another_computer_is_asked_only_after_a_tick_and_its_key_is_its_own(
    app: QApplication, fathom_home: Path
) -> None:
    async def main() -> None:
        async with card(base_url="http://localhost:1") as (shown, engine, settings):
            await engine.endpoint.set_key(KEY)
            write(shown.address, "https://gpu.example.org")
            assert shown.allow.text() == "My text may go to gpu.example.org" and not shown.allow.isChecked()
            assert "nothing is sent there until you allow it" in shown.state.label.text()
            assert not shown.test.isEnabled() and not shown.use.isEnabled()
            assert "Tick" in shown.use.toolTip()
            assert not await engine.endpoint.has_key()  # that of localhost:1 stays there
            shown.allow.click()
            assert settings.endpoint.allow_remote and shown.use.isEnabled()
            write(shown.address, "https://other.example.org")
            assert not settings.endpoint.allow_remote  # leave was given for another host

    run_qt(app, main())


def test_what_is_wrong_is_said(app: QApplication, fathom_home: Path) -> None:
    async def main() -> None:
        async with serving(ChatServer()) as server, card() as (shown, _engine, settings):
            write(shown.address, "ftp://files")
            assert "no address of a server" in shown.state.label.text() and settings.endpoint.base_url == ""
            write(shown.address, server.base)
            server.routes["/v1/models"] = lambda peer: peer.answer(401, b"who are you?")
            shown.test.click()
            await until(lambda: "does not accept the key" in shown.state.label.text())
            assert "who are you?" in shown.state.label.text() and shown.state.icon.name == "warn"
            write(shown.key, "short")
            await until(lambda: "This cannot be a key." in shown.state.label.text())

    run_qt(app, main())


def test_names_focus_and_no_cut_label(app: QApplication, fathom_home: Path) -> None:
    async def main() -> None:
        async with card(base_url="http://gpu.example.org:8000") as (shown, _engine, _settings):
            shown.resize(560, 800)
            await until(lambda: shown.width() < 700)
            parts = [
                part
                for kind in (QAbstractButton, QLineEdit)
                for part in shown.findChildren(kind)
                if part.isVisible() and not part.objectName().startswith("qt_")
            ]
            names = [part.accessibleName() for part in parts]
            assert len(names) >= 9 and all(names) and len(names) == len(set(names))
            assert all(part.focusPolicy() & Qt.FocusPolicy.TabFocus for part in parts)
            assert not [label.text() for label in shown.findChildren(Label) if label.isVisible() and label.is_cut()]

    run_qt(app, main())


def test_the_status_bar_names_the_host_that_text_goes_to(app: QApplication) -> None:
    footer = Footer()
    ready = EngineStatus(state="ready", model="qwen3-8b", server="gpu.example.org", host="gpu.example.org")
    footer.show_engine(ready)
    assert footer.engine.text() == "Model ready: qwen3-8b, on gpu.example.org"
    assert footer.leaves.text() == "Your text goes to gpu.example.org" and footer.leaves_icon.name == "globe"
    footer.show_web(True)
    assert footer.leaves.text() == "Your text and search words go to gpu.example.org and the web"
    footer.show_web(False)
    footer.show_engine(EngineStatus(state="ready", model="qwen3-8b", server="localhost:8000"))
    assert footer.engine.text() == "Model ready: qwen3-8b, on localhost:8000"
    assert footer.leaves.text() == "Nothing leaves this computer"
