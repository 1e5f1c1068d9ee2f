"""Settings, tools from other programs: add, import, start, permit and remove servers, by mouse and by keyboard."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import keyring.backends.fail
import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QAbstractButton, QApplication, QLineEdit
from workbench import run_qt, until

from fathom.core.events import PermissionAnswered, PermissionAsked
from fathom.core.settings import McpServer, Settings
from fathom.services.keys import Keys
from fathom.services.mcp_service import McpService
from fathom.ui import theme
from fathom.ui.bridge import Tasks
from fathom.ui.research.permission_card import PermissionCard
from fathom.ui.research.timeline_words import answered
from fathom.ui.settings.mcp import McpCard

CHILD = Path(__file__).parent.parent / "tools" / "mcp_child.py"
SECRET = "canary-of-the-notes-server"


@pytest.fixture
def app(qapp: QApplication) -> QApplication:
    theme.apply(qapp, "light")
    return qapp


@asynccontextmanager
async def card(**servers: McpServer) -> AsyncIterator[tuple[McpCard, McpService]]:
    tasks = Tasks()
    service = McpService(Settings(mcp_servers=servers), Keys(keyring.backends.fail.Keyring()))
    made = McpCard(tasks)
    made.resize(720, 900)
    made.show()
    made.attach(service)
    try:
        yield made, service
    finally:
        await tasks.close()
        await service.close()
        made.deleteLater()


def test_a_server_is_added_by_keyboard_started_and_its_tools_permitted(app: QApplication, fathom_home: Path) -> None:
    async def main() -> None:
        async with card() as (made, service):
            QTest.keyClicks(made.name_field, "my notes")
            QTest.keyClicks(made.line, f"'{sys.executable}' '{CHILD}'")
            QTest.keyClicks(made.values, f"NOTES_TOKEN={SECRET}")
            QTest.keyClick(made.values, Qt.Key.Key_Return)
            await until(lambda: made.rows and "Running, 10 tools" in made.rows["my-notes"].health.label.text(), 60.0)
            assert "kept until Fathom is closed" in made.told.label.text()
            assert SECRET not in (fathom_home / "settings.json").read_text()
            assert made.values.text() == ""
            shown = made.rows["my-notes"]
            shown.unfold.click()
            never = shown.choices["add", "never"]
            assert never.accessibleName() == "add of my-notes: never"
            assert shown.choices["add", "ask"].isChecked()
            never.setFocus()
            QTest.keyClick(never, Qt.Key.Key_Space)
            assert service.servers()[0].permissions == {"add": "never"}
            assert json.loads((fathom_home / "settings.json").read_text())["mcp_servers"]["my-notes"][
                "permissions"
            ] == {"add": "never"}
            shown.remove.click()
            assert shown.remove.text() == "Remove it, with its secrets?"
            shown.remove.click()
            await until(lambda: not made.rows)
            assert service.servers() == []

    run_qt(app, main())


def test_json_from_clipboard_and_file_is_added_switched_off(
    app: QApplication, fathom_home: Path, tmp_path: Path
) -> None:
    async def main() -> None:
        async with card() as (made, service):
            text = {"mcpServers": {"files": {"command": "npx", "args": ["-y", "files"], "env": {"API_KEY": SECRET}}}}
            QGuiApplication.clipboard().setText(json.dumps(text))
            made.from_clipboard.click()
            await until(lambda: "files" in made.rows)
            assert not made.rows["files"].tick.isChecked()
            assert made.rows["files"].health.label.text() == "Off"
            await until(lambda: "look at their commands" in made.told.label.text())
            path = tmp_path / "servers.json"
            path.write_text('{"far": {"url": "https://tools.invalid/mcp"}}', "utf-8")
            made.import_file(path)
            await until(lambda: "far" in made.rows)
            assert [state.on for state in service.servers()] == [False, False]
            QGuiApplication.clipboard().setText("no json")
            made.from_clipboard.click()
            await until(lambda: "This is not JSON." in made.told.label.text())

    run_qt(app, main())


def test_a_server_that_cannot_start_says_why(app: QApplication, fathom_home: Path) -> None:
    async def main() -> None:
        async with card(gone=McpServer(command="/no/such/program")) as (made, _):
            made.rows["gone"].start.click()
            await until(lambda: "there is no program" in made.rows["gone"].health.label.text(), 60.0)
            made.line.setText("ftp://x")
            made.add.click()
            await until(lambda: "needs a name" in made.told.label.text())

    run_qt(app, main())


def test_everything_has_a_name_for_a_screen_reader(app: QApplication, fathom_home: Path) -> None:
    async def main() -> None:
        async with card(notes=McpServer(command="notes")) as (made, _):
            parts = [*made.findChildren(QAbstractButton), *made.findChildren(QLineEdit)]
            assert all(part.accessibleName() for part in parts)

    run_qt(app, main())


def test_the_card_asks_for_a_tool_with_its_arguments(app: QApplication) -> None:
    made = PermissionCard()
    made.ask(PermissionAsked(step=1, id="q", kind="tool", host="notes", address='find {"text": "x"}', wait_s=600))
    assert answered(made.asked, PermissionAnswered(step=1, id="q", answer="once")) == (
        "You allowed the model to use find of notes, once."
    )
    assert made.title.text() == "The model wants to use a tool"
    assert made.address.text() == 'find {"text": "x"}'
    assert [made.once.text(), made.refuse.text(), made.always.text()] == [
        "Use it once",
        "Do not use it",
        "Always for this tool",
    ]
