"""A session as a page: header, a banner when something is wrong, the timeline and the detail pane.

Routes the events of the shown session to all three. Knows no services; wishes leave through the header's signals and
``go_on_wanted`` and ``remedy_wanted``.
"""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QSplitter, QWidget

from fathom.core.events import (
    AgentEvent,
    PermissionAnswered,
    PermissionAsked,
    RunFailed,
    RunFinished,
    RunInterrupted,
    RunResumed,
    RunStarted,
    RunStopped,
)
from fathom.core.types import Session
from fathom.ui.research.detail import DetailPane
from fathom.ui.research.header import ENDED, Header
from fathom.ui.research.permission_card import PermissionPlace
from fathom.ui.research.timeline import Timeline
from fathom.ui.widgets.banner import Banner
from fathom.ui.widgets.cards import column
from fathom.ui.widgets.labels import Rule

TIMELINE_WIDTH = 672

REMEDIES: dict[str, tuple[str, str]] = {
    # remedy: word, icon
    "restart_engine": ("Start again and go on", "retry"),
    "choose_model": ("Choose a model…", "models"),
    "fetch_model": ("Fetch the small model", "download"),
    "add_folder": ("Add a folder…", "folder"),
    "retry": ("Go on from here", "play"),
    "save_elsewhere": ("Save the report…", "export"),
}


class SessionPage(QWidget):
    """``go_on_wanted()``, ``remedy_wanted(name)``; everything else through ``header``, ``detail``, ``permission``."""

    go_on_wanted = Signal()
    remedy_wanted = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.session: Session | None = None
        layout = column(self, gap=0)
        self.header = Header()
        self.banner = Banner()
        self._banner_box = QWidget()
        column(self._banner_box, margins=(24, 12, 24, 12)).addWidget(self.banner)
        self._banner_box.hide()
        self.permission = PermissionPlace()
        self.timeline = Timeline()
        self.detail = DetailPane()
        self.splitter = QSplitter(Qt.Orientation.Horizontal)
        self.splitter.setHandleWidth(1)
        self.splitter.setChildrenCollapsible(False)
        self.splitter.addWidget(self.timeline)
        self.splitter.addWidget(self.detail)
        self.timeline.setMinimumWidth(340)
        self.detail.setMinimumWidth(320)
        self.splitter.setSizes([TIMELINE_WIDTH, 448])
        self.splitter.setStretchFactor(0, 3)
        self.splitter.setStretchFactor(1, 2)
        layout.addWidget(self.header)
        layout.addWidget(Rule())
        layout.addWidget(self._banner_box)
        layout.addWidget(self.permission)
        layout.addWidget(self.splitter, 1)
        self.timeline.selected.connect(self._selected)
        self.timeline.go_on_requested.connect(self.go_on_wanted.emit)
        self.detail.step_requested.connect(self.timeline.show_step)
        self.header.go_on_wanted.connect(self.go_on_wanted.emit)

    def load(self, session: Session, events: Sequence[AgentEvent], documents: int | None = None) -> None:
        """Show another session from its events so far."""
        self.session = session
        self._hide_banner()
        self.permission.withdraw()
        self.header.load(session, events, documents)
        self.timeline.load(list(events))
        self.detail.load(session, list(events))
        for event in events:
            self._consider_banner(event)
        self._set_live()

    def handle(self, event: AgentEvent) -> None:
        """One more event of the session shown."""
        self.header.handle(event)
        self.timeline.handle(event)
        self.detail.handle(event)
        self._consider_banner(event)

    def set_session(self, session: Session) -> None:
        """The session shown changed its state."""
        self.session = session
        self.header.set_session(session)
        if session.state in ("waiting", "running", "done"):
            self._hide_banner()
        self._set_live()

    def _set_live(self) -> None:
        assert self.session is not None
        self.timeline.set_live(self.session.state not in ENDED)

    def _selected(self, step: int, part: str) -> None:
        if part == "observation" or part == "action":
            self.detail.show_observation(step, self.timeline.position)
        else:
            self.detail.show_step(step)

    # --- banner ---------------------------------------------------------------------------------------------------

    def _hide_banner(self) -> None:
        self.banner.hide()
        self._banner_box.hide()

    def _consider_banner(self, event: AgentEvent) -> None:
        match event:
            case PermissionAsked():
                self.permission.ask(event)
            case PermissionAnswered(id=question):
                self.permission.withdraw(question)
            case RunFailed() | RunFinished() | RunStopped() | RunInterrupted():
                self.permission.withdraw()
        match event:
            case RunFailed():
                self._show_failure(event)
            case RunInterrupted(step=step):
                self._show_interruption(step)
            case RunStarted() | RunResumed() | RunFinished():
                self._hide_banner()

    def _show_failure(self, event: RunFailed) -> None:
        remedy = event.remedy or ("restart_engine" if event.engine else "retry")
        word, icon = REMEDIES[remedy]
        self.banner.show_message(
            "red",
            event.message,
            event.has if not event.needs else "",
            needs=event.needs,
            has=event.has if event.needs else "",
            do=event.do if event.needs else "",
            action=(word, icon, lambda: self.remedy_wanted.emit(remedy)),
        )
        self._banner_box.show()

    def _show_interruption(self, step: int) -> None:
        assert self.session is not None
        where = f"in the middle of step {step}" if step else "while this session was running"
        saved = self.session.steps
        safe = (
            "No step was finished yet."
            if saved == 0
            else "1 step is saved."
            if saved == 1
            else f"{saved} steps are saved."
        )
        self.banner.show_message(
            "amber",
            f"Fathom was closed {where}.",
            safe,
            action=("Go on from here", "play", self.go_on_wanted.emit),
        )
        self._banner_box.show()
