"""The saved passage that a citation opens: the quoted words on the mark ground, its source, its step.

Knows the citations of one report and nothing of the report's text.
"""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QWidget

from fathom.core.types import Citation
from fathom.ui import theme
from fathom.ui.research import words
from fathom.ui.research.detail_empty import let_grow
from fathom.ui.research.detail_plain import PlainView, marked
from fathom.ui.widgets.buttons import Button
from fathom.ui.widgets.cards import Card, column, row
from fathom.ui.widgets.labels import Icon, Label, plain_tip


def is_web(address: str) -> bool:
    """Whether an address can be opened in a browser."""
    return address.lower().startswith(("http://", "https://"))


class PassageView(QWidget):
    """``show_citation`` opens one; ``chosen(number)`` tells when Previous or Next did."""

    chosen = Signal(int)
    step_requested = Signal(int)
    address_requested = Signal(str)
    closed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._citations: tuple[Citation, ...] = ()
        self._at = 0
        body = column(self, gap=8, margins=(16, 12, 16, 12))
        self.number = Label("", "title", theme.BOLD, tone="blue", fit=True)
        self.title = Label("", "title", theme.BOLD, lines=2)
        let_grow(self.title)
        self.close_button = Button("", "close", kind="bare", name="Close the passage", on_click=self.closed.emit)
        self.close_button.setAccessibleName("Close the passage")
        self.address = Label("", "label", tone="mut", lines=1)
        self.open_link = Button("Open the source", "open", kind="link", on_click=self._ask_for_address)
        self.step_link = Button("", kind="link", on_click=self._ask_for_step)
        self.view = PlainView("Saved passage")
        self.previous = Button("Previous", "left", on_click=lambda: self._go(-1))
        self.next = Button("Next", "right", on_click=lambda: self._go(1))
        self.next.setLayoutDirection(Qt.LayoutDirection.RightToLeft)  # the arrow stands behind the word
        self.place = Label("", "label", tone="mut", fit=True)
        head = row(gap=8)
        head.addWidget(self.number)
        head.addWidget(self.title, 1)
        head.addWidget(self.close_button)
        where = row(gap=8)
        where.addWidget(Icon("archive", "mut"))
        where.addWidget(self.address, 1)
        card = Card("panel", padding=12)
        card.body.addWidget(self.view, 1)
        links = row(gap=16)
        links.addWidget(Label("Saved copy, as it was read", "label", tone="mut", fit=True))
        links.addStretch(1)
        links.addWidget(self.open_link)
        links.addWidget(self.step_link)
        foot = row(gap=8)
        foot.addWidget(self.previous)
        foot.addStretch(1)
        foot.addWidget(self.place)
        foot.addStretch(1)
        foot.addWidget(self.next)
        body.addLayout(head)
        body.addLayout(where)
        body.addWidget(card, 1)
        body.addLayout(links)
        body.addLayout(foot)

    def set_citations(self, citations: Sequence[Citation]) -> None:
        """Those of another report."""
        self._citations, self._at = tuple(citations), 0

    @property
    def citation(self) -> Citation | None:
        """The one shown."""
        return self._citations[self._at] if self._citations else None

    def show_citation(self, number: int) -> bool:
        """Open [number]; False when the report has none of that number."""
        for at, citation in enumerate(self._citations):
            if citation.number == number:
                self._at = at
                self._show(citation)
                return True
        return False

    def _go(self, by: int) -> None:
        at = self._at + by
        if 0 <= at < len(self._citations):
            self.chosen.emit(self._citations[at].number)

    def _show(self, citation: Citation) -> None:
        passage = citation.passage
        self.number.setText(f"[{citation.number}]")
        self.title.setText(passage.title or passage.uri)
        self.address.setText(words.place(passage.uri))
        self.address.setToolTip(plain_tip(passage.uri))
        self.open_link.setVisible(is_web(passage.uri))
        self.step_link.set_face(f"Step {citation.step}")
        self.view.show_pieces(marked(passage.text, citation.quote))
        self.view.show_mark()
        self.place.setText(f"Citation {self._at + 1} of {len(self._citations)}")
        self.previous.offer("" if self._at else "This is the first citation.")
        self.next.offer("" if self._at + 1 < len(self._citations) else "This is the last citation.")

    def _ask_for_step(self) -> None:
        if self.citation is not None:
            self.step_requested.emit(self.citation.step)

    def _ask_for_address(self) -> None:
        if self.citation is not None:
            self.address_requested.emit(self.citation.passage.uri)
