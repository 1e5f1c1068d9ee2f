"""The header: what it says of a run, and which buttons can be pressed when."""

from __future__ import annotations

import msgspec
import pytest
from PySide6.QtWidgets import QApplication, QWidget
from pytestqt.qtbot import QtBot
from workbench import recording

from fathom.core.events import AnswerStarted, RunFinished, RunStarted, StepStarted
from fathom.core.types import Session, SessionState, Task
from fathom.ui import theme
from fathom.ui.research.header import Header
from fathom.ui.widgets.buttons import Button

TASK = Task(question="Who portrayed Corliss Archer?")


@pytest.fixture
def header(qapp: QApplication, qtbot: QtBot) -> Header:
    theme.apply(qapp, "light")
    widget = Header()
    qtbot.addWidget(widget)
    widget.resize(960, 120)
    widget.show()
    return widget


def session(state: SessionState, steps: int = 0) -> Session:
    return Session(
        id="s", title="t", created="2026-01-01T00:00:00+00:00", task=TASK, state=state, steps=steps, seconds=180.0
    )


def words(header: Header) -> list[str]:
    """The visible buttons in their order; brackets around those that cannot be pressed."""
    layout = header.findChildren(Button)
    shown = [one for one in layout if one.isVisible() and one is not header.elsewhere]
    shown.sort(key=lambda one: one.x())
    return [one.text() if one.isEnabled() else f"[{one.text()}]" for one in shown]


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("waiting", ["[Pause]", "[Finish now]", "Stop", "[Export]"]),
        ("running", ["Pause", "Finish now", "Stop", "[Export]"]),
        ("paused", ["Resume", "Finish now", "Stop", "[Export]"]),
        ("stopped", ["Start again", "[Export]"]),
        ("failed", ["[Export]"]),
    ],
)
def test_buttons_follow_the_state(header: Header, state: SessionState, expected: list[str]) -> None:
    header.load(session(state), [])
    assert words(header) == expected
    for button in header.findChildren(Button):
        assert button.isEnabled() or button.toolTip(), f"{button.text()} does not say why not"


def test_a_finished_run_offers_copy_and_export(header: Header) -> None:
    header.load(session("done", 3), recording(TASK, 3))
    assert words(header) == ["Copy report", "Export"]
    assert header.facts.text() == "Done in 3 min  ·  3 sources"


def test_memory_and_what_the_model_sees(header: Header) -> None:
    header.load(session("running"), recording(TASK, 13, finished=False))
    header.handle(StepStarted(step=14, in_view=(9, 10, 11, 12, 13), prompt_tokens=5000, context_tokens=8192))
    assert header.memory_words.text() == "Memory 61 %  ·  sees 5 of 13 results"
    assert header.memory_bar.share == pytest.approx(0.61, abs=0.001)
    assert header.memory_icon.isHidden()
    header.handle(StepStarted(step=15, in_view=(10,), prompt_tokens=7600, context_tokens=8192))
    assert header.memory_words.text().startswith("Memory 93 %, nearly full")
    assert header.memory_icon.isVisible()


def test_a_wish_is_shown_until_it_came_true(header: Header) -> None:
    header.load(session("running", 2), recording(TASK, 2, finished=False))
    header.pause.click()
    assert not header.pause.isEnabled()
    assert "pausing" in header.facts.text()
    header.set_session(session("paused", 2))
    assert header.pause.text() == "Resume"
    assert header.pause.isEnabled()
    header.set_session(session("running", 2))
    header.finish.click()
    assert "finishing after this step" in header.facts.text()
    header.handle(AnswerStarted(reason="finish_now"))
    assert "writing the report" in header.facts.text()
    assert not header.finish.isEnabled()


def test_a_long_question_is_elided_after_three_lines_and_whole_on_hover(header: Header) -> None:
    long = "Why " + "is it so " * 60
    header.load(msgspec.structs.replace(session("running"), task=Task(question=long)), [])
    header.grab()
    assert len(header.question.shown_lines()) == 3
    assert header.question.toolTip() == long
    header.load(session("running"), [])
    header.grab()
    assert header.question.toolTip() == ""


def test_a_scripted_engine_is_named(header: Header) -> None:
    header.load(session("running"), [RunStarted(task=TASK, scripted=True)])
    assert "follows a script" in header.facts.text()


def test_nothing_is_clipped_in_the_smallest_window(qapp: QApplication, qtbot: QtBot) -> None:
    theme.apply(qapp, "light")
    host = QWidget()
    qtbot.addWidget(host)
    header = Header()
    header.setParent(host)
    header.setGeometry(0, 0, 704, 140)
    host.show()
    header.load(session("running", 3), recording(TASK, 3, finished=False), documents=212)
    qapp.processEvents()
    header.grab()
    for button in header.findChildren(Button):
        if button.isVisible():
            assert button.width() >= button.sizeHint().width(), button.text()
    assert not header.places.is_cut()


def test_an_answer_that_no_passage_contains_is_named(header: Header) -> None:
    events = recording(TASK, 2)
    last = events[-1]
    assert isinstance(last, RunFinished)
    events[-1] = msgspec.structs.replace(last, report=msgspec.structs.replace(last.report, answer_backed=False))
    header.load(session("done", 2), events)
    assert header.facts.text().endswith("no saved passage contains the short answer")
    assert header.facts_icon.name == "half"


def test_nothing_is_not_counted(header: Header) -> None:
    header.load(session("stopped"), [])
    assert header.facts.text() == "Stopped by you"
    header.load(session("failed", 2), recording(TASK, 2, finished=False))
    assert header.facts.text() == "Failed  ·  2 steps saved  ·  2 sources"
