"""One search service in the settings: on or off, its place in the order, its key or address, a test, how it did.

Says what was wanted through signals; knows no service and keeps no key: the field is emptied when it is handed on.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QLineEdit, QSizePolicy, QWidget

from fathom.ui import theme
from fathom.ui.widgets.buttons import Button, Tick
from fathom.ui.widgets.cards import IconLine, column, row
from fathom.ui.widgets.labels import Label, Rule

if TYPE_CHECKING:
    from fathom.services.search_service import ProviderState

INDENT = 26  # where a tick's word begins


class ProviderRow(QWidget):
    """Signals carry the provider's name: ``switched(name, on)``, ``moved(name, places)``, ``tested(name)``,
    ``key_given(name, key)``, ``key_removed(name)``, ``address_given(name, address)``, ``key_page_wanted(address)``."""

    switched = Signal(str, bool)
    moved = Signal(str, int)
    tested = Signal(str)
    key_given = Signal(str, str)
    key_removed = Signal(str)
    address_given = Signal(str, str)
    key_page_wanted = Signal(str)

    def __init__(self, state: ProviderState) -> None:
        super().__init__()
        self.name, self._label = state.name, state.label
        self._has_key = False
        outer = column(self, gap=4)
        outer.addWidget(Rule())
        head = row(gap=8)
        self.tick = Tick(state.label)
        self.tick.setAccessibleDescription(state.about)
        self.tick.clicked.connect(lambda on: self.switched.emit(self.name, on))
        self.test = self._button("Test", f"Test {state.label}", lambda: self.tested.emit(self.name))
        self.test.setToolTip(f"Searches for one word with {state.label}. The word leaves this computer.")
        self.set_up = self._button("Set up", f"Set up {state.label}", self._toggle)
        self.set_up.setVisible(state.takes_key or state.takes_address)
        self.up = self._button("", f"Move {state.label} up", lambda: self.moved.emit(self.name, -1), "up")
        self.down = self._button("", f"Move {state.label} down", lambda: self.moved.emit(self.name, 1), "down")
        head.addWidget(self.tick)
        head.addStretch(1)
        for button in (self.set_up, self.test, self.up, self.down):
            head.addWidget(button)
        outer.addLayout(head)
        below = column(gap=4, margins=(INDENT, 0, 0, 8))
        below.addWidget(Label(state.about, "label", tone="mut", lines=0))
        self.health = IconLine("clock", "mut", "")
        below.addWidget(self.health)
        self._details = QWidget()
        details = column(self._details, gap=8, margins=(0, 4, 0, 4))
        self.field = QLineEdit()
        self.field.setFont(theme.font("body"))
        if state.takes_key:
            self._add_key(details, state)
        elif state.takes_address:
            self._add_address(details, state)
        self._details.hide()
        below.addWidget(self._details)
        outer.addLayout(below)
        self.show_state(state)

    def _button(self, word: str, name: str, act: object, icon: str = "") -> Button:
        assert callable(act)
        button = Button(word, icon, "link" if word else "bare", on_click=act)
        button.setAccessibleName(name)
        button.setToolTip(name)
        return button

    def _add_key(self, details: object, state: ProviderState) -> None:
        self.field.setEchoMode(QLineEdit.EchoMode.Password)
        self.field.setAccessibleName(f"Key of {state.label}")
        self.save = Button("Keep the key", on_click=self._save)
        self.remove = Button("Remove it", kind="link", on_click=lambda: self.key_removed.emit(self.name))
        self.remove.setAccessibleName(f"Remove the key of {state.label}")
        page = Button("Where to get a key", kind="link", on_click=lambda: self.key_page_wanted.emit(state.key_page))
        page.setAccessibleName(f"Where to get a key of {state.label}")
        page.setToolTip(f"Opens {state.key_page} in your browser")
        self._lay_field(details, self.remove, page)

    def _add_address(self, details: object, state: ProviderState) -> None:
        self.field.setPlaceholderText("http://localhost:8888")
        self.field.setAccessibleName(f"Address of your {state.label}")
        self.field.setText(state.address)
        self.save = Button("Keep the address", on_click=self._save)
        self._lay_field(details)

    def _lay_field(self, details: object, *links: Button) -> None:
        line = row(gap=8)
        self.field.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.field.returnPressed.connect(self._save)
        self.save.setAccessibleName(f"{self.save.text()} of {self._label}")
        line.addWidget(self.field, 1)
        line.addWidget(self.save)
        details.addLayout(line)  # type: ignore[attr-defined]
        if links:
            below = row(gap=8)
            for link in links:
                below.addWidget(link)
            below.addStretch(1)
            details.addLayout(below)  # type: ignore[attr-defined]

    def focusable(self) -> list[QWidget]:
        """What Tab visits, in order."""
        found: list[QWidget] = [self.tick, self.set_up, self.test, self.up, self.down]
        return [*found, *self._details.findChildren(QLineEdit), *self._details.findChildren(Button)]

    def show_state(self, state: ProviderState) -> None:
        """The provider as it is now."""
        self.tick.setChecked(state.on)
        if state.health.is_well:
            self._say("ok", "green", f"Works: answered at {_clock(state.health.last_success)}")
        elif state.health.last_error:
            self._say("warn", "red", f"Failed at {_clock(state.health.last_error_at)}: {state.health.last_error}")
        elif state.needs_key and not self._has_key:
            self._say("info", "mut", "No key yet")
        elif state.takes_address and not state.address:
            self._say("info", "mut", "No address yet")
        else:
            self._say("clock", "mut", "Not asked since Fathom was opened")

    def show_place(self, first: bool, last: bool) -> None:
        """Whether it can be moved up and down."""
        self.up.offer("It is the first already" if first else "")
        self.down.offer("It is the last already" if last else "")
        self.up.setToolTip(self.up.toolTip() or f"Move {self._label} up")
        self.down.setToolTip(self.down.toolTip() or f"Move {self._label} down")

    def show_key(self, has_key: bool) -> None:
        """Whether there is a key; the key itself is not shown."""
        self._has_key = has_key
        self.field.setPlaceholderText("A key is kept; write another one to replace it" if has_key else "Key")
        self.remove.setVisible(has_key)

    def show_testing(self) -> None:
        """A test is on its way."""
        self._say("running", "teal", "Testing")
        self.test.offer("It is being tested")

    def show_tested(self, ok: bool, message: str) -> None:
        """How the test went."""
        self._say("ok" if ok else "warn", "green" if ok else "red", message)
        self.test.offer("", f"Searches for one word with {self._label}. The word leaves this computer.")

    def show_error(self, message: str) -> None:
        """What was wrong with what was given."""
        self._say("warn", "red", message)

    def open(self) -> None:
        """Show the field."""
        self._details.show()
        self.set_up.setText("Hide")

    def _toggle(self) -> None:
        if self._details.isHidden():
            self.open()
            self.field.setFocus()
        else:
            self._details.hide()
            self.set_up.setText("Set up")

    def _save(self) -> None:
        if self.field.echoMode() == QLineEdit.EchoMode.Password:
            key = self.field.text()
            self.field.clear()
            self.key_given.emit(self.name, key)
        else:
            self.address_given.emit(self.name, self.field.text())

    def _say(self, icon: str, token: str, text: str) -> None:
        self.health.icon.set_icon(icon, token)
        self.health.label.setText(text)
        self.health.setAccessibleName(f"{self._label}: {text}")


def _clock(moment: str) -> str:
    """ "14:03" of an ISO time, in the person's own zone."""
    return datetime.fromisoformat(moment).replace(tzinfo=UTC).astimezone().strftime("%H:%M")
