"""The list of sessions: a new question, a search, and one row per session under Today, Yesterday, Earlier, Samples.

Shows what it is given and says what was wanted; knows neither services nor store.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from PySide6.QtCore import (
    QAbstractListModel,
    QModelIndex,
    QPoint,
    QRect,
    QSize,
    Qt,
    QTimer,
    Signal,
)
from PySide6.QtGui import QHelpEvent, QKeyEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import (
    QAbstractItemView,
    QLineEdit,
    QMenu,
    QStyleOptionViewItem,
    QToolTip,
    QWidget,
)

from fathom.core.types import Session
from fathom.ui import icons, theme
from fathom.ui.research import words
from fathom.ui.widgets.buttons import Button
from fathom.ui.widgets.cards import column
from fathom.ui.widgets.labels import Label, plain_tip
from fathom.ui.widgets.side_list import Index, SideList, SideRow

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


class SessionDelegate(SideRow):
    """Draws a row: the session's title, and below it the state's icon and word; or a heading."""

    def is_cut(self, session: Session, width: int) -> bool:
        """Whether the title needs more than two lines."""
        return self.title_lines(session.title, width)[1]

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        width = option.rect.width() or 224
        session = index.data(SESSION)
        if session is None:
            return QSize(width, 36 if index.row() else 32)
        lines = len(self.title_lines(session.title, width)[0])
        return QSize(width, self.TOP + self.LINE * (lines + 1) + self.TOP)

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
        else:
            chosen = self.draw_ground(painter, option)
            x, y = rect.left() + self.LEFT, rect.top() + self.TOP
            lines, _ = self.title_lines(session.title, rect.width())
            y = self.draw_title(painter, lines, x, y, chosen=chosen)
            model = index.model()
            step = model.step(session.id) if isinstance(model, SessionModel) else 0
            self.draw_state(painter, words.status(session, step), x, y, rect.right())
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
        self.view = SideList("Sessions", self.model)
        self.delegate = SessionDelegate(self.view)
        self.view.setItemDelegate(self.delegate)
        self.view.menu_asked.connect(self._menu)
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
        self.view.mark(self.model.row_of(session_id) if session_id else -1)

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

    def _menu(self, index: QModelIndex, where: QPoint) -> None:
        session = index.data(SESSION)
        if session is not None:
            self.menu_for(session).popup(where)

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
