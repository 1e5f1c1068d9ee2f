"""The list in an area's left column: its rows are drawn, marked and reached by keys alike in every area.

An area brings its model, and a ``SideRow`` that says what stands in a row. Knows none of them.
"""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import (
    QAbstractItemModel,
    QModelIndex,
    QPersistentModelIndex,
    QPoint,
    QPointF,
    QRect,
    QRectF,
    Qt,
    Signal,
)
from PySide6.QtGui import QFontMetrics, QKeyEvent, QPainter, QPen, QResizeEvent
from PySide6.QtWidgets import QAbstractItemView, QListView, QStyle, QStyledItemDelegate, QStyleOptionViewItem

from fathom.ui import icons, theme
from fathom.ui.widgets.labels import lay_out

Index = QModelIndex | QPersistentModelIndex


class SideRow(QStyledItemDelegate):
    """The parts of a row: its ground, a title of at most two lines, and below it a state's icon and words."""

    LEFT, RIGHT, TOP, LINE = 12, 12, 8, 20

    def title_lines(self, title: str, width: int, indent: int = 0) -> tuple[list[str], bool]:
        """The title in a row of ``width`` pixels, and whether it was cut.

        It has room for the bold letters of a chosen row, so that nothing moves when it is chosen.
        """
        room = width - self.LEFT - indent - self.RIGHT
        return lay_out(title, theme.font("body", theme.BOLD), room, max_lines=2)

    def draw_ground(self, painter: QPainter, option: QStyleOptionViewItem) -> bool:
        """The row's ground: chosen with a blue edge, under the pointer, in the keyboard's focus. True when chosen."""
        rect = QRect(option.rect)
        chosen = bool(option.state & QStyle.StateFlag.State_Selected)
        if chosen or option.state & QStyle.StateFlag.State_MouseOver:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setOpacity(1.0 if chosen else theme.HOVER)
            painter.setBrush(theme.color("sel"))
            painter.drawRoundedRect(rect.adjusted(0, 1, 0, -1), theme.RADIUS, theme.RADIUS)
            painter.setOpacity(1.0)
        if chosen:
            painter.setBrush(theme.color("blue"))
            painter.drawRoundedRect(QRect(rect.left(), rect.top() + 9, 3, rect.height() - 18), 1.5, 1.5)
        if option.state & QStyle.StateFlag.State_HasFocus:
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(theme.color("blue"), 2))
            painter.drawRoundedRect(QRectF(rect).adjusted(1, 2, -1, -2), theme.RADIUS, theme.RADIUS)
        return chosen

    def draw_title(self, painter: QPainter, lines: Sequence[str], x: int, y: int, *, chosen: bool) -> int:
        """The title's lines from ``y`` on; returns where the next line begins."""
        painter.setFont(theme.font("body", theme.BOLD if chosen else theme.MEDIUM))
        painter.setPen(theme.color("text"))
        for line in lines:
            self._draw_line(painter, line, x, y)
            y += self.LINE
        return y

    def draw_state(self, painter: QPainter, state: tuple[str, str, str], x: int, y: int, right: int) -> None:
        """The state's icon, the icon's token and the words, which end in "…" where they would pass ``right``."""
        icon, token, text = state
        painter.drawPixmap(QRect(x, y + 3, 14, 14), icons.pixmap(icon, token, 14, painter.device().devicePixelRatio()))
        painter.setFont(theme.font("label"))
        painter.setPen(theme.color("mut"))
        room = right - self.RIGHT - (x + 20)
        shown = painter.fontMetrics().elidedText(text, Qt.TextElideMode.ElideRight, room)
        self._draw_line(painter, shown, x + 20, y)

    def _draw_line(self, painter: QPainter, text: str, x: int, y: int) -> None:
        metrics: QFontMetrics = painter.fontMetrics()
        painter.drawText(QPointF(x, y + (self.LINE - metrics.height()) / 2 + metrics.ascent()), text)


class SideList(QListView):
    """``opened()`` by Return, ``delete_asked()`` by Delete, ``menu_asked(index, where)`` on a row, in global pixels."""

    opened = Signal()
    delete_asked = Signal()
    menu_asked = Signal(QModelIndex, QPoint)

    def __init__(self, name: str, model: QAbstractItemModel) -> None:
        super().__init__()
        self.setModel(model)
        self.setAccessibleName(name)
        self.setMouseTracking(True)
        self.setUniformItemSizes(False)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.customContextMenuRequested.connect(self._ask_for_menu)
        theme.notifier().changed.connect(self.viewport().update)

    def mark(self, row: int) -> None:
        """Mark a row as the shown one (-1 for none) without telling anybody."""
        selection = self.selectionModel()
        blocked = selection.blockSignals(True)
        if row < 0:
            selection.clear()
        else:
            self.setCurrentIndex(self.model().index(row, 0))
        selection.blockSignals(blocked)
        self.viewport().update()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Delete:
            self.delete_asked.emit()
        elif event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self.opened.emit()
        else:
            super().keyPressEvent(event)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self.scheduleDelayedItemsLayout()

    def _ask_for_menu(self, at: QPoint) -> None:
        index = self.indexAt(at)
        if index.isValid():
            self.menu_asked.emit(index, self.viewport().mapToGlobal(at))
