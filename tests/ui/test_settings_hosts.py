"""Settings, what was contacted: every host of the stored sessions, and what went there."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtWidgets import QApplication, QLabel
from pytestqt.qtbot import QtBot

from fathom.core.events import HostContacted, RunStarted
from fathom.core.settings import Settings
from fathom.core.types import Session, Task
from fathom.services.session_runner import SessionRunner
from fathom.store.database import open_database
from fathom.store.sessions import SessionStore
from fathom.ui import theme
from fathom.ui.settings.hosts import HostsCard


async def nobody() -> None:
    raise AssertionError("nothing runs here")


def test_every_host_of_the_stored_sessions_is_told(qtbot: QtBot, qapp: QApplication, fathom_home: Path) -> None:
    theme.apply(qapp, "light")
    store = SessionStore(open_database(fathom_home / "fathom.db"))
    runner = SessionRunner(store, nobody, nobody, Settings())  # type: ignore[arg-type]
    card = HostsCard()
    qtbot.addWidget(card)
    card.attach(runner)
    assert "nothing left this computer" in card.line.label.text()

    task = Task(question="q")
    for title, contacts in (
        ("First question", [("en.wikipedia.org", "search"), ("en.wikipedia.org", "page")]),
        ("둘째 질문", [("example.org", "page")]),
    ):
        store.create(Session(id=title, title=title, created="2026-01-01T00:00:00+00:00", task=task))
        store.record(title, RunStarted(task=task))
        for host, kind in contacts:
            store.record(title, HostContacted(step=1, host=host, kind=kind))  # type: ignore[arg-type]
    card.refresh()
    told = [label.text() for label in card.findChildren(QLabel)]
    assert card.line.label.text().startswith("2 sessions used the network")
    assert told.index("둘째 질문") < told.index("First question")
    assert "en.wikipedia.org (search words and pages)" in told
    assert "example.org (pages)" in told
    store.close()
