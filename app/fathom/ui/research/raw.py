"""The Raw tab: a step to the letter, as plain text. Made only when somebody looks."""

from __future__ import annotations

import json

from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QStackedWidget, QWidget

from fathom.ui import theme
from fathom.ui.research import timeline_words as words
from fathom.ui.research.detail_empty import EmptyState
from fathom.ui.research.detail_plain import Piece, PlainView
from fathom.ui.research.timeline_state import StepState
from fathom.ui.widgets.buttons import Button
from fathom.ui.widgets.cards import Card, column, row
from fathom.ui.widgets.labels import Label


def raw_pieces(step: StepState) -> list[Piece]:
    """The model's text, its calls as JSON, what came back; and the costs where they are known."""
    pieces = [Piece("The model’s text\n", "head"), Piece(f"{step.raw or step.thought or '(nothing)'}\n", "mono")]
    for action in step.actions:
        call = {"id": action.call.id, "name": action.call.name, "arguments": action.call.arguments}
        pieces += [
            Piece("\nCall\n", "head"),
            Piece(json.dumps(call, ensure_ascii=False, indent=2, default=str) + "\n", "mono"),
        ]
        observation = step.observation_of(action.call.id)
        if observation is not None:
            kind = "Observation, an error" if observation.is_error else "Observation"
            pieces += [Piece(f"\n{kind}\n", "head"), Piece(f"{observation.text}\n", "mono")]
    if step.step is not None and step.step.usage.prompt_tokens:
        usage = step.step.usage
        pieces += [
            Piece("\nCost\n", "head"),
            Piece(
                f"prompt_tokens {usage.prompt_tokens}, of them reused {usage.reused_tokens}\n"
                f"completion_tokens {usage.completion_tokens}, {usage.tokens_per_second:.1f} tokens/s\n"
                f"tool_choice {step.tool_choice}\n",
                "mono",
            ),
        ]
    return pieces


class RawView(QWidget):
    """``show_step`` remembers a step; its text is made when the view is seen."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._step: StepState | None = None
        self._drawn: tuple[int, int] | None = None
        self.empty = EmptyState("copy", "No step chosen", "Choose a step to see what the model wrote, to the letter.")
        page = QWidget()
        body = column(page, gap=8, margins=(16, 16, 16, 16))
        self.title = Label("", "title", theme.BOLD)
        self.copy_button = Button("Copy", "copy", on_click=self.copy)
        self.view = PlainView("Raw text of the step")
        self.view.cut_changed.connect(self._show_cut)
        self.all_link = Button("", kind="link", on_click=self.view.show_all)
        head = row(gap=8)
        head.addWidget(self.title, 1)
        head.addWidget(self.copy_button)
        card = Card("panel", padding=12)
        card.body.addWidget(self.view, 1)
        foot = row()
        foot.addWidget(self.all_link)
        foot.addStretch(1)
        body.addLayout(head)
        body.addWidget(card, 1)
        body.addLayout(foot)
        self.stack = QStackedWidget()
        self.stack.addWidget(self.empty)
        self.stack.addWidget(page)
        column(self, gap=0).addWidget(self.stack)
        self._show_cut(0)

    def show_step(self, step: StepState | None) -> None:
        """Another step, or the same one further on."""
        self._step = step
        self.stack.setCurrentIndex(0 if step is None else 1)
        if step is None:
            self._drawn = None
        elif self.isVisible():
            self._draw()

    def copy(self) -> None:
        """The whole step to the clipboard, also what is held back on screen."""
        if self._step is not None:
            QGuiApplication.clipboard().setText("".join(piece.text for piece in raw_pieces(self._step)))

    def showEvent(self, event: object) -> None:
        self._draw()

    def _draw(self) -> None:
        step = self._step
        if step is None or self._drawn == (step.number, step.revision):
            return
        self._drawn = (step.number, step.revision)
        self.title.setText(f"Step {step.number}")
        self.view.show_pieces(raw_pieces(step))

    def _show_cut(self, held: int) -> None:
        self.all_link.setVisible(held > 0)
        if held:
            self.all_link.set_face(f"Show all, {words.count(held, 'more character', 'more characters')}")
