"""The timeline as a person meets it: rows in sight, clicks, keys, following the newest."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot
from research_runs import ending, in_view, one_step, run, started

from fathom.agent.guards import duplicate
from fathom.core.events import (
    CallStarted,
    ObservationReady,
    RunFailed,
    RunStopped,
    StepFinished,
    StepStarted,
    ThoughtDelta,
)
from fathom.core.types import Step, ToolCall
from fathom.ui import theme
from fathom.ui.research.timeline import Timeline
from fathom.ui.research.timeline_layout import Target
from fathom.ui.research.timeline_text import JOINER, Fonts, Wrapped, clean, display

LONG = "This thought is long enough to need more than two lines in the room that a card has. " * 6
KOREAN = "비교하려면 지침이 무엇을 요구했는지 먼저 알아야 한다. 재활용 효율은 부속서에 나온다. " * 5


@pytest.fixture
def timeline(qapp: QApplication, qtbot: QtBot) -> Iterator[Timeline]:
    theme.apply(qapp, "light")
    made = Timeline()
    qtbot.addWidget(made)
    made.resize(672, 600)
    made.show()
    qtbot.waitExposed(made)
    yield made


def keys(timeline: Timeline) -> list[str]:
    return [timeline.model.row(at).key for at in range(timeline.model.rowCount())]


def place_of(timeline: Timeline, key: str, target: Target) -> QPoint:
    """The middle of a part or link of a row, in the list's viewport."""
    position = timeline.model.position_of(key)
    layout = timeline.list.drawing.layout(timeline.model.row(position))
    zone = next(zone for zone in (*layout.links, *layout.zones) if zone.target == target)
    top = timeline.list.visualRect(timeline.model.index(position)).top() + (8 if position == 0 else 0)
    return QPoint(round(zone.rect.center().x()), round(top + zone.rect.center().y()))


def click(timeline: Timeline, key: str, target: Target) -> None:
    timeline.list.scrollTo(timeline.model.index(timeline.model.position_of(key)))
    QTest.mouseClick(
        timeline.list.viewport(),
        Qt.MouseButton.LeftButton,
        Qt.KeyboardModifier.NoModifier,
        place_of(timeline, key, target),
    )


def test_live_events_and_a_replay_draw_the_same_rows(timeline: Timeline, qtbot: QtBot) -> None:
    for event in run(13, live=True) + ending(live=True):
        timeline.handle(event)
    timeline.flush()
    live = (keys(timeline), timeline.grab().toImage())
    timeline.load(run(13) + ending())
    assert keys(timeline) == live[0]
    assert timeline.grab().toImage() == live[1]


def test_events_reach_the_rows_by_themselves(timeline: Timeline, qtbot: QtBot) -> None:
    for event in run(2):
        timeline.handle(event)
    qtbot.waitUntil(lambda: keys(timeline) == ["view", "step 1", "step 2"])


def test_a_burst_of_deltas_is_one_repaint_of_one_row(timeline: Timeline, qtbot: QtBot) -> None:
    timeline.load([*run(3), StepStarted(step=4, in_view=in_view(4))])
    told: list[int] = []
    timeline.model.dataChanged.connect(lambda first, last, roles: told.append(first.row()))
    for _ in range(200):
        timeline.handle(ThoughtDelta(step=4, text="word "))
    qtbot.waitUntil(lambda: bool(told))
    assert told == [timeline.model.position_of("step 4")]


def test_the_three_parts_lie_in_their_order(timeline: Timeline) -> None:
    timeline.load(run(3))
    layout = timeline.list.drawing.layout(timeline.model.row(timeline.model.position_of("step 2")))
    assert [zone.target for zone in layout.zones] == ["thought", "action", "observation"]
    tops = [zone.rect.top() for zone in layout.zones]
    assert tops == sorted(tops)
    assert [text.text for text in layout.texts if text.weight == 600 and text.at.x() < 184] == [
        "2", "Thought", "Action", "Observation",
    ]  # fmt: skip


def test_the_bracket_is_headed_and_its_first_step_leaves_next(timeline: Timeline) -> None:
    timeline.load([*run(13), StepStarted(step=14, in_view=in_view(14))])
    drawing = timeline.list.drawing
    header = drawing.layout(timeline.model.row(timeline.model.position_of("view")))
    assert [text.text for text in header.texts] == ["In the model’s view  ·  5 of 13 results"]
    first = drawing.layout(timeline.model.row(timeline.model.position_of("step 9")))
    assert "Leaves next" in [text.text for text in first.texts]
    second = drawing.layout(timeline.model.row(timeline.model.position_of("step 10")))
    assert "Leaves next" not in [text.text for text in second.texts]


def test_a_click_on_a_part_chooses_it(timeline: Timeline, qtbot: QtBot) -> None:
    timeline.load(run(3))
    with qtbot.waitSignal(timeline.selected) as caught:
        click(timeline, "step 2", "observation")
    assert caught.args == [2, "observation"]
    assert timeline.list.drawing.chosen == ("step 2", "observation", 0)


def test_more_and_less_fold_a_thought(timeline: Timeline) -> None:
    timeline.load([started(), *one_step(1, thought=LONG)])
    row = timeline.model.row(0)
    folded = timeline.list.drawing.height(row)
    click(timeline, "step 1", "more")
    assert 1 in timeline.model.expanded
    assert timeline.list.drawing.height(row) > folded
    click(timeline, "step 1", "more")
    assert timeline.list.drawing.height(row) == folded


def test_show_opens_the_older_steps_and_hide_closes_them(timeline: Timeline) -> None:
    timeline.load([*run(13), StepStarted(step=14, in_view=in_view(14))])
    closed = keys(timeline)
    click(timeline, "fold", "fold")
    assert keys(timeline)[2:10] == [f"step {number}" for number in range(1, 9)]
    click(timeline, "fold", "fold")
    assert keys(timeline) == closed


def test_it_follows_only_while_it_is_at_the_bottom(timeline: Timeline, qtbot: QtBot) -> None:
    timeline.load([*run(9), StepStarted(step=10, in_view=in_view(10))])
    bar = timeline.list.verticalScrollBar()
    qtbot.waitUntil(lambda: bar.maximum() > 0 and bar.value() == bar.maximum())
    assert not timeline.pill.isVisible()
    for event in one_step(10):
        timeline.handle(event)
    timeline.flush()
    qtbot.waitUntil(lambda: bar.value() == bar.maximum())

    bar.setValue(bar.maximum() // 2)
    assert timeline.pill.isVisible()
    before = timeline.list.indexAt(QPoint(200, 100))
    key, top = timeline.model.row(before.row()).key, timeline.list.visualRect(before).top()
    for number in (11, 12):
        for event in one_step(number):
            timeline.handle(event)
    timeline.flush()
    assert bar.value() < bar.maximum()
    now = timeline.model.position_of(key)
    assert now < 0 or timeline.list.visualRect(timeline.model.index(now)).top() == top

    QTest.mouseClick(timeline.pill, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: bar.value() == bar.maximum())
    assert timeline.following
    assert not timeline.pill.isVisible()


def test_the_keyboard_moves_over_steps_and_opens_them(timeline: Timeline, qtbot: QtBot) -> None:
    timeline.load([*run(13), StepStarted(step=14, in_view=in_view(14))])
    timeline.list.setFocus()
    QTest.keyClick(timeline.list, Qt.Key.Key_Home)
    current = timeline.current_row()
    assert current is not None
    assert current.key == "fold"
    QTest.keyClick(timeline.list, Qt.Key.Key_Return)
    assert timeline.model.fold_open
    QTest.keyClick(timeline.list, Qt.Key.Key_Down)
    current = timeline.current_row()
    assert current is not None
    assert current.key == "step 1"
    with qtbot.waitSignal(timeline.selected) as caught:
        QTest.keyClick(timeline.list, Qt.Key.Key_Return)
    assert caught.args == [1, "observation"]
    with qtbot.waitSignal(timeline.selected) as caught:
        QTest.keyClick(timeline.list, Qt.Key.Key_Left)
    assert caught.args == [1, "action"]
    QTest.keyClick(timeline.list, Qt.Key.Key_Space)
    assert 1 in timeline.model.expanded


def test_the_current_step_stays_current_when_rows_move(timeline: Timeline) -> None:
    timeline.load([*run(9), StepStarted(step=10, in_view=in_view(10))])
    timeline.list.setCurrentIndex(timeline.model.index(timeline.model.position_of("step 7")))
    for event in (*one_step(10), StepStarted(step=11, in_view=in_view(11))):
        timeline.handle(event)
    timeline.flush()
    current = timeline.current_row()
    assert current is not None
    assert current.key == "step 7"


def test_show_step_opens_the_fold(timeline: Timeline) -> None:
    timeline.load([*run(13), StepStarted(step=14, in_view=in_view(14))])
    timeline.show_step(3)
    position = timeline.model.position_of("step 3")
    assert position > 0
    shown = timeline.list.visualRect(timeline.model.index(position))
    assert timeline.list.viewport().rect().contains(shown)


def test_a_stopped_run_offers_to_go_on_and_leaves_errors_to_the_banner(timeline: Timeline, qtbot: QtBot) -> None:
    timeline.load([*run(2), RunFailed(message="The engine stopped.", remedy="restart_engine", engine=True)])
    ending = timeline.model.row(timeline.model.position_of("ending"))
    assert timeline.list.drawing.layout(ending).links == []
    timeline.load([*run(2), RunStopped(step=3)])
    with qtbot.waitSignal(timeline.go_on_requested):
        click(timeline, "ending", "go_on")


def test_rows_speak_to_a_screen_reader(timeline: Timeline) -> None:
    timeline.load(run(3))
    index = timeline.model.index(timeline.model.position_of("step 2"))
    spoken = timeline.model.data(index, Qt.ItemDataRole.AccessibleTextRole)
    assert spoken.startswith("Step 2. In the model’s view. Thought: Thought of step 2")


@pytest.mark.parametrize("width", [340, 480, 560, 672, 700, 1100])
def test_no_label_is_cut_and_nothing_leaves_the_card(timeline: Timeline, width: int) -> None:
    timeline.resize(width, 600)
    events = [started(), *one_step(1, thought=LONG, choice="required"), *one_step(2, thought=KOREAN, error=True)]
    timeline.load([*events, StepStarted(step=3, in_view=(1, 2), prompt_tokens=8000)])
    timeline.handle(CallStarted(step=3, call_id="3.0", name="a_tool_with_a_rather_long_name_in_it", arguments={}))
    timeline.flush()
    fonts = Fonts()
    for position in range(timeline.model.rowCount()):
        layout = timeline.list.drawing.layout(timeline.model.row(position))
        if layout.card is None:
            continue
        for text in layout.texts:
            assert text.at.x() + fonts.width(text.text, text.role, text.weight) <= layout.card.right()
            assert text.at.y() <= layout.card.bottom()
        for word in ("Thought", "Action", "Observation"):
            assert fonts.width(word, "body", 600) + 36 <= 120


def test_korean_breaks_at_spaces_only(qapp: QApplication) -> None:
    fonts = Fonts()
    for width in (120, 200, 333):
        wrapped = Wrapped(display(KOREAN), fonts.font("body"), width)
        lines = [wrapped.line(at).replace(JOINER, "") for at in range(len(wrapped))]
        assert len(lines) > 2
        assert " ".join(" ".join(lines).split()) == KOREAN.strip()


def test_an_address_without_spaces_breaks_anywhere(qapp: QApplication) -> None:
    fonts = Fonts()
    address = "https://example.org/" + "path" * 60
    wrapped = Wrapped(address, fonts.font("body"), 200)
    assert len(wrapped) > 2
    assert "".join(wrapped.line(at) for at in range(len(wrapped))) == address
    assert all(fonts.width(wrapped.line(at), "body") <= 201 for at in range(len(wrapped)))


@pytest.mark.parametrize("text", [LONG, KOREAN, "one\ntwo\n\nthree " * 9, "emoji 😀 between words and 漢字 " * 12])
def test_growing_text_wraps_as_if_it_came_whole(qapp: QApplication, text: str) -> None:
    text = display(text)
    font = Fonts().font("body")
    grown = Wrapped("", font, 240)
    for end in range(0, len(text) + 7, 7):
        grown.grow(text[:end])
    whole = Wrapped(text, font, 240)
    assert [grown.line(at) for at in range(len(grown))] == [whole.line(at) for at in range(len(whole))]


def test_text_of_strangers_loses_its_tricks() -> None:
    assert clean("a\u202eb\x1b[31mc\r\nd\x00\ud800") == "ab[31mc\nd?"


def texts(timeline: Timeline, key: str) -> list[str]:
    layout = timeline.list.drawing.layout(timeline.model.row(timeline.model.position_of(key)))
    return [text.text for text in layout.texts]


def test_a_repeated_call_reads_plainly_and_only_words_of_the_text_are_quoted(timeline: Timeline) -> None:
    first = one_step(1)
    finished = first[-1]
    assert isinstance(finished, StepFinished)
    call = ToolCall(id="2.0", name="google_search", arguments={"q": "document 1"})
    again = duplicate(call, finished.step, in_view=True)
    timeline.load(
        [
            *(started(), *first, StepStarted(step=2, in_view=(1,))),
            CallStarted(step=2, call_id=call.id, name=call.name, arguments=dict(call.arguments)),
            ObservationReady(step=2, observation=again),
            StepFinished(step=Step(index=2, thought="Again.", calls=(call,), observations=(again,))),
        ]
    )
    assert "“The best sentence of step 1 stands here.”" in texts(timeline, "step 1")
    assert {"Repeats step 1, not run again", "Its result: Document 1"} <= set(texts(timeline, "step 2"))
    layout = timeline.list.drawing.layout(timeline.model.row(timeline.model.position_of("step 2")))
    assert "mark" not in [fill.token for fill in layout.fills]


def test_the_caret_stays_behind_the_last_word(timeline: Timeline) -> None:
    timeline.load([started(), StepStarted(step=1, prompt_tokens=1000)])
    reading = timeline.list.drawing.layout(timeline.model.row(0))
    assert reading.caret is None, "while it reads there is no word yet"
    timeline.handle(ThoughtDelta(step=1, text="I look for it."))
    timeline.flush()
    one_line = timeline.list.drawing.layout(timeline.model.row(0))
    timeline.handle(ThoughtDelta(step=1, text="\n\n"))
    timeline.flush()
    ended = timeline.list.drawing.layout(timeline.model.row(0))
    assert ended.caret == one_line.caret
    assert reading.height < ended.height == one_line.height


def test_a_badge_says_what_it_means_on_hover(timeline: Timeline) -> None:
    timeline.load([started(), *one_step(1, choice="required")])
    layout = timeline.list.drawing.layout(timeline.model.row(0))
    assert "Had to use a tool" in [text.text for text in layout.texts]
    badge, _ = layout.tips[0]
    assert "could not answer yet" in timeline.list.tip_at(badge.center().toPoint() + QPoint(0, 8))
    assert timeline.list.tip_at(QPoint(4, 4)) == ""


def test_numbers_of_three_digits_stay_clear_of_the_bracket(timeline: Timeline) -> None:
    events = [started(), *one_step(123), *one_step(124), StepStarted(step=125, in_view=(123, 124))]
    timeline.load(events)
    layout = timeline.list.drawing.layout(timeline.model.row(timeline.model.position_of("step 123")))
    number = next(text for text in layout.texts if text.text == "123")
    assert number.at.x() >= 16 + 2 + 2


def test_the_keyboard_enters_at_the_newest_row(timeline: Timeline, qtbot: QtBot) -> None:
    timeline.load([*run(3), RunStopped(step=4)])
    timeline.activateWindow()
    qtbot.waitUntil(timeline.isActiveWindow)
    timeline.list.clearFocus()
    timeline.list.setFocus(Qt.FocusReason.TabFocusReason)
    current = timeline.current_row()
    assert current is not None
    assert current.key == "ending"
    QTest.keyClick(timeline.list, Qt.Key.Key_Up)
    current = timeline.current_row()
    assert current is not None
    assert current.key == "step 3"


def test_there_is_nothing_to_jump_to_when_all_steps_are_in_sight(timeline: Timeline) -> None:
    timeline.load(run(2))
    timeline.show_step(1)
    assert not timeline.following
    assert timeline.pill.isHidden()
