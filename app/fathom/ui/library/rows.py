"""The virtualised list of the Library area: documents, results, files that could not be read, duplicates.

A row is a value; a long list is fetched page by page as it comes into sight. Knows no services.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import msgspec
from PySide6.QtCore import (
    QAbstractListModel,
    QModelIndex,
    QPersistentModelIndex,
    QPointF,
    QRect,
    QRectF,
    QSize,
    Qt,
    Signal,
)
from PySide6.QtGui import QFont, QFontMetricsF, QKeyEvent, QPainter, QResizeEvent
from PySide6.QtWidgets import QAbstractItemView, QListView, QStyle, QStyledItemDelegate, QStyleOptionViewItem, QWidget

from fathom.ui import icons, theme
from fathom.ui.research.timeline_text import clean
from fathom.ui.widgets.labels import lay_out

Index = QModelIndex | QPersistentModelIndex
ROW = Qt.ItemDataRole.UserRole
PAGE = 200


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A title, a muted line below it, and perhaps text with places to mark. ``uri`` opens it, "" when nothing does.

    ``lines`` is how many lines of text are shown at most; every row of one list that is fetched in pages has the same.
    """

    title: str
    second: str = ""
    text: str = ""
    places: tuple[tuple[int, int], ...] = ()
    icon: str = "result"
    token: str = "mut"
    uri: str = ""
    path: str = ""
    start: int = 0
    end: int = 0
    lines: int = 0
    remedy: str = ""


def one_paragraph(text: str, places: Sequence[tuple[int, int]] = ()) -> tuple[str, tuple[tuple[int, int], ...]]:
    """Cleaned text with single spaces for all white space, and where the places are in it."""
    kept: list[str] = []
    moved: list[int] = []  # for each character of the text, where it is now
    for character in text:
        moved.append(len(kept))
        shown = " " if character.isspace() else clean(character)
        if shown and not (shown == " " and (not kept or kept[-1] == " ")):
            kept.append(shown)
    moved.append(len(kept))
    return "".join(kept), tuple((moved[start], moved[end]) for start, end in places)


WAITING = Row(title="…", icon="clock")


class RowModel(QAbstractListModel):
    """``page_wanted(number)`` for a page of PAGE rows that is not here yet."""

    page_wanted = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self._rows: list[Row | None] = []
        self._wanted: set[int] = set()
        self._lines = 0

    def show(self, rows: Sequence[Row]) -> None:
        """Show these and no others."""
        self.beginResetModel()
        self._rows = list(rows)
        self._wanted = set()
        self._lines = 0
        self.endResetModel()

    def show_pages(self, total: int, first: Sequence[Row]) -> None:
        """Show ``total`` rows, of which the first page is here."""
        self.beginResetModel()
        self._rows = [*first, *([None] * (total - len(first)))][:total]
        self._wanted = {0}
        self.endResetModel()

    def put_page(self, number: int, rows: Sequence[Row]) -> None:
        """The rows of a page that was wanted."""
        at = number * PAGE
        for offset, row in enumerate(rows):
            if at + offset < len(self._rows):
                self._rows[at + offset] = row
        if rows:
            self.dataChanged.emit(self.index(at), self.index(min(len(self._rows), at + len(rows)) - 1))

    def row(self, number: int) -> Row:
        """A row, or one that says that it is coming."""
        found = self._rows[number]
        if found is not None:
            return found
        page = number // PAGE
        if page not in self._wanted:
            self._wanted.add(page)
            self.page_wanted.emit(page)
        return WAITING

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(self._rows)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        if not index.isValid():
            return None
        if role == ROW:
            return self.row(index.row())
        if role == Qt.ItemDataRole.DisplayRole:
            return self.row(index.row()).title
        if role == Qt.ItemDataRole.AccessibleTextRole:
            row = self.row(index.row())
            parts = (row.title, row.second, row.text, row.remedy)
            return ". ".join(clean(part) for part in parts if part).replace("  ·  ", ", ")
        return None


@lru_cache(maxsize=512)
def _laid_out(text: str, width: int, lines: int) -> list[str]:
    """Kept, since a row is measured and drawn many times. The theme changes colours, never fonts."""
    return lay_out(text, theme.font("body"), width, max_lines=lines)[0]


class RowDelegate(QStyledItemDelegate):
    """Draws a row; marked places stand on the mark ground."""

    LEFT, TOP = 16, 9
    INDENT = 28

    def _room(self, width: int) -> int:
        return max(80, width - self.LEFT - self.INDENT - 16)

    def _text(self, row: Row, width: int) -> list[str]:
        return _laid_out(row.text, self._room(width), row.lines) if row.lines else []

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        width = option.rect.width() or 560
        row = index.data(ROW)
        lines = len(self._text(row, width)) if row.text else 0
        height = 2 * self.TOP + 20 + (16 if row.second or row is WAITING else 0)
        height += (4 + 20 * lines if lines else 0) + (20 if row.remedy else 0)
        return QSize(width, height)

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        row: Row = index.data(ROW)
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        rect = QRect(option.rect)
        chosen = bool(option.state & QStyle.StateFlag.State_Selected)
        if chosen or (option.state & QStyle.StateFlag.State_MouseOver and row.uri):
            painter.fillRect(rect, theme.color("sel" if chosen else "sunk"))
        if chosen:
            painter.fillRect(QRect(rect.left(), rect.top(), 3, rect.height()), theme.color("blue"))
        painter.fillRect(QRect(rect.left(), rect.bottom(), rect.width(), 1), theme.color("line"))
        if option.state & QStyle.StateFlag.State_HasFocus:
            painter.setPen(theme.color("blue"))
            painter.drawRoundedRect(QRectF(rect).adjusted(4.5, 2.5, -4.5, -3.5), 4, 4)
        x, y = rect.left() + self.LEFT + self.INDENT, rect.top() + self.TOP
        ratio = painter.device().devicePixelRatio()
        painter.drawPixmap(QRect(rect.left() + self.LEFT, y + 2, 16, 16), icons.pixmap(row.icon, row.token, 16, ratio))
        room = self._room(rect.width())
        medium = theme.font("body", theme.MEDIUM)
        y = self._line(painter, clean(row.title), medium, "text", x, y, room, 20)
        if row.second:
            y = self._line(painter, clean(row.second), theme.font("label"), "mut", x, y, room, 16)
        if row.text:
            y += 4
            self._marked(painter, row, self._text(row, rect.width()), x, y)
            y += 20 * len(self._text(row, rect.width()))
        if row.remedy:
            self._line(painter, row.remedy, theme.font("label"), "mut", x, y, room, 20)
        painter.restore()

    def _line(
        self, painter: QPainter, text: str, font: QFont, token: str, x: int, y: int, room: int, height: int
    ) -> int:
        painter.setFont(font)
        metrics = QFontMetricsF(painter.font())
        painter.setPen(theme.color(token))
        shown = metrics.elidedText(text.replace("\n", " "), Qt.TextElideMode.ElideRight, room)
        painter.drawText(QPointF(x, y + (height - metrics.height()) / 2 + metrics.ascent()), shown)
        return y + height

    def _marked(self, painter: QPainter, row: Row, lines: list[str], x: int, y: int) -> None:
        """The text's lines, each marked place on its ground. A line is found again in the text by its letters."""
        font = theme.font("body")
        metrics = QFontMetricsF(font)
        painter.setFont(font)
        letters = [at for at, character in enumerate(row.text) if not character.isspace() and character != "…"]
        marked = [any(start <= at < end for start, end in row.places) for at in letters]
        seen = 0
        for line in lines:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(theme.color("mark"))
            begin = None
            for at, character in [*enumerate(line), (len(line), " ")]:
                letter = not character.isspace() and character not in "\u2060…" and at < len(line)
                on = letter and seen < len(marked) and marked[seen]
                if on and begin is None:
                    begin = at
                elif not on and begin is not None and (letter or at == len(line) or character == " "):
                    left, right = metrics.horizontalAdvance(line[:begin]), metrics.horizontalAdvance(line[:at])
                    painter.drawRoundedRect(QRectF(x + left - 1, y + 1, right - left + 1, 18), 3, 3)
                    begin = None
                seen += letter
            painter.setPen(theme.color("text"))
            painter.drawText(QPointF(x, y + (20 - metrics.height()) / 2 + metrics.ascent()), line)
            y += 20


class RowList(QListView):
    """``opened(Row)`` when a row becomes the current one or Enter is pressed; ``removed(Row)`` on Delete."""

    opened = Signal(object)
    removed = Signal(object)
    go_up = Signal()

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.rows = RowModel()
        self.setModel(self.rows)
        self.setItemDelegate(RowDelegate(self))
        self.setAccessibleName(name)
        self.setMouseTracking(True)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.selectionModel().currentChanged.connect(lambda now, _before: self._open(now))
        self.clicked.connect(self._open)
        theme.notifier().changed.connect(self.viewport().update)

    def show_rows(self, rows: Sequence[Row]) -> None:
        """Show rows of any height; for lists of some hundred."""
        self.setUniformItemSizes(False)
        self.rows.show(rows)
        self.scrollToTop()

    def show_pages(self, total: int, first: Sequence[Row]) -> None:
        """Show a list of any length, whose rows are all of one height."""
        self.setUniformItemSizes(True)
        self.rows.show_pages(total, first)
        self.scrollToTop()

    def current_row(self) -> Row | None:
        """The row with the focus."""
        found = self.currentIndex().data(ROW) if self.currentIndex().isValid() else None
        return found if isinstance(found, Row) else None

    def enter(self) -> None:
        """Take the focus, at the first row unless there is a current one."""
        self.setFocus(Qt.FocusReason.TabFocusReason)
        if not self.currentIndex().isValid() and self.rows.rowCount():
            self.setCurrentIndex(self.rows.index(0))

    def _open(self, index: QModelIndex) -> None:
        row = index.data(ROW) if index.isValid() else None
        if isinstance(row, Row) and row.uri:
            self.opened.emit(row)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self._open(self.currentIndex())
        elif event.key() == Qt.Key.Key_Delete and (row := self.current_row()) is not None:
            self.removed.emit(row)
        elif event.key() == Qt.Key.Key_Up and self.currentIndex().row() <= 0:
            self.go_up.emit()
        else:
            super().keyPressEvent(event)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self.scheduleDelayedItemsLayout()
