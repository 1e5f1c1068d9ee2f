"""The dialogs for errors: a UserError in plain words, and a bug with its details to copy. Neither blocks the loop."""

from __future__ import annotations

from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QDialog, QPlainTextEdit, QWidget

from fathom.core.errors import UserError
from fathom.ui import theme
from fathom.ui.widgets.banner import Action, NeedsHasDo
from fathom.ui.widgets.buttons import Button
from fathom.ui.widgets.cards import column, row
from fathom.ui.widgets.labels import Icon, Label

WIDTH = 520


class Dialog(QDialog):
    """A dialog with an icon, a title and a row of buttons; shown with ``open()``, deleted when it closes."""

    def __init__(self, parent: QWidget | None, icon: str, token: str, title: str) -> None:
        super().__init__(parent)
        self.setWindowTitle("Fathom")
        self.setAccessibleName(title)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setFixedWidth(WIDTH)
        self.setProperty("ground", "panel")
        self.content = column(self, gap=12, margins=(24, 24, 24, 16))
        head = row(gap=12)
        head.addWidget(Icon(icon, token, 20))
        head.addWidget(Label(title, "title", theme.BOLD, lines=0), 1)
        self.content.addLayout(head)
        self.buttons = row(gap=8)

    def sizeHint(self) -> QSize:
        return QSize(WIDTH, self.content.totalHeightForWidth(WIDTH))

    def finish(self) -> None:
        """Put the buttons below what was added to ``content``."""
        self.content.addSpacing(8)
        self.content.addLayout(self.buttons)


class ErrorDialog(Dialog):
    """What was needed, what there is, what to do; the first way out is the main button."""

    def __init__(self, parent: QWidget | None, error: UserError, action: Action | None = None) -> None:
        super().__init__(parent, "warn", "red", error.message)
        if error.needs or error.has or error.do:
            self.content.addWidget(NeedsHasDo(error.needs, error.has, error.do))
        if action is not None:
            word, icon, act = action
            main = Button(word, icon, "primary", on_click=act)
            main.clicked.connect(self.accept)
            main.setDefault(True)
            self.buttons.addWidget(main)
        close = Button("Close", kind="standard" if action else "primary", on_click=self.reject)
        close.setDefault(action is None)
        self.buttons.addWidget(close)
        self.buttons.addStretch(1)
        self.finish()


class BugDialog(Dialog):
    """Something that should not happen did. The details are in the log and can be copied."""

    def __init__(self, parent: QWidget | None, summary: str, details: str, log_path: str) -> None:
        super().__init__(parent, "warn", "red", "Something in Fathom went wrong")
        self._details = details
        self.content.addWidget(
            Label("Your sessions are safe: every finished step is saved before it is shown.", lines=0)
        )
        self.content.addWidget(NeedsHasDo(has=summary, do=f"Go on working. The details are in {log_path}"))
        self.text = QPlainTextEdit(details)
        self.text.setReadOnly(True)
        self.text.setFont(theme.font("mono"))
        self.text.setProperty("box", "true")
        self.text.setFixedHeight(160)
        self.text.setAccessibleName("Details")
        self.text.setTabChangesFocus(True)
        self.text.hide()
        self.content.addWidget(self.text)
        self.buttons.addWidget(Button("Go on", kind="primary", on_click=self.accept))
        self.buttons.addWidget(Button("Copy the details", "copy", on_click=self._copy))
        self.buttons.addStretch(1)
        self.show_details = Button("Show details", kind="link", on_click=self._toggle)
        self.buttons.addWidget(self.show_details)
        self.finish()

    def _copy(self) -> None:
        QGuiApplication.clipboard().setText(self._details)

    def _toggle(self) -> None:
        self.text.setVisible(self.text.isHidden())
        self.show_details.set_face("Show details" if self.text.isHidden() else "Hide details")
        self.adjustSize()
