"""A hint below the question before it is asked: nothing close to it was found, and what can be done about that.

Says what was wanted through signals; knows no services.
"""

from __future__ import annotations

from PySide6.QtCore import QTimer, Signal
from PySide6.QtWidgets import QPlainTextEdit

from fathom.ui import theme
from fathom.ui.widgets.buttons import Button
from fathom.ui.widgets.cards import Card, IconLine, row

PAUSE_MS = 600
FEWEST_WORDS = 3
FEWEST_CHARS = 8


class NothingClose(Card):
    """``wondered(question)`` after a pause in writing; ``show_near`` answers. Hidden unless nothing is close."""

    wondered = Signal(str)
    web_wanted = Signal()
    folder_wanted = Signal()
    ask_wanted = Signal()

    def __init__(self, edit: QPlainTextEdit) -> None:
        super().__init__("amber", gap=4, padding=12)
        self._edit = edit
        self.line = IconLine(
            "search", "amber", "Nothing close to this was found where Fathom looks", weight=theme.MEDIUM
        )
        self.web = Button("Turn the web on", "globe", "link", on_click=self.web_wanted.emit)
        self.folder = Button("Add documents", "folder", "link", on_click=self.folder_wanted.emit)
        self.ask = Button("Ask anyway", kind="link", on_click=self.ask_wanted.emit)
        self.buttons = (self.web, self.folder, self.ask)
        buttons = row(gap=16, margins=(20, 0, 0, 0))
        for button in self.buttons:
            buttons.addWidget(button)
        buttons.addStretch(1)
        self.body.addWidget(self.line)
        self.body.addLayout(buttons)
        self.setAccessibleName(self.line.label.text())
        self._pause = QTimer(self, singleShot=True, interval=PAUSE_MS)
        self._pause.timeout.connect(self.wonder)
        edit.textChanged.connect(self._written)
        self.hide()

    def _question(self) -> str:
        return self._edit.toPlainText().strip()

    def _written(self) -> None:
        if not self._question():
            self.hide()
        self._pause.start()

    def wonder(self) -> None:
        """Ask whether there is anything about what is written, unless that is too little to tell."""
        question = self._question()
        if len(question) >= FEWEST_CHARS and (len(question.split()) >= FEWEST_WORDS or not question.isascii()):
            self.wondered.emit(question)
        else:
            self.hide()

    def show_near(self, question: str, near: bool) -> None:
        """The answer; one that comes after the question was changed is dropped."""
        if question == self._question():
            self.setVisible(not near)
