"""The card that asks for leave: who wants what and why, what happens without an answer, and both answers alike.

It stands above the timeline and blocks nothing. Whatever it shows of an address is plain text.
"""

from __future__ import annotations

from typing import NamedTuple

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QAccessible, QAccessibleEvent
from PySide6.QtWidgets import QGridLayout, QWidget

from fathom.core.events import PermissionAsked
from fathom.core.types import PermissionKind
from fathom.ui import theme
from fathom.ui.widgets.buttons import Button
from fathom.ui.widgets.cards import Card, IconLine, column, row
from fathom.ui.widgets.labels import Icon, Label, plain_tip

_LONGEST, _LONGEST_TIP = 300, 4000


class _Face(NamedTuple):
    title: str
    what: str
    verb: str
    without: str
    always: str


_FACES: dict[PermissionKind, _Face] = {
    "page": _Face("The model wants to open a page", "Page", "open", "this page", "Always for this site"),
    "search": _Face("The model wants to search the web", "Words", "search", "this search", "Always for this site"),
    "tool": _Face("The model wants to use a tool", "Call", "use it", "this call", "Always for this tool"),
}


class PermissionCard(Card):
    """``answered(question_id, answer)``; ``answer`` is "once", "always" or "refuse"."""

    answered = Signal(str, str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("panel", gap=12, parent=parent)
        self.asked: PermissionAsked | None = None
        head = row(gap=8)
        head.addWidget(Icon("hand", "orange", 20))
        self.title = Label("", "title", theme.BOLD, lines=0)
        head.addWidget(self.title, 1)
        self.text = Label("", lines=0)
        facts = Card("sunk", padding=12)
        grid = QGridLayout()
        grid.setHorizontalSpacing(16)
        grid.setVerticalSpacing(4)
        grid.setColumnStretch(1, 1)
        self.what, self.address = _word(), Label("", lines=3)
        self.why_word, self.why = _word("Why"), Label("", lines=3)
        for line, pair in enumerate(((self.what, self.address), (self.why_word, self.why))):
            for place, label in enumerate(pair):
                grid.addWidget(label, line, place, Qt.AlignmentFlag.AlignTop)
        facts.body.addLayout(grid)
        self.silence = IconLine("clock", "mut", "", tone="mut")
        buttons = row(gap=8)
        self.once = Button("Open once", on_click=lambda: self._answer("once"))
        self.refuse = Button("Do not open", on_click=lambda: self._answer("refuse"))
        self.always = Button("Always for this site", kind="link", on_click=lambda: self._answer("always"))
        self.always.setToolTip("Until this session ends")
        buttons.addWidget(self.once)
        buttons.addWidget(self.refuse)
        buttons.addStretch(1)
        buttons.addWidget(self.always)
        for part in (head, self.text, facts, self.silence, buttons):
            if isinstance(part, QWidget):
                self.body.addWidget(part)
            else:
                self.body.addLayout(part)
        self.hide()

    def ask(self, asked: PermissionAsked) -> None:
        """Show a question in place of the present one."""
        self.asked = asked
        face = _FACES[asked.kind]
        self.title.setText(face.title)
        if asked.kind == "tool":
            self.text.setText(f"It would call a tool of {asked.host}, which you added in Settings.")
        elif asked.kind == "search":
            self.text.setText(f"These words would go to {asked.host}.")
        elif asked.was_shown:
            self.text.setText(f"It would open {asked.host}. You want to be asked before each contact.")
        else:
            self.text.setText(f"The model wants to open {asked.host}, which no result mentioned.")
        self.what.setText(face.what)
        self.address.setText(asked.address[:_LONGEST] + ("…" if len(asked.address) > _LONGEST else ""))
        self.address.setToolTip(plain_tip(asked.address[:_LONGEST_TIP]) if len(asked.address) > _LONGEST else "")
        self.why.setText(f"“{asked.why}”")
        for label in (self.why_word, self.why):
            label.setVisible(bool(asked.why))
        self.once.set_face(f"{face.verb.capitalize()} once")
        self.refuse.set_face(f"Do not {face.verb}")
        self.always.set_face(face.always)
        self.silence.label.setText(
            f"If you do not answer in {_minutes(asked.wait_s)}, it goes on without {face.without}."
        )
        self.setAccessibleName(self.title.text())
        self.setAccessibleDescription(f"{self.text.text()} {self.address.text()}. {self.silence.label.text()}")
        self.show()
        QAccessible.updateAccessibility(QAccessibleEvent(self, QAccessible.Event.Alert))

    def withdraw(self, question_id: str = "") -> None:
        """Take the question away; with an id, only when it is that one."""
        if self.asked is not None and question_id in ("", self.asked.id):
            self.asked = None
            self.hide()

    def _answer(self, answer: str) -> None:
        if self.asked is not None:
            self.answered.emit(self.asked.id, answer)


class PermissionPlace(QWidget):
    """Where the card stands: with the page's margins, and no taller than what is in it."""

    def __init__(self) -> None:
        super().__init__()
        self.card = PermissionCard()
        self.card.setMaximumWidth(640)
        column(self, margins=(24, 12, 24, 12)).addWidget(self.card)
        self.hide()

    def ask(self, asked: PermissionAsked) -> None:
        """Show the question."""
        self.card.ask(asked)
        self.show()

    def withdraw(self, question_id: str = "") -> None:
        """Take it away."""
        self.card.withdraw(question_id)
        self.setVisible(self.card.asked is not None)


def _word(text: str = "") -> Label:
    label = Label(text, "label", theme.BOLD, "mut", fit=True)
    label.setFixedHeight(theme.line_height("body"))
    return label


def _minutes(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes else f"{seconds:.0f} s"
