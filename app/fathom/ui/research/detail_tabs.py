"""A row of tabs: words with a blue line under the chosen one. 40 high; the arrow keys move along it."""

from __future__ import annotations

from PySide6.QtCore import QRect, QSize, Qt
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QTabBar, QWidget

from fathom.ui import theme
from fathom.ui.widgets.cards import row

HEIGHT = 40
_GAP = 16


class Tabs(QTabBar):
    """A QTabBar that draws itself; each tab is wide enough for its bold word, so that nothing moves when chosen."""

    def __init__(self, words: tuple[str, ...], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFont(theme.font("body", theme.BOLD))
        self.setDrawBase(False)
        self.setExpanding(False)
        self.setUsesScrollButtons(False)
        self.setMouseTracking(True)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setElideMode(Qt.TextElideMode.ElideNone)
        self.setAccessibleName("Details")
        for word in words:
            self.addTab(word)
        theme.notifier().changed.connect(self.update)

    def tabSizeHint(self, index: int) -> QSize:
        return QSize(self.fontMetrics().horizontalAdvance(self.tabText(index)) + _GAP, HEIGHT)

    def minimumTabSizeHint(self, index: int) -> QSize:
        return self.tabSizeHint(index)

    def sizeHint(self) -> QSize:
        return QSize(sum(self.tabSizeHint(index).width() for index in range(self.count())) + 16, HEIGHT)

    def minimumSizeHint(self) -> QSize:
        return self.sizeHint()

    def word_rect(self, index: int) -> QRect:
        """Where a tab's word lies."""
        rect = self.tabRect(index)
        return QRect(rect.left() + 8, 0, rect.width() - _GAP, HEIGHT)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        for index in range(self.count()):
            rect = self.word_rect(index)
            chosen = index == self.currentIndex()
            under = self.tabRect(index).contains(self.mapFromGlobal(self.cursor().pos())) and self.underMouse()
            painter.setFont(theme.font("body", theme.BOLD if chosen else theme.REGULAR))
            painter.setPen(theme.color("text" if chosen or under else "mut"))
            painter.drawText(rect, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter, self.tabText(index))
            if chosen:
                painter.fillRect(QRect(rect.left(), HEIGHT - 2, rect.width(), 2), theme.color("blue"))
                if self.hasFocus():
                    painter.setPen(theme.color("blue"))
                    painter.drawRoundedRect(rect.adjusted(-5, 7, 4, -8), 4, 4)
        painter.end()


class TabRow(QWidget):
    """The tabs on the pane's left margin, and the line below them over the whole width."""

    def __init__(self, tabs: Tabs, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        row(self, gap=0, margins=(8, 0, 0, 0)).addWidget(tabs, 1)
        self.setFixedHeight(HEIGHT)
        theme.notifier().changed.connect(self.update)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.fillRect(self.rect(), theme.color("panel"))
        painter.fillRect(QRect(0, HEIGHT - 1, self.width(), 1), theme.color("line"))
        painter.end()
