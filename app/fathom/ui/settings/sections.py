"""The list beside a long page: it goes to a section, and marks the one that is read just now."""

from __future__ import annotations

from PySide6.QtCore import QPoint, QTimer
from PySide6.QtGui import QShowEvent
from PySide6.QtWidgets import QButtonGroup, QScrollArea, QWidget

from fathom.ui.widgets.buttons import Button
from fathom.ui.widgets.cards import column

WIDTH = 200
READING_LINE = 96  # below the top of the page: the section that stands there is the one that is read


class Sections(QWidget):
    """Buttons for the widgets of ``page``, in the order in which they were added."""

    def __init__(self, page: QScrollArea) -> None:
        super().__init__()
        self._page = page
        self._widgets: list[QWidget] = []
        self._group = QButtonGroup(self)
        self._chosen = -1  # the one that was pressed, until the page is moved by hand
        self.setFixedWidth(WIDTH)
        self._list = column(self, gap=2)
        self._list.addStretch(1)
        self._laid_out = QTimer(self, interval=0, singleShot=True)  # the widgets get their places after the range
        self._laid_out.timeout.connect(self._show)
        page.verticalScrollBar().valueChanged.connect(self._moved)
        page.verticalScrollBar().rangeChanged.connect(lambda: self._laid_out.start())

    @property
    def buttons(self) -> list[Button]:
        """One a section."""
        return [button for button in self._group.buttons() if isinstance(button, Button)]

    def add(self, word: str, widget: QWidget) -> None:
        """A section more."""
        number = len(self._widgets)
        button = Button(word, kind="section", name=f"Section: {word}", on_click=lambda: self._go(number))
        button.setCheckable(True)
        self._group.addButton(button, number)
        self._widgets.append(widget)
        self._list.insertWidget(number, button)
        self._laid_out.start()

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self._laid_out.start()

    def _top(self, widget: QWidget) -> int:
        inside = self._page.widget()
        return widget.mapTo(inside, QPoint(0, 0)).y() if inside is not None else 0

    def _go(self, number: int) -> None:
        bar = self._page.verticalScrollBar()
        bar.setValue(self._top(self._widgets[number]) - READING_LINE // 3)
        self._chosen = number  # one near the page's end cannot come up to its top
        self._show()

    def _moved(self) -> None:
        self._chosen = -1
        self._show()

    def _show(self) -> None:
        bar = self._page.verticalScrollBar()
        number = self._chosen
        if number < 0 and bar.value() and bar.value() == bar.maximum():
            number = len(self._widgets) - 1
        if number < 0:
            line = bar.value() + READING_LINE
            number = sum(self._top(widget) <= line for widget in self._widgets[1:])
        button = self._group.button(number)
        button.setChecked(True)
