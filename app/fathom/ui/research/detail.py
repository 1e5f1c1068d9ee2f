"""The pane beside the timeline: Observation, Report, Sources, Raw of one run.

Takes the same events as the timeline and keeps a state of its own; asks for steps, exports and addresses by signals.
Knows nothing of services, the store or the timeline.
"""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtWidgets import QStackedWidget, QWidget

from fathom.core.events import DELTAS, AgentEvent, RunFinished, RunStarted
from fathom.core.types import Session
from fathom.ui.research.detail_observation import ObservationView
from fathom.ui.research.detail_tabs import TabRow, Tabs
from fathom.ui.research.raw import RawView
from fathom.ui.research.report_view import ReportView
from fathom.ui.research.sources import SourcesView
from fathom.ui.research.timeline_state import RunState
from fathom.ui.widgets.cards import column

OBSERVATION, REPORT, SOURCES, RAW = range(4)
REFRESH_MS = 33


class DetailPane(QWidget):
    """``load`` shows a run from its stored events, ``handle`` takes a live one; the two end in the same state."""

    step_requested = Signal(int)
    export_requested = Signal()
    open_url_requested = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("ground", "panel")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.session: Session | None = None
        self.state = RunState()
        self._touched = False  # the person chose something in this run
        self._step = 0
        self.tabs = Tabs(("Observation", "Report", "Sources (0)", "Raw"))
        self.observation = ObservationView()
        self.report = ReportView()
        self.sources = SourcesView()
        self.raw = RawView()
        self.stack = QStackedWidget()
        for view in (self.observation, self.report, self.sources, self.raw):
            self.stack.addWidget(view)
        body = column(self, gap=0)
        body.addWidget(TabRow(self.tabs))
        body.addWidget(self.stack, 1)
        self.setMinimumWidth(self.tabs.minimumSizeHint().width())
        self.tabs.currentChanged.connect(self.stack.setCurrentIndex)
        self.tabs.tabBarClicked.connect(self._tab_pressed)
        self.observation.step_requested.connect(self.step_requested)
        self.observation.follow_requested.connect(self._follow)
        self.report.step_requested.connect(self.step_requested)
        self.report.open_url_requested.connect(self.open_url_requested)
        self.sources.chosen.connect(self.show_observation)
        self._timer = QTimer(self, interval=REFRESH_MS, singleShot=True)
        self._timer.timeout.connect(self.refresh)

    # --- events ---

    def load(self, session: Session | None, events: Sequence[AgentEvent]) -> None:
        """Show another run: its report when it has one, else its newest observation."""
        self._timer.stop()
        self.session, self.state = session, RunState()
        self._touched, self._step = False, 0
        for event in events:
            self.state.apply(event)
        self.observation.clear()
        self.refresh()
        self.tabs.setCurrentIndex(REPORT if self.state.report is not None else OBSERVATION)

    def clear(self) -> None:
        """Show nothing."""
        self.load(None, ())

    def handle(self, event: AgentEvent) -> None:
        """Take a live event; the tabs follow within 33 ms."""
        if isinstance(event, RunStarted) and event.first_step == 1:
            self._touched, self._step = False, 0
            self.observation.clear()
        self.state.apply(event)
        if isinstance(event, RunFinished) and not self._touched:
            self.tabs.setCurrentIndex(REPORT)
        if not isinstance(event, DELTAS) and not self._timer.isActive():
            self._timer.start()

    def refresh(self) -> None:
        """Bring the tabs up to date now."""
        self._timer.stop()
        if self.observation.following:
            self.observation.show_newest(self.state)
        elif self.observation.shown is not None:
            self.observation.show_chosen(self.state, *self.observation.shown)
        self.report.show_state(self.state)
        word = f"Sources ({self.sources.show_state(self.state):,})"
        if word != self.tabs.tabText(SOURCES):
            self.tabs.setTabText(SOURCES, word)
        self._show_raw()

    # --- what is shown ---

    def show_observation(self, step: int, position: int = 0) -> None:
        """Show one observation and stay with it; the Raw tab, when it is open, shows that step instead."""
        self._touched = True
        self.refresh()
        self._step = step
        found = self.observation.show_chosen(self.state, step, position)
        self._show_raw()
        if self.tabs.currentIndex() != RAW:
            self.tabs.setCurrentIndex(OBSERVATION if found else RAW)

    def show_step(self, step: int) -> None:
        """A step's text to the letter: what there is to see of a thought or of an action without an observation."""
        self._touched = True
        self._step = step
        self._show_raw()
        self.tabs.setCurrentIndex(RAW)

    def show_citation(self, number: int) -> None:
        """Open the saved passage behind [number] of the report."""
        self.refresh()
        if self.report.show_citation(number):
            self._touched = True
            self.tabs.setCurrentIndex(REPORT)

    def show_report(self) -> None:
        """Go to the report."""
        self._touched = True
        self.tabs.setCurrentIndex(REPORT)

    def _show_raw(self) -> None:
        number = self._step or (self.observation.shown[0] if self.observation.shown else 0)
        self.raw.show_step(self.state.steps.get(number))

    def _follow(self) -> None:
        self._step = 0
        self._touched = False
        self.observation.show_newest(self.state)
        self._show_raw()

    def _tab_pressed(self, index: int) -> None:
        self._touched = self._touched or index != OBSERVATION
