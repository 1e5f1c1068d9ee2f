"""Settings, tools from other programs (MCP): the servers, a form for a new one, and the usual JSON.

Works on the service that it is given; every change counts from the next question on.
"""

from __future__ import annotations

import asyncio
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QFileDialog, QLineEdit, QWidget

from fathom.core.errors import UserError
from fathom.ui import theme
from fathom.ui.bridge import Tasks
from fathom.ui.settings.mcp_server import ServerRow, as_permission
from fathom.ui.widgets.buttons import Button
from fathom.ui.widgets.cards import Card, IconLine, column, row
from fathom.ui.widgets.file_dialog import file_dialog
from fathom.ui.widgets.labels import Label, Rule

if TYPE_CHECKING:
    from fathom.services.mcp_service import McpService

_MAX_FILE_BYTES = 1 << 20


class McpCard(Card):
    """Empty until ``attach``."""

    def __init__(self, tasks: Tasks) -> None:
        super().__init__(gap=8)
        self._tasks = tasks
        self._service: McpService | None = None
        self.rows: dict[str, ServerRow] = {}
        self.body.addWidget(Label("Tools from other programs (MCP)", "title", theme.BOLD))
        self.body.addWidget(
            Label(
                "Other programs can lend the model their tools. A program that you add runs with your rights and may "
                "use the network by itself: add only those that you trust. Each tool asks before it is used, unless "
                "you say otherwise. Small models are not offered these tools.",
                lines=0,
            )
        )
        holder = QWidget()
        self._list = column(holder, gap=4)
        self.body.addWidget(holder)
        self.body.addWidget(Rule())
        self.name_field = self._field("Name", "notes", "Name of the new server")
        self.line = self._field(
            "Command or address",
            "uvx notes-server --read-only, or https://example.org/mcp",
            "Command or address of the new server",
        )
        self.values = self._field(
            "Keys and settings it needs (optional)",
            'NAME=value, with spaces between them; for an address: Authorization="Bearer …"',
            "Keys and settings of the new server",
        )
        buttons = row(gap=8)
        self.add = Button("Add", "plus", on_click=self._add_wanted, name="Add the server")
        self.from_file = Button("Import JSON from a file…", kind="link", on_click=self._file_wanted)
        self.from_clipboard = Button("Import JSON from the clipboard", kind="link", on_click=self._clipboard_wanted)
        for button in (self.add, self.from_file, self.from_clipboard):
            buttons.addWidget(button)
        buttons.addStretch(1)
        self.body.addLayout(buttons)
        self.told = IconLine("info", "mut", "")
        self.told.hide()
        self.body.addWidget(self.told)

    def _field(self, title: str, example: str, name: str) -> QLineEdit:
        label = Label(title, weight=theme.MEDIUM)
        field = QLineEdit()
        field.setFont(theme.font("body"))
        field.setPlaceholderText(example)
        field.setAccessibleName(name)
        field.returnPressed.connect(self._add_wanted)
        label.setBuddy(field)
        self.body.addWidget(label)
        self.body.addWidget(field)
        return field

    def attach(self, service: McpService) -> None:
        """Show what there is, now and whenever it changes."""
        self._service = service
        forget = service.subscribe(self._show)
        self.destroyed.connect(lambda: forget())
        self._show()

    # --- what is there --------------------------------------------------------------------------------------------

    def _show(self) -> None:
        states = {state.name: state for state in self._of().servers()}
        for name in [name for name in self.rows if name not in states]:
            gone = self.rows.pop(name)
            self._list.removeWidget(gone)
            gone.hide()
            gone.deleteLater()
        for place, (name, state) in enumerate(states.items()):
            if name not in self.rows:
                made = ServerRow(state)
                made.switched.connect(lambda name, on: self._tasks.start(self._switch(name, on)))
                made.started.connect(lambda name: self._tasks.start(self._start(name)))
                made.removed.connect(lambda name: self._tasks.start(self._remove(name)))
                made.permitted.connect(lambda name, tool, word: self._of().permit(name, tool, as_permission(word)))
                self.rows[name] = made
                self._list.insertWidget(place, made)
            self.rows[name].show_state(state)
        chain = [widget for name in states for widget in self.rows[name].focusable()]
        for before, after in pairwise([*chain, self.name_field]):
            QWidget.setTabOrder(before, after)

    def _of(self) -> McpService:
        assert self._service is not None
        return self._service

    def _tell(self, text: str, icon: str = "info", token: str = "mut") -> None:
        self.told.icon.set_icon(icon, token)
        self.told.label.setText(text)
        self.told.setAccessibleName(text)
        self.told.setVisible(bool(text))

    def _tell_error(self, error: UserError) -> None:
        parts = [error.message, f"It needs {error.needs}." if error.needs else "", error.do]
        self._tell(" ".join(part for part in parts if part), "warn", "red")

    # --- what is wanted -------------------------------------------------------------------------------------------

    def _add_wanted(self) -> None:
        if self._service is not None:
            self._tasks.start(self._add())

    async def _add(self) -> None:
        try:
            name = await self._of().add(self.name_field.text(), self.line.text(), self.values.text())
        except UserError as error:
            self._tell_error(error)
            return
        for field in (self.name_field, self.line, self.values):
            field.clear()
        await self._tell_added([name])
        await self._start(name)

    def _file_wanted(self) -> None:
        dialog = file_dialog(self, "Import MCP servers", Path.home(), "JSON (*.json);;All files (*)")
        dialog.setFileMode(QFileDialog.FileMode.ExistingFile)
        dialog.fileSelected.connect(lambda path: self.import_file(Path(path)))
        dialog.open()

    def import_file(self, path: Path) -> None:
        """Add the servers of a JSON file."""
        try:
            with path.open("rb") as file:
                text = file.read(_MAX_FILE_BYTES).decode("utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            self._tell(f"{path.name} cannot be read: {error}", "warn", "red")
            return
        self._tasks.start(self._import(text))

    def _clipboard_wanted(self) -> None:
        self._tasks.start(self._import(QGuiApplication.clipboard().text()))

    async def _import(self, text: str) -> None:
        try:
            names = await self._of().import_json(text)
        except UserError as error:
            self._tell_error(error)
            return
        await self._tell_added(names, "They are off: look at their commands, then switch on what you trust.")

    async def _tell_added(self, names: list[str], more: str = "") -> None:
        added = f"Added: {', '.join(names)}."
        secret = any(state.secrets for state in self._of().servers() if state.name in names)
        if secret:
            store = await self._of().secret_store()
            kept = (
                f"What looks like a key is kept in {store.name}, not in Fathom’s settings."
                if store.lasting
                else f"What looks like a key is kept until Fathom is closed: {store.reason}."
            )
            more = f"{more} {kept}".strip()
        self._tell(f"{added} {more}".strip())

    async def _switch(self, name: str, on: bool) -> None:
        await self._of().switch(name, on)
        if on:
            await self._start(name)

    async def _start(self, name: str) -> None:
        await self._of().start(name)

    async def _remove(self, name: str) -> None:
        try:
            await self._of().remove(name)
        except UserError as error:
            self._tell_error(error)
            return
        self._tell(f"Removed: {name}.")
        await asyncio.sleep(0)  # the row goes first
        self.name_field.setFocus()
