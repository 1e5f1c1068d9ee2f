"""The Library area: collections on the left, one of them in the middle, an opened document on the right.

The only pane of the area that knows services: children say what was wanted, the area asks the library service, off the
event loop, and hands back what came of it. An answer that comes after another question was asked is dropped.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, QUrl
from PySide6.QtGui import (
    QDesktopServices,
    QDragEnterEvent,
    QDragLeaveEvent,
    QDropEvent,
    QKeySequence,
    QResizeEvent,
    QShortcut,
)
from PySide6.QtWidgets import QFileDialog, QSplitter, QStackedWidget, QWidget

from fathom.core.errors import UserError
from fathom.core.types import Scope
from fathom.ui.bridge import Bridge, Tasks
from fathom.ui.library import listing
from fathom.ui.library.collection_list import CollectionList
from fathom.ui.library.collection_page import DOCUMENTS, PROBLEMS, CollectionPage
from fathom.ui.library.listing import Listing, Nothing
from fathom.ui.library.passage import PassagePane
from fathom.ui.library.rows import PAGE, Row
from fathom.ui.library.welcome import DropSheet, Welcome
from fathom.ui.research.words import count
from fathom.ui.widgets.cards import column, row
from fathom.ui.widgets.error_dialog import ErrorDialog
from fathom.ui.widgets.labels import Rule
from fathom.ui.widgets.toast import Toast

if TYPE_CHECKING:
    from fathom.services.application import Services
    from fathom.services.library_service import Collection, IndexProgress, LibraryService

ROOMY = 1100  # from this width on the left column has its full width


class LibraryArea(QWidget):
    """Takes drops anywhere. Ctrl+O and Ctrl+Shift+O add, Ctrl+F searches, F5 looks again, F3 goes to the next match."""

    def __init__(self, bridge: Bridge, tasks: Tasks) -> None:
        super().__init__()
        self._tasks = tasks
        self._library: LibraryService | None = None
        self._removing = ""
        self._asked = 0
        self._looking = self._look_again = False
        self._looks: dict[str, int] = {}  # how often each collection was looked through on the person's wish
        self._last_folder = Path.home()
        self.setAcceptDrops(True)

        across = row(self, gap=0)
        self.list = CollectionList()
        self.page = CollectionPage()
        self.passage = PassagePane()
        self.passage.setMinimumWidth(328)
        self.page.setMinimumWidth(380)
        self.split = QSplitter(Qt.Orientation.Horizontal)
        self.split.setChildrenCollapsible(False)
        self.split.setHandleWidth(1)
        self.split.addWidget(self.page)
        self.split.addWidget(self.passage)
        self.split.setStretchFactor(0, 58)
        self.split.setStretchFactor(1, 42)
        self.split.setSizes([580, 420])
        self.welcome = Welcome()
        self.stack = QStackedWidget()
        self.stack.addWidget(self.welcome)
        self.stack.addWidget(self.split)
        holder = QWidget()
        column(holder, gap=0).addWidget(self.stack)
        across.addWidget(self.list)
        across.addWidget(Rule(vertical=True))
        across.addWidget(holder, 1)
        self.toast = Toast(holder)
        self.sheet = DropSheet(self)
        self.welcome.show_opening()

        bridge.library_changed.connect(self._library_changed)
        for giver in (self.list, self.welcome):
            giver.folder_wanted.connect(self.choose_folder)
            giver.files_wanted.connect(self.choose_files)
        self.welcome.sample_wanted.connect(lambda: self.show_collection("sample"))
        self.list.chosen.connect(self.show_collection)
        self.list.opened.connect(lambda _name: self.page.list.enter())
        self.list.remove_wanted.connect(self.remove)
        self.list.again_wanted.connect(lambda name: self.look_again(name))
        self.list.preference_wanted.connect(lambda name, preference: self._prefer(name, preference, ""))
        page = self.page
        page.searched.connect(lambda _query: self._show_list())
        page.folder_chosen.connect(lambda _folder: self._show_list())
        page.tab_chosen.connect(lambda _tab: self._show_list())
        page.list.rows.page_wanted.connect(self._page_wanted)
        page.opened.connect(self._open_row)
        page.again_wanted.connect(lambda failed: self.look_again(self.list.current, failed))
        page.cancel_wanted.connect(self._cancel)
        page.remove_wanted.connect(lambda: self.remove(self.list.current))
        page.remove_file_wanted.connect(self._remove_file)
        page.open_wanted.connect(self._open_collection_folder)
        page.preference_wanted.connect(lambda p, folder: self._prefer(self.list.current, p, folder))
        self.passage.closed.connect(self._close_document)
        self.passage.file_wanted.connect(self._open_file)
        self.passage.folder_wanted.connect(lambda path: _open(Path(path).parent))
        for keys, act in (
            ("Ctrl+O", self.choose_folder),
            ("Ctrl+Shift+O", self.choose_files),
            ("Ctrl+F", self.page.focus_search),
            ("F5", lambda: self.look_again(self.list.current)),
            ("F3", lambda: self.passage.next.click()),
            ("Shift+F3", lambda: self.passage.previous.click()),
        ):
            shortcut = QShortcut(QKeySequence(keys), self)
            shortcut.setContext(Qt.ShortcutContext.WindowShortcut)  # counts while this area is the one in sight
            shortcut.activated.connect(act)

    def attach(self, services: Services) -> None:
        """The services are open."""
        from fathom.services.library_service import FORMATS

        self._library = services.library
        self.welcome.show_formats(FORMATS)
        self._library_changed(None)

    def close_down(self) -> None:
        """Before the services close: nothing more is asked. A removal that could be undone ends at the next start."""
        self._library = None

    # --- collections ----------------------------------------------------------------------------------------------

    def _library_changed(self, progress: IndexProgress | None) -> None:
        if self._library is None:
            return
        if progress is None or not self.list.model.tell(progress):
            if self._looking:  # one look at a time; the last change gets one of its own
                self._look_again = True
            else:
                self._looking = True
                self._tasks.start(self._show_overview())
        elif progress.collection == self.list.current:
            self.page.show_progress(progress)

    async def _show_overview(self) -> None:
        try:
            while True:
                self._look_again = False
                if self._library is None:
                    return
                overview = await self._library.overview()
                self.list.show_overview(overview)
                self._show_current()
                if not self._look_again:
                    return
        finally:
            self._looking = False

    def _show_current(self) -> None:
        model, name = self.list.model, self.list.current
        if not name and model.own:
            own = [model.index(at).data() for at in range(model.rowCount())]
            name = next(
                one.name
                for at in range(len(own))
                if (one := model.index(at).data(Qt.ItemDataRole.UserRole)).kind != "sample"
            )
            self.show_collection(name)
            return
        collection = model.collection(name)
        if collection is None:
            self.list.select("")
            self.stack.setCurrentWidget(self.welcome)
            return
        before = self._shown_state
        self._shown_state = (name, collection.indexed, collection.documents, len(collection.failed))
        self.page.show_collection(collection, model.progress(name), model.is_missing(name), model.watch_problem)
        if before != self._shown_state and self.stack.currentWidget() is self.split:
            self._tasks.start(self._load_sides(name))
            if not self.page.list.currentIndex().isValid():
                self._show_list()

    _shown_state: tuple[str, str, int, int] = ("", "", 0, 0)

    def show_collection(self, name: str) -> None:
        """Show a collection and its documents."""
        model = self.list.model
        collection = model.collection(name)
        if collection is None:
            return
        self.list.select(name)
        self.stack.setCurrentWidget(self.split)
        self._shown_state = (name, collection.indexed, collection.documents, len(collection.failed))
        self.page.show_collection(collection, model.progress(name), model.is_missing(name), model.watch_problem)
        self._close_document()
        self._tasks.start(self._load_sides(name))
        self._show_list()

    async def _load_sides(self, name: str) -> None:
        if self._library is None:
            return
        folders = await self._library.folders(name)
        twins = await self._library.twins(name)
        if name == self.list.current:
            self.page.show_folders(folders)
            self.page.show_twins(len(twins))

    # --- the list -------------------------------------------------------------------------------------------------

    def _show_list(self) -> None:
        self._asked += 1
        self._tasks.start(self._load_list(self._asked))

    async def _load_list(self, asked: int) -> None:
        library, name = self._library, self.list.current
        collection = self.list.model.collection(name)
        if library is None or collection is None:
            return
        page, folder, query = self.page, self.page.folder, self.page.query
        page.retry.setVisible(page.tab == PROBLEMS and bool(collection.failed))
        shown: Listing | Nothing
        if query and page.tab == DOCUMENTS:
            within = f"{name}/{folder}" if folder else name
            found = await library.find(query, _only(collection, within), listing.RESULTS)
            shown = listing.results(query, found, collection)
        elif page.tab == DOCUMENTS:
            total = await library.count(name, folder)
            entries = await library.entries(name, folder, PAGE)
            reading = self.list.model.progress(name) is not None
            shown = listing.documents(total, entries, collection, reading)
        elif page.tab == PROBLEMS:
            shown = listing.problems(collection.failed)
        else:
            shown = listing.twins(await library.twins(name), collection)
        if asked == self._asked:
            page.show_listing(shown)

    def _page_wanted(self, number: int) -> None:
        self._tasks.start(self._load_page(number, self._asked))

    async def _load_page(self, number: int, asked: int) -> None:
        library, name = self._library, self.list.current
        collection = self.list.model.collection(name)
        if library is None or collection is None:
            return
        entries = await library.entries(name, self.page.folder, PAGE, number * PAGE)
        if asked == self._asked:
            self.page.list.rows.put_page(number, [listing.entry_row(entry, collection) for entry in entries])

    # --- a document -----------------------------------------------------------------------------------------------

    def _open_row(self, row: Row) -> None:
        self._tasks.start(self._open_document(row, self.page.query if self.page.tab == DOCUMENTS else ""))

    async def _open_document(self, row: Row, query: str) -> None:
        if self._library is None:
            return
        opened = await self._library.open(row.uri, query)
        current = self.page.list.current_row()
        if current is not None and current.uri != row.uri:
            return
        if opened is None:
            self.passage.show_missing(row.title)
        else:
            self.passage.show_document(opened, row.start, row.end)

    def _close_document(self) -> None:
        self.passage.clear()
        self.passage.empty.say(
            "quote", "mut", "Nothing opened yet", "Choose a document, or search: it opens here at the passage."
        )

    def _open_file(self, path: str, page: int) -> None:
        if not Path(path).is_file():
            self.toast.say("The file is not there now; this is the saved copy", "warn")
            return
        url = QUrl.fromLocalFile(path)
        if page and path.lower().endswith(".pdf"):
            url.setFragment(f"page={page}")  # readers that know it open at the page
        QDesktopServices.openUrl(url)

    def _open_collection_folder(self) -> None:
        collection = self.list.model.collection(self.list.current)
        if collection is not None and collection.path:
            path = Path(collection.path)
            _open(path if path.is_dir() else path.parent)

    # --- adding ---------------------------------------------------------------------------------------------------

    def choose_folder(self) -> None:
        """Ask for a folder, then index it."""
        dialog = QFileDialog(self, "Add a folder of documents", str(self._last_folder))
        dialog.setFileMode(QFileDialog.FileMode.Directory)
        self._choose(dialog)

    def choose_files(self) -> None:
        """Ask for files, then index them."""
        kinds = (
            "Documents (*.txt *.md *.html *.htm *.pdf *.docx *.xlsx *.pptx *.hwpx *.csv *.json *.rss *.jsonl);;"
            "All files (*)"
        )
        dialog = QFileDialog(self, "Add files", str(self._last_folder), kinds)
        dialog.setFileMode(QFileDialog.FileMode.ExistingFiles)
        self._choose(dialog)

    def _choose(self, dialog: QFileDialog) -> None:
        dialog.setOption(QFileDialog.Option.DontUseNativeDialog)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.filesSelected.connect(lambda paths: self.add([Path(path) for path in paths]))
        dialog.open()

    def add(self, paths: Sequence[Path]) -> None:
        """Index folders, JSONLs and single files; one after the other."""
        if self._library is None or not paths:
            return
        self._last_folder = paths[0].parent
        whole = [path for path in paths if path.is_dir() or path.suffix.lower() in (".jsonl", ".ndjson")]
        single = [path for path in paths if path not in whole]
        for path in whole:
            self._tasks.start(self._add(path))
        if single:
            self._tasks.start(self._add_files(single))

    async def _add(self, path: Path) -> None:
        if self._library is None:
            return
        await self._reported(self._library.add(path), path.name)

    async def _add_files(self, paths: Sequence[Path]) -> None:
        if self._library is None:
            return
        await self._reported(self._library.add_files(paths), count(len(paths), "file"))

    async def _reported(self, work: Awaitable[Collection], what: str) -> None:
        """Run an indexing, and say how it ended. It comes into sight, unless something else is being read by then."""
        before = self.list.current
        try:
            collection = await work
        except UserError as error:
            self._show_error(error)
            return
        if self._library is None:
            return
        self.list.show_overview(await self._library.overview())
        if not self.passage.uri and (not before or self.list.current == before):
            self.show_collection(collection.name)
        else:
            self._show_current()
        failed = len(collection.failed)
        left = f"; {count(failed, 'file', 'files')} could not be read" if failed else ""
        self.toast.say(
            f"{what}: {count(collection.documents, 'document')} can be searched{left}",
            "half" if failed else "ok",
            action="Show" if failed or self.list.current != collection.name else "",
            on_action=lambda: self._show_added(collection.name, PROBLEMS if failed else DOCUMENTS),
        )

    def _show_added(self, name: str, tab: int) -> None:
        if self.list.current != name:
            self.show_collection(name)
        self.page.tabs.setCurrentIndex(tab)

    def look_again(self, name: str, failed: bool = False) -> None:
        """Look through a collection for what is new; with ``failed``, try again what could not be read."""
        collection = self.list.model.collection(name)
        if collection is not None and collection.kind != "sample" and self.list.model.progress(name) is None:
            self._looks[name] = self._looks.get(name, 0) + 1
            if name == self.list.current:
                self.page.begin_look()
            self._tasks.start(self._refresh(name, failed, self._looks[name]))

    async def _refresh(self, name: str, failed: bool, look: int) -> None:
        if self._library is None:
            return
        try:
            await self._library.refresh(name, again=failed)
        except UserError as error:
            overview = await self._library.overview()
            self.list.show_overview(overview)
            self._show_current()
            if look != self._looks[name]:
                return  # a newer look tells how it is now
            if name == self.list.current and name not in overview.missing:
                self.page.show_error(error.message, error.needs, error.has, error.do)
            else:
                self.toast.say(error.message, "warn")
            return
        except KeyError:
            return
        if name == self.list.current:
            self._show_list()
        self.toast.say(f"{words_label(self.list.model.collection(name))} is up to date")

    def _cancel(self) -> None:
        if self._library is not None and self._library.cancel(self.list.current):
            self.toast.say("Reading stopped; what was read can be searched", "pause")

    # --- removing and preferring ----------------------------------------------------------------------------------

    def remove(self, name: str) -> None:
        """Take a collection out at once; it is removed for good when the offer to undo is over. Files stay."""
        collection = self.list.model.collection(name)
        if collection is None or collection.kind == "sample" or self._library is None:
            return
        self.toast.dismiss()
        self._tasks.start(self._hide(name, collection.label))

    async def _hide(self, name: str, label: str) -> None:
        if self._library is None:
            return
        await self._library.hide(name)
        if name == self.list.current:
            self.list.select("")
            self._close_document()
        self._removing = name
        self.toast.say(
            f"{label} removed from the library; its files stay",
            "undo",
            action="Undo",
            on_action=self._undo_remove,
            on_gone=self._remove_for_good,
        )

    def _undo_remove(self) -> None:
        name, self._removing = self._removing, ""
        if self._library is not None:
            self._tasks.start(self._restore(name))

    async def _restore(self, name: str) -> None:
        if self._library is None:
            return
        await self._library.restore(name)
        self.list.show_overview(await self._library.overview())
        self.show_collection(name)

    def _remove_for_good(self) -> None:
        name, self._removing = self._removing, ""
        if name and self._library is not None:
            self._tasks.start(self._remove(name))

    async def _remove(self, name: str) -> None:
        if self._library is None:
            return
        await self._library.remove(name)

    def _remove_file(self, row: Row) -> None:
        if self.list.current == "files" and row.path and self._library is not None:
            self._tasks.start(self._forget(row))

    async def _forget(self, row: Row) -> None:
        if self._library is None:
            return
        await self._library.remove_file("files", row.path)
        self._close_document()
        self._show_list()
        self.toast.say(
            f"{row.title} removed from the library; the file stays",
            "undo",
            action="Undo",
            on_action=lambda: self.add([Path(row.path)]),
        )

    def _prefer(self, name: str, preference: str, folder: str) -> None:
        if self._library is not None:
            self._tasks.start(self._set_preference(name, preference, folder))

    async def _set_preference(self, name: str, preference: str, folder: str) -> None:
        if self._library is None:
            return
        await self._library.prefer(name, preference, folder)  # type: ignore[arg-type]
        await self._load_sides(name)
        what = folder.rpartition("/")[2] or words_label(self.list.model.collection(name))
        said = {"normal": "counts as usual", "pinned": "is pinned: its results weigh more", "blocked": "is blocked"}
        self.toast.say(f"{what} {said[preference]}", "flag" if preference == "pinned" else "ok")

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self.list.setFixedWidth(260 if event.size().width() >= ROOMY else 224)

    # --- dropping -------------------------------------------------------------------------------------------------

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if self._library is not None and any(url.isLocalFile() for url in event.mimeData().urls()):
            event.acceptProposedAction()
            self.sheet.rise()

    def dragLeaveEvent(self, event: QDragLeaveEvent) -> None:
        self.sheet.hide()
        super().dragLeaveEvent(event)

    def dropEvent(self, event: QDropEvent) -> None:
        self.sheet.hide()
        event.acceptProposedAction()
        self.add([Path(url.toLocalFile()) for url in event.mimeData().urls() if url.isLocalFile()])

    def _show_error(self, error: UserError) -> None:
        if error.remedy == "add_folder":
            action = ("Choose another folder", "folder", self.choose_folder)
            ErrorDialog(self.window(), error, action).open()
        else:
            ErrorDialog(self.window(), error).open()


def _only(collection: Collection, within: str) -> Scope:
    if collection.kind == "sample":
        return Scope(documents=False)
    return Scope(sample=False, collections=(within,))


def words_label(collection: Collection | None) -> str:
    """What a collection is called, when it is still there."""
    return collection.label if collection is not None else "The collection"


def _open(folder: Path) -> None:
    QDesktopServices.openUrl(QUrl.fromLocalFile(str(folder)))
