"""Banner: what happened, what is safe, then one button and at most one link. Red: stopped. Amber: goes on with less."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QGridLayout, QWidget

from fathom.ui import theme
from fathom.ui.widgets.buttons import Button
from fathom.ui.widgets.cards import Card, column, row
from fathom.ui.widgets.labels import Icon, Label

Action = tuple[str, str, Callable[[], None]]  # word, icon, what to do


class NeedsHasDo(QWidget):
    """The three plain sentences of an error: what was needed, what there is, what to do."""

    def __init__(self, needs: str = "", has: str = "", do: str = "") -> None:
        super().__init__()
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(12)
        grid.setVerticalSpacing(4)
        grid.setColumnStretch(1, 1)
        for line, (word, text) in enumerate((w, t) for w, t in (("Needs", needs), ("Has", has), ("Do", do)) if t):
            grid.addWidget(_word(word), line, 0, Qt.AlignmentFlag.AlignTop)
            grid.addWidget(Label(text, lines=0), line, 1)


def _word(text: str) -> Label:
    label = Label(text, "label", theme.BOLD, "mut", fit=True)
    label.setFixedHeight(theme.line_height("body"))  # on one line with the sentence beside it
    return label


class Banner(Card):
    """A strip above a pane. ``show_message`` fills it, ``hide`` takes it away."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("red", padding=12, parent=parent)
        self._inside: QWidget | None = None
        self.setAccessibleName("Message")
        self.hide()

    def show_message(
        self,
        level: Literal["red", "amber"],
        title: str,
        text: str = "",
        *,
        needs: str = "",
        has: str = "",
        do: str = "",
        action: Action | None = None,
        link: Action | None = None,
        icon: str = "",
    ) -> None:
        """Show another message in place of the present one."""
        if self._inside is not None:
            self.body.removeWidget(self._inside)
            self._inside.deleteLater()
        self.setProperty("card", level)
        self.style().unpolish(self)
        self.style().polish(self)
        self.setAccessibleDescription(f"{title} {text}".strip())
        self._inside = inside = QWidget()
        across = row(inside, gap=16, margins=(4, 0, 4, 0))
        across.addWidget(Icon(icon or "warn", level, 20), 0, Qt.AlignmentFlag.AlignTop)
        words = column(gap=2)
        words.addWidget(Label(title, weight=theme.BOLD, lines=0))
        if text:
            words.addWidget(Label(text, lines=0))
        if needs or has or do:
            words.addSpacing(4)
            words.addWidget(NeedsHasDo(needs, has, do))
        across.addLayout(words, 1)
        if action is not None or link is not None:
            buttons = row(gap=8)
            if link is not None:
                buttons.addWidget(Button(link[0], link[1], "link", on_click=link[2]))
            if action is not None:
                buttons.addWidget(Button(action[0], action[1], on_click=action[2]))
            across.addLayout(buttons, 0)
            across.setAlignment(buttons, Qt.AlignmentFlag.AlignVCenter)
        self.body.addWidget(inside)
        self.show()
