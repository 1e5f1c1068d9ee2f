"""The list of sessions: groups, words, search, keyboard."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QFontMetricsF
from PySide6.QtWidgets import QApplication, QStyleOptionViewItem
from pytestqt.qtbot import QtBot

from fathom.core.types import Session, SessionState, Task
from fathom.ui import theme
from fathom.ui.research.session_list import HEADING, SESSION, SessionList


def session(name: str, state: SessionState = "done", days_ago: int = 0, sample: bool = False) -> Session:
    created = (datetime.now(UTC) - timedelta(days=days_ago)).isoformat(timespec="seconds")
    return Session(
        id=name, title=name, created=created, task=Task(question=name), state=state, sample=sample, sources=5, steps=3
    )


@pytest.fixture
def listing(qapp: QApplication, qtbot: QtBot) -> SessionList:
    theme.apply(qapp, "light")
    widget = SessionList()
    qtbot.addWidget(widget)
    widget.resize(240, 600)
    widget.show()
    return widget


def rows(listing: SessionList) -> list[str]:
    model = listing.model
    indexes = [model.index(row) for row in range(model.rowCount())]
    return [index.data(HEADING) or f"- {index.data(SESSION).id}" for index in indexes]


def test_sessions_stand_under_their_day(listing: SessionList) -> None:
    listing.show_sessions(
        [session("now"), session("before", days_ago=1), session("long ago", days_ago=9), session("K2", sample=True)]
    )
    assert rows(listing) == [
        *("Today", "- now"),
        *("Yesterday", "- before"),
        *("Earlier", "- long ago"),
        *("Samples", "- K2"),
    ]


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ("waiting", "Waiting, starts by itself"),
        ("running", "Running, step 4"),
        ("paused", "Paused, step 3"),
        ("done", "Done, 5 sources"),
        ("partial", "No short answer, 5 sources"),
        ("stopped", "Stopped by you"),
        ("failed", "Failed, 3 steps saved"),
        ("interrupted", "Interrupted, 3 steps saved"),
    ],
)
def test_a_row_says_its_state_in_words(listing: SessionList, state: SessionState, said: str) -> None:
    listing.show_sessions([session("Why", state)])
    text = listing.model.index(1).data(Qt.ItemDataRole.AccessibleTextRole)
    assert text == f"Why. {said}"


def test_an_answer_that_no_passage_backs_is_not_called_done(listing: SessionList) -> None:
    listing.show_sessions([msgspec.structs.replace(session("Why", "done"), unbacked=True)])
    assert listing.model.index(1).data(Qt.ItemDataRole.AccessibleTextRole) == "Why. Not backed, 5 sources"


def test_a_running_step_shows_in_its_row(listing: SessionList) -> None:
    listing.show_sessions([session("Why", "running")])
    listing.model.set_step("Why", 14)
    assert listing.model.index(1).data(Qt.ItemDataRole.AccessibleTextRole) == "Why. Running, step 14"


def test_a_title_of_two_lines_is_whole_and_a_third_line_is_elided(listing: SessionList) -> None:
    short, two, long = (session(text) for text in ("Short", "Which European cities see the eclipse?", "words " * 40))
    listing.show_sessions([short, two, long])
    option = QStyleOptionViewItem()
    option.rect.setSize(QSize(224, 0))
    heights = [listing.delegate.sizeHint(option, listing.model.index(row)).height() for row in (1, 2, 3)]
    assert heights == [56, 76, 76]
    assert [listing.delegate.is_cut(one, 224) for one in (short, two, long)] == [False, False, True]


def test_arrow_keys_open_sessions_and_pass_over_headings(listing: SessionList, qtbot: QtBot) -> None:
    listing.show_sessions([session("a"), session("b", days_ago=1)])
    opened: list[str] = []
    listing.chosen.connect(opened.append)
    listing.search.setFocus()
    qtbot.keyClick(listing.search, Qt.Key.Key_Down)
    qtbot.keyClick(listing.view, Qt.Key.Key_Down)
    assert opened == ["a", "b"]


def test_delete_is_not_offered_for_a_running_session(listing: SessionList, qtbot: QtBot) -> None:
    listing.show_sessions([session("busy", "running"), session("over", days_ago=1)])
    wanted: list[str] = []
    listing.delete_wanted.connect(wanted.append)
    for row in (1, 3):
        listing.view.setCurrentIndex(listing.model.index(row))
        qtbot.keyClick(listing.view, Qt.Key.Key_Delete)
    assert wanted == ["over"]
    assert [one.isEnabled() for one in listing.menu_for(session("busy", "running")).actions()] == [True, False]


def test_typing_searches_once_it_rests_and_escape_empties_it(listing: SessionList, qtbot: QtBot) -> None:
    with qtbot.waitSignal(listing.searched) as heard:
        qtbot.keyClicks(listing.search, "eclipse")
    assert heard.args == ["eclipse"]
    with qtbot.waitSignal(listing.searched) as heard:
        qtbot.keyClick(listing.search, Qt.Key.Key_Escape)
    assert heard.args == [""]


def test_marking_the_shown_session_tells_nobody(listing: SessionList) -> None:
    listing.show_sessions([session("a"), session("b")])
    opened: list[str] = []
    listing.chosen.connect(opened.append)
    listing.select("b")
    assert opened == []
    assert listing.view.currentIndex().data(SESSION).id == "b"


def test_an_empty_search_says_what_was_looked_for(listing: SessionList) -> None:
    listing.show_sessions([], "zebra")
    assert listing.empty.isVisible()
    assert "zebra" in listing.empty.text()


def test_a_title_has_room_for_the_bold_letters_of_a_chosen_row(listing: SessionList) -> None:
    metrics = QFontMetricsF(theme.font("body", theme.BOLD))
    for length in range(10, 60):
        lines, _cut = listing.delegate.title_lines("w" * length + " minimum winner mammal", 224)
        assert max(metrics.horizontalAdvance(line) for line in lines) <= 224 - 2 * 12
