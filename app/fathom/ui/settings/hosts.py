"""The card that tells which hosts the sessions contacted, and what went there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtGui import QShowEvent

from fathom.core.events import HostContacted
from fathom.ui import theme
from fathom.ui.research import words
from fathom.ui.widgets.cards import Card, IconLine, column
from fathom.ui.widgets.labels import Label

if TYPE_CHECKING:
    from fathom.services.session_runner import SessionRunner

SESSIONS = 20


class HostsCard(Card):
    """Read anew whenever it comes into sight."""

    def __init__(self) -> None:
        super().__init__(gap=8)
        self._sessions: SessionRunner | None = None
        self.body.addWidget(Label("What was contacted", "title", theme.BOLD))
        self.line = IconLine("clock", "mut", "Not looked up yet")
        self.body.addWidget(self.line)
        self.rows = column(gap=8)
        self.body.addLayout(self.rows)

    def attach(self, sessions: SessionRunner) -> None:
        """The services are open."""
        self._sessions = sessions
        self.refresh()

    def refresh(self) -> None:
        """Tell of the newest sessions that contacted a host."""
        if self._sessions is None:
            return
        by_session: dict[str, list[HostContacted]] = {}
        for title, event in self._sessions.contacts():
            by_session.setdefault(title, []).append(event)
        while item := self.rows.takeAt(0):
            if (widget := item.widget()) is not None:
                widget.deleteLater()
        if not by_session:
            self.line.icon.set_icon("shield", "green")
            self.line.label.setText("No session has contacted any host: nothing left this computer.")
            return
        self.line.icon.set_icon("globe", "mut")
        told = words.count(len(by_session), "session", "sessions")
        self.line.label.setText(f"{told} used the network, the newest first. Sources, in each session, lists the same.")
        for title, events in list(by_session.items())[:SESSIONS]:
            self.rows.addWidget(Label(title, weight=theme.MEDIUM, lines=2))
            self.rows.addWidget(Label("; ".join(words.contacts(reversed(events))), tone="mut", lines=0))

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self.refresh()
