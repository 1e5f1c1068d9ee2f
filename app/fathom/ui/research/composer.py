"""The page for a new question: the question, three examples, where Fathom looks; beside it the engine and the model.

Says what was wanted through signals; knows no services.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from PySide6.QtCore import QRectF, QSize, Qt, Signal
from PySide6.QtGui import QFocusEvent, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen, QResizeEvent
from PySide6.QtWidgets import (
    QAbstractButton,
    QFrame,
    QGridLayout,
    QMenu,
    QPlainTextEdit,
    QScrollArea,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from fathom.core.events import EngineStatus
from fathom.core.settings import resource_path
from fathom.core.types import Scope
from fathom.ui import icons, theme
from fathom.ui.research import words
from fathom.ui.research.engine_card import EngineCard, ModelCard
from fathom.ui.research.nothing_close import NothingClose
from fathom.ui.widgets.buttons import Button, press_with_enter
from fathom.ui.widgets.cards import Card, column, row
from fathom.ui.widgets.labels import Icon, Label, Rule, lay_out

if TYPE_CHECKING:
    from fathom.services.engine_options import EngineOption

log = logging.getLogger(__name__)

SIDE_BY_SIDE = 820  # from this width on the cards stand beside the question


def examples() -> list[str]:
    """Questions whose documents are in the sample library; none when the file is not there."""
    path = resource_path("library", "examples.json")
    try:
        return [str(entry["question"]) for entry in json.loads(path.read_text("utf-8"))][:3]
    except FileNotFoundError:
        return []
    except (ValueError, KeyError, TypeError):
        log.warning("%s cannot be read", path, exc_info=True)
        return []


class QuestionEdit(QPlainTextEdit):
    """Enter asks, Shift+Enter starts a new line. Grows from two lines to six."""

    asked = Signal()
    focus_changed = Signal(bool)

    def __init__(self) -> None:
        super().__init__()
        self.setFont(theme.font("title"))
        self.setPlaceholderText("What would you like to find out?")
        self.setAccessibleName("Your question")
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setTabChangesFocus(True)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAsNeeded)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.document().setDocumentMargin(0)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.document().documentLayout().documentSizeChanged.connect(lambda _size: self._fit())
        self._fit()

    def _fit(self) -> None:
        # In pixels: a line of Korean or Chinese is higher than one of Latin letters.
        height, block = 0.0, self.document().begin()
        while block.isValid():
            height += self.blockBoundingRect(block).height()
            block = block.next()
        line = self.fontMetrics().lineSpacing()
        self.setFixedHeight(math.ceil(max(2 * line, min(6.5 * line, height))) + 4)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        enter = event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter)
        if enter and not event.modifiers() & Qt.KeyboardModifier.ShiftModifier:
            self.asked.emit()
        else:
            super().keyPressEvent(event)

    def focusInEvent(self, event: QFocusEvent) -> None:
        super().focusInEvent(event)
        self.focus_changed.emit(True)

    def focusOutEvent(self, event: QFocusEvent) -> None:
        super().focusOutEvent(event)
        self.focus_changed.emit(False)


class InputCard(Card):
    """The field, where it looks, and Ask."""

    def __init__(self) -> None:
        super().__init__("input", gap=8, padding=12)
        self.edit = QuestionEdit()
        self.places = Label("", tone="mut", lines=2)
        self.change = Button("Change", kind="link")
        self.change.setAccessibleName("Change where Fathom looks")
        self.ask = Button("Ask", kind="primary")
        self.ask.setMinimumWidth(88)
        line = row(gap=8)
        line.addWidget(Icon("folder"))
        line.addWidget(self.places)
        line.addWidget(self.change)
        line.addStretch(1)
        line.addWidget(self.ask)
        self.answers = Label("", tone="mut", lines=2)
        self.engine = Button("Change", kind="link")
        self.engine.setAccessibleName("Change what answers")
        self.answers_line = QWidget()
        below = row(self.answers_line, gap=8)
        below.addWidget(Icon("chip"))
        below.addWidget(self.answers)
        below.addWidget(self.engine)
        below.addStretch(1)
        self.answers_line.hide()
        self.body.addWidget(self.edit)
        self.body.addWidget(Rule())
        self.body.addWidget(self.answers_line)
        self.body.addLayout(line)
        self.edit.focus_changed.connect(self._mark)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        self.edit.setFocus()
        super().mousePressEvent(event)

    def _mark(self, focused: bool) -> None:
        self.setProperty("focused", "true" if focused else "false")
        self.style().unpolish(self)
        self.style().polish(self)


class Example(QAbstractButton):
    """A question to press: asked at once."""

    PADDING = 9

    def __init__(self, question: str) -> None:
        super().__init__()
        self.setText(question)
        self.setAccessibleName(question)
        self.setToolTip("Ask this now")
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setFont(theme.font("body", theme.MEDIUM))
        policy = QSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        policy.setHeightForWidth(True)
        self.setSizePolicy(policy)
        self.setAttribute(Qt.WidgetAttribute.WA_Hover)
        theme.notifier().changed.connect(self.update)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if not press_with_enter(self, event):
            super().keyPressEvent(event)

    def _lines(self, width: int) -> list[str]:
        return lay_out(self.text(), self.font(), width - 16 - 48)[0]

    def hasHeightForWidth(self) -> bool:
        return True

    def heightForWidth(self, width: int) -> int:
        return 20 * len(self._lines(width)) + 2 * self.PADDING

    def sizeHint(self) -> QSize:
        return QSize(480, self.heightForWidth(480))

    def minimumSizeHint(self) -> QSize:
        return QSize(200, 38)

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        over = self.underMouse() or self.isDown()
        painter.setBrush(theme.color("sunk" if over else "panel"))
        thick = 2 if self.hasFocus() else 1
        painter.setPen(QPen(theme.color("blue" if self.hasFocus() else "edge" if over else "line"), thick))
        half = thick / 2
        edge = QRectF(self.rect()).adjusted(half, half, -half, -half)
        painter.drawRoundedRect(edge, theme.RADIUS, theme.RADIUS)
        painter.setFont(self.font())
        painter.setPen(theme.color("text"))
        metrics = self.fontMetrics()
        y = float(self.PADDING)
        for line in self._lines(self.width()):
            painter.drawText(16, round(y + (20 - metrics.height()) / 2 + metrics.ascent()), line)
            y += 20
        ratio = self.devicePixelRatioF()
        painter.drawPixmap(self.width() - 32, (self.height() - 16) // 2, icons.pixmap("right", "blue", 16, ratio))
        painter.end()


class PlaceRow(QWidget):
    """A place to look in: what it is, whether it is on, and the way to change that."""

    def __init__(self, icon: str, title: str) -> None:
        super().__init__()
        line = row(self, gap=12, margins=(0, 8, 0, 8))
        line.addWidget(Icon(icon, "mut", 20))
        both = column(gap=0)
        self.title = Label(title, weight=theme.MEDIUM)
        self.text = Label("", "label", tone="mut", lines=0)
        both.addWidget(self.title)
        both.addWidget(self.text)
        line.addLayout(both, 1)
        self.state_icon = Icon("ok", "green")
        self.state = Label("On", weight=theme.MEDIUM, tone="green", fit=True)
        state = row(gap=4)
        state.addWidget(self.state_icon)
        state.addWidget(self.state)
        line.addLayout(state)
        self.button = Button("", kind="link")
        line.addWidget(self.button)

    def show_state(self, on: bool, text: str, button: str, name: str) -> None:
        """On or off, what that means, and the word on the link."""
        self.text.setText(text)
        self.state_icon.setVisible(on)
        self.state.setVisible(on)
        self.button.set_face(button)
        self.button.setAccessibleName(name)


class Composer(QScrollArea):
    """The whole page. ``asked(question)`` with the scope that ``scope`` holds then."""

    asked = Signal(str)
    scope_changed = Signal(object)
    change_wanted = Signal()
    engine_wanted = Signal(object)
    models_wanted = Signal()
    folder_wanted = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.scope = Scope()
        self._services = "Wikipedia"
        self._documents: tuple[int, int] = (0, 0)
        self._sample_documents = 0
        self._status = EngineStatus(state="loading")
        self._busy = False
        self._wide = True
        self._options: tuple[EngineOption, ...] = ()
        self._chosen: EngineOption | None = None
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        inside = QWidget()
        inside.setProperty("ground", "clear")
        self.setWidget(inside)
        self._grid = QGridLayout(inside)
        self._left, self._right = QWidget(), QWidget()
        self._fill_left(column(self._left, gap=8))
        self._fill_right(column(self._right, gap=16))
        self._arrange(True)
        self.show_scope(self.scope)
        self._show_hint()

    # --- building -------------------------------------------------------------------------------------------------

    def _fill_left(self, layout: QVBoxLayout) -> None:
        headline = Label(
            "Research a question on this computer,\nand see the passages it rests on.", "hero", theme.BOLD, lines=0
        )
        self.input = InputCard()
        self.input.edit.asked.connect(self._ask)
        self.input.ask.clicked.connect(self._ask)
        self.input.change.clicked.connect(self.change_wanted.emit)
        self.input.engine.clicked.connect(self._open_engines)
        hint = row(gap=8)
        self.hint_icon = Icon("clock")
        self.hint = Label("", tone="mut", lines=0)
        hint.addWidget(self.hint_icon)
        hint.addWidget(self.hint, 1)
        layout.addWidget(headline)
        layout.addSpacing(8)
        layout.addWidget(self.input)
        layout.addLayout(hint)
        self.nothing_close = NothingClose(self.input.edit)
        self.nothing_close.web_wanted.connect(lambda: self._turn(web=True))
        self.nothing_close.folder_wanted.connect(self.folder_wanted.emit)
        self.nothing_close.ask_wanted.connect(self._ask)
        layout.addWidget(self.nothing_close)
        self.examples: list[Example] = []
        questions = examples()
        if questions:
            layout.addSpacing(8)
            heading = row(gap=8)
            heading.addWidget(Label("Try one of these", weight=theme.BOLD, fit=True))
            heading.addWidget(Label("their pages are in the sample library", "label", tone="mut"))
            heading.addStretch(1)
            layout.addLayout(heading)
            for question in questions:
                example = Example(question)
                example.clicked.connect(lambda _checked=False, text=question: self.asked.emit(text))
                self.examples.append(example)
                layout.addWidget(example)
        layout.addSpacing(8)
        layout.addWidget(Label("Where it looks", weight=theme.BOLD))
        places = Card("panel", gap=0, padding=0)
        places.body.setContentsMargins(16, 4, 12, 4)
        self.sample = PlaceRow("library", "Sample library")
        self.documents = PlaceRow("folder", "My documents")
        self.web = PlaceRow("globe", "Web")
        self.sample.button.clicked.connect(lambda: self._turn(sample=not self.scope.sample))
        self.documents.button.clicked.connect(self.folder_wanted.emit)
        self.web.button.clicked.connect(lambda: self._turn(web=not self.scope.web))
        for index, place in enumerate((self.sample, self.documents, self.web)):
            if index:
                places.body.addWidget(Rule())
            places.body.addWidget(place)
        layout.addWidget(places)
        layout.addStretch(1)

    def _fill_right(self, layout: QVBoxLayout) -> None:
        self.engine_card = EngineCard()
        self.model_card = ModelCard()
        layout.addWidget(self.engine_card)
        layout.addWidget(self.model_card)
        layout.addStretch(1)

    def _arrange(self, wide: bool) -> None:
        self._wide = wide
        grid = self._grid
        grid.removeWidget(self._left)
        grid.removeWidget(self._right)
        grid.setContentsMargins(48, 32, 48, 24)
        grid.setHorizontalSpacing(40)
        grid.setVerticalSpacing(24)
        top = Qt.AlignmentFlag.AlignTop
        self._left.setMaximumWidth(592 if wide else 720)
        self._right.setMaximumWidth(392 if wide else 720)
        if wide:
            grid.addWidget(self._left, 0, 0, top)
            grid.addWidget(self._right, 0, 1, top)
        else:
            grid.addWidget(self._left, 0, 0, top)
            grid.addWidget(self._right, 1, 0, top)
        grid.setColumnStretch(0, 60)
        grid.setColumnStretch(1, 40 if wide else 0)
        grid.setRowStretch(2, 1)

    def resizeEvent(self, event: QResizeEvent) -> None:
        wide = event.size().width() >= SIDE_BY_SIDE
        if wide != self._wide:
            self._arrange(wide)
        roomy = event.size().width() >= 1000
        self._grid.setContentsMargins(
            48 if roomy else 32, 32 if event.size().height() > 800 else 24, 48 if roomy else 32, 16
        )
        self._grid.setHorizontalSpacing(40 if roomy else 32)
        super().resizeEvent(event)

    # --- what it is told ------------------------------------------------------------------------------------------

    def show_scope(self, scope: Scope) -> None:
        """Where the next question looks."""
        self.scope = scope
        pages, folders = self._documents
        self.input.places.setText(f"Looks in: {words.places(scope, pages)}")
        sample = f"{self._sample_documents:,} saved pages" if self._sample_documents else "Saved pages"
        self.sample.show_state(
            scope.sample,
            f"{sample} that come with Fathom",
            "Turn off" if scope.sample else "Turn on",
            f"{'Turn off' if scope.sample else 'Turn on'} the sample library",
        )
        mine = (
            f"{words.count(pages, 'page')} from {words.count(folders, 'folder')}, never sent anywhere"
            if pages
            else "Choose a folder. Your files never leave this computer."
        )
        on = scope.documents and pages > 0
        self.documents.show_state(on, mine, "Add a folder…", "Add a folder of my documents")
        self.web.show_state(
            scope.web,
            f"On. Search words go to {self._services}; pages come from their own sites."
            if scope.web
            else f"Off. When on, search words go to {self._services}; pages come from their sites.",
            "Turn off" if scope.web else "Turn on",
            f"{'Turn off' if scope.web else 'Turn on'} the web",
        )

    def show_services(self, named: str) -> None:
        """Which services search the web."""
        self._services = named
        self.show_scope(self.scope)

    def show_library(self, sample_documents: int, documents: int, folders: int) -> None:
        """How much there is to look in."""
        self._sample_documents = sample_documents
        self._documents = (documents, folders)
        self.show_scope(self.scope)

    def show_engine(self, status: EngineStatus, model_path: str) -> None:
        """The engine's state; ``model_path`` is the person's own model, "" for the small one."""
        self._status = status
        self.engine_card.show_status(status)
        self.model_card.show_status(status, model_path)
        self._show_hint()

    def show_engines(self, options: Sequence[EngineOption], chosen: EngineOption | None) -> None:
        """What can answer, and which of it does."""
        self._options, self._chosen = tuple(options), chosen
        self.input.answers_line.setVisible(bool(options))
        who = "a model that is not here" if chosen is None else f"{chosen.name} on {chosen.computes}"
        leaves = ". Your text goes there." if chosen is not None and chosen.leaves_for else ""
        self.input.answers.setText(f"Answers: {who}{leaves}")

    def engines_menu(self) -> QMenu:
        """What can answer, the chosen one ticked."""
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        for option in self._options:
            leaves = "  (your text goes there)" if option.leaves_for else ""
            action = menu.addAction(f"{option.name} on {option.computes}{leaves}".replace("&", "&&"))
            action.setCheckable(True)
            action.setChecked(option == self._chosen)
            action.triggered.connect(lambda _on=False, spec=option.spec: self.engine_wanted.emit(spec))
        menu.addSeparator()
        menu.addAction("More models…").triggered.connect(self.models_wanted.emit)
        return menu

    def _open_engines(self) -> None:
        button = self.input.engine
        self.engines_menu().popup(button.mapToGlobal(button.rect().bottomLeft()))

    def show_busy(self, busy: bool) -> None:
        """Whether another session is running or waiting."""
        self._busy = busy
        self._show_hint()

    def begin(self, question: str = "") -> None:
        """Ready for a new question, with ``question`` written already."""
        if question:
            self.input.edit.setPlainText(question)
            self.input.edit.selectAll()
        self.input.edit.setFocus(Qt.FocusReason.OtherFocusReason)
        self.verticalScrollBar().setValue(0)

    # --- inside ---------------------------------------------------------------------------------------------------

    def _show_hint(self) -> None:
        state = self._status.state
        icon, text = "info", "Enter asks, Shift+Enter starts a new line."
        if state in ("building", "fetching", "loading"):
            eta = self._status.eta_s
            wait = f" about {words.duration(eta)}" if eta else ""
            icon, text = "clock", f"Ask now: your question waits{wait} for the engine, then starts by itself."
        elif state in ("missing", "no_model", "failed"):
            icon, text = "clock", "Ask now: your question waits until the engine is ready."
        elif self._busy:
            icon, text = "clock", "Another question is running: yours waits for it, then starts by itself."
        self.hint_icon.set_icon(icon, "mut")
        self.hint.setText(text)

    def _turn(self, *, sample: bool | None = None, web: bool | None = None) -> None:
        old = self.scope
        self.show_scope(
            Scope(
                sample=old.sample if sample is None else sample,
                documents=old.documents,
                web=old.web if web is None else web,
                ask=old.ask,
                collections=old.collections,
            )
        )
        self.scope_changed.emit(self.scope)

    def _ask(self) -> None:
        question = self.input.edit.toPlainText().strip()
        if not question:
            self.hint_icon.set_icon("info", "orange")
            self.hint.setText("Write a question first, or press one of the examples.")
            self.input.edit.setFocus()
            return
        self.input.edit.clear()
        self._show_hint()
        self.asked.emit(question)

    def tab_order(self) -> Sequence[QWidget]:
        """The controls in reading order."""
        return (
            self.input.edit,
            self.input.engine,
            self.input.change,
            self.input.ask,
            *self.nothing_close.buttons,
            *self.examples,
            self.sample.button,
            self.documents.button,
            self.web.button,
        )
