"""What a pane says while it has nothing to show: an icon, a title, when something will come."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QLabel, QSizePolicy, QWidget

from fathom.ui import theme
from fathom.ui.widgets.cards import column
from fathom.ui.widgets.labels import Icon, Label


def let_grow(label: QLabel) -> None:
    """Let a layout give a label of several lines the height that its width asks for, also after another text."""
    policy = label.sizePolicy()
    policy.setVerticalPolicy(QSizePolicy.Policy.Minimum)
    label.setSizePolicy(policy)


class EmptyState(QWidget):
    """Centred in whatever room there is."""

    def __init__(self, icon: str, title: str, text: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        body = column(self, gap=8, margins=(32, 32, 32, 32))
        self._icon = Icon(icon, "mut", 32)
        centre = Qt.AlignmentFlag.AlignHCenter
        self._title = Label(title, "title", theme.BOLD, align=centre, lines=0)
        self._text = Label(text, tone="mut", align=centre, lines=0)
        for label in (self._title, self._text):
            let_grow(label)
        body.addStretch(2)
        body.addWidget(self._icon, 0, centre)
        body.addWidget(self._title)
        body.addWidget(self._text)
        body.addStretch(3)

    def say(self, icon: str, token: str, title: str, text: str) -> None:
        """Another state."""
        self._icon.set_icon(icon, token)
        self._title.setText(title)
        self._text.setText(text)

    @property
    def title(self) -> str:
        return self._title.text()

    @property
    def text(self) -> str:
        return self._text.text()
