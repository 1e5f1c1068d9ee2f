"""Settings, Search: the services that search the web, their order and keys, and sites to leave out or put first.

Works on the search service that it is given; every change counts at once. Keys are looked for when the card is first
seen, since that may ask the person to unlock the keyring.
"""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import TYPE_CHECKING

from PySide6.QtCore import QUrl
from PySide6.QtGui import QDesktopServices, QShowEvent
from PySide6.QtWidgets import QButtonGroup, QLineEdit, QWidget

from fathom.core.errors import UserError
from fathom.ui import theme
from fathom.ui.bridge import Tasks
from fathom.ui.settings.search_provider import ProviderRow
from fathom.ui.widgets.buttons import Choice
from fathom.ui.widgets.cards import Card, IconLine, column, row
from fathom.ui.widgets.labels import Label, Rule

if TYPE_CHECKING:
    from fathom.services.keys import KeyStoreState
    from fathom.services.search_service import SearchService

WAYS = ((False, "One after the other"), (True, "All at once, results merged"))


class SearchCard(Card):
    """Empty until ``attach``."""

    def __init__(self, tasks: Tasks) -> None:
        super().__init__(gap=8)
        self._tasks = tasks
        self._service: SearchService | None = None
        self._looked = False
        self.rows: dict[str, ProviderRow] = {}
        self.body.addWidget(Label("Searching the web", "title", theme.BOLD))
        self.body.addWidget(
            Label(
                "Used only while the web is on. The first service that is ticked is asked first; when it fails or "
                "finds nothing, the next one is asked, and Fathom says so.",
                lines=0,
            )
        )
        ways = row(gap=24)
        self.ways = QButtonGroup(self)
        for together, word in WAYS:
            button = Choice(word)
            button.setAccessibleName(f"Ask the services: {word}")
            button.clicked.connect(lambda _checked=False, together=together: self._choose_way(together))
            self.ways.addButton(button, int(together))
            ways.addWidget(button)
        ways.addStretch(1)
        self.body.addLayout(ways)
        self.goes_to = IconLine("globe", "mut", "")
        self.body.addWidget(self.goes_to)
        self.store = IconLine("shield", "mut", "Keys are kept in your desktop’s keyring, never in a file of Fathom’s.")
        self.body.addWidget(self.store)
        holder = QWidget()
        self._list = column(holder, gap=4)
        self.body.addWidget(holder)
        self.body.addWidget(Rule())
        self.blocked = self._sites("Leave out and never open", "example.org, huggingface.co/datasets")
        self.pinned = self._sites("Put first when they are found", "who.int, europa.eu")

    def _sites(self, title: str, example: str) -> QLineEdit:
        label = Label(title, weight=theme.MEDIUM)
        field = QLineEdit()
        field.setFont(theme.font("body"))
        field.setPlaceholderText(f"Sites, with commas between them: {example}")
        field.setAccessibleName(f"Sites: {title.lower()}")
        label.setBuddy(field)
        field.editingFinished.connect(self._sites_given)
        self.body.addWidget(label)
        self.body.addWidget(field)
        return field

    def attach(self, service: SearchService) -> None:
        """Show what there is."""
        self._service = service
        for state in service.providers():
            made = ProviderRow(state)
            made.switched.connect(self._switch)
            made.moved.connect(self._move)
            made.tested.connect(lambda name: self._tasks.start(self._test(name)))
            made.key_given.connect(lambda name, key: self._tasks.start(self._set_key(name, key)))
            made.key_removed.connect(lambda name: self._tasks.start(self._remove_key(name)))
            made.address_given.connect(self._set_address)
            made.key_page_wanted.connect(lambda page: QDesktopServices.openUrl(QUrl(page)))
            self.rows[state.name] = made
            self._list.addWidget(made)
        button = self.ways.button(int(service.settings.together))
        button.setChecked(True)
        self.blocked.setText(", ".join(service.settings.blocked))
        self.pinned.setText(", ".join(service.settings.pinned))
        self._show()
        if self.isVisible():
            self._look_for_keys()

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        if self._service is not None:
            self._show()
            self._look_for_keys()

    # --- what is there --------------------------------------------------------------------------------------------

    def _show(self) -> None:
        """Everything that may have changed: states, places, where words go."""
        service = self._of()
        states = service.providers()
        for place, state in enumerate(states):
            made = self.rows[state.name]
            if self._list.indexOf(made) != place:
                self._list.removeWidget(made)
                self._list.insertWidget(place, made)
            made.show_state(state)
            made.show_place(place == 0, place == len(states) - 1)
        chain = [widget for state in states for widget in self.rows[state.name].focusable()]
        for before, after in pairwise([*chain, self.blocked]):
            QWidget.setTabOrder(before, after)
        hosts = ", ".join(state.host or state.label for state in states if state.on)
        self.goes_to.label.setText(
            f"Search words go to: {hosts}" if hosts else "No service is ticked: the web cannot be searched."
        )

    def _look_for_keys(self) -> None:
        if not self._looked:
            self._looked = True
            self._tasks.start(self._show_keys())

    async def _show_keys(self) -> None:
        service = self._of()
        self._show_store(await asyncio.to_thread(service.keys.state))
        for state in service.providers():
            if state.takes_key:
                self.rows[state.name].show_key(await service.has_key(state.name))
        self._show()

    def _show_store(self, state: KeyStoreState) -> None:
        if state.lasting:
            self.store.icon.set_icon("shield", "mut")
            self.store.label.setText(f"Keys are kept in {state.name}, never in a file of Fathom’s.")
        else:
            self.store.icon.set_icon("warn", "orange")
            self.store.label.setText(
                f"Keys are kept until Fathom is closed, and then have to be given again: {state.reason}."
            )

    def _of(self) -> SearchService:
        assert self._service is not None
        return self._service

    # --- what is wanted -------------------------------------------------------------------------------------------

    def _choose_way(self, together: bool) -> None:
        if self._service is not None:
            self._service.set_together(together)

    def _switch(self, name: str, on: bool) -> None:
        self._of().switch(name, on)
        self._show()

    def _move(self, name: str, places: int) -> None:
        made = self.rows[name]
        self._of().move(name, places)
        self._show()
        wanted, other = (made.up, made.down) if places < 0 else (made.down, made.up)
        (wanted if wanted.isEnabled() else other).setFocus()

    async def _test(self, name: str) -> None:
        made = self.rows[name]
        made.show_testing()
        result = await self._of().test(name)
        made.show_tested(result.ok, result.message)

    async def _set_key(self, name: str, key: str) -> None:
        made = self.rows[name]
        try:
            state = await self._of().set_key(name, key)
        except UserError as error:
            made.show_error(f"{error.message} It needs {error.needs}.")
            return
        made.show_key(True)
        self._show_store(state)
        self._show()
        await self._test(name)

    async def _remove_key(self, name: str) -> None:
        try:
            await self._of().remove_key(name)
        except UserError as error:
            self.rows[name].show_error(f"{error.message} {error.do}")
            return
        self.rows[name].show_key(False)
        self._show()

    def _set_address(self, name: str, address: str) -> None:
        try:
            self._of().set_address(name, address)
        except UserError as error:
            self.rows[name].show_error(f"{error.message} It needs {error.needs}.")
            return
        self._show()

    def _sites_given(self) -> None:
        if self._service is not None:
            self._service.set_sites(
                blocked=self.blocked.text().split(","),
                pinned=self.pinned.text().split(","),
            )
