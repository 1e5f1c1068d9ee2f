"""The right column: a document opened at the passage that was found, with the match marked.

A long document shows the surroundings of the passage first; what comes before and after is shown on demand. Knows no
services: what it is given is a stranger's text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QResizeEvent, QTextCharFormat, QTextCursor
from PySide6.QtWidgets import QStackedWidget, QWidget

from fathom.core.protocols import Document
from fathom.ui import theme
from fathom.ui.library import words
from fathom.ui.research.detail_empty import EmptyState, let_grow
from fathom.ui.research.detail_plain import Piece, PlainView
from fathom.ui.research.timeline_text import clean
from fathom.ui.widgets.buttons import Button
from fathom.ui.widgets.cards import Card, column, row
from fathom.ui.widgets.labels import Icon, Label

if TYPE_CHECKING:
    from fathom.services.library_service import Opened

BEFORE, AFTER = 3_000, 9_000
MORE = 20_000
ROOMY = 400


class MatchView(PlainView):
    """Text with marked places that can be gone through."""

    def marks(self) -> list[tuple[int, int]]:
        """Where the marked runs stand in the view's own text."""
        found: list[tuple[int, int]] = []
        block = self.document().begin()
        while block.isValid():
            for span in block.textFormats():
                if span.format.hasProperty(int(QTextCharFormat.Property.BackgroundBrush)):
                    start = block.position() + span.start
                    if found and found[-1][1] == start:
                        found[-1] = (found[-1][0], start + span.length)
                    else:
                        found.append((start, start + span.length))
            block = block.next()
        return found

    def show_nth_mark(self, number: int) -> None:
        """Scroll to a marked run."""
        marks = self.marks()
        if not marks:
            return
        start, end = marks[min(number, len(marks) - 1)]
        cursor = QTextCursor(self.document())
        cursor.setPosition(end)
        self.setTextCursor(cursor)
        cursor.setPosition(start)
        self.setTextCursor(cursor)
        self.ensureCursorVisible()
        bar = self.verticalScrollBar()
        bar.setValue(bar.value() + self.cursorRect().top() - self.viewport().height() // 3)


class PassagePane(QWidget):
    """``show_document`` opens one. ``file_wanted(path, page)``, ``folder_wanted(path)``, ``closed()``."""

    file_wanted = Signal(str, int)
    folder_wanted = Signal(str)
    closed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._document: Document | None = None
        self._places: tuple[tuple[int, int], ...] = ()
        self._window = (0, 0)
        self._at = 0
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.setProperty("ground", "panel")
        outer = column(self, gap=0)
        self.stack = QStackedWidget()
        self.empty = EmptyState(
            "quote", "Nothing opened yet", "Choose a document, or search: it opens here at the passage that was found."
        )
        self.stack.addWidget(self.empty)
        self.stack.addWidget(self._shown())
        outer.addWidget(self.stack)

    def _shown(self) -> QWidget:
        shown = QWidget()
        body = column(shown, gap=8, margins=(16, 16, 16, 12))
        self.title = Label("", "title", theme.BOLD, lines=3)
        let_grow(self.title)
        self.close_button = Button("", "close", kind="bare", name="Close the document", on_click=self.closed.emit)
        self.close_button.setAccessibleName("Close the document")
        head = row(gap=8)
        head.addWidget(self.title, 1)
        head.addWidget(self.close_button, 0, Qt.AlignmentFlag.AlignTop)
        self.meta = Label("", "label", tone="mut", lines=2)
        let_grow(self.meta)
        self.path = Label("", "label", tone="mut", lines=1)
        self.also = Label("", "label", tone="mut", lines=3)
        let_grow(self.also)
        where = row(gap=8)
        where.addWidget(Icon("result", "mut", 14), 0, Qt.AlignmentFlag.AlignTop)
        where.addWidget(self.path, 1)
        self.page = Label("", weight=theme.BOLD, fit=True)
        self.before = Button("Show what comes before", "up", kind="link", on_click=self._show_before)
        self.after = Button("Show what comes after", "down", kind="link", on_click=self._show_after)
        self.view = MatchView("Document", limit=10_000_000)
        self.view.setTabChangesFocus(True)
        card = Card("panel", gap=4, padding=12)
        card.body.addWidget(self.before, 0, Qt.AlignmentFlag.AlignLeft)
        card.body.addWidget(self.view, 1)
        card.body.addWidget(self.after, 0, Qt.AlignmentFlag.AlignLeft)
        over = row(gap=8)
        over.addWidget(self.page)
        over.addStretch(1)
        self.open_file = Button("Open the file", "open", kind="link", on_click=self._open_file)
        self.open_folder = Button("Its folder", "folder", kind="link", on_click=self._open_folder)
        self.open_folder.setToolTip("Show the file's folder")
        over.addWidget(self.open_folder)
        over.addWidget(self.open_file)
        self.previous = Button("Previous", "left", on_click=lambda: self._go(-1))
        self.next = Button("Next", "right", on_click=lambda: self._go(1))
        self.next.setLayoutDirection(Qt.LayoutDirection.RightToLeft)  # the arrow stands behind the word
        self.place = Label("", "label", tone="mut", fit=True)
        foot = row(gap=8)
        foot.addWidget(self.previous)
        foot.addStretch(1)
        foot.addWidget(self.place)
        foot.addStretch(1)
        foot.addWidget(self.next)
        self._foot = QWidget()
        self._foot.setLayout(foot)
        body.addLayout(head)
        body.addWidget(self.meta)
        body.addLayout(where)
        body.addWidget(self.also)
        body.addLayout(over)
        body.addWidget(card, 1)
        body.addWidget(self._foot)
        return shown

    @property
    def uri(self) -> str:
        """The address of the document shown, "" when none is."""
        return self._document.uri if self._document is not None else ""

    def clear(self) -> None:
        """Show no document."""
        self._document = None
        self.stack.setCurrentIndex(0)

    def show_missing(self, title: str) -> None:
        """The document is no longer in the library."""
        self.clear()
        text = f"“{clean(title)}” was removed or changed meanwhile."
        self.empty.say("warn", "orange", "It is no longer in the library", text)

    def show_document(self, opened: Opened, start: int = 0, end: int = 0) -> None:
        """Open a document at ``[start:end]``; without a passage at its first match, or its beginning."""
        document = self._document = opened.document
        self._places = opened.places
        self.title.setText(clean(document.title))
        self.meta.setText(self._meta(document))
        self.meta.setVisible(bool(self.meta.text()))
        self.path.setText(clean(words.short_path(document.path)))
        self.path.setToolTip(clean(document.path))
        self.also.setText("The same text: " + ", ".join(clean(words.short_path(one)) for one in document.also))
        self.also.setVisible(bool(document.also))
        inside = [n for n, place in enumerate(self._places) if start <= place[0] < max(end, start + 1)]
        self._at = inside[0] if inside else 0
        if not end and self._places:
            start = self._places[0][0]
        self._window = (max(0, start - BEFORE), min(len(document.text), max(start, end) + AFTER))
        self.stack.setCurrentIndex(1)
        self._draw()
        self._show_match()

    def _meta(self, document: Document) -> str:
        parts = words.details(clean(document.author), clean(document.date))
        if document.doi:
            parts.append(f"DOI {clean(document.doi)}")
        return "  ·  ".join(parts)

    def _draw(self) -> None:
        assert self._document is not None
        text, (first, last) = self._document.text, self._window
        pieces: list[Piece] = []
        at = first
        for start, end in self._places:
            if start < at or end > last:
                continue
            pieces += [Piece(text[at:start]), Piece(text[start:end], "mark")]
            at = end
        pieces.append(Piece(text[at:last]))
        self.view.show_pieces([piece for piece in pieces if piece.text])
        self.before.setVisible(first > 0)
        self.after.setVisible(last < len(text))

    def _show_before(self) -> None:
        first, last = self._window
        self._window = (max(0, first - MORE), last)
        bar = self.view.verticalScrollBar()
        below = bar.maximum() - bar.value()
        self._draw()
        bar.setValue(bar.maximum() - below)
        self.view.setFocus(Qt.FocusReason.OtherFocusReason)

    def _show_after(self) -> None:
        assert self._document is not None
        first, last = self._window
        self._window = (first, min(len(self._document.text), last + MORE))
        at = self.view.verticalScrollBar().value()
        self._draw()
        self.view.verticalScrollBar().setValue(at)
        self.view.setFocus(Qt.FocusReason.OtherFocusReason)

    def _go(self, by: int) -> None:
        assert self._document is not None
        self._at = min(max(0, self._at + by), len(self._places) - 1)
        start, end = self._places[self._at]
        first, last = self._window
        if start < first or end > last:
            self._window = (max(0, min(first, start - BEFORE)), min(len(self._document.text), max(last, end + AFTER)))
            self._draw()
        self._show_match()

    def _show_match(self) -> None:
        assert self._document is not None
        first, last = self._window
        count = len(self._places)
        before = sum(1 for start, end in self._places[: self._at] if start >= first and end <= last)
        if count:
            self.view.show_nth_mark(before)
        start = self._places[self._at][0] if count else first
        page = self._document.page_at(start)
        self.page.setText(f"Page {page} of {len(self._document.pages)}" if page else "")
        self._foot.setVisible(count > 0)
        self.place.setText(f"Match {self._at + 1} of {count}")
        self.previous.offer("" if self._at else "This is the first match.")
        self.next.offer("" if self._at + 1 < count else "This is the last match.")

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        for button in (self.previous, self.next):
            button.show_icon(event.size().width() >= ROOMY)

    def _open_file(self) -> None:
        if self._document is not None:
            place = self._places[self._at][0] if self._places else 0
            self.file_wanted.emit(self._document.path, self._document.page_at(place))

    def _open_folder(self) -> None:
        if self._document is not None:
            self.folder_wanted.emit(self._document.path)
