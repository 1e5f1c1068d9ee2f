"""The list of sessions: a new question, a search, and one row per session under Today, Yesterday, Earlier, Samples.

Shows what it is given and says what was wanted; knows neither services nor store.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from PySide6.QtCore import (
    QAbstractListModel,
    QModelIndex,
    QPersistentModelIndex,
    QPoint,
    QPointF,
    QRect,
    QRectF,
    QSize,
    Qt,
    QTimer,
    Signal,
)
from PySide6.QtGui import QFontMetrics, QHelpEvent, QKeyEvent, QPainter, QPaintEvent, QPen, QResizeEvent
from PySide6.QtWidgets import (
    QAbstractItemView,
    QLineEdit,
    QListView,
    QMenu,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QToolTip,
    QWidget,
)

from fathom.core.types import Session
from fathom.ui import icons, theme
from fathom.ui.research import words
from fathom.ui.widgets.buttons import Button
from fathom.ui.widgets.cards import column
from fathom.ui.widgets.labels import Label, lay_out, plain_tip

Index = QModelIndex | QPersistentModelIndex
SESSION = Qt.ItemDataRole.UserRole
HEADING = Qt.ItemDataRole.UserRole + 1


class SessionModel(QAbstractListModel):
    """Rows are headings (str) and sessions."""

    def __init__(self) -> None:
        super().__init__()
        self._rows: list[str | Session] = []
        self._steps: dict[str, int] = {}

    def show(self, sessions: Sequence[Session]) -> None:
        """Take the place of everything shown; ``sessions`` are newest first."""
        today = date.today()
        rows: list[str | Session] = []
        for heading in words.GROUPS:
            members = [session for session in sessions if words.group(session, today) == heading]
            if members:
                rows += [heading, *members]
        self.beginResetModel()
        self._rows = rows
        self.endResetModel()

    def change(self, session: Session) -> bool:
        """A session's state changed; False when it is not shown."""
        row = self.row_of(session.id)
        if row < 0:
            return False
        self._rows[row] = session
        if session.state not in ("running", "paused"):
            self._steps.pop(session.id, None)
        self.dataChanged.emit(self.index(row), self.index(row))
        return True

    def set_step(self, session_id: str, step: int) -> None:
        """The step that a session is in."""
        self._steps[session_id] = step
        row = self.row_of(session_id)
        if row >= 0:
            self.dataChanged.emit(self.index(row), self.index(row))

    def step(self, session_id: str) -> int:
        """The step that a session is in, 0 when it is not known."""
        return self._steps.get(session_id, 0)

    def row_of(self, session_id: str) -> int:
        """The row of a session, -1 when it is not shown."""
        return next((i for i, r in enumerate(self._rows) if isinstance(r, Session) and r.id == session_id), -1)

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(self._rows)

    def flags(self, index: Index) -> Qt.ItemFlag:
        if not index.isValid() or isinstance(self._rows[index.row()], str):
            return Qt.ItemFlag.NoItemFlags
        return Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        if not index.isValid():
            return None
        row = self._rows[index.row()]
        if isinstance(row, str):
            wanted = (HEADING, Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.AccessibleTextRole)
            return row if role in wanted else None
        if role == SESSION:
            return row
        if role == Qt.ItemDataRole.DisplayRole:
            return row.title
        if role == Qt.ItemDataRole.AccessibleTextRole:
            return f"{row.title}. {words.status(row, self.step(row.id))[2]}".replace("  ·  ", ", ")
        return None


class SessionDelegate(QStyledItemDelegate):
    """Draws a row: title up to two lines, below it the state's icon and word; the chosen one with a blue edge."""

    LEFT, RIGHT, TOP = 12, 12, 8

    def _title(self, session: Session, width: int) -> tuple[list[str], bool]:
        room = width - self.LEFT - self.RIGHT
        return lay_out(session.title, theme.font("body", theme.MEDIUM), room, max_lines=2)

    def is_cut(self, session: Session, width: int) -> bool:
        """Whether the title needs more than two lines."""
        return self._title(session, width)[1]

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        width = option.rect.width() or 224
        session = index.data(SESSION)
        if session is None:
            return QSize(width, 36 if index.row() else 32)
        return QSize(width, self.TOP + 20 * len(self._title(session, width)[0]) + 20 + self.TOP)

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        rect = QRect(option.rect)
        session = index.data(SESSION)
        if session is None:
            painter.setFont(theme.font("label", theme.BOLD))
            painter.setPen(theme.color("mut"))
            painter.drawText(
                rect.adjusted(self.LEFT, 0, 0, -6),
                Qt.AlignmentFlag.AlignBottom | Qt.AlignmentFlag.AlignLeft,
                index.data(HEADING),
            )
            painter.restore()
            return
        chosen = bool(option.state & QStyle.StateFlag.State_Selected)
        hover = bool(option.state & QStyle.StateFlag.State_MouseOver)
        focused = bool(option.state & QStyle.StateFlag.State_HasFocus)
        if chosen or hover:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setOpacity(1.0 if chosen else theme.HOVER)
            painter.setBrush(theme.color("sel"))
            painter.drawRoundedRect(rect.adjusted(0, 1, 0, -1), theme.RADIUS, theme.RADIUS)
            painter.setOpacity(1.0)
        if chosen:
            painter.setBrush(theme.color("blue"))
            painter.drawRoundedRect(QRect(rect.left(), rect.top() + 9, 3, rect.height() - 18), 1.5, 1.5)
        if focused:
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(theme.color("blue"), 2))
            painter.drawRoundedRect(QRectF(rect).adjusted(1, 2, -1, -2), theme.RADIUS, theme.RADIUS)
        font = theme.font("body", theme.BOLD if chosen else theme.MEDIUM)
        metrics = QFontMetrics(font)
        painter.setFont(font)
        painter.setPen(theme.color("text"))
        x, y = rect.left() + self.LEFT, rect.top() + self.TOP
        lines, _ = lay_out(session.title, font, rect.width() - self.LEFT - self.RIGHT, max_lines=2)
        for line in lines:
            painter.drawText(QPointF(x, y + (20 - metrics.height()) / 2 + metrics.ascent()), line)
            y += 20
        model = index.model()
        step = model.step(session.id) if isinstance(model, SessionModel) else 0
        icon, token, text = words.status(session, step)
        ratio = painter.device().devicePixelRatio()
        painter.drawPixmap(QRect(x, y + 3, 14, 14), icons.pixmap(icon, token, 14, ratio))
        small = theme.font("label")
        metrics = QFontMetrics(small)
        painter.setFont(small)
        painter.setPen(theme.color("mut"))
        room = rect.right() - self.RIGHT - (x + 20)
        shown = metrics.elidedText(text, Qt.TextElideMode.ElideRight, room)
        painter.drawText(QPointF(x + 20, y + (20 - metrics.height()) / 2 + metrics.ascent()), shown)
        painter.restore()

    def helpEvent(self, event: QHelpEvent, view: QAbstractItemView, option: QStyleOptionViewItem, index: Index) -> bool:
        session = index.data(SESSION)
        if session is not None and self.is_cut(session, option.rect.width()):
            QToolTip.showText(event.globalPos(), plain_tip(session.title), view)
        else:
            QToolTip.hideText()
        return True


class SearchField(QLineEdit):
    """Finds sessions by their words. Escape empties it, Down goes to the list."""

    go_down = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.setPlaceholderText("Find a session")
        self.setAccessibleName("Find a session")
        self.setFont(theme.font("body"))
        self.setFixedHeight(32)
        self.setTextMargins(24, 0, 0, 0)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Escape and self.text():
            self.clear()
        elif event.key() == Qt.Key.Key_Down:
            self.go_down.emit()
        else:
            super().keyPressEvent(event)

    def paintEvent(self, event: QPaintEvent) -> None:
        super().paintEvent(event)
        painter = QPainter(self)
        painter.drawPixmap(QRect(11, 8, 16, 16), icons.pixmap("search", "mut", 16, self.devicePixelRatioF()))
        if not self.text():
            painter.setFont(theme.font("label"))
            painter.setPen(theme.color("mut"))
            right = Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignRight
            painter.drawText(self.rect().adjusted(0, 0, -10, 0), right, "Ctrl+F")
        painter.end()


class _View(QListView):
    delete_asked = Signal()
    opened = Signal()

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


class SessionList(QWidget):
    """The left column, 240 wide. ``chosen(id)``, ``new_question()``, ``delete_wanted(id)``, ``searched(text)``."""

    chosen = Signal(str)
    new_question = Signal()
    delete_wanted = Signal(str)
    searched = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.setFixedWidth(240)
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.setProperty("ground", "side")
        self._current = ""
        layout = column(self, gap=8, margins=(8, 12, 7, 0))
        self.new_button = Button("New question", "plus", "primary", on_click=self.new_question.emit)
        self.new_button.setToolTip("Ctrl+N")
        self.search = SearchField()
        self._pause = QTimer(self, singleShot=True, interval=150)
        self._pause.timeout.connect(lambda: self.searched.emit(self.search.text().strip()))
        self.search.textChanged.connect(lambda _text: self._pause.start())
        self.model = SessionModel()
        self.view = _View()
        self.view.setModel(self.model)
        self.delegate = SessionDelegate(self.view)
        self.view.setItemDelegate(self.delegate)
        self.view.setAccessibleName("Sessions")
        self.view.setMouseTracking(True)
        self.view.setUniformItemSizes(False)
        self.view.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.view.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.view.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.view.customContextMenuRequested.connect(self._menu)
        self.view.selectionModel().currentChanged.connect(self._current_changed)
        self.view.clicked.connect(lambda index: self._choose(index))
        self.view.opened.connect(lambda: self._choose(self.view.currentIndex()))
        self.view.delete_asked.connect(self._delete_current)
        self.search.go_down.connect(self._into_list)
        self.empty = Label("", tone="mut", lines=0, parent=self.view)
        self.empty.setGeometry(12, 16, 200, 60)
        self.empty.hide()
        layout.addWidget(self.new_button)
        layout.addWidget(self.search)
        layout.addWidget(self.view, 1)
        theme.notifier().changed.connect(self.view.viewport().update)

    def show_sessions(self, sessions: Sequence[Session], query: str = "") -> None:
        """Show these, newest first."""
        blocked = self.view.selectionModel().blockSignals(True)
        self.model.show(sessions)
        self.view.selectionModel().blockSignals(blocked)
        self.empty.setVisible(not sessions)
        self.empty.setText(f"No session contains “{query}”." if query else "Your sessions will be listed here.")
        self.select(self._current)

    def change(self, session: Session) -> bool:
        """A session's state changed; False when it has no row."""
        return self.model.change(session)

    def select(self, session_id: str) -> None:
        """Mark a session as the shown one ("" for none) without telling anybody."""
        self._current = session_id
        row = self.model.row_of(session_id) if session_id else -1
        selection = self.view.selectionModel()
        blocked = selection.blockSignals(True)
        if row < 0:
            selection.clear()
        else:
            self.view.setCurrentIndex(self.model.index(row))
        selection.blockSignals(blocked)
        self.view.viewport().update()

    def focus_search(self) -> None:
        """Put the cursor into the search."""
        self.search.setFocus(Qt.FocusReason.ShortcutFocusReason)
        self.search.selectAll()

    def _into_list(self) -> None:
        self.view.setFocus(Qt.FocusReason.TabFocusReason)
        for row in range(self.model.rowCount()):
            if self.model.flags(self.model.index(row)) & Qt.ItemFlag.ItemIsSelectable:
                self.view.setCurrentIndex(self.model.index(row))
                return

    def _current_changed(self, current: QModelIndex, _previous: QModelIndex) -> None:
        self._choose(current)

    def _choose(self, index: QModelIndex) -> None:
        session = index.data(SESSION) if index.isValid() else None
        if session is not None and session.id != self._current:
            self._current = session.id
            self.chosen.emit(session.id)

    def _delete_current(self) -> None:
        session = self.view.currentIndex().data(SESSION)
        if session is not None and session.state not in ("running", "paused"):
            self.delete_wanted.emit(session.id)

    def _menu(self, at: QPoint) -> None:
        session = self.view.indexAt(at).data(SESSION)
        if session is None:
            return
        menu = self.menu_for(session)
        menu.popup(self.view.viewport().mapToGlobal(at))

    def menu_for(self, session: Session) -> QMenu:
        """What can be done with a session."""
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        menu.addAction(icons.icon("open"), "Open").triggered.connect(lambda: self.chosen.emit(session.id))
        busy = session.state in ("running", "paused")
        delete = menu.addAction(icons.icon("bin"), "Delete (stop it first)" if busy else "Delete")
        delete.setEnabled(not busy)
        delete.triggered.connect(lambda: self.delete_wanted.emit(session.id))
        return menu
