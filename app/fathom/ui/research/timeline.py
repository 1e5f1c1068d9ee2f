"""The timeline: the steps of a run as they come, drawn by one list view.

Takes events and says what the person chose. Follows the newest row only while it is at the bottom. Knows nothing of
services, the store or the other panes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import monotonic

from PySide6.QtCore import QEvent, QPoint, QPointF, QRect, QSize, Qt, QTimer, Signal
from PySide6.QtGui import QFocusEvent, QHelpEvent, QKeyEvent, QMouseEvent, QPalette, QResizeEvent
from PySide6.QtWidgets import QAbstractItemView, QFrame, QLabel, QListView, QPushButton, QToolTip, QVBoxLayout, QWidget

from fathom.core.events import AgentEvent
from fathom.ui import icons, theme
from fathom.ui.research.timeline_delegate import TOP_SPACE, TimelineDelegate
from fathom.ui.research.timeline_layout import Target, Zone
from fathom.ui.research.timeline_model import Index, TimelineModel
from fathom.ui.research.timeline_rows import Row
from fathom.ui.research.timeline_state import RunState

FLUSH_MS = 33
TICK_MS = 500
_KEYBOARD = (Qt.FocusReason.TabFocusReason, Qt.FocusReason.BacktabFocusReason, Qt.FocusReason.ShortcutFocusReason)
_PARTS: tuple[Target, ...] = ("thought", "action", "observation")


class TimelineList(QListView):
    """The list: only what a QListView cannot do by itself. ``pressed_zone(position, zone)`` tells of clicks,
    ``entered()`` that the keyboard came while no row was current."""

    pressed_zone = Signal(int, object)
    entered = Signal()
    width_changed = Signal()

    def __init__(self, model: TimelineModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.rows = model
        self.drawing = TimelineDelegate(model, self)
        self.setModel(model)
        self.setItemDelegate(self.drawing)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setResizeMode(QListView.ResizeMode.Adjust)
        self.setAutoScroll(False)
        self.setMouseTracking(True)
        self.setAccessibleName("Steps of this run")
        self.verticalScrollBar().setSingleStep(40)

    def dataChanged(self, top_left: Index, bottom_right: Index, roles: Sequence[int] = ()) -> None:
        # QListView would lay all rows out again for each token: only a changed height is worth that.
        taller = False
        for position in range(top_left.row(), bottom_right.row() + 1):
            taller |= self.drawing.height_changed(position)
            self.update(self.rows.index(position))
        if taller:
            self.scheduleDelayedItemsLayout()

    def resizeEvent(self, event: QResizeEvent) -> None:
        width = self.viewport().width()
        if width != self.drawing.width:
            self.drawing.width = width
            self.width_changed.emit()
        super().resizeEvent(event)

    def zone_at(self, at: QPoint) -> tuple[int, Zone] | None:
        """The row and place under a point of the viewport."""
        index = self.indexAt(at)
        if not index.isValid():
            return None
        top = self.visualRect(index).top() + (TOP_SPACE if index.row() == 0 else 0)
        inside = QPointF(at.x(), at.y() - top)
        zone = self.drawing.hit(self.rows.row(index.row()), inside)
        return None if zone is None else (index.row(), zone)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        found = self.zone_at(event.position().toPoint())
        if event.button() != Qt.MouseButton.LeftButton or found is None:
            event.accept()
            return
        self.setFocus(Qt.FocusReason.MouseFocusReason)
        self.setCurrentIndex(self.rows.index(found[0]))
        self.pressed_zone.emit(*found)

    def viewportEvent(self, event: QEvent) -> bool:
        if isinstance(event, QHelpEvent) and event.type() == QEvent.Type.ToolTip:
            QToolTip.showText(event.globalPos(), self.tip_at(event.pos()), self)
            return True
        return super().viewportEvent(event)

    def tip_at(self, at: QPoint) -> str:
        """What the badge under a point of the viewport means, "" where there is none."""
        index = self.indexAt(at)
        if not index.isValid():
            return ""
        top = self.visualRect(index).top() + (TOP_SPACE if index.row() == 0 else 0)
        return self.drawing.tip(self.rows.row(index.row()), QPointF(at.x(), at.y() - top))

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        self.mousePressEvent(event)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        found = self.zone_at(event.position().toPoint())
        self._hover(None if found is None else (self.rows.row(found[0]).key, found[1].target, found[1].position))

    def leaveEvent(self, event: QEvent) -> None:
        self._hover(None)
        super().leaveEvent(event)

    def _hover(self, hovered: tuple[str, Target, int] | None) -> None:
        if hovered != self.drawing.hovered:
            self.drawing.hovered = hovered
            pointing = Qt.CursorShape.PointingHandCursor if hovered else Qt.CursorShape.ArrowCursor
            self.viewport().setCursor(pointing)
            self.viewport().update()

    def focusInEvent(self, event: QFocusEvent) -> None:
        self.drawing.focused = event.reason() in _KEYBOARD
        current = self.currentIndex()
        super().focusInEvent(event)
        if not current.isValid():  # QListView would take the first row, however far from sight it is
            self.setCurrentIndex(current)
            if self.drawing.focused:
                self.entered.emit()
        self.viewport().update()

    def focusOutEvent(self, event: QFocusEvent) -> None:
        self.drawing.focused = False
        super().focusOutEvent(event)
        self.viewport().update()

    def sizeHint(self) -> QSize:
        return QSize(672, 600)


class Timeline(QWidget):
    """``load`` replays a stored run, ``handle`` takes a live event: both end in the same rows.

    ``selected(step, part)`` with part one of thought, action, observation; ``position`` then says which of the
    step's calls. ``go_on_requested`` comes from the row that says that the person stopped the run.
    """

    selected = Signal(int, str)
    go_on_requested = Signal()

    def __init__(self, parent: QWidget | None = None, clock: Callable[[], float] = monotonic) -> None:
        super().__init__(parent)
        self.model = TimelineModel(self, clock)
        self.list = TimelineList(self.model, self)
        self.list.pressed_zone.connect(self._pressed)
        self.list.entered.connect(self._enter)
        self.list.installEventFilter(self)
        self.list.width_changed.connect(self._place_pill)
        self.empty = QLabel("The steps appear here as the model takes them.", self)
        self.empty.setProperty("tone", "mut")
        self.empty.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.empty.setWordWrap(True)
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(0)
        box.addWidget(self.list)
        self.pill = QPushButton("Jump to latest", self)
        self.pill.setCursor(Qt.CursorShape.PointingHandCursor)
        self.pill.clicked.connect(self.jump_to_latest)
        self.pill.hide()
        self.position = 0
        self._following = True
        self._settling = False
        self._live = False
        self._flush_timer = QTimer(self, interval=FLUSH_MS, singleShot=True)
        self._flush_timer.timeout.connect(self.flush)
        self._clock_timer = QTimer(self, interval=TICK_MS)
        self._clock_timer.timeout.connect(self.model.tick)
        bar = self.list.verticalScrollBar()
        bar.valueChanged.connect(self._scrolled)
        bar.rangeChanged.connect(self._range_changed)
        theme.notifier().changed.connect(self._theme_changed)
        self._theme_changed()
        self._show_empty()

    @property
    def state(self) -> RunState:
        """What is known of the run."""
        return self.model.state

    @property
    def following(self) -> bool:
        """Whether the newest row is kept in sight."""
        return self._following

    # --- events ---

    def load(self, events: Sequence[AgentEvent]) -> None:
        """Show another run from the events that its stored steps make, at its end."""
        self._flush_timer.stop()
        self.list.drawing.forget()
        self.list.drawing.chosen = None
        self.model.load(events)
        self._after_change()
        self.jump_to_latest()

    def clear(self) -> None:
        """Show nothing."""
        self.load(())

    def handle(self, event: AgentEvent) -> None:
        """Take an event; the rows follow within 33 ms."""
        self.model.take(event)
        if not self._flush_timer.isActive():
            self._flush_timer.start()

    def flush(self) -> None:
        """Bring the rows up to date now."""
        self._flush_timer.stop()
        if not self.model.dirty:
            return
        anchor = None if self._following or not self.state.reshaped else self._anchor()
        current = self.current_row()
        self.model.flush()
        self._after_change()
        if anchor is not None:
            self._restore(anchor)
        if current is not None and self.current_row() != current:
            position = self.model.position_of(current.key)
            if position >= 0:
                self.list.setCurrentIndex(self.model.index(position))

    def set_live(self, live: bool) -> None:
        """Whether the shown run is going on: its clocks tick only then."""
        self._live = live
        self._run_clock()

    def _after_change(self) -> None:
        self._show_empty()
        self._run_clock()

    def _run_clock(self) -> None:
        running = self._live or self.model.live_position() >= 0
        if running != self._clock_timer.isActive():
            if running:
                self._clock_timer.start()
            else:
                self._clock_timer.stop()

    def _show_empty(self) -> None:
        self.empty.setVisible(self.model.rowCount() == 0)

    # --- following ---

    def jump_to_latest(self) -> None:
        """Go to the newest row and stay with it."""
        self._following = True
        self._to_end()
        self.pill.hide()

    def _to_end(self) -> None:
        self._settling = True
        bar = self.list.verticalScrollBar()
        bar.setValue(bar.maximum())
        self._settling = False

    def _range_changed(self) -> None:
        if self._following:
            self._to_end()
        self._show_pill()

    def _scrolled(self, value: int) -> None:
        if not self._settling:
            self._following = value >= self.list.verticalScrollBar().maximum() - 4
        self._show_pill()

    def _show_pill(self) -> None:
        self.pill.setVisible(not self._following and self.list.verticalScrollBar().maximum() > 0)
        self._place_pill()

    def _place_pill(self) -> None:
        size = self.pill.sizeHint()
        middle = (64 + self.width() - 16) // 2
        self.pill.setGeometry(QRect(middle - size.width() // 2, self.height() - 32 - 12, size.width(), 32))
        self.pill.raise_()
        self.empty.setGeometry(self.rect().adjusted(32, 32, -32, -32))

    def _anchor(self) -> tuple[str, int] | None:
        """The first row in sight that is a step, and where it lies."""
        index = self.list.indexAt(QPoint(CARD_MIDDLE, 0))
        position = index.row() if index.isValid() else 0
        while 0 <= position < self.model.rowCount():
            row = self.model.row(position)
            if row.kind == "step":
                return row.key, self.list.visualRect(self.model.index(position)).top()
            position += 1
        return None

    def _restore(self, anchor: tuple[str, int]) -> None:
        key, top = anchor
        position = self.model.position_of(key)
        if position < 0:
            return
        self.list.doItemsLayout()
        moved = self.list.visualRect(self.model.index(position)).top() - top
        if moved:
            self._settling = True
            bar = self.list.verticalScrollBar()
            bar.setValue(bar.value() + moved)
            self._settling = False

    # --- choosing ---

    def current_row(self) -> Row | None:
        """The row with the keyboard."""
        index = self.list.currentIndex()
        return self.model.row(index.row()) if index.isValid() and index.row() < self.model.rowCount() else None

    def show_step(self, number: int, part: str = "observation") -> None:
        """Bring a step into sight and choose it, without telling anybody; opens the fold when it lies in there."""
        self.flush()
        key = f"step {number}"
        if self.model.position_of(key) < 0 and number in self.state.steps and not self.model.fold_open:
            self.model.toggle_fold()
        position = self.model.position_of(key)
        if position < 0:
            return
        index = self.model.index(position)
        self._following = False
        self.list.setCurrentIndex(index)
        self.list.scrollTo(index, QAbstractItemView.ScrollHint.PositionAtCenter)
        target: Target = next((known for known in _PARTS if known == part), "thought")
        self.list.drawing.chosen = (key, target, 0)
        self.list.viewport().update()
        self._show_pill()

    def _pressed(self, position: int, zone: Zone) -> None:
        row = self.model.row(position)
        match zone.target:
            case "fold":
                self._toggle_fold()
            case "more":
                self.model.toggle_thought(row.number if row.kind == "step" else 0)
            case "go_on":
                self.go_on_requested.emit()
            case _:
                self._choose(row, zone.target, zone.position)

    def _toggle_fold(self) -> None:
        anchor_row = self.model.position_of("fold")
        before = self.list.visualRect(self.model.index(anchor_row)).top()
        self._following = False
        self.model.toggle_fold()
        self._restore(("fold", before))
        self.list.setCurrentIndex(self.model.index(self.model.position_of("fold")))
        self._scrolled(self.list.verticalScrollBar().value())

    def _choose(self, row: Row, target: Target, position: int) -> None:
        self.position = position
        self.list.drawing.chosen = (row.key, target, position)
        self.list.viewport().update()
        self.selected.emit(row.number, target)

    # --- the keyboard ---

    def eventFilter(self, watched: object, event: QEvent) -> bool:
        if watched is self.list and isinstance(event, QKeyEvent) and event.type() == QEvent.Type.KeyPress:
            return self._key(event)
        return False

    def _key(self, event: QKeyEvent) -> bool:
        row = self.current_row()
        match event.key():
            case Qt.Key.Key_Up | Qt.Key.Key_Down:
                self._move(-1 if event.key() == Qt.Key.Key_Up else 1)
            case Qt.Key.Key_End:
                self._move_to(range(self.model.rowCount() - 1, -1, -1))
                self.jump_to_latest()
            case Qt.Key.Key_Home:
                self._move_to(range(self.model.rowCount()))
            case Qt.Key.Key_Left | Qt.Key.Key_Right if row is not None and row.kind == "step":
                self._next_part(row, -1 if event.key() == Qt.Key.Key_Left else 1)
            case Qt.Key.Key_Return | Qt.Key.Key_Enter if row is not None:
                self._open(row)
            case Qt.Key.Key_Space if row is not None and row.kind in ("step", "answer"):
                self.model.toggle_thought(row.number if row.kind == "step" else 0)
            case _:
                return False
        return True

    def _enter(self) -> None:
        """The keyboard starts at the newest row, or at the first one in sight for who has scrolled away from it."""
        rows = self.model.rowCount()
        first = self.list.indexAt(QPoint(CARD_MIDDLE, 40)).row()
        self._move_to(range(rows - 1, -1, -1) if self._following or first < 0 else range(first, rows))

    def _move(self, by: int) -> None:
        at = self.list.currentIndex().row()
        if at < 0:
            self._move_to(range(self.model.rowCount() - 1, -1, -1))
        else:
            self._move_to(range(at + by, self.model.rowCount() if by > 0 else -1, by))

    def _move_to(self, positions: range) -> None:
        for position in positions:
            if self.model.row(position).kind in ("step", "fold", "ending", "answer"):
                self.list.drawing.focused = True
                self.list.setCurrentIndex(self.model.index(position))
                self.list.scrollTo(self.model.index(position))
                return

    def _open(self, row: Row) -> None:
        if row.kind == "fold":
            self._toggle_fold()
        elif row.kind == "step":
            zones = self.list.drawing.layout(row).zones
            chosen = self.list.drawing.chosen
            if chosen is None or chosen[0] != row.key:
                self._choose(row, zones[-1].target, zones[-1].position)
            else:
                self._choose(row, chosen[1], chosen[2])
        elif row.kind == "ending" and self.list.drawing.layout(row).links:
            self._pressed(self.model.position_of(row.key), self.list.drawing.layout(row).links[0])

    def _next_part(self, row: Row, by: int) -> None:
        zones = self.list.drawing.layout(row).zones
        chosen = self.list.drawing.chosen
        at = next((at for at, zone in enumerate(zones) if chosen == (row.key, zone.target, zone.position)), -1)
        at = at + by if at >= 0 else (0 if by > 0 else len(zones) - 1)
        zone = zones[max(0, min(at, len(zones) - 1))]
        self._choose(row, zone.target, zone.position)

    # --- looks ---

    def _theme_changed(self) -> None:
        self.list.drawing.forget()
        palette = self.list.palette()
        palette.setColor(QPalette.ColorRole.Base, theme.color("bg"))
        self.list.setPalette(palette)
        self.setAutoFillBackground(True)
        ground = self.palette()
        ground.setColor(QPalette.ColorRole.Window, theme.color("bg"))
        self.setPalette(ground)
        self.empty.setFont(theme.font("body"))
        self.pill.setFont(theme.font("body"))
        self.pill.setIcon(icons.icon("down", "blue"))
        self.list.scheduleDelayedItemsLayout()
        self.list.viewport().update()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._place_pill()


CARD_MIDDLE = 200
