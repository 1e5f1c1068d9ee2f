"""The middle column: one collection's name, state and acts, its search, and its documents, problems and duplicates.

Shows what it is given and says what was wanted; knows no services.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from PySide6.QtCore import QRect, Qt, QTimer, Signal
from PySide6.QtGui import QKeyEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import QLineEdit, QMenu, QSizePolicy, QStackedWidget, QWidget

from fathom.ui import icons, theme
from fathom.ui.library import words
from fathom.ui.library.listing import Listing, Nothing
from fathom.ui.library.rows import RowList
from fathom.ui.research.detail_empty import EmptyState
from fathom.ui.research.detail_tabs import TabRow, Tabs
from fathom.ui.widgets.banner import Banner
from fathom.ui.widgets.buttons import Button
from fathom.ui.widgets.cards import Bar, Card, column, row
from fathom.ui.widgets.labels import Icon, Label

if TYPE_CHECKING:
    from fathom.services.library_service import Collection, Folder, IndexProgress

DOCUMENTS, PROBLEMS, TWINS = range(3)
WATCH_MORE = (
    " Linux watches more folders when fs.inotify.max_user_watches is raised." if sys.platform == "linux" else ""
)
PAUSE_MS = 150


class FindField(QLineEdit):
    """Searches while it is typed in. Escape empties it, Down goes to the list."""

    go_down = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.setPlaceholderText("Search these documents")
        self.setAccessibleName("Search these documents")
        self.setFont(theme.font("body"))
        self.setFixedHeight(32)
        self.setTextMargins(24, 0, 48, 0)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Escape and self.text():
            self.clear()
        elif event.key() in (Qt.Key.Key_Down, Qt.Key.Key_Return, Qt.Key.Key_Enter):
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


class Reading(Card):
    """How far the indexing is, and Cancel."""

    def __init__(self) -> None:
        super().__init__("panel", gap=8, padding=12)
        line = row(gap=8)
        self.icon = Icon("running", "teal")
        self.title = Label("", weight=theme.MEDIUM, lines=1)
        self.cancel = Button("Stop reading", "close", kind="link")
        line.addWidget(self.icon)
        line.addWidget(self.title, 1)
        line.addWidget(self.cancel)
        self.bar = Bar()
        self.text = Label("", "label", tone="mut", lines=1)
        self.body.addLayout(line)
        self.body.addWidget(self.bar)
        self.body.addWidget(self.text)

    def show_progress(self, progress: IndexProgress) -> None:
        """Files so far and the time left; the file that is being read."""
        share = progress.done / progress.total if progress.total else 0.0
        self.bar.set_share(share if progress.state == "indexing" else 0.0)
        self.title.setText(f"Reading {progress.current}" if progress.current else f"Reading {progress.label}")
        self.text.setText(words.progress_line(progress))
        self.setAccessibleName(f"{self.title.text()}. {self.text.text()}")


class CollectionPage(QWidget):
    """Signals say what was wanted of the collection that is shown."""

    searched = Signal(str)
    folder_chosen = Signal(str)
    tab_chosen = Signal(int)
    opened = Signal(object)
    again_wanted = Signal(bool)
    cancel_wanted = Signal()
    remove_wanted = Signal()
    remove_file_wanted = Signal(object)
    open_wanted = Signal()
    preference_wanted = Signal(str, str)

    def __init__(self) -> None:
        super().__init__()
        self._folder = ""
        self._folders: Sequence[Folder] = ()
        self._collection: Collection | None = None
        outer = column(self, gap=0)
        outer.addWidget(self._head())
        outer.addWidget(self._search_row())
        self.tabs = Tabs(("Documents", "Not read", "Duplicates"))
        self.tabs.setAccessibleName("What of this collection")
        self.tabs.currentChanged.connect(self.tab_chosen.emit)
        outer.addWidget(TabRow(self.tabs))
        self.list = RowList("Documents")
        self.list.opened.connect(self.opened.emit)
        self.list.removed.connect(self.remove_file_wanted.emit)
        self.list.go_up.connect(lambda: self.field.setFocus(Qt.FocusReason.BacktabFocusReason))
        self.nothing = EmptyState("search", "", "")
        self.under = QStackedWidget()
        self.under.addWidget(self.list)
        self.under.addWidget(self.nothing)
        self.under.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.under.setProperty("ground", "panel")
        outer.addWidget(self.under, 1)
        self.foot = Label("", "label", tone="mut")
        foot = QWidget()
        foot.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        foot.setProperty("ground", "panel")
        line = row(foot, gap=8, margins=(16, 6, 12, 6))
        line.addWidget(self.foot, 1)
        self.retry = Button("Try these again", "retry", kind="link", on_click=lambda: self.again_wanted.emit(True))
        line.addWidget(self.retry)
        self.retry.hide()
        outer.addWidget(foot)

    def _head(self) -> QWidget:
        head = QWidget()
        head.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        head.setProperty("ground", "panel")
        box = column(head, gap=8, margins=(16, 16, 16, 12))
        self.title = Label("", "page", theme.BOLD, lines=1)
        self.path = Label("", "label", tone="mut", lines=1)
        self.state_icon = Icon("ok", "green", 14)
        self.state = Label("", "label", weight=theme.MEDIUM, lines=1)
        titles = column(gap=2)
        titles.addWidget(self.title)
        titles.addWidget(self.path)
        buttons = row(gap=8)
        self.again = Button("Look again", "retry", on_click=lambda: self.again_wanted.emit(False))
        self.more = Button("More", "down", on_click=self._open_menu)
        buttons.addWidget(self.again)
        buttons.addWidget(self.more)
        top = row(gap=16)
        top.addLayout(titles, 1)
        top.addLayout(buttons)
        top.setAlignment(buttons, Qt.AlignmentFlag.AlignTop)
        self.state_line = QWidget()
        state = row(self.state_line, gap=8)
        state.addWidget(self.state_icon)
        state.addWidget(self.state, 1)
        self.reading = Reading()
        self.reading.cancel.clicked.connect(self.cancel_wanted.emit)
        self.reading.hide()
        self.banner = Banner()
        box.addLayout(top)
        box.addWidget(self.state_line)
        box.addWidget(self.reading)
        box.addWidget(self.banner)
        return head

    def _search_row(self) -> QWidget:
        holder = QWidget()
        holder.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        holder.setProperty("ground", "panel")
        line = row(holder, gap=8, margins=(16, 0, 16, 4))
        self.field = FindField()
        self._pause = QTimer(self, singleShot=True, interval=PAUSE_MS)
        self._pause.timeout.connect(self._search)
        self.field.textChanged.connect(lambda _text: self._pause.start())
        self.field.go_down.connect(lambda: self.list.enter())
        self.folders = Button("All folders", "folder", on_click=self._open_folders)
        self.folders.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)
        line.addWidget(self.field, 1)
        line.addWidget(self.folders)
        return holder

    def _search(self) -> None:
        if self.query:
            self.tabs.setCurrentIndex(DOCUMENTS)
        self.searched.emit(self.query)

    # --- what it is told ------------------------------------------------------------------------------------------

    def show_collection(
        self, collection: Collection, progress: IndexProgress | None, missing: bool, watch_problem: str = ""
    ) -> None:
        """Its name, where it lies, its state; why its changes are not noticed at once, when they are not."""
        another = self._collection is None or self._collection.name != collection.name
        self._collection = collection
        if another:
            self._failed_look = "", ""
            self._folder = ""
            self.field.blockSignals(True)
            self.field.clear()
            self.field.blockSignals(False)
            self.tabs.setCurrentIndex(DOCUMENTS)
        sample, single = collection.kind == "sample", collection.kind == "files"
        self.title.setText(collection.label)
        self.path.setText(
            "Comes with Fathom; nothing to look after"
            if sample
            else "Files that were added one by one; they stay where they are"
            if single
            else words.short_path(collection.path)
        )
        self.path.setToolTip("" if sample or single else collection.path)
        self.again.setVisible(not sample)
        stopped = not collection.indexed and not sample and not missing and progress is None
        self.again.set_face("Go on reading" if stopped else "Look again", "play" if stopped else "retry")
        self.again.offer("It is being read now." if progress is not None else "", "Look for new and changed files (F5)")
        icon, token, text = words.state(collection, None, missing)
        up_to_date, looked = ("Up to date" if icon == "ok" else "", words.looked(collection.indexed))
        parts = [text] if sample else [up_to_date, text, looked]
        if collection.preference != "normal":
            parts.append(words.preference_word(collection.preference))
        self.state_icon.set_icon(icon, token)
        self.state.setText("  ·  ".join(part for part in parts if part))
        self.tabs.setTabText(PROBLEMS, f"Not read ({len(collection.failed):,})" if collection.failed else "Not read")
        self.show_progress(progress)
        if missing:
            self.banner.show_message(
                "amber",
                "This folder is not there now." if not collection.path.endswith(".jsonl") else "This file is gone.",
                f"{words.short_path(collection.path)} was moved, renamed, or its drive is not connected. "
                "What was read before can still be searched.",
                action=("Look again", "retry", lambda: self.again_wanted.emit(False)),
                link=("Remove", "", self.remove_wanted.emit),
                icon="folder",
            )
        elif watch_problem and collection.kind == "documents":
            self.banner.show_message(
                "amber",
                "New and changed files are noticed every ten minutes, not at once.",
                has=watch_problem,
                do=f"Look again (F5) when they are wanted now. Network drives often cannot be watched.{WATCH_MORE}",
                icon="clock",
            )
        elif self._failed_look != (collection.name, collection.indexed):
            self.banner.hide()

    _failed_look = ("", "")  # the collection whose error is shown, and when it was last looked through

    def show_error(self, message: str, needs: str, has: str, do: str) -> None:
        """What went wrong with this collection; stays until the next look."""
        self.banner.show_message("red", message, needs=needs, has=has, do=do)
        if self._collection is not None:
            self._failed_look = self._collection.name, self._collection.indexed

    def begin_look(self) -> None:
        """It is looked through again: an error of the last look is over."""
        if self._failed_look != ("", ""):
            self._failed_look = "", ""
            self.banner.hide()

    def show_progress(self, progress: IndexProgress | None) -> None:
        """How far the indexing is; None when nothing is indexed."""
        self.reading.setVisible(progress is not None)
        self.state_line.setVisible(progress is None)
        if progress is not None:
            self.reading.show_progress(progress)

    def show_folders(self, folders: Sequence[Folder]) -> None:
        """The folders that the search can be narrowed to."""
        self._folders = folders
        if self._folder and self._folder not in {one.path for one in folders}:
            self._folder = ""
        self.folders.setVisible(bool(folders))
        self._name_folder()

    def show_twins(self, number: int) -> None:
        """How many texts stand in more than one file."""
        self.tabs.setTabText(TWINS, f"Duplicates ({number:,})" if number else "Duplicates")

    def show_listing(self, listing: Listing | Nothing) -> None:
        """The rows of the tab that is in sight, or why there are none."""
        if isinstance(listing, Nothing):
            self.nothing.say(listing.icon, "mut", listing.title, listing.text)
            self.under.setCurrentWidget(self.nothing)
            self.list.rows.show([])
            self.foot.setText("")
            return
        self.under.setCurrentWidget(self.list)
        if listing.total:
            self.list.show_pages(listing.total, listing.rows)
        else:
            self.list.show_rows(listing.rows)
        self.foot.setText(listing.foot)

    @property
    def folder(self) -> str:
        """The folder that the list is narrowed to, "" for all."""
        return self._folder

    @property
    def query(self) -> str:
        """What is searched for."""
        return self.field.text().strip()

    @property
    def tab(self) -> int:
        """Documents, problems or duplicates."""
        return self.tabs.currentIndex()

    def focus_search(self) -> None:
        """Put the cursor into the search."""
        self.field.setFocus(Qt.FocusReason.ShortcutFocusReason)
        self.field.selectAll()

    # --- menus ----------------------------------------------------------------------------------------------------

    def _open_menu(self) -> None:
        if menu := self.menu():
            menu.popup(self.more.mapToGlobal(self.more.rect().bottomLeft()))

    def menu(self) -> QMenu | None:
        """What else can be done with the collection."""
        collection = self._collection
        if collection is None:
            return None
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        menu.setToolTipsVisible(True)
        for preference, word, tip in words.PREFERENCES:
            action = menu.addAction(word)
            action.setToolTip(tip)
            action.setCheckable(True)
            action.setChecked(collection.preference == preference)
            action.triggered.connect(lambda _on=False, p=preference: self.preference_wanted.emit(p, ""))
        if collection.kind != "sample":
            menu.addSeparator()
            if collection.path:
                menu.addAction(icons.icon("folder"), "Open the folder").triggered.connect(self.open_wanted.emit)
            menu.addAction(icons.icon("bin"), "Remove from the library").triggered.connect(self.remove_wanted.emit)
        return menu

    def _open_folders(self) -> None:
        self.folders_menu().popup(self.folders.mapToGlobal(self.folders.rect().bottomLeft()))

    def folders_menu(self) -> QMenu:
        """The folders to narrow to; the chosen one can be pinned or blocked."""
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        everything = menu.addAction("All folders")
        everything.setCheckable(True)
        everything.setChecked(not self._folder)
        everything.triggered.connect(lambda: self._choose_folder(""))
        for one in self._folders[:60]:
            depth = "    " * one.path.count("/")
            mark = "" if one.preference == "normal" else f"  ({words.preference_word(one.preference).lower()})"
            action = menu.addAction(f"{depth}{one.path.rpartition('/')[2]}{mark}".replace("&", "&&"))
            action.setCheckable(True)
            action.setChecked(one.path == self._folder)
            action.triggered.connect(lambda _on=False, path=one.path: self._choose_folder(path))
        chosen = next((one for one in self._folders if one.path == self._folder), None)
        if chosen is not None:
            menu.addSeparator()
            for preference, word, _ in words.PREFERENCES:
                action = menu.addAction(f"This folder: {word.lower()}")
                action.setCheckable(True)
                action.setChecked(chosen.preference == preference)
                action.triggered.connect(lambda _on=False, p=preference: self.preference_wanted.emit(p, chosen.path))
        return menu

    def _choose_folder(self, path: str) -> None:
        self._folder = path
        self._name_folder()
        self.folder_chosen.emit(path)

    def _name_folder(self) -> None:
        name = self._folder.rpartition("/")[2] or "All folders"
        shown = name if len(name) <= 24 else f"{name[:23]}…"
        self.folders.set_face(shown, "folder")
        self.folders.setAccessibleName(f"Folder: {name}")
        self.folders.setToolTip(self._folder or "Narrow the list and the search to a folder")
