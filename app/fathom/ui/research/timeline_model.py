"""The timeline's rows as a Qt list model over a RunState.

Events change the state at once and the rows at the next ``flush``, so that a burst of deltas costs one repaint.
Knows nothing of drawing; the words are timeline_rows', the state is timeline_state's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any

from PySide6.QtCore import QAbstractListModel, QModelIndex, QObject, QPersistentModelIndex, Qt

from fathom.core.events import AgentEvent
from fathom.ui.research.timeline_rows import Row, accessible_text, build_rows
from fathom.ui.research.timeline_state import RunState

RowRole = Qt.ItemDataRole.UserRole
Index = QModelIndex | QPersistentModelIndex
_ROOT = QModelIndex()


class TimelineModel(QAbstractListModel):
    """Rows from top to bottom. ``clock`` gives monotonic seconds."""

    def __init__(self, parent: QObject | None = None, clock: Callable[[], float] = monotonic) -> None:
        super().__init__(parent)
        self.clock = clock
        self.state = RunState()
        self.fold_open = False
        self.expanded: set[int] = set()  # steps whose thought is shown whole; 0 is the answer
        self._rows: list[Row] = []

    # --- events ---

    def load(self, events: Sequence[AgentEvent]) -> None:
        """Forget the run and replay another one."""
        self.beginResetModel()
        self.state, self.fold_open = RunState(), False
        self.expanded.clear()
        now = self.clock()
        for event in events:
            self.state.apply(event, now)
        self._rows = build_rows(self.state, self.fold_open)
        self._taken()
        self.endResetModel()

    def take(self, event: AgentEvent) -> None:
        """Change the state; rows follow at the next flush."""
        self.state.apply(event, self.clock())

    @property
    def dirty(self) -> bool:
        """Whether a flush would change anything."""
        return self.state.reshaped or bool(self.state.changed)

    def flush(self) -> None:
        """Bring the rows up to date: insert, remove, and tell which ones look different."""
        changed = set(self.state.changed)
        if self.state.reshaped:
            self._reshape(build_rows(self.state, self.fold_open))
        self._taken()
        if changed:
            for position in range(len(self._rows) - 1, -1, -1):
                row = self._rows[position]
                if (row.kind == "step" and row.number in changed) or (row.kind == "answer" and 0 in changed):
                    self._tell(position)
                    changed.discard(0 if row.kind == "answer" else row.number)
                    if not changed:
                        break

    def tick(self) -> None:
        """The clock moved on: the live row says how long it has waited."""
        position = self.live_position()
        if position >= 0:
            self._tell(position)

    def _taken(self) -> None:
        self.state.changed.clear()
        self.state.reshaped = False

    def _tell(self, position: int) -> None:
        index = self.index(position)
        self.dataChanged.emit(index, index)

    def _reshape(self, rows: list[Row]) -> None:
        old = self._rows
        shared = min(len(old), len(rows))
        head = 0
        while head < shared and old[head].key == rows[head].key:
            head += 1
        tail = 0
        while tail < shared - head and old[-1 - tail].key == rows[-1 - tail].key:
            tail += 1
        if len(old) - tail > head:
            self.beginRemoveRows(_ROOT, head, len(old) - tail - 1)
            self._rows = old[:head] + old[len(old) - tail :]
            self.endRemoveRows()
        kept = [*range(head), *range(len(rows) - tail, len(rows))]
        different = [at for at in kept if rows[at] != (old[at] if at < head else old[at - len(rows)])]
        if len(rows) - tail > head:
            self.beginInsertRows(_ROOT, head, len(rows) - tail - 1)
            self._rows = rows
            self.endInsertRows()
        self._rows = rows
        for position in different:
            self._tell(position)

    # --- what the person folds ---

    def toggle_fold(self) -> None:
        """Show or hide the older steps."""
        self.fold_open = not self.fold_open
        self.state.reshaped = True
        self.flush()

    def toggle_thought(self, number: int) -> None:
        """Show a thought whole, or its first two lines."""
        self.expanded ^= {number}
        position = self.position_of(f"step {number}" if number else "answer")
        if position >= 0:
            self._tell(position)

    # --- what a view asks ---

    def row(self, position: int) -> Row:
        return self._rows[position]

    def position_of(self, key: str) -> int:
        """Where a row is now, -1 when it is not shown."""
        return next((at for at, row in enumerate(self._rows) if row.key == key), -1)

    def live_position(self) -> int:
        """The row of the step or answer being made, -1 when there is none."""
        if self.state.answering:
            return self.position_of("answer")
        live = self.state.live
        return -1 if live is None else self.position_of(f"step {live.number}")

    def revision(self, row: Row) -> tuple[int, bool]:
        """What changes when a row has to be laid out again."""
        if row.kind == "step":
            return self.state.steps[row.number].revision, row.number in self.expanded
        if row.kind == "answer":
            return len(self.state.answer_text), 0 in self.expanded
        return 0, False

    def rowCount(self, parent: Index = _ROOT) -> int:
        return 0 if parent.isValid() else len(self._rows)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if not index.isValid() or index.row() >= len(self._rows):
            return None
        if role == RowRole:
            return self._rows[index.row()]
        if role in (Qt.ItemDataRole.AccessibleTextRole, Qt.ItemDataRole.DisplayRole):
            return accessible_text(self._rows[index.row()], self.state, self.clock())
        return None

    def flags(self, index: Index) -> Qt.ItemFlag:
        if not index.isValid():
            return Qt.ItemFlag.NoItemFlags
        if self._rows[index.row()].kind in ("saved_header", "view_header"):
            return Qt.ItemFlag.ItemIsEnabled
        return Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable
