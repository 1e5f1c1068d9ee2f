"""The Observation tab: what came back from a call, as the model read it, with the best sentence marked.

Follows the newest observation until the person chooses one; "Follow the newest" goes back to that. Knows nothing of
the timeline: it is told what to show.
"""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QStackedWidget, QWidget

from fathom.core.types import Observation
from fathom.ui import theme
from fathom.ui.research import timeline_words as words
from fathom.ui.research.detail_empty import EmptyState, let_grow
from fathom.ui.research.detail_plain import CODE_TOOLS, Piece, PlainView, find_quote, is_quotation, marked
from fathom.ui.research.timeline_state import RunState
from fathom.ui.widgets.buttons import Button
from fathom.ui.widgets.cards import Card, column, row
from fathom.ui.widgets.labels import Icon, Label


def pieces_of(observation: Observation) -> list[Piece]:
    """What is shown of an observation: its passages with their titles, or its text where it has none."""
    passages = observation.passages
    best = observation.best if is_quotation(observation) else ""
    if observation.is_error or observation.tool in CODE_TOOLS or not passages:
        return marked(observation.text, best, "mono" if observation.tool in CODE_TOOLS else "text")
    pieces: list[Piece] = []
    several = len({passage.uri for passage in passages}) > 1
    left = best
    for at, passage in enumerate(passages):
        gap = "\n\n" if at else ""
        if several and (at == 0 or passages[at - 1].uri != passage.uri):
            pieces.append(Piece(f"{gap}{passage.title or passage.uri}\n", "head"))
            gap = ""
        elif gap:
            pieces.append(Piece("\n…\n", "mut"))
        body = passage.text.strip()
        if left and find_quote(body, left):
            pieces += marked(body, left)
            left = ""
        else:
            pieces.append(Piece(body))
    return pieces


class ObservationView(QWidget):
    """``show_newest`` and ``show_chosen`` say what it shows; ``following`` which of the two it was."""

    step_requested = Signal(int)
    follow_requested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.shown: tuple[int, int] | None = None
        self.following = True
        self._observation: Observation | None = None
        self.empty = EmptyState(
            "result", "Nothing read yet", "What comes back from a search or a page appears here, as the model reads it."
        )
        self.stack = QStackedWidget(self)
        page = QWidget()
        body = column(page, gap=8, margins=(16, 16, 16, 16))
        self.title = Label("", "title", theme.BOLD, lines=3)
        let_grow(self.title)
        self.step_link = Button("", kind="link", flush=True, on_click=self._ask_for_step)
        self.tool = Label("", "mono", tone="teal", lines=1)
        self.time = Label("", "label", tone="mut", fit=True)
        self.error_icon = Icon("warn", "red")
        self.heading = Label("", "label", theme.BOLD, tone="mut")
        self.view = PlainView("Observation")
        self.view.cut_changed.connect(self._show_cut)
        self.all_link = Button("", kind="link", on_click=self.view.show_all)
        self.follow_link = Button("Follow the newest", "down", kind="link", on_click=self.follow_requested.emit)
        head = row(gap=8)
        head.addWidget(self.error_icon)
        head.addWidget(self.title, 1)
        meta = row(gap=8)
        meta.addWidget(self.step_link)
        meta.addWidget(self.tool, 1)
        self.time_icon = Icon("clock", "mut", 14)
        meta.addWidget(self.time_icon)
        meta.addWidget(self.time)
        card = Card("panel", padding=12)
        card.body.addWidget(self.view, 1)
        foot = row(gap=16)
        foot.addWidget(self.all_link)
        foot.addStretch(1)
        foot.addWidget(self.follow_link)
        body.addLayout(head)
        body.addLayout(meta)
        body.addSpacing(4)
        body.addWidget(self.heading)
        body.addWidget(card, 1)
        body.addLayout(foot)
        self.stack.addWidget(self.empty)
        self.stack.addWidget(page)
        column(self, gap=0).addWidget(self.stack)
        self._show_cut(0)

    def clear(self) -> None:
        """Back to the empty state, following."""
        self.shown, self.following, self._observation = None, True, None
        self.view.show_pieces(())
        self.stack.setCurrentIndex(0)

    def show_newest(self, state: RunState) -> None:
        """Show the newest observation and stay with it."""
        self.following = True
        newest = state.newest_observation()
        if newest is not None:
            self._show(state, *newest)

    def show_chosen(self, state: RunState, step: int, position: int) -> bool:
        """Show one observation and stay there; False when there is no such observation."""
        found = state.steps.get(step)
        if found is None or not 0 <= position < len(found.observations):
            return False
        self.following = state.newest_observation() == (step, position) and self.following
        self._show(state, step, position)
        return True

    def _show(self, state: RunState, step: int, position: int) -> None:
        observation = state.steps[step].observations[position]
        self.follow_link.setVisible(not self.following)
        self.stack.setCurrentIndex(1)
        if self.shown == (step, position) and self._observation is observation:
            return
        self.shown, self._observation = (step, position), observation
        fallback = "The tool reported an error" if observation.is_error else words.verb(observation.tool)
        self.title.setText(observation.title or fallback)
        self.title.set_tone("red" if observation.is_error else "text")
        self.error_icon.setVisible(observation.is_error)
        self.step_link.set_face(f"Step {step}")
        self.tool.setText(observation.tool)
        took = words.seconds(observation.seconds)
        self.time.setText(took)
        self.time_icon.setVisible(bool(took))
        self.heading.setText(self._heading(observation))
        self.view.show_pieces(pieces_of(observation) or [Piece("Nothing came back.", "mut")])
        self.view.show_mark()

    def _heading(self, observation: Observation) -> str:
        if observation.is_error:
            return "What the tool said"
        if observation.tool in CODE_TOOLS or not observation.passages:
            text = "What came back"
        elif len(observation.passages) == 1:
            text = "The passage as it was read"
        else:
            text = f"{words.count(len(observation.passages), 'passage', 'passages')} as they were read"
        if observation.cut_chars:
            left_out = words.count(observation.cut_chars, "character", "characters")
            text += f"  ·  {left_out} did not fit into the model’s view"
        return text

    def _ask_for_step(self) -> None:
        if self.shown is not None:
            self.step_requested.emit(self.shown[0])

    def _show_cut(self, held: int) -> None:
        self.all_link.setVisible(held > 0)
        if held:
            self.all_link.set_face(f"Show all, {words.count(held, 'more character', 'more characters')}")
