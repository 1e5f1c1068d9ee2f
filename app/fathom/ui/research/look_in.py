"""Where Fathom looks: a dialog to choose the sample library, one's own folders and the web, and to add folders.

Works on the library service that it is given; every change counts at once. Never blocks the loop.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QCloseEvent
from PySide6.QtWidgets import QFileDialog, QWidget

from fathom.core.errors import UserError
from fathom.core.types import Scope
from fathom.ui import theme
from fathom.ui.bridge import Tasks
from fathom.ui.research import words
from fathom.ui.widgets.banner import NeedsHasDo
from fathom.ui.widgets.buttons import Button, Tick
from fathom.ui.widgets.cards import Bar, Card, IconLine, column, row
from fathom.ui.widgets.error_dialog import Dialog
from fathom.ui.widgets.file_dialog import file_dialog
from fathom.ui.widgets.labels import Label, Rule, plain_tip

if TYPE_CHECKING:
    from fathom.services.library_service import IndexProgress, LibraryService
    from fathom.store.library import Collection


def counts(collections: list[Collection], scope: Scope | None = None) -> tuple[int, int, int]:
    """Pages of the sample library, pages of the person's own, and their folders; own ones narrowed to ``scope``."""
    sample = sum(one.documents for one in collections if one.kind == "sample")
    own = [one for one in collections if one.kind != "sample"]
    if scope is not None and scope.collections:
        wanted = {name.partition("/")[0] for name in scope.collections}
        own = [one for one in own if one.name in wanted]
    return sample, sum(one.documents for one in own), len(own)


class _Adding(QWidget):
    """How far the indexing of a folder is."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        layout = column(self, gap=4)
        self._name = path.name or str(path)
        self._began = time.monotonic()
        line = row(gap=8)
        self.title = Label(f"Reading {self._name}", weight=theme.MEDIUM)
        self.cancel = Button("Cancel", kind="link")
        line.addWidget(self.title, 1)
        line.addWidget(self.cancel)
        self.bar = Bar()
        self.text = Label("Looking for files", "label", tone="mut")
        layout.addLayout(line)
        layout.addWidget(self.bar)
        layout.addWidget(self.text)

    def show_progress(self, progress: IndexProgress) -> None:
        """Pages so far, the share of bytes, and the time left."""
        share = progress.done / progress.total if progress.total else 0.0
        passed = time.monotonic() - self._began
        eta = passed * (1 - share) / share if share > 0.05 and passed > 1.0 else None
        self.bar.set_share(share)
        failed = f"  ·  {progress.failed:,} could not be read" if progress.failed else ""
        self.text.setText(f"{words.count(progress.documents, 'page')} so far  ·  {words.time_left(eta)}{failed}")


class LookIn(Dialog):
    """``scope_changed(Scope)`` on every change, ``library_changed()`` when a folder came or went."""

    scope_changed = Signal(object)
    library_changed = Signal()

    def __init__(
        self,
        parent: QWidget | None,
        library: LibraryService,
        scope: Scope,
        tasks: Tasks,
        services: str = "Wikipedia",
    ) -> None:
        """``services`` names those that search the web."""
        super().__init__(parent, "folder", "mut", "Where Fathom looks")
        self.setModal(False)
        self._library = library
        self._tasks = tasks
        self._adding: asyncio.Task[None] | None = None
        self.scope = scope

        self.sample = Tick("Sample library")
        self.sample_text = Label("", "label", tone="mut", lines=0)
        self.documents = Tick("My documents")
        self.documents_text = Label(
            "Text, PDF, Word, Excel, HWPX and other files. They are read here and never leave this computer.",
            "label",
            tone="mut",
            lines=0,
        )
        self.web = Tick("Web")
        self.web_text = Label(
            f"When it is on, the words that the model searches for are sent to {services}, and pages are fetched from "
            "their own sites, which see your address. Nothing else is sent.",
            "label",
            tone="mut",
            lines=0,
        )
        self.ask = Tick("Ask me before each contact")
        self._own = QWidget()
        self._own_layout = column(self._own, gap=4)
        self._problems = Card("red", gap=4, padding=12)
        self._problems.hide()
        add = row(gap=8)
        self.add_folder = Button("Add a folder…", "plus", on_click=self.choose_folder)
        self.add_file = Button("Add a file…", kind="link", on_click=self.choose_file)
        add.addWidget(self.add_folder)
        add.addWidget(self.add_file)
        add.addStretch(1)

        for index, (tick, text) in enumerate(
            ((self.sample, self.sample_text), (self.documents, self.documents_text), (self.web, self.web_text))
        ):
            if index:
                self.content.addWidget(Rule())
            box = column(gap=2)
            box.addWidget(tick, 0, Qt.AlignmentFlag.AlignLeft)
            below = column(gap=8, margins=(26, 0, 0, 0))
            below.addWidget(text)
            if tick is self.web:
                below.addWidget(self.ask, 0, Qt.AlignmentFlag.AlignLeft)
            if tick is self.documents:
                below.addWidget(self._own)
                below.addWidget(self._problems)
                below.addLayout(add)
            box.addLayout(below)
            self.content.addLayout(box)
        self.note = Label("", "label", tone="orange", lines=0)
        self.note.hide()
        self.content.addWidget(self.note)
        self.buttons.addStretch(1)
        self.done_button = Button("Done", kind="primary", on_click=self.close_it)
        self.buttons.addWidget(self.done_button)
        self.finish()
        self.sample.setChecked(scope.sample)
        self.documents.setChecked(scope.documents)
        self.web.setChecked(scope.web)
        self.ask.setChecked(scope.ask)
        self.ask.setEnabled(scope.web)
        for tick in (self.sample, self.documents, self.web, self.ask):
            tick.toggled.connect(lambda _on: self._ticked())
        self._show_library()
        self._warn()

    # --- the library ----------------------------------------------------------------------------------------------

    def choose_folder(self) -> None:
        """Ask for a folder, then index it."""
        self._choose(QFileDialog.FileMode.Directory, "Add a folder of documents", "")

    def choose_file(self) -> None:
        """Ask for a file, then index it."""
        kinds = "Documents (*.txt *.md *.html *.htm *.pdf *.docx *.xlsx *.pptx *.hwpx *.csv *.json *.jsonl);;All (*)"
        self._choose(QFileDialog.FileMode.ExistingFile, "Add a file", kinds)

    def _choose(self, mode: QFileDialog.FileMode, title: str, kinds: str) -> None:
        dialog = file_dialog(self, title, Path.home(), kinds)
        dialog.setFileMode(mode)
        dialog.fileSelected.connect(lambda path: self.add(Path(path)))
        dialog.open()

    def add(self, path: Path) -> None:
        """Index a folder or file; one at a time."""
        if self._adding is None or self._adding.done():
            self._adding = self._tasks.start(self._add(path))

    async def _add(self, path: Path) -> None:
        self._problems.hide()
        adding = _Adding(path)
        adding.cancel.clicked.connect(self._cancel)
        self._own_layout.addWidget(adding)
        self._offer_adding("One folder is read after the other.")
        self.adjustSize()
        try:
            collection = await self._library.add(path, adding.show_progress)
            if not self.documents.isChecked():
                self.documents.setChecked(True)
            if self.scope.collections:
                self._change(collections=(*self.scope.collections, collection.name))
            if collection.failed:
                self._show_failed(collection)
        except UserError as error:
            self._show_error(error)
        finally:
            self._offer_adding("")
            adding.hide()
            adding.deleteLater()
            self._show_library()
            self.library_changed.emit()

    def _offer_adding(self, why_not: str) -> None:
        self.add_folder.offer(why_not)
        self.add_file.offer(why_not)

    def _cancel(self) -> None:
        if self._adding is not None:
            self._adding.cancel()

    async def _remove(self, name: str) -> None:
        try:
            await self._library.remove(name)
        except UserError as error:
            self._show_error(error)
        if name in self.scope.collections:
            self._change(collections=tuple(one for one in self.scope.collections if one != name))
        self._show_library()
        self.library_changed.emit()

    def _show_library(self) -> None:
        collections = self._library.collections()
        sample, _, _ = counts(collections)
        self.sample_text.setText(f"{sample:,} saved pages that come with Fathom. No connection needed.")
        while item := self._own_layout.takeAt(0):
            if widget := item.widget():
                widget.hide()
                widget.deleteLater()
        for one in collections:
            if one.kind == "sample":
                continue
            holder = QWidget()
            line = row(holder, gap=8)
            name = Label(one.label, weight=theme.MEDIUM)
            name.setToolTip(plain_tip(one.path))
            failed = f"  ·  {len(one.failed)} could not be read" if one.failed else ""
            remove = Button("Remove", kind="link")
            remove.setAccessibleName(f"Remove {one.label}")
            remove.setToolTip("Fathom forgets these pages. Your files stay where they are.")
            remove.clicked.connect(lambda _checked=False, name=one.name: self._tasks.start(self._remove(name)))
            line.addWidget(name)
            line.addWidget(Label(f"{words.count(one.documents, 'page')}{failed}", "label", tone="mut", fit=True))
            line.addStretch(1)
            line.addWidget(remove)
            self._own_layout.addWidget(holder)
        self._own.setVisible(self._own_layout.count() > 0)
        self.adjustSize()

    # --- errors ---------------------------------------------------------------------------------------------------

    def _clear_problems(self) -> None:
        while item := self._problems.body.takeAt(0):
            if widget := item.widget():
                widget.deleteLater()

    def _show_error(self, error: UserError) -> None:
        self._clear_problems()
        self._problems.body.addWidget(IconLine("warn", "red", error.message, weight=theme.BOLD))
        self._problems.body.addWidget(NeedsHasDo(error.needs, error.has, error.do))
        self._problems.show()
        self.adjustSize()

    def _show_failed(self, collection: Collection) -> None:
        self._clear_problems()
        number = words.count(len(collection.failed), "file or line", "files or lines")
        self._problems.body.addWidget(
            IconLine("warn", "red", f"{number} could not be read; the rest is here", weight=theme.BOLD)
        )
        for reason in collection.failed[:3]:
            self._problems.body.addWidget(Label(f"{reason.path}: {reason.reason}", "label", lines=2))
        self._problems.show()

    # --- the scope ------------------------------------------------------------------------------------------------

    def _ticked(self) -> None:
        self.ask.setEnabled(self.web.isChecked())
        self._change(
            sample=self.sample.isChecked(),
            documents=self.documents.isChecked(),
            web=self.web.isChecked(),
            ask=self.ask.isChecked(),
        )

    def _change(self, **fields: object) -> None:
        self.scope = msgspec.structs.replace(self.scope, **fields)
        self._warn()
        self.scope_changed.emit(self.scope)

    def _warn(self) -> None:
        _, own, _ = counts(self._library.collections(), self.scope)
        nothing = not self.scope.sample and not self.scope.web and not (self.scope.documents and own)
        self.note.setText("There is nowhere to look now: a question would find nothing." if nothing else "")
        self.note.setVisible(nothing)
        self.adjustSize()

    def close_it(self) -> None:
        """Close, unless a folder is being read: that goes on behind the closed dialog."""
        self.accept() if self._adding is None or self._adding.done() else self.hide()

    def closeEvent(self, event: QCloseEvent) -> None:
        if self._adding is not None and not self._adding.done():
            event.ignore()
            self.hide()
        else:
            super().closeEvent(event)

    def reject(self) -> None:
        self.close_it()
