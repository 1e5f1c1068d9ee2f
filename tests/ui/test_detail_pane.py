"""The detail pane: what follows the newest, what a choice holds, citations, sources, the raw text."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot
from research_runs import ending, in_view, observation, one_step, report, run, started

from fathom.core.events import AnswerStarted, ObservationReady, RunStopped, StepStarted
from fathom.core.types import Citation, Observation, Passage, Report
from fathom.ui import theme
from fathom.ui.research.detail import OBSERVATION, RAW, REPORT, SOURCES, DetailPane
from fathom.ui.research.detail_observation import pieces_of
from fathom.ui.research.detail_plain import FIRST_CHARS, Piece, PlainView, find_quote, is_quotation
from fathom.ui.widgets.buttons import Button
from fathom.ui.widgets.labels import plain_tip


@pytest.fixture
def pane(qapp: QApplication, qtbot: QtBot) -> Iterator[DetailPane]:
    theme.apply(qapp, "light")
    made = DetailPane()
    qtbot.addWidget(made)
    made.resize(448, 700)
    made.show()
    qtbot.waitExposed(made)
    yield made


def press_tab(pane: DetailPane, index: int) -> None:
    QTest.mouseClick(
        pane.tabs, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, pane.tabs.tabRect(index).center()
    )


def marked_words(view: PlainView) -> str:
    """The text on the mark ground."""
    found = []
    block = view.document().begin()
    while block.isValid():
        for span in block.textFormats():
            if span.format.background().color() == theme.color("mark"):
                found.append(block.text()[span.start : span.start + span.length])
        block = block.next()
    return "".join(found)


def test_it_opens_on_an_empty_observation(pane: DetailPane) -> None:
    pane.load(None, [])
    assert pane.tabs.currentIndex() == OBSERVATION
    assert pane.observation.empty.isVisible()
    assert pane.tabs.tabText(SOURCES) == "Sources (0)"


def test_the_observation_follows_the_newest(pane: DetailPane, qtbot: QtBot) -> None:
    pane.load(None, run(2))
    assert pane.observation.shown == (2, 0)
    for event in one_step(3):
        pane.handle(event)
    qtbot.waitUntil(lambda: pane.observation.shown == (3, 0))
    assert pane.observation.title.text() == "Document 3"
    assert marked_words(pane.observation.view) == "The best sentence of step 3 stands here."


def test_a_choice_stays_until_the_person_follows_again(pane: DetailPane, qtbot: QtBot) -> None:
    pane.load(None, run(3))
    pane.show_observation(1)
    for event in one_step(4):
        pane.handle(event)
    pane.refresh()
    assert pane.observation.shown == (1, 0)
    assert pane.observation.follow_link.isVisible()
    QTest.mouseClick(pane.observation.follow_link, Qt.MouseButton.LeftButton)
    assert pane.observation.shown == (4, 0)
    assert not pane.observation.follow_link.isVisible()


def test_live_and_replayed_runs_end_alike(pane: DetailPane) -> None:
    for event in run(4, live=True):
        pane.handle(event)
    pane.refresh()
    live = (pane.observation.shown, pane.observation.view.text(), pane.tabs.tabText(SOURCES))
    pane.load(None, run(4))
    assert (pane.observation.shown, pane.observation.view.text(), pane.tabs.tabText(SOURCES)) == live


def test_a_big_text_shows_its_beginning_then_all(pane: DetailPane) -> None:
    text = "word " * 10_000
    big = Observation(call_id="1.0", tool="run_command", text=text)
    pane.load(None, [started(), StepStarted(step=1), ObservationReady(step=1, observation=big)])
    view = pane.observation.view
    assert len(view.text()) == FIRST_CHARS
    assert pane.observation.all_link.text() == "Show all, 42,000 more characters"
    QTest.mouseClick(pane.observation.all_link, Qt.MouseButton.LeftButton)
    assert view.text() == text
    assert not pane.observation.all_link.isVisible()


def test_an_error_is_told_as_one(pane: DetailPane) -> None:
    pane.load(None, [started(), *one_step(1, error=True)])
    assert pane.observation.title.text() == "The tool reported an error"
    assert pane.observation.error_icon.isVisible()
    assert pane.observation.view.text() == "Nothing was found."


def test_a_step_link_asks_for_the_step(pane: DetailPane, qtbot: QtBot) -> None:
    pane.load(None, run(2))
    with qtbot.waitSignal(pane.step_requested) as caught:
        QTest.mouseClick(pane.observation.step_link, Qt.MouseButton.LeftButton)
    assert caught.args == [2]


def test_page_text_is_never_markup(pane: DetailPane) -> None:
    evil = "<b>bold</b> <img src='file:///etc/passwd'> # head\n[x](http://example.org) a <b and c> d"
    bad = Observation(call_id="1.0", tool="scrape_and_extract_info", text=evil)
    pane.load(None, [started(), StepStarted(step=1), ObservationReady(step=1, observation=bad)])
    assert pane.observation.view.text() == evil


def test_before_the_report_the_pane_says_when_it_comes(pane: DetailPane) -> None:
    pane.load(None, run(1))
    assert pane.report.empty.title == "No report yet"
    assert "Finish now" in pane.report.empty.text
    pane.handle(AnswerStarted(reason="answered"))
    pane.refresh()
    assert pane.report.empty.title == "The report is being written"
    pane.load(None, [*run(1), StepStarted(step=2, in_view=(1,)), RunStopped(step=2)])
    assert pane.report.empty.text == "You stopped the run before the report. 1 finished step is saved."


def test_a_finished_run_opens_on_its_report(pane: DetailPane, qtbot: QtBot) -> None:
    with qtbot.waitSignal(pane.report.rendered):
        pane.load(None, run(3) + ending())
    assert pane.tabs.currentIndex() == REPORT
    assert "Chief of Protocol [1]" in pane.report.browser.toPlainText()


def test_the_end_of_a_run_does_not_take_the_person_away(pane: DetailPane, qtbot: QtBot) -> None:
    pane.load(None, run(3))
    pane.show_observation(1)
    with qtbot.waitSignal(pane.report.rendered):
        for event in ending(live=True):
            pane.handle(event)
    assert pane.tabs.currentIndex() == OBSERVATION
    assert pane.observation.shown == (1, 0)


def test_a_citation_opens_the_saved_passage(pane: DetailPane, qtbot: QtBot) -> None:
    with qtbot.waitSignal(pane.report.rendered):
        pane.load(None, run(3) + ending())
    browser = pane.report.browser
    cursor = browser.document().find("[1]")
    cursor.setPosition(cursor.selectionStart() + 1)
    at = browser.cursorRect(cursor).center() + QPoint(1, 0)
    QTest.mouseClick(browser.viewport(), Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, at)
    passage = pane.report.passage
    qtbot.waitUntil(passage.isVisible)
    assert passage.title.text() == "Document 2"
    assert passage.address.text() == "library:doc/2"
    assert marked_words(passage.view) == "The best sentence of step 2"
    assert passage.place.text() == "Citation 1 of 2"
    assert not passage.previous.isEnabled()
    assert [place.cursor.selectedText() for place in browser.extraSelections()] == ["[1]"]
    QTest.mouseClick(passage.next, Qt.MouseButton.LeftButton)
    assert passage.title.text() == "Document 1"
    assert [place.cursor.selectedText() for place in browser.extraSelections()] == ["[2]"]
    with qtbot.waitSignal(pane.step_requested) as caught:
        QTest.mouseClick(passage.step_link, Qt.MouseButton.LeftButton)
    assert caught.args == [1]
    QTest.mouseClick(passage.close_button, Qt.MouseButton.LeftButton)
    assert not passage.isVisible()


def test_a_citation_asked_for_early_opens_when_the_report_is_drawn(pane: DetailPane, qtbot: QtBot) -> None:
    with qtbot.waitSignal(pane.report.rendered):
        pane.load(None, run(3) + ending())
        pane.show_citation(2)
    assert pane.report.passage.title.text() == "Document 1"


@pytest.mark.parametrize(("backed", "name"), [(True, "backed"), (False, "not")])
def test_the_short_answer_says_whether_it_is_backed(pane: DetailPane, qtbot: QtBot, backed: bool, name: str) -> None:
    with qtbot.waitSignal(pane.report.rendered):
        pane.load(None, run(3) + ending(report(backed=backed)))
    assert [key for key, badge in pane.report.badges.items() if badge.isVisible()] == [name]


def test_a_web_address_is_opened_only_after_a_yes(pane: DetailPane, qtbot: QtBot) -> None:
    body = "See [this page](https://xn--e1afmkfd.example.org/a) and <https://example.org/b>."
    with qtbot.waitSignal(pane.report.rendered):
        pane.load(None, run(3) + ending(report(body)))
    opened: list[str] = []
    pane.open_url_requested.connect(opened.append)
    for answer in ("Do not open", "Open once"):
        pane.report.ask_to_open("https://xn--e1afmkfd.example.org/a")
        box = pane.report.question
        assert box is not None
        assert "xn--e1afmkfd.example.org" in box.accessibleName()
        button = next(one for one in box.findChildren(Button) if one.text() == answer)
        QTest.mouseClick(button, Qt.MouseButton.LeftButton)
        qtbot.waitUntil(lambda: pane.report.question is None)
    assert opened == ["https://xn--e1afmkfd.example.org/a"]
    pane.report.ask_to_open("file:///etc/passwd")
    assert pane.report.question is None


def test_sources_are_listed_once_and_open_their_observation(pane: DetailPane, qtbot: QtBot) -> None:
    again = Observation(call_id="4.0", tool="scrape_and_extract_info", text="x", passages=observation(1).passages)
    events = [*run(3), StepStarted(step=4, in_view=in_view(4)), ObservationReady(step=4, observation=again)]
    pane.load(None, events)
    assert pane.tabs.tabText(SOURCES) == "Sources (3)"
    press_tab(pane, SOURCES)
    model = pane.sources.list.model()
    spoken = model.data(model.index(0, 0), Qt.ItemDataRole.AccessibleTextRole)
    assert spoken == "Document 1. library:doc/1. Steps 1, 4  ·  2 passages"
    at = pane.sources.list.visualRect(model.index(1, 0)).center()
    QTest.mouseClick(pane.sources.list.viewport(), Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, at)
    assert pane.tabs.currentIndex() == OBSERVATION
    assert pane.observation.shown == (2, 0)


def test_raw_text_is_made_when_it_is_looked_at(pane: DetailPane) -> None:
    pane.load(None, run(2))
    assert pane.raw.view.text() == ""
    press_tab(pane, RAW)
    text = pane.raw.view.text()
    assert '"name": "google_search"' in text
    assert "The best sentence of step 2" in text
    pane.show_observation(1)
    assert pane.tabs.currentIndex() == RAW
    assert "The best sentence of step 1" in pane.raw.view.text()
    QTest.mouseClick(pane.raw.copy_button, Qt.MouseButton.LeftButton)
    assert QGuiApplication.clipboard().text() == pane.raw.view.text()


def test_a_quote_is_found_whatever_its_white_space() -> None:
    assert find_quote("one two\n  three four", "two three") == (4, 15)
    assert find_quote("one two", "“two”") == (4, 7)
    assert find_quote("one two", "three") is None
    assert find_quote("one two", " ") is None


def test_copied_korean_holds_no_joiners(qtbot: QtBot) -> None:
    view = PlainView("Test")
    qtbot.addWidget(view)
    view.show_pieces([Piece("재활용 효율은 65%다")])
    view.selectAll()
    view.copy()
    assert QGuiApplication.clipboard().text() == "재활용 효율은 65%다"


def test_a_report_in_korean_can_be_read_and_cited(pane: DetailPane, qtbot: QtBot) -> None:
    read = Passage(uri="library:ko", title="부속서 XII", text="늦어도 2027년 12월 31일까지 리튬 50%를 회수한다.")
    cited = Citation(number=1, step=1, passage=read, quote="리튬 50%를 회수한다")
    made = Report(question="?", answer="50%", answer_backed=True, body="리튬은 **50%**이다 [1].", citations=(cited,))
    with qtbot.waitSignal(pane.report.rendered):
        pane.load(None, run(1) + ending(made))
    pane.show_citation(1)
    assert marked_words(pane.report.passage.view).replace("\u2060", "") == "리튬 50%를 회수한다"


def test_the_short_answer_has_one_heading_beside_its_badge(pane: DetailPane, qtbot: QtBot) -> None:
    body = "## Short answer\n\n**Chief of Protocol** [1]\n\n## What the passages say\n\nShe held it [2].\n"
    with qtbot.waitSignal(pane.report.rendered):
        pane.load(None, run(3) + ending(report(body)))
    assert pane.report.label.text() == "Short answer"
    assert pane.report.badges["backed"].isVisible()
    shown = pane.report.browser.toPlainText()
    assert shown.startswith("Chief of Protocol [1]")
    assert "Short answer" not in shown


@pytest.mark.parametrize(
    ("best", "quoted"),
    [
        ("The best sentence of step 1 stands here.", True),
        ("The  best sentence\nof step 1 stands here.", True),
        ("Document 1", False),
        ("Ready to run commands", False),
        ("", False),
    ],
)
def test_only_words_that_were_read_are_quoted(best: str, quoted: bool) -> None:
    assert is_quotation(msgspec.structs.replace(observation(1), best=best)) == quoted


def test_an_error_is_no_quotation() -> None:
    failed = msgspec.structs.replace(observation(1, error=True), best="Nothing was found.")
    assert not is_quotation(failed)
    assert pieces_of(failed) == [Piece("Nothing was found.")]


def test_a_passage_says_its_place_in_plain_words(pane: DetailPane, qtbot: QtBot) -> None:
    here = Passage(uri="library://sample/d05519", title="Kiss and Tell", text="A film.", end=7)
    made = Report(
        question="?",
        answer="A film",
        answer_backed=True,
        body="A film [1].",
        citations=(Citation(number=1, step=1, passage=here, quote="A film."),),
    )
    with qtbot.waitSignal(pane.report.rendered):
        pane.load(None, run(3) + ending(made))
    pane.show_citation(1)
    assert pane.report.passage.address.text() == "Sample library"
    assert pane.report.passage.address.toolTip() == "library://sample/d05519"


def test_a_tooltip_shows_tags_to_the_letter() -> None:
    assert plain_tip("a plain title") == "a plain title"
    assert plain_tip("<img src='file:///etc/x.png'>") == "<qt>&lt;img src=&#x27;file:///etc/x.png&#x27;&gt;</qt>"
