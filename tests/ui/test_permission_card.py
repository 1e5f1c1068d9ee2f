"""The card that asks for leave: what it says, both answers, silence; and the session around it."""

from __future__ import annotations

from pathlib import Path

import pytest
from PySide6.QtWidgets import QApplication
from research_runs import one_step, started
from test_research_area import desk
from workbench import ANSWER, ENOUGH, run_qt, until

from fathom.core.events import (
    HostContacted,
    PermissionAnswered,
    PermissionAsked,
    RunInterrupted,
    RunStopped,
)
from fathom.core.types import Scope
from fathom.ui import theme
from fathom.ui.research import words
from fathom.ui.research.permission_card import PermissionCard, PermissionPlace
from fathom.ui.research.sources import hosts
from fathom.ui.research.timeline_rows import activity, build_rows
from fathom.ui.research.timeline_state import RunState

UNSEEN = "https://example.org/battery-rates-2027?q=<b>x</b>"
ARGUMENTS = f'{{"url": "{UNSEEN}", "info_to_extract": "rates"}}'
VISIT = f'I look.\n<tool_call>\n{{"name": "scrape_and_extract_info", "arguments": {ARGUMENTS}}}\n</tool_call>'


@pytest.fixture
def app(qapp: QApplication) -> QApplication:
    theme.apply(qapp, "light")
    return qapp


def asked(**fields: object) -> PermissionAsked:
    given = {"step": 1, "id": "q1", "kind": "page", "host": "example.org", "address": UNSEEN, "wait_s": 600.0}
    return PermissionAsked(**(given | fields))  # type: ignore[arg-type]


def test_it_says_who_wants_what_and_why_and_what_silence_means(app: QApplication) -> None:
    card = PermissionCard()
    card.ask(asked(why="A page there may list rates."))
    assert card.title.text() == "The model wants to open a page"
    assert card.text.text() == "The model wants to open example.org, which no result mentioned."
    assert card.address.text() == UNSEEN and card.why.text() == "“A page there may list rates.”"
    assert card.silence.label.text() == "If you do not answer in 10 min, it goes on without this page."
    assert (card.once.text(), card.refuse.text()) == ("Open once", "Do not open")
    assert card.once.property("kind") == card.refuse.property("kind") == "standard"
    assert "example.org" in card.accessibleDescription() and card.accessibleName() == card.title.text()


def test_a_search_and_a_page_that_was_shown_are_told_as_such(app: QApplication) -> None:
    card = PermissionCard()
    card.ask(asked(kind="search", host="google.serper.dev", address="battery rates", wait_s=30.0))
    assert card.text.text() == "These words would go to google.serper.dev."
    assert (card.once.text(), card.refuse.text()) == ("Search once", "Do not search")
    assert "in 30 s, it goes on without this search" in card.silence.label.text()
    assert card.why.isHidden()
    card.ask(asked(was_shown=True))
    assert card.text.text() == "It would open example.org. You want to be asked before each contact."


def test_each_button_gives_its_answer(app: QApplication) -> None:
    place = PermissionPlace()
    said = []
    place.card.answered.connect(lambda question, answer: said.append((question, answer)))
    place.ask(asked())
    for button in (place.card.once, place.card.refuse, place.card.always):
        button.click()
    assert said == [("q1", "once"), ("q1", "refuse"), ("q1", "always")]
    place.withdraw("another")
    assert not place.isHidden()
    place.withdraw("q1")
    assert place.isHidden()


def test_an_address_is_shown_as_plain_text_and_a_long_one_is_cut(app: QApplication) -> None:
    card = PermissionCard()
    card.ask(asked(address="https://example.org/" + "a" * 5000))
    assert len(card.address.text()) < 310


@pytest.mark.parametrize("press", ["refuse", "always"])
def test_a_run_asks_shows_the_card_and_goes_on_after_the_answer(
    app: QApplication, fathom_home: Path, press: str
) -> None:
    async def main() -> None:
        async with desk(fathom_home) as one:
            one.bench.replies = (VISIT, ENOUGH, ANSWER)
            one.area.composer.show_scope(Scope(web=True))
            one.area.ask("Which rates?")
            page = one.area.page
            assert page is not None
            await until(lambda: page.permission.card.asked is not None)
            assert page.permission.isVisible()
            row = one.area.list.model.row_of(one.area.shown)
            session = one.bench.services.sessions.session(one.area.shown)
            assert words.status(session, one.area.list.model.step(session.id))[2] == "Needs your answer"
            assert row >= 0
            one.area.new_question()
            one.area.show_session(session.id)  # the stored question is shown again
            assert page.permission.isVisible()
            if press == "refuse":
                page.permission.card.refuse.click()
            else:
                one.bench.services.sessions.stop(session.id)
            await until(lambda: one.state() in ("done", "partial", "stopped"))
            assert page.permission.isHidden()
            if press == "refuse":
                notices = [notice.text for notice in page.timeline.state.notices]
                assert "The model was not allowed to open a page of example.org: you said no." in notices

    run_qt(app, main())


def test_a_session_that_is_not_shown_asks_by_a_toast(app: QApplication, fathom_home: Path) -> None:
    async def main() -> None:
        async with desk(fathom_home) as one:
            one.bench.replies = (VISIT, ENOUGH, ANSWER)
            one.area.composer.show_scope(Scope(web=True))
            one.bench.gate.clear()
            one.area.ask("Which rates?")
            session = one.area.shown
            one.area.new_question()
            one.bench.gate.set()
            await until(lambda: one.area.toast.isVisible())
            assert one.area.toast.accessibleName() == "Needs your answer: Which rates?"
            one.area.show_session(session)
            page = one.area.page
            assert page is not None
            page.permission.card.refuse.click()
            await until(lambda: one.state() in ("done", "partial"))

    run_qt(app, main())


def state_of(*events: object) -> RunState:
    state = RunState()
    for event in (started(), *one_step(1), *events):
        state.apply(event)  # type: ignore[arg-type]
    return state


def test_while_it_asks_the_timeline_says_so(app: QApplication) -> None:
    live = one_step(2)[:2]
    state = state_of(*live, asked(step=2))
    assert activity(state, state.steps[2], 100.0) == "Waiting for your answer"
    state.apply(PermissionAnswered(step=2, id="q1", answer="once"))
    assert activity(state, state.steps[2], 0.0) != "Waiting for your answer"
    assert [row.text for row in build_rows(state) if row.kind == "notice"] == [
        "You allowed the model to open a page of example.org, once."
    ]


@pytest.mark.parametrize(
    ("answer", "by", "said"),
    [
        ("refuse", "silence", "The model was not allowed to search with a.org: no answer came in time."),
        ("refuse", "headless", "The model was not allowed to search with a.org: there was nobody to ask."),
        ("always", "person", "You allowed the model to search with a.org, for this session."),
    ],
)
def test_answers_are_told_in_plain_words(answer: str, by: str, said: str) -> None:
    question = asked(kind="search", host="a.org")
    state = state_of(question, PermissionAnswered(step=1, id="q1", answer=answer, by=by))  # type: ignore[arg-type]
    assert [notice.text for notice in state.notices] == [said]


@pytest.mark.parametrize("end", [RunStopped(step=1), RunInterrupted(step=1)])
def test_an_end_takes_the_question_away(end: object) -> None:
    assert state_of(asked(), end).asking is None


def test_every_host_of_a_session_is_listed_once() -> None:
    assert hosts(state_of()) == "No host was contacted: nothing left this computer."
    state = state_of(
        HostContacted(step=1, host="en.wikipedia.org", kind="search"),
        HostContacted(step=1, host="en.wikipedia.org", kind="page"),
        HostContacted(step=1, host="example.org", kind="page"),
    )
    assert hosts(state) == "2 hosts contacted: en.wikipedia.org (search words and pages); example.org (pages)"
