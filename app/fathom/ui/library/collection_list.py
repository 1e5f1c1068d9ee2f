"""The left column: add documents, and one row a collection with its state. Knows no services."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import (
    QAbstractListModel,
    QModelIndex,
    QPoint,
    QRect,
    QRectF,
    QSize,
    Qt,
    Signal,
)
from PySide6.QtGui import QPainter
from PySide6.QtWidgets import (
    QMenu,
    QStyleOptionViewItem,
    QWidget,
)

from fathom.ui import icons, theme
from fathom.ui.library import words
from fathom.ui.widgets.buttons import Button
from fathom.ui.widgets.cards import Card, column, row
from fathom.ui.widgets.labels import Icon, Label
from fathom.ui.widgets.side_list import Index, SideList, SideRow

if TYPE_CHECKING:
    from fathom.services.library_service import Collection, IndexProgress, Overview

COLLECTION = Qt.ItemDataRole.UserRole
STATE = Qt.ItemDataRole.UserRole + 1
PROGRESS = Qt.ItemDataRole.UserRole + 2
KIND_ICONS = {"sample": "library", "documents": "folder", "files": "result"}
JSONL = (".jsonl", ".ndjson")


class CollectionModel(QAbstractListModel):
    """Collections in their order; what is being added for the first time has a row as well. ``watch_problem`` is "" or
    why changes in folders are not noticed at once."""

    def __init__(self) -> None:
        super().__init__()
        self._rows: list[Collection] = []
        self._missing: frozenset[str] = frozenset()
        self._running: dict[str, IndexProgress] = {}
        self.watch_problem = ""

    def show(self, overview: Overview) -> bool:
        """Take the place of everything shown; True when the rows themselves changed."""
        from fathom.services.library_service import Collection  # SQLite: after the first paint

        rows = list(overview.collections)
        known = {one.name for one in rows}
        for progress in overview.running:
            if progress.collection not in known:
                rows.append(
                    Collection(
                        name=progress.collection,
                        label=progress.label,
                        kind="documents" if progress.path else "files",
                        path=progress.path,
                    )
                )
        self._missing = overview.missing
        self.watch_problem = overview.watch_problem
        self._running = {progress.collection: progress for progress in overview.running}
        if [one.name for one in rows] == [one.name for one in self._rows]:
            self._rows = rows
            if rows:
                self.dataChanged.emit(self.index(0), self.index(len(rows) - 1))
            return False
        self.beginResetModel()
        self._rows = rows
        self.endResetModel()
        return True

    def tell(self, progress: IndexProgress) -> bool:
        """How far an indexing is; False when its collection has no row yet."""
        self._running[progress.collection] = progress
        at = self.row_of(progress.collection)
        if at >= 0:
            self.dataChanged.emit(self.index(at), self.index(at))
        return at >= 0

    def row_of(self, name: str) -> int:
        """The row of a collection, -1 when it has none."""
        return next((at for at, one in enumerate(self._rows) if one.name == name), -1)

    def collection(self, name: str) -> Collection | None:
        """The collection of that name."""
        at = self.row_of(name)
        return self._rows[at] if at >= 0 else None

    def progress(self, name: str) -> IndexProgress | None:
        """How far its indexing is, None when nothing is indexed into it."""
        return self._running.get(name)

    def is_missing(self, name: str) -> bool:
        """Whether its folder or file is not there now."""
        return name in self._missing

    @property
    def own(self) -> int:
        """How many collections are the person's own."""
        return sum(one.kind != "sample" for one in self._rows)

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(self._rows)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        if not index.isValid():
            return None
        one = self._rows[index.row()]
        progress = self._running.get(one.name)
        state = words.state(one, progress, one.name in self._missing)
        if role == COLLECTION:
            return one
        if role == STATE:
            return state
        if role == PROGRESS:
            return progress
        if role == Qt.ItemDataRole.DisplayRole:
            return one.label
        if role == Qt.ItemDataRole.ToolTipRole:
            return words.short_path(one.path) or None
        if role == Qt.ItemDataRole.AccessibleTextRole:
            more = "" if one.preference == "normal" else f", {words.preference_word(one.preference).lower()}"
            return f"{one.label}. {state[2]}{more}".replace("  ·  ", ", ")
        return None


class CollectionDelegate(SideRow):
    """Draws a row: icon and label, below it the state's icon and words, and a bar while it is read."""

    INDENT = 24  # of the words, beside the icon
    MARK = 14 + 8  # with its distance from the label

    def _label(self, collection: Collection, width: int) -> list[str]:
        mark = self.MARK if collection.preference != "normal" else 0
        return self.title_lines(collection.label, width - mark, self.INDENT)[0]

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        width = option.rect.width() or 260
        lines = len(self._label(index.data(COLLECTION), width))
        bar = 10 if index.data(PROGRESS) is not None else 0
        return QSize(width, self.TOP + self.LINE * (lines + 1) + bar + self.TOP)

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        rect = QRect(option.rect)
        collection, progress = index.data(COLLECTION), index.data(PROGRESS)
        chosen = self.draw_ground(painter, option)
        ratio = painter.device().devicePixelRatio()
        x, y = rect.left() + self.LEFT, rect.top() + self.TOP
        many = collection.kind == "documents" and collection.path.endswith(JSONL)
        icon = "archive" if many else KIND_ICONS[collection.kind]
        painter.drawPixmap(QRect(x, y + 2, 16, 16), icons.pixmap(icon, "mut", 16, ratio))
        if collection.preference != "normal":
            mark = icons.pixmap("flag" if collection.preference == "pinned" else "no", "mut", 14, ratio)
            painter.drawPixmap(QRect(rect.right() - self.RIGHT - 14, y + 3, 14, 14), mark)
        x += self.INDENT
        y = self.draw_title(painter, self._label(collection, rect.width()), x, y, chosen=chosen)
        self.draw_state(painter, index.data(STATE), x, y, rect.right())
        if progress is not None:
            width = rect.right() - self.RIGHT - x
            share = progress.done / progress.total if progress.total else 0.0
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(theme.color("line"))
            painter.drawRoundedRect(QRectF(x, y + 22, width, 4), 2, 2)
            painter.setBrush(theme.color("ink"))
            if share:
                painter.drawRoundedRect(QRectF(x, y + 22, max(4.0, width * min(1.0, share)), 4), 2, 2)
        painter.restore()


class CollectionList(QWidget):
    """260 wide. Its signals say what was wanted of which collection."""

    chosen = Signal(str)
    opened = Signal(str)
    folder_wanted = Signal()
    files_wanted = Signal()
    remove_wanted = Signal(str)
    again_wanted = Signal(str)
    preference_wanted = Signal(str, str)

    def __init__(self) -> None:
        super().__init__()
        self.setFixedWidth(260)
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.setProperty("ground", "side")
        self._current = ""
        layout = column(self, gap=8, margins=(8, 12, 7, 12))
        self.add_folder = Button("Add a folder", "plus", "primary", on_click=self.folder_wanted.emit)
        self.add_folder.setToolTip("Ctrl+O")
        self.add_files = Button("Add files", "result", on_click=self.files_wanted.emit)
        self.add_files.setToolTip("Ctrl+Shift+O")
        self.model = CollectionModel()
        self.view = SideList("Collections", self.model)
        self.delegate = CollectionDelegate(self.view)
        self.view.setItemDelegate(self.delegate)
        self.view.menu_asked.connect(self._menu)
        self.view.selectionModel().currentChanged.connect(lambda now, _before: self._choose(now))
        self.view.clicked.connect(self._choose)
        self.view.opened.connect(lambda: self.opened.emit(self._current))
        self.view.delete_asked.connect(self._remove_current)
        self.model.dataChanged.connect(lambda: self.view.scheduleDelayedItemsLayout())
        hint = Card("sunk", gap=4, padding=12)
        line = row(gap=8)
        line.addWidget(Icon("download", "mut"), 0, Qt.AlignmentFlag.AlignTop)
        line.addWidget(
            Label("Drop folders or files anywhere here. They stay where they are.", "label", tone="mut", lines=0), 1
        )
        hint.body.addLayout(line)
        layout.addWidget(self.add_folder)
        layout.addWidget(self.add_files)
        layout.addSpacing(4)
        layout.addWidget(self.view, 1)
        layout.addWidget(hint)

    @property
    def current(self) -> str:
        """The chosen collection's name, "" when there is none."""
        return self._current

    def show_overview(self, overview: Overview) -> None:
        """Show these collections; the chosen one stays chosen while it is there."""
        if self.model.show(overview):
            self.select(self._current if self.model.row_of(self._current) >= 0 else "")

    def select(self, name: str) -> None:
        """Mark a collection as the shown one ("" for none) without telling anybody."""
        self._current = name
        self.view.mark(self.model.row_of(name) if name else -1)

    def _choose(self, index: QModelIndex) -> None:
        collection = index.data(COLLECTION) if index.isValid() else None
        if collection is not None and collection.name != self._current:
            self._current = collection.name
            self.chosen.emit(collection.name)

    def _remove_current(self) -> None:
        collection = self.view.currentIndex().data(COLLECTION)
        if collection is not None and collection.kind != "sample":
            self.remove_wanted.emit(collection.name)

    def _menu(self, index: QModelIndex, where: QPoint) -> None:
        self.menu_for(index.data(COLLECTION)).popup(where)

    def menu_for(self, collection: Collection) -> QMenu:
        """What can be done with a collection."""
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        for preference, word, _ in words.PREFERENCES:
            action = menu.addAction(word)
            action.setCheckable(True)
            action.setChecked(collection.preference == preference)
            action.triggered.connect(lambda _on=False, p=preference: self.preference_wanted.emit(collection.name, p))
        if collection.kind != "sample":
            menu.addSeparator()
            look = menu.addAction(icons.icon("retry"), "Look again")
            look.triggered.connect(lambda: self.again_wanted.emit(collection.name))
            remove = menu.addAction(icons.icon("bin"), "Remove from the library")
            remove.triggered.connect(lambda: self.remove_wanted.emit(collection.name))
        return menu
