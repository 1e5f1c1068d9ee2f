"""The Sources tab: each document that passages were read from, once, with the steps that read it; and every host that
the session contacted.

``collect`` and ``hosts`` are pure; the list draws three lines a source. Knows nothing of the report.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from PySide6.QtCore import (
    QAbstractListModel,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    QPointF,
    QRectF,
    QSize,
    Qt,
    Signal,
)
from PySide6.QtGui import QPainter, QPen, QResizeEvent
from PySide6.QtWidgets import (
    QAbstractItemView,
    QFrame,
    QListView,
    QStackedWidget,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QWidget,
)

from fathom.ui import icons, theme
from fathom.ui.research import timeline_words as words
from fathom.ui.research.detail_empty import EmptyState
from fathom.ui.research.detail_passage import is_web
from fathom.ui.research.timeline_state import RunState
from fathom.ui.research.timeline_text import Fonts, clean, display
from fathom.ui.research.words import contacts, place
from fathom.ui.widgets.cards import column, row
from fathom.ui.widgets.labels import Icon, Label, Rule, plain_tip

Index = QModelIndex | QPersistentModelIndex
_ROOT = QModelIndex()
ROW = 12 + 20 + 16 + 2 + 16 + 12


@dataclass(slots=True)
class Source:
    """A document. ``places`` are (step, position of the observation), in the order of reading."""

    uri: str
    title: str
    passages: int = 0
    places: list[tuple[int, int]] = field(default_factory=list)

    @property
    def told(self) -> str:
        """ "Steps 3, 7 and 12  ·  4 passages"."""
        steps = list(dict.fromkeys(step for step, _ in self.places))
        listed = ", ".join(str(step) for step in steps[:6]) + (" …" if len(steps) > 6 else "")
        label = "Step" if len(steps) == 1 else "Steps"
        return f"{label} {listed}  ·  {words.count(self.passages, 'passage', 'passages')}"


def collect(state: RunState) -> list[Source]:
    """The sources in the order in which they were first read."""
    found: dict[str, Source] = {}
    for number, step in state.steps.items():
        for position, observation in enumerate(step.observations):
            for passage in observation.passages:
                source = found.setdefault(passage.uri, Source(uri=passage.uri, title=passage.title))
                source.title = source.title or passage.title
                source.passages += 1
                if (number, position) not in source.places:
                    source.places.append((number, position))
    return list(found.values())


def hosts(state: RunState) -> str:
    """Every host that the session contacted, in plain words."""
    if not state.hosts:
        return "No host was contacted: nothing left this computer."
    told = contacts(state.hosts)
    return f"{words.count(len(told), 'host', 'hosts')} contacted: {'; '.join(told)}"


class _Model(QAbstractListModel):
    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.sources: list[Source] = []

    def show(self, sources: list[Source]) -> None:
        self.beginResetModel()
        self.sources = sources
        self.endResetModel()

    def rowCount(self, parent: Index = _ROOT) -> int:
        return 0 if parent.isValid() else len(self.sources)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if not index.isValid():
            return None
        source = self.sources[index.row()]
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.AccessibleTextRole):
            return f"{source.title or source.uri}. {place(source.uri)}. {source.told}"
        if role == Qt.ItemDataRole.ToolTipRole:
            return plain_tip(clean(source.uri))
        return None


class _Delegate(QStyledItemDelegate):
    def __init__(self, model: _Model, parent: QObject) -> None:
        super().__init__(parent)
        self._model = model
        self.fonts = Fonts()
        self.width = 400

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        return QSize(self.width, ROW)

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        source = self._model.sources[index.row()]
        rect: QRectF = QRectF(option.rect)
        state = option.state
        painter.save()
        if state & QStyle.StateFlag.State_Selected:
            painter.fillRect(rect, theme.color("sel"))
            painter.fillRect(QRectF(rect.left(), rect.top(), 3, rect.height()), theme.color("blue"))
        elif state & QStyle.StateFlag.State_MouseOver:
            painter.fillRect(rect, theme.color("sunk"))
        painter.setPen(QPen(theme.color("line"), 1))
        painter.drawLine(
            QPointF(rect.left() + 16, rect.bottom() - 0.5), QPointF(rect.right() - 16, rect.bottom() - 0.5)
        )
        x, y, room = rect.left() + 40, rect.top() + 12, rect.width() - 56
        name = "globe" if is_web(source.uri) else "library"
        painter.drawPixmap(QPointF(rect.left() + 16, y + 2), icons.pixmap(name, "mut", 16))
        for text, role, weight, token, height in (
            (words.one_line(source.title) or words.one_line(source.uri), "body", 500, "text", 20),
            (place(source.uri), "label", 400, "mut", 16),
            (source.told, "label", 400, "mut", 16),
        ):
            painter.setFont(self.fonts.font(role, weight))
            painter.setPen(theme.color(token))
            line = self.fonts.elided(display(text), room, role, weight)
            painter.drawText(QPointF(x, y + self.fonts.baseline(role, weight, height)), line)
            y += height + (2 if height == 16 else 0)
        painter.restore()


class _List(QListView):
    def __init__(self, model: _Model, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.drawing = _Delegate(model, self)
        self.setModel(model)
        self.setItemDelegate(self.drawing)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setUniformItemSizes(True)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setResizeMode(QListView.ResizeMode.Adjust)
        self.setMouseTracking(True)
        self.viewport().setAttribute(Qt.WidgetAttribute.WA_Hover)
        self.viewport().setCursor(Qt.CursorShape.PointingHandCursor)
        self.setAccessibleName("Sources that were read")

    def resizeEvent(self, event: QResizeEvent) -> None:
        self.drawing.width = self.viewport().width()
        super().resizeEvent(event)


class SourcesView(QWidget):
    """``chosen(step, position)``: the observation that first read the pressed source."""

    chosen = Signal(int, int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._model = _Model(self)
        self.list = _List(self._model)
        self.list.clicked.connect(self._open)
        self.list.activated.connect(self._open)
        self.empty = EmptyState(
            "library", "No sources yet", "Each document or page that the model reads is listed here once."
        )
        self.stack = QStackedWidget()
        self.stack.addWidget(self.empty)
        self.stack.addWidget(self.list)
        self.hosts = Label("", "label", tone="mut", lines=4)
        whole = column(self, gap=0)
        whole.addWidget(self.stack, 1)
        whole.addWidget(Rule())
        foot = row(gap=8, margins=(16, 8, 16, 8))
        self._hosts_icon = Icon("shield", "mut", 14)
        foot.addWidget(self._hosts_icon, 0, Qt.AlignmentFlag.AlignTop)
        foot.addWidget(self.hosts, 1)
        whole.addLayout(foot)
        theme.notifier().changed.connect(self._theme_changed)

    def show_state(self, state: RunState) -> int:
        """List the run's sources; returns how many there are."""
        sources = collect(state)
        told = hosts(state)
        self.hosts.setText(told)
        self.hosts.setAccessibleName(told)
        self._hosts_icon.set_icon("globe" if state.hosts else "shield", "orange" if state.hosts else "mut")
        chosen = self.list.currentIndex().row()
        if sources != self._model.sources:
            at = self.list.verticalScrollBar().value()
            self._model.show(sources)
            self.list.verticalScrollBar().setValue(at)
            if 0 <= chosen < len(sources):
                self.list.setCurrentIndex(self._model.index(chosen))
        self.stack.setCurrentIndex(1 if sources else 0)
        return len(sources)

    def _open(self, index: QModelIndex) -> None:
        if index.isValid():
            self.chosen.emit(*self._model.sources[index.row()].places[0])

    def _theme_changed(self) -> None:
        self.list.drawing.fonts.clear()
        self.list.viewport().update()
