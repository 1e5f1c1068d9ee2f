"""Where everything in a timeline row lies: a row becomes a list of things to draw and of places to press.

A layout holds no colours (tokens only), so that a change of theme needs a repaint and no new layout. All numbers are
pixels, relative to the row's top left corner. Knows nothing of painting or of the view.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from PySide6.QtCore import QPointF, QRectF

from fathom.core.types import Observation
from fathom.ui.research import timeline_words as words
from fathom.ui.research.detail_plain import is_quotation
from fathom.ui.research.timeline_rows import LEAVES_WHY, MUST_ACT, MUST_ACT_WHY, Row, is_backed
from fathom.ui.research.timeline_state import Action, RunState, StepState
from fathom.ui.research.timeline_text import Fonts, Wrapped, display

CARD_X = 64
RIGHT = 16
CELL = 120
ICON_CELL = 40  # in a timeline narrower than SLIM the label cells keep their icon only
SLIM = 440
PAD = 12
LINE = 20
ROW_PAD = 6
COMPACT = 28
GAP = 8
HEADER = 32
BRACKET_X = 16
NUMBER_X = 33  # the middle of the steps' numbers, and of the strip behind them
BADGE = 24
STRIP = 36
LIVE_LINES = 6
MORE_GAP = 8
ONE_STRIP = 372  # from here on the live line's two halves stand side by side
NARROW = 200  # a text column narrower than this gives its badge a line of its own

Target = Literal["more", "fold", "go_on", "thought", "action", "observation"]


_Badge = tuple[str, str, str, str, str]  # icon, words, colour, ground, what it means


@dataclass(frozen=True, slots=True)
class Fill:
    rect: QRectF
    token: str
    radius: float = 0.0


@dataclass(frozen=True, slots=True)
class Text:
    at: QPointF  # left end of the baseline
    text: str
    token: str
    role: str = "body"
    weight: int = 400


@dataclass(frozen=True, slots=True)
class Icon:
    at: QPointF
    name: str
    token: str


@dataclass(frozen=True, slots=True)
class Zone:
    """A place to press. ``position`` counts the actions or observations of the step."""

    rect: QRectF
    target: Target
    position: int = 0


@dataclass(slots=True)
class Layout:
    """A row laid out. ``cells`` and ``rules`` are drawn inside the card's round corners, below everything else."""

    height: int = 0
    card: QRectF | None = None
    card_token: str = "panel"
    border: str = "line"
    cells: list[Fill] = field(default_factory=list)
    rules: list[float] = field(default_factory=list)
    fills: list[Fill] = field(default_factory=list)
    texts: list[Text] = field(default_factory=list)
    icons: list[Icon] = field(default_factory=list)
    zones: list[Zone] = field(default_factory=list)  # parts of the card
    links: list[Zone] = field(default_factory=list)
    tips: list[tuple[QRectF, str]] = field(default_factory=list)  # what a badge means
    caret: QPointF | None = None  # top of it
    strip_lines: int = 1
    cell: int = CELL
    strip: QRectF | None = None  # where the live line goes
    seconds: list[tuple[QPointF, Action]] = field(default_factory=list)  # right end of the baseline of a running clock


def compact_parts(step: StepState) -> tuple[str, ...]:
    """The rows of a step that is shown in one line each."""
    return ("thought", "action", "observation")[: 1 + bool(step.actions) + bool(step.actions and step.observations)]


def compact_height(step: StepState) -> int:
    """Height of such a step with the gap below it, known without laying it out."""
    return COMPACT * len(compact_parts(step)) + GAP


class LayoutMaker:
    """Lays rows out in a given width."""

    def __init__(self, fonts: Fonts) -> None:
        self.fonts = fonts
        self._growing: tuple[int, float, Wrapped] | None = None

    def forget(self) -> None:
        """After a change of font or of the run."""
        self._growing = None

    def make(self, row: Row, state: RunState, width: int, expanded: bool) -> Layout:
        """Lay one row out; the height includes the gap below it."""
        match row.kind:
            case "saved_header" | "view_header":
                return self._header(row)
            case "fold":
                return self._fold(row, width)
            case "notice":
                return self._banner(row, width, [], *_NOTICE[row.detail])
            case "ending":
                return self._ending(row, state, width)
            case "answer":
                return self._answer(row, state, width, expanded)
            case _:
                step = state.steps[row.number]
                if row.place == "saved" and not expanded:
                    return self._compact(row, step, width)
                return self._step(row, step, state, width, expanded)

    # --- small things ---

    def _text(
        self, out: Layout, x: float, y: float, text: str, token: str, role: str = "body", weight: int = 400,
        line: float = LINE,
    ) -> float:  # fmt: skip
        """Put a line whose box starts at ``y``; returns the x after it."""
        out.texts.append(Text(QPointF(x, y + self.fonts.baseline(role, weight, line)), text, token, role, weight))
        return x + self.fonts.width(text, role, weight)

    def _badge(self, out: Layout, right: float, y: float, badge: _Badge) -> float:
        """A badge that ends at ``right``; returns its left edge."""
        icon, text, token, ground, why = badge
        width = 8 + 16 + 4 + round(self.fonts.width(text, "label", 600)) + 8
        left = right - width
        out.fills.append(Fill(QRectF(left, y, width, BADGE), ground, 8))
        out.tips.append((QRectF(left, y, width, BADGE), why))
        out.icons.append(Icon(QPointF(left + 8, y + 4), icon, token))
        self._text(out, left + 28, y, text, token, "label", 600, BADGE)
        return left

    def _cell(self, out: Layout, card: QRectF, top: float, bottom: float, icon: str, word: str, token: str,
              ground: str, line_top: float) -> None:  # fmt: skip
        out.cells.append(Fill(QRectF(card.left(), top, out.cell, bottom - top), ground))
        out.icons.append(Icon(QPointF(card.left() + PAD, line_top + 2), icon, token))
        if out.cell == CELL:
            self._text(out, card.left() + 36, line_top, word, token, weight=600)

    def _header(self, row: Row) -> Layout:
        out = Layout(height=HEADER)
        saved = row.kind == "saved_header"
        out.icons.append(Icon(QPointF(40, 8), "archive" if saved else "eye", "mut" if saved else "ink"))
        self._text(out, CARD_X, 6, row.text, "mut" if saved else "ink", weight=600)
        return out

    def _fold(self, row: Row, width: int) -> Layout:
        card = QRectF(CARD_X, 0, width - CARD_X - RIGHT, 32)
        out = Layout(height=32 + GAP, card=card)
        out.icons.append(Icon(QPointF(card.left() + PAD, 8), "down" if row.open else "right", "mut"))
        word = "Hide" if row.open else "Show"
        at = card.right() - PAD - self.fonts.width(word, "body")
        self._text(out, at, 6, word, "blue")
        x = self._text(out, card.left() + 36, 6, row.text, "mut")
        self._text(out, x + 8, 6, self.fonts.elided(row.detail, at - x - 24, "body"), "mut")
        out.links.append(Zone(card, "fold"))
        return out

    # --- steps ---

    def _number(self, out: Layout, step: StepState, first_line: float, token: str, weight: int) -> None:
        text = str(step.number)
        role = "body" if len(text) < 3 else "label"  # three digits stay clear of the bracket
        x = NUMBER_X - self.fonts.width(text, role, weight) / 2
        self._text(out, x, first_line, text, token, role, weight)

    def _compact(self, row: Row, step: StepState, width: int) -> Layout:
        """Three rows of one line each; a step with several calls says how many there are more."""
        lines = compact_parts(step)
        card = QRectF(CARD_X, 0, width - CARD_X - RIGHT, COMPACT * len(lines))
        out = Layout(height=int(card.height()) + GAP, card=card, cell=CELL if width >= SLIM else ICON_CELL)
        self._number(out, step, 4, "mut", 600)
        left, right = card.left() + out.cell + PAD, card.right() - PAD
        for at, part in enumerate(lines):
            top = float(at * COMPACT)
            icon, word = _PARTS[part]
            self._cell(out, card, top, top + COMPACT, icon, word, "mut", "sunk", top + 4)
            if at:
                out.rules.append(top)
            out.zones.append(Zone(QRectF(card.left(), top, card.width(), COMPACT), _TARGET[part]))
            if part == "thought":
                end = right
                if step.tool_choice == "required":
                    end -= self.fonts.width(MUST_ACT, "label") + 12
                    self._text(out, end + 12, top + 4, MUST_ACT, "mut", "label")
                    out.tips.append((QRectF(end + 12, top, right - end - 12, COMPACT), MUST_ACT_WHY))
                thought = words.one_line(step.thought, 400) or _NO_THOUGHT
                self._text(out, left, top + 4, self.fonts.elided(display(thought), end - left, "body"), "mut")
            elif part == "action":
                self._action_line(out, step.actions[0], left, right, top + 4, "mut", len(step.actions) - 1)
            else:
                self._observation_line(out, step.observations[0], left, right, top + 4)
        return out

    def _observation_line(self, out: Layout, observation: Observation, left: float, right: float, y: float) -> None:
        title = display(words.one_line(_title(observation)))
        title = self.fonts.elided(title, right - left, "body", 600)
        x = self._text(out, left, y, title, "mut", weight=600)
        if right - x > 60:
            best = display(words.one_line(_sentence(observation)))
            self._text(out, x + 8, y, self.fonts.elided(best, right - x - 8, "body"), "mut")

    def _action_line(
        self, out: Layout, action: Action, left: float, right: float, y: float, token: str, more: int = 0,
        live: bool = False,
    ) -> float:  # fmt: skip
        """Verb, tool, argument, seconds; what would be squeezed gets a line of its own. Returns the y below."""
        quiet = token == "mut"
        end = right
        if action.seconds is None and live:
            end = right - self.fonts.width("888 s", "label") - 8
            out.seconds.append((QPointF(right, y + self.fonts.baseline("label", 400, LINE)), action))
        elif took := words.seconds(action.seconds or 0.0):
            end = right - self.fonts.width(took, "label")
            self._text(out, end, y, took, "mut", "label")
            end -= 12
        x = self._text(out, left, y, action.verb, token, weight=600) + 8
        if not quiet and self.fonts.width(action.call.name, "mono") > end - x:
            y += LINE
            x, end = left, right
        tool = self.fonts.elided(action.call.name, end - x, "mono")
        x = self._text(out, x, y, tool, "mut" if quiet else "teal", "mono") + 8
        argument = action.argument + (f"  and {words.count(more, 'more call', 'more calls')}" if more else "")
        argument = display(argument)
        if not argument:
            return y + LINE
        if not quiet and self.fonts.width(argument, "body") > end - x:
            y += LINE
            x, end = left, right
        self._text(out, x, y, self.fonts.elided(argument, end - x, "body"), token)
        return y + LINE

    def _step(self, row: Row, step: StepState, state: RunState, width: int, expanded: bool) -> Layout:
        live = step.is_live and not state.ending
        card = QRectF(CARD_X, 0, width - CARD_X - RIGHT, 0)
        out = Layout(card=card, border="violet" if live else "line", cell=CELL if width >= SLIM else ICON_CELL)
        self._number(out, step, ROW_PAD, "text", 600)
        left, right = card.left() + out.cell + PAD, card.right() - PAD
        saved = row.place == "saved"
        parts: list[tuple[str, int, float, float]] = []

        y = self._thought(out, row, step, left, right, live, expanded)
        parts.append(("thought", 0, 0.0, y + ROW_PAD))
        for position, action in enumerate(step.actions):
            top = parts[-1][3]
            y = self._action_line(out, action, left, right, top + ROW_PAD, "text", live=live)
            parts.append(("action", position, top, y + ROW_PAD))
            observation = step.observation_of(action.call.id)
            if observation is not None:
                top = parts[-1][3]
                y = self._observation(out, observation, left, right, top + ROW_PAD)
                parts.append(("observation", step.observations.index(observation), top, y + ROW_PAD))
        bottom = parts[-1][3]
        if live or step.phase == "cut_off":
            if step.phase == "cut_off":
                bottom = self._cut_off(out, left, right, bottom)
            else:
                bottom = self._live_strip(out, left, right, bottom)
            part, position, top, _ = parts[-1]
            parts[-1] = (part, position, top, bottom)
        for at, (part, position, top, end) in enumerate(parts):
            icon, word = _PARTS[part]
            token, ground = ("mut", "sunk") if saved else _COLOURS[part]
            self._cell(out, card, top, end, icon, word, token, ground, top + ROW_PAD)
            if at:
                out.rules.append(top)
            out.zones.append(Zone(QRectF(card.left(), top, card.width(), end - top), _TARGET[part], position))
        card.setHeight(bottom)
        out.height = int(bottom) + GAP
        return out

    def _live_strip(self, out: Layout, left: float, right: float, top: float) -> float:
        """Room for the live line: two lines where one would be too narrow. Returns the y below."""
        out.strip_lines = 1 if right - left >= ONE_STRIP else 2
        height = STRIP + (out.strip_lines - 1) * LINE
        out.strip = QRectF(left, top, right - left, height - 4)
        return top + height

    def _cut_off(self, out: Layout, left: float, right: float, top: float) -> float:
        out.icons.append(Icon(QPointF(left, top + 6), "retry", "orange"))
        wrapped = Wrapped(_CUT_OFF, self.fonts.font("body"), right - left - 24)
        lines = [wrapped.line(at) for at in range(len(wrapped))]
        return self._lines(out, lines, left + 24, top + 4, "orange") + 8

    def _thought(
        self, out: Layout, row: Row, step: StepState, left: float, right: float, live: bool, expanded: bool
    ) -> float:
        """The thought's lines and badges; returns the y below the last of them."""
        badges: list[_Badge] = []
        if row.leaves_next:
            badges.append(("leave", "Leaves next", "orange", "orange_tint", LEAVES_WHY))
        if step.tool_choice == "required":
            badges.append(("action", MUST_ACT, "mut", "sunk", MUST_ACT_WHY))
        end, beside = right, float(-ROW_PAD)
        text = step.thought
        writes = live and step.phase in ("reading", "thinking", "calling")
        silent = writes and not text.strip()  # while it reads, there is nothing to show but the live line
        if badges and not silent:
            widest = max(36 + self.fonts.width(badge[1], "label", 600) for badge in badges)
            if right - left - widest - 16 >= NARROW:
                end = right - widest - 16
                for at, badge in enumerate(badges):
                    self._badge(out, right, 4 + at * (BADGE + 4), badge)
                beside = 4.0 + len(badges) * (BADGE + 4) - 4 - ROW_PAD + 4
                badges = []
        y: float
        if silent:
            y = -ROW_PAD if not badges else 2.0
        elif writes:
            y = self._live_text(out, text, step.number, left, end, expanded)
        else:
            y = self._folded_text(out, text or _NO_THOUGHT, left, end, expanded, "text" if text else "mut")
        for badge in badges:
            width = 36 + self.fonts.width(badge[1], "label", 600)
            self._badge(out, left + round(width), y + 2, badge)
            y += BADGE + 4
        return max(y, beside)

    def _folded_text(
        self, out: Layout, text: str, left: float, right: float, expanded: bool, token: str, top: float = ROW_PAD
    ) -> float:
        font = self.fonts.font("body")
        text = display(text).strip()
        if not expanded:
            # Two lines can hold only so much: the rest of a long thought need not be wrapped.
            wrapped = Wrapped(" ".join(text[:1500].split()), font, right - left, 2)
            if not wrapped.cut:
                return self._lines(out, [wrapped.line(at) for at in range(len(wrapped))], left, top, token)
            more = self.fonts.width("More", "body")
            last = self.fonts.elided(wrapped.rest(1), right - left - more - MORE_GAP, "body")
            y = self._lines(out, [wrapped.line(0), last], left, top, token)
            x = left + self.fonts.width(last, "body") + MORE_GAP
            self._link(out, x, y - LINE, "More")
            return y
        wrapped = Wrapped(text, font, right - left)
        y = self._lines(out, [wrapped.line(at) for at in range(len(wrapped))], left, top, token)
        if len(wrapped) > 2 or "\n" in text:
            last = wrapped.line(len(wrapped) - 1)
            x = left + self.fonts.width(last, "body") + MORE_GAP
            if x + self.fonts.width("Less", "body") > right:
                x, y = left, y + LINE
            self._link(out, x, y - LINE, "Less")
        return y

    def _live_text(self, out: Layout, text: str, number: int, left: float, right: float, expanded: bool) -> float:
        """The end of a text that grows, with the caret; the whole of it when it is expanded."""
        width = right - left - 4  # the caret stays inside
        text = display(text).strip()  # the caret stays behind the last word, not on an empty line
        if self._growing is not None and self._growing[:2] == (number, width):
            wrapped = self._growing[2]
            wrapped.grow(text)
        else:
            wrapped = Wrapped(text, self.fonts.font("body"), width)
            self._growing = (number, width, wrapped)
        first = 0 if expanded else max(0, len(wrapped) - LIVE_LINES)
        lines = [wrapped.line(at) for at in range(first, len(wrapped))]
        y = self._lines(out, lines, left, ROW_PAD, "text")
        x = left + (self.fonts.width(lines[-1], "body") if lines else 0.0) + 2
        out.caret = QPointF(x, y - LINE + 2)
        if len(wrapped) > LIVE_LINES:
            self._link(out, left, y, "Less" if expanded else f"More ({words.count(first, 'line', 'lines')} above)")
            y += LINE
        return y

    def _lines(self, out: Layout, lines: list[str], left: float, y: float, token: str) -> float:
        for line in lines:
            if line:
                self._text(out, left, y, line, token)
            y += LINE
        return y

    def _link(self, out: Layout, x: float, y: float, word: str) -> None:
        end = self._text(out, x, y, word, "blue")
        out.links.append(Zone(QRectF(x - 4, y, end - x + 8, LINE), "more"))

    def _observation(self, out: Layout, observation: Observation, left: float, right: float, y: float) -> float:
        x = left
        if observation.is_error:
            out.icons.append(Icon(QPointF(left, y + 2), "warn", "red"))
            x += 24
        title = self.fonts.elided(display(words.one_line(_title(observation))), right - x, "body", 600)
        self._text(out, x, y, title, "red" if observation.is_error else "text", weight=600)
        y += LINE
        sentence = display(words.one_line(_sentence(observation), 500))
        if not sentence:
            return y
        quoted = is_quotation(observation)
        wrapped = Wrapped(f"“{sentence}”" if quoted else sentence, self.fonts.font("body"), right - left, 2)
        lines = [wrapped.line(0)]
        if len(wrapped) > 1:
            lines.append(self.fonts.elided(wrapped.rest(1), right - left, "body"))
        for line in lines:
            if quoted:
                out.fills.append(Fill(QRectF(left - 1, y + 1, self.fonts.width(line, "body") + 2, 18), "mark"))
            self._text(out, left, y, line, "text")
            y += LINE
        return y

    # --- the answer, notices, the ending ---

    def _answer(self, row: Row, state: RunState, width: int, expanded: bool) -> Layout:
        card = QRectF(CARD_X, 0, width - CARD_X - RIGHT, 0)
        out = Layout(card=card, border="violet", cell=CELL if width >= SLIM else ICON_CELL)
        left, right = card.left() + out.cell + PAD, card.right() - PAD
        y = self._live_text(out, state.answer_text, 0, left, right, expanded)
        bottom = self._live_strip(out, left, right, y + ROW_PAD)
        self._cell(out, card, 0, bottom, "quote", "Report", "violet", "violet_tint", ROW_PAD)
        card.setHeight(bottom)
        out.height = int(bottom) + GAP
        return out

    def _banner(
        self, row: Row, width: int, links: list[tuple[str, Target]], icon: str, token: str, ground: str
    ) -> Layout:
        card = QRectF(CARD_X, 0, width - CARD_X - RIGHT, 0)
        out = Layout(card=card, card_token=ground, border=ground)
        out.icons.append(Icon(QPointF(card.left() + PAD, PAD + 2), icon, token))
        left, room = card.left() + 40, card.width() - 40 - PAD
        y: float = PAD
        notice = row.kind == "notice"
        for at, paragraph in enumerate([row.text] if notice else [row.text, *row.detail.split("\n")]):
            weight = 600 if at == 0 and not notice else 400
            if paragraph:
                wrapped = Wrapped(display(paragraph[:2000]), self.fonts.font("body", weight), room, 12)
                for line in range(len(wrapped)):
                    self._text(out, left, y, wrapped.line(line), "text", weight=weight)
                    y += LINE
        if links:
            y += 8
            x = left
            for word, target in links:
                box = QRectF(x, y, self.fonts.width(word, "body", 500) + 24, 32)
                out.fills.append(Fill(box, "button", 8))
                self._text(out, x + PAD, y, word, "text", weight=500, line=32)
                out.links.append(Zone(box, target))
                x = box.right() + 8
            y += 32
        card.setHeight(y + PAD)
        out.height = int(card.height()) + GAP
        return out

    def _ending(self, row: Row, state: RunState, width: int) -> Layout:
        links: list[tuple[str, Target]] = []
        if state.ending == "stopped":  # after an error or an interruption the banner above the steps offers it
            links.append(("Go on" if state.steps else "Start again", "go_on"))
        ending = "partial" if state.ending == "done" and not is_backed(state) else state.ending
        return self._banner(row, width, links, *_ENDINGS[ending])


def _title(observation: Observation) -> str:
    if observation.is_error:
        return observation.title or "The tool reported an error"
    if observation.title:
        return observation.title
    return "Result" if observation.text.strip() else "Nothing came back"


def _sentence(observation: Observation) -> str:
    return observation.best or observation.text[:2000]


_NO_THOUGHT = "No thought was written."
_CUT_OFF = "Cut off here. It is written again when the run goes on."
_PARTS = {"thought": ("thought", "Thought"), "action": ("action", "Action"), "observation": ("result", "Observation")}
_TARGET: dict[str, Target] = {"thought": "thought", "action": "action", "observation": "observation"}
_COLOURS = {
    "thought": ("violet", "violet_tint"),
    "action": ("teal", "teal_tint"),
    "observation": ("amber", "amber_tint"),
}
_NOTICE = {"info": ("info", "mut", "sunk"), "warning": ("warn", "amber", "amber_tint")}
_ENDINGS = {
    "done": ("ok", "green", "green_tint"),
    "partial": ("half", "orange", "orange_tint"),
    "stopped": ("stop", "mut", "sunk"),
    "failed": ("warn", "red", "red_tint"),
    "interrupted": ("warn", "orange", "orange_tint"),
}
