"""Text of strangers in a read-only view: inserted as plain text piece by piece, never parsed as HTML or Markdown.

Big texts are shown up to a limit first. Loads nothing: no picture, no file, no address.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from PySide6.QtCore import QMimeData, QSize, QUrl, Signal
from PySide6.QtGui import QTextBlockFormat, QTextCharFormat, QTextCursor, QTextOption
from PySide6.QtWidgets import QFrame, QSizePolicy, QTextEdit, QWidget

from fathom.core.types import Observation
from fathom.ui import theme
from fathom.ui.research.timeline_text import display, plain
from fathom.ui.widgets.resources import placeholder

FIRST_CHARS = 8_000
Look = Literal["text", "mut", "mark", "head", "mono", "mono_mark"]


@dataclass(frozen=True, slots=True)
class Piece:
    """A run of text in one look."""

    text: str
    look: Look = "text"


def marked(text: str, quote: str, look: Look = "text") -> list[Piece]:
    """``text`` with the first place of ``quote`` on the mark ground; white space may differ between the two."""
    place = find_quote(text, quote)
    if place is None:
        return [Piece(text, look)]
    start, end = place
    mark: Look = "mono_mark" if look == "mono" else "mark"
    pieces = (Piece(text[:start], look), Piece(text[start:end], mark), Piece(text[end:], look))
    return [piece for piece in pieces if piece.text]


def find_quote(text: str, quote: str) -> tuple[int, int] | None:
    """Where ``quote`` stands in ``text``, white space aside; None when it does not."""
    quote = quote.strip().strip('“”"…').strip()
    if not quote:
        return None
    start = text.find(quote)
    if start >= 0:
        return start, start + len(quote)
    places: list[int] = []
    folded: list[str] = []
    for place, character in enumerate(text):
        if character.isspace():
            if folded and folded[-1] == " ":
                continue
            character = " "
        folded.append(character)
        places.append(place)
    wanted = " ".join(quote.split())
    found = "".join(folded).find(wanted)
    if found < 0:
        return None
    return places[found], places[found + len(wanted) - 1] + 1


CODE_TOOLS = frozenset({"run_python_code", "run_command", "create_sandbox"})


def is_quotation(observation: Observation) -> bool:
    """Whether an observation's best sentence stands in what was read, word by word; a title or a remark does not."""
    best = observation.best
    if not best or observation.is_error or any(best == passage.title for passage in observation.passages):
        return False
    if not observation.passages and observation.tool not in CODE_TOOLS:
        return False
    texts = (observation.text, *(passage.text for passage in observation.passages))
    return any(find_quote(text, best) is not None for text in texts)


def without_joiners(data: QMimeData) -> QMimeData:
    """What is copied, as plain text alone. Qt's own object is changed: the clipboard outlives Python at the end of the
    app, and destroying a QMimeData made in Python then crashes."""
    text = plain(data.text())
    data.clear()
    data.setText(text)
    return data


class PlainView(QTextEdit):
    """Shows pieces. ``held`` tells how many characters are held back; ``show_all`` puts them in."""

    cut_changed = Signal(int)

    def __init__(self, name: str, parent: QWidget | None = None, *, limit: int = FIRST_CHARS) -> None:
        super().__init__(parent)
        self.setReadOnly(True)
        self.setAcceptRichText(False)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setUndoRedoEnabled(False)
        self.setWordWrapMode(QTextOption.WrapMode.WrapAtWordBoundaryOrAnywhere)
        self.setTabChangesFocus(True)
        self.setAccessibleName(name)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.document().setDocumentMargin(0)
        self._limit = limit
        self._all = False
        self._pieces: tuple[Piece, ...] = ()
        self.held = 0
        theme.notifier().changed.connect(self._draw)

    def show_pieces(self, pieces: Sequence[Piece]) -> None:
        """Show other text, from its beginning."""
        if tuple(pieces) == self._pieces:
            return
        self._pieces, self._all = tuple(pieces), False
        self._draw()
        self.verticalScrollBar().setValue(0)

    def show_all(self) -> None:
        """Show what was held back."""
        self._all = True
        at = self.verticalScrollBar().value()
        self._draw()
        self.verticalScrollBar().setValue(at)

    def show_mark(self) -> None:
        """Scroll so that the marked words are in sight."""
        cursor = QTextCursor(self.document())
        ground = theme.color("mark")
        block = self.document().begin()
        while block.isValid():
            for span in block.textFormats():
                if span.format.background().color() == ground and span.format.hasProperty(_BACKGROUND):
                    cursor.setPosition(block.position() + span.start)
                    end = QTextCursor(cursor)
                    end.setPosition(block.position() + span.start + span.length)
                    self.setTextCursor(end)
                    self.setTextCursor(cursor)
                    self.ensureCursorVisible()
                    return
            block = block.next()

    def _draw(self) -> None:
        self.setUpdatesEnabled(False)
        self.clear()
        cursor = QTextCursor(self.document())
        cursor.setBlockFormat(_lines_of(theme.line_height("body")))
        room = None if self._all else self._limit
        held = 0
        for piece in self._pieces:
            text = piece.text
            if room is not None:
                held += max(0, len(text) - room)
                text = text[:room]
                room -= len(text)
            if text:
                cursor.insertText(display(text), _format(piece.look))
        self.setUpdatesEnabled(True)
        if held != self.held:
            self.held = held
            self.cut_changed.emit(held)

    def text(self) -> str:
        """The text that is shown, without word joiners."""
        return plain(self.toPlainText())

    def createMimeDataFromSelection(self) -> QMimeData:
        return without_joiners(super().createMimeDataFromSelection())

    def loadResource(self, kind: int, name: QUrl | str) -> Any:
        return placeholder(kind)

    def sizeHint(self) -> QSize:
        return QSize(400, 200)

    def minimumSizeHint(self) -> QSize:
        return QSize(120, 60)


_BACKGROUND = int(QTextCharFormat.Property.BackgroundBrush)


def _lines_of(height: int) -> QTextBlockFormat:
    block = QTextBlockFormat()
    block.setLineHeight(height, QTextBlockFormat.LineHeightTypes.FixedHeight.value)
    return block


def _format(look: Look) -> QTextCharFormat:
    shape = QTextCharFormat()
    role = "mono" if look.startswith("mono") else "body"
    font = theme.font(role, theme.BOLD if look == "head" else theme.REGULAR)
    shape.setFont(font)
    shape.setForeground(theme.color("mut" if look == "mut" else "text"))
    if look.endswith("mark"):
        shape.setBackground(theme.color("mark"))
    return shape
