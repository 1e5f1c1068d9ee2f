"""Draws timeline rows from their layouts, and knows what lies under the pointer.

Layouts of the rows last drawn are kept, heights of all rows; both are made again only when the row, its step or the
width changed. Knows nothing of events and changes nothing.
"""

from __future__ import annotations

from collections import OrderedDict

from PySide6.QtCore import QModelIndex, QObject, QPersistentModelIndex, QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QPainter, QPainterPath, QPen
from PySide6.QtWidgets import QStyle, QStyledItemDelegate, QStyleOptionViewItem

from fathom.ui import icons, theme
from fathom.ui.research import timeline_words as words
from fathom.ui.research.timeline_layout import (
    BRACKET_X,
    GAP,
    HEADER,
    LINE,
    Icon,
    Layout,
    LayoutMaker,
    Target,
    Text,
    Zone,
    compact_height,
)
from fathom.ui.research.timeline_model import TimelineModel
from fathom.ui.research.timeline_rows import Row, activity
from fathom.ui.research.timeline_text import Fonts

Index = QModelIndex | QPersistentModelIndex
KEPT_LAYOUTS = 60
TOP_SPACE = 8  # above the first row
_Stamp = tuple[Row, tuple[int, bool], int]


class TimelineDelegate(QStyledItemDelegate):
    """``width`` is set by the view. ``chosen`` and ``hovered`` are (row key, zone) pairs that are drawn so."""

    def __init__(self, model: TimelineModel, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.width = 640
        self.chosen: tuple[str, Target, int] | None = None
        self.hovered: tuple[str, Target, int] | None = None
        self.focused = False
        self.fonts = Fonts()
        self._maker = LayoutMaker(self.fonts)
        self._model = model
        self._heights: dict[str, tuple[_Stamp, int]] = {}
        self._told: dict[str, int] = {}  # what sizeHint last said
        self._layouts: OrderedDict[str, tuple[_Stamp, Layout]] = OrderedDict()

    def forget(self) -> None:
        """After a change of theme, font or run."""
        self.fonts.clear()
        self._maker.forget()
        self._heights.clear()
        self._layouts.clear()

    def layout(self, row: Row) -> Layout:
        """The row's layout, from the kept ones when nothing changed."""
        revision = self._model.revision(row)
        stamp = (row, revision, self.width)
        found = self._layouts.get(row.key)
        if found is not None and found[0] == stamp:
            self._layouts.move_to_end(row.key)
            return found[1]
        made = self._maker.make(row, self._model.state, self.width, revision[1])
        self._layouts[row.key] = (stamp, made)
        self._layouts.move_to_end(row.key)
        if len(self._layouts) > KEPT_LAYOUTS:
            self._layouts.popitem(last=False)
        self._heights[row.key] = (stamp, made.height)
        return made

    def height(self, row: Row) -> int:
        """The row's height in pixels, with the gap below it."""
        if row.kind in ("saved_header", "view_header"):
            return HEADER
        if row.kind == "fold":
            return HEADER + GAP
        if row.kind == "step" and row.place == "saved" and row.number not in self._model.expanded:
            return compact_height(self._model.state.steps[row.number])
        found = self._heights.get(row.key)
        if found is not None and found[0] == (row, self._model.revision(row), self.width):
            return found[1]
        return self.layout(row).height

    def height_changed(self, position: int) -> bool:
        """Whether a changed row needs another height than the view was last told."""
        row = self._model.row(position)
        return self._told.get(row.key) != self.height(row)

    def hit(self, row: Row, at: QPointF) -> Zone | None:
        """What lies at a point of the row: a link before a part of the card."""
        layout = self.layout(row)
        return next((zone for zone in (*layout.links, *layout.zones) if zone.rect.contains(at)), None)

    def tip(self, row: Row, at: QPointF) -> str:
        """What a badge at a point of the row means."""
        return next((text for rect, text in self.layout(row).tips if rect.contains(at)), "")

    # --- Qt ---

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        row = self._model.row(index.row())
        height = self._told[row.key] = self.height(row)
        return QSize(self.width, height + (TOP_SPACE if index.row() == 0 else 0))

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        row = self._model.row(index.row())
        layout = self.layout(row)
        rect = option.rect
        painter.save()
        painter.translate(rect.left(), rect.top() + (TOP_SPACE if index.row() == 0 else 0))
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        self._gutter(painter, row, layout)
        if layout.card is not None:
            self._card(painter, row, layout, layout.card)
        for fill in layout.fills:
            self._fill(painter, fill.rect, fill.token, fill.radius)
        for icon in layout.icons:
            self._icon(painter, icon)
        for text in layout.texts:
            self._text(painter, text)
        for right, action in layout.seconds:
            took = words.whole_seconds(max(0.0, self._model.clock() - action.started))
            at = QPointF(right.x() - self.fonts.width(took, "label"), right.y())
            self._text(painter, Text(at, took, "mut", "label"))
        if layout.caret is not None:
            painter.fillRect(QRectF(round(layout.caret.x()), layout.caret.y(), 2, 16), theme.color("violet"))
        if layout.strip is not None:
            self._strip(painter, row, layout.strip)
        state: QStyle.StateFlag = option.state
        if self.focused and state & QStyle.StateFlag.State_HasFocus and layout.card is not None:
            self._outline(painter, layout.card, "blue", 8, 2)
        painter.restore()

    # --- pieces ---

    def _gutter(self, painter: QPainter, row: Row, layout: Layout) -> None:
        """The bracket beside what the model sees, the dotted line beside what it does not."""
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)
        bottom = layout.height - (GAP if row.last else 0)
        if row.place == "view":
            ink = theme.color("ink")
            top = HEADER // 2 if row.kind == "view_header" else 0
            if row.kind == "step":
                painter.fillRect(QRectF(BRACKET_X + 2, 0, 30, bottom), theme.color("sunk"))
            painter.fillRect(QRectF(BRACKET_X, top, 2, bottom - top), ink)
            if row.first:
                painter.fillRect(QRectF(BRACKET_X, top, 10, 2), ink)
            if row.last:
                painter.fillRect(QRectF(BRACKET_X, bottom - 2, 10, 2), ink)
        elif row.place == "saved":
            pen = QPen(theme.color("mut"), 2)
            pen.setDashPattern([1, 1])  # 4 px: row heights are multiples of it, so that the dots meet
            pen.setCapStyle(Qt.PenCapStyle.FlatCap)
            painter.setPen(pen)
            top = HEADER // 2 if row.kind == "saved_header" else 0
            painter.drawLine(QPointF(BRACKET_X + 1, top), QPointF(BRACKET_X + 1, bottom))
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)

    def _card(self, painter: QPainter, row: Row, layout: Layout, card: QRectF) -> None:
        inside = QPainterPath()
        inside.addRoundedRect(card, 8, 8)
        painter.fillPath(inside, self._ground(row, layout))
        if layout.cells or layout.zones:
            painter.save()
            painter.setClipPath(inside)
            for zone in layout.zones:
                self._zone(painter, row, zone, layout.cell)
            for fill in layout.cells:
                painter.fillRect(fill.rect, theme.color(fill.token))
            for rule in layout.rules:
                painter.fillRect(QRectF(card.left(), rule, card.width(), 1), theme.color("line"))
            painter.restore()
        self._outline(painter, card, layout.border, 8, 1)

    def _ground(self, row: Row, layout: Layout) -> QColor:
        if row.kind == "fold" and self.hovered is not None and self.hovered[0] == row.key:
            return theme.color("sunk")
        return theme.color(layout.card_token)

    def _zone(self, painter: QPainter, row: Row, zone: Zone, cell: int) -> None:
        name = (row.key, zone.target, zone.position)
        rect = zone.rect.adjusted(cell, 0, 0, 0)
        if name == self.chosen:
            painter.fillRect(rect, theme.color("sel"))
            painter.fillRect(QRectF(rect.left(), rect.top(), 3, rect.height()), theme.color("blue"))
        elif name == self.hovered:
            painter.fillRect(rect, theme.color("sunk"))

    def _fill(self, painter: QPainter, rect: QRectF, token: str, radius: float) -> None:
        if token == "button":
            path = QPainterPath()
            path.addRoundedRect(rect, radius, radius)
            painter.fillPath(path, theme.color("panel"))
            self._outline(painter, rect, "edge", radius, 1)
        elif radius:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(theme.color(token))
            painter.drawRoundedRect(rect, radius, radius)
        else:
            painter.fillRect(rect, theme.color(token))

    def _outline(self, painter: QPainter, rect: QRectF, token: str, radius: float, width: int) -> None:
        painter.setPen(QPen(theme.color(token), width))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        half = width / 2
        painter.drawRoundedRect(rect.adjusted(half, half, -half, -half), radius, radius)

    def _icon(self, painter: QPainter, icon: Icon) -> None:
        painter.drawPixmap(icon.at, icons.pixmap(icon.name, icon.token, 16))

    def _text(self, painter: QPainter, text: Text) -> None:
        painter.setFont(self.fonts.font(text.role, text.weight))
        painter.setPen(theme.color(text.token))
        painter.drawText(text.at, text.text)

    def _strip(self, painter: QPainter, row: Row, strip: QRectF) -> None:
        """The live line: which step, and what the model does now."""
        state = self._model.state
        step = state.live
        baseline = strip.top() + 6 + self.fonts.baseline("body", 400, LINE)
        self._icon(
            painter, Icon(QPointF(strip.left(), strip.top() + 8), "pause" if state.paused else "running", "violet")
        )
        name = "Report" if row.kind == "answer" or step is None else f"Step {step.number}"
        label = f"{name}  ·  {'paused' if state.paused else 'live'}"
        self._text(painter, Text(QPointF(strip.left() + 24, baseline), label, "violet", "body", 600))
        room = strip.width() - 24 - self.fonts.width(label, "body", 600) - 16
        stacked = self.layout(row).strip_lines == 2
        if stacked:
            room = strip.width()
            baseline += LINE
        if row.kind == "answer" or step is None:
            doing, share = row.text, None
        else:
            doing = activity(state, step, self._model.clock())
            reading = step.phase == "reading" and step.read_total and not state.paused
            share = step.read_done / step.read_total if reading else None
        doing = self.fonts.elided(doing, room, "body")
        x = strip.left() if stacked else strip.right() - self.fonts.width(doing, "body")
        self._text(painter, Text(QPointF(x, baseline), doing, "mut"))
        if share is not None and (stacked or room - self.fonts.width(doing, "body") >= 92):
            bar = QRectF(strip.right() - 80 if stacked else round(x - 92), strip.top() + 13, 80, 6)
            self._fill(painter, bar, "line", 3)
            if share > 0:
                self._fill(painter, QRectF(bar.left(), bar.top(), max(6.0, 80 * min(1.0, share)), 6), "violet", 3)
