"""The page for a new question."""

from __future__ import annotations

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QApplication, QMenu, QPushButton
from pytestqt.qtbot import QtBot

from fathom.core.errors import ModelFileError
from fathom.core.events import EngineStatus
from fathom.core.types import EngineSpec, Scope
from fathom.services.engine_options import EngineOption
from fathom.ui import theme
from fathom.ui.research.composer import Composer, examples
from fathom.ui.widgets.labels import Label

BUILDING = EngineStatus(state="building", done=68, total=148, eta_s=240.0, detail="[68/148] ops.cpp")


LLAMA = EngineOption(spec=EngineSpec(backend="llamacpp"), name="SmolLM2 135M", computes="llama.cpp")
MLX = EngineOption(spec=EngineSpec(backend="mlx"), name="SmolLM2 135M", computes="MLX")
SERVER = EngineOption(
    spec=EngineSpec(backend="endpoint", model="qwen3-8b"),
    name="qwen3-8b",
    computes="192.0.2.7:8000",
    leaves_for="192.0.2.7:8000",
)


@pytest.fixture
def composer(qapp: QApplication, qtbot: QtBot) -> Composer:
    theme.apply(qapp, "light")
    widget = Composer()
    qtbot.addWidget(widget)
    widget.resize(960, 772)
    widget.show_library(1500, 0, 0)
    widget.show()
    return widget


def test_enter_asks_and_shift_enter_breaks_the_line(composer: Composer, qtbot: QtBot) -> None:
    asked: list[str] = []
    composer.asked.connect(asked.append)
    edit = composer.input.edit
    qtbot.keyClicks(edit, "one")
    qtbot.keyClick(edit, Qt.Key.Key_Return, Qt.KeyboardModifier.ShiftModifier)
    qtbot.keyClicks(edit, "two")
    assert asked == []
    qtbot.keyClick(edit, Qt.Key.Key_Return)
    assert asked == ["one\ntwo"]
    assert edit.toPlainText() == ""


def test_an_empty_question_is_not_asked(composer: Composer, qtbot: QtBot) -> None:
    asked: list[str] = []
    composer.asked.connect(asked.append)
    qtbot.mouseClick(composer.input.ask, Qt.MouseButton.LeftButton)
    assert asked == []
    assert "Write a question first" in composer.hint.text()


def test_an_example_is_asked_at_once(composer: Composer, qtbot: QtBot) -> None:
    asked: list[str] = []
    composer.asked.connect(asked.append)
    assert len(composer.examples) == 3
    qtbot.mouseClick(composer.examples[1], Qt.MouseButton.LeftButton)
    assert asked == [examples()[1]]


def test_enter_presses_what_the_keyboard_is_on(composer: Composer, qtbot: QtBot) -> None:
    asked: list[str] = []
    composer.asked.connect(asked.append)
    composer.input.edit.setPlainText("Why?")
    qtbot.keyClick(composer.input.ask, Qt.Key.Key_Return)
    qtbot.keyClick(composer.examples[0], Qt.Key.Key_Return)
    assert asked == ["Why?", examples()[0]]


def test_the_web_is_off_until_it_is_turned_on_and_says_what_is_sent(composer: Composer, qtbot: QtBot) -> None:
    changed: list[Scope] = []
    composer.scope_changed.connect(changed.append)
    assert "Web off" in composer.input.places.text()
    assert "search words go to Wikipedia" in composer.web.text.text()
    qtbot.mouseClick(composer.web.button, Qt.MouseButton.LeftButton)
    assert [one.web for one in changed] == [True]
    assert "Web on" in composer.input.places.text()
    assert composer.web.button.text() == "Turn off"


def test_a_question_can_wait_for_an_engine_that_is_being_built(composer: Composer) -> None:
    composer.show_engine(BUILDING, "")
    assert composer.hint.text() == "Ask now: your question waits about 4 min for the engine, then starts by itself."
    card = composer.engine_card
    assert card.title.text() == "Building the local engine"
    assert card.text.text().startswith("About 4 min left.")
    assert card.bar.share == pytest.approx(68 / 148)
    assert "68 of 148 files" in [label.text() for label in card.steps_box.findChildren(Label)]
    assert composer.input.ask.isEnabled()


def test_an_unknown_time_says_so(composer: Composer) -> None:
    composer.show_engine(EngineStatus(state="building", done=0, total=0), "")
    assert composer.engine_card.text.text().startswith("Time left not known yet.")
    assert composer.engine_card.bar.share is None


@pytest.mark.parametrize(
    ("state", "word", "signal"),
    [
        ("failed", "Start again", "retry_wanted"),
        ("missing", "Build it now", "retry_wanted"),
        ("no_model", "Fetch the small model", "fetch_wanted"),
    ],
)
def test_every_broken_state_has_a_way_out(composer: Composer, qtbot: QtBot, state: str, word: str, signal: str) -> None:
    composer.show_engine(EngineStatus(state=state, message="It stopped.", detail="stderr"), "")  # type: ignore[arg-type]
    card = composer.engine_card
    assert card.main.text() == word
    with qtbot.waitSignal(getattr(card, signal)):
        qtbot.mouseClick(card.main, Qt.MouseButton.LeftButton)
    qtbot.mouseClick(card.show_details, Qt.MouseButton.LeftButton)
    assert card.details.isVisible()
    assert card.details.toPlainText() == "stderr"


def test_the_small_model_is_described_honestly_and_only_when_it_is_used(composer: Composer, qapp: QApplication) -> None:
    card = composer.model_card
    composer.show_engine(EngineStatus(state="ready", model="Small", embedded=True), "")
    said = " ".join(label.text() for label in card.findChildren(Label) if label.isVisible())
    assert "it is often wrong" in said
    composer.show_engine(EngineStatus(state="ready", model="Qwen3 8B"), "/models/qwen.gguf")
    said = " ".join(label.text() for label in card.findChildren(Label) if label.isVisible())
    assert "often wrong" not in said
    assert "/models/qwen.gguf" in said
    card.show_error(ModelFileError("This file is not a model.", needs="a GGUF file", has="a picture", do="Another."))
    qapp.processEvents()
    said = " ".join(label.text() for label in card.findChildren(Label) if label.isVisible())
    assert "This file is not a model." in said
    assert "a picture" in said


@pytest.mark.parametrize(("width", "height"), [(960, 772), (1120, 872)])
def test_everything_fits_without_scrolling_or_clipping(
    composer: Composer, qapp: QApplication, width: int, height: int
) -> None:
    composer.resize(width, height)
    composer.show_engine(BUILDING, "")
    composer.engine_card.set_has_sample(True)
    composer.show_engines([LLAMA, MLX], LLAMA)
    qapp.processEvents()
    composer.grab()
    assert composer.verticalScrollBar().maximum() == 0
    for label in composer.findChildren(Label):
        if label.isVisible():
            assert not label.is_cut(), label.text()
            assert label.height() >= label.heightForWidth(label.width()), label.text()
    for button in composer.findChildren(QPushButton):
        if button.isVisible():
            assert button.width() >= button.sizeHint().width(), button.text()


def test_what_answers_is_chosen_with_mouse_and_keyboard(composer: Composer, qtbot: QtBot) -> None:
    assert not composer.input.answers_line.isVisible()
    composer.show_engines([LLAMA, MLX, SERVER], LLAMA)
    assert composer.input.answers.text() == "Answers: SmolLM2 135M on llama.cpp"
    qtbot.mouseClick(composer.input.engine, Qt.MouseButton.LeftButton)
    menu = QApplication.activePopupWidget()
    assert isinstance(menu, QMenu)
    first, second, server, _line, _more = menu.actions()
    assert first.isChecked() and not second.isChecked() and "your text goes there" in server.text()
    with qtbot.waitSignal(composer.engine_wanted) as wanted:
        qtbot.mouseClick(menu, Qt.MouseButton.LeftButton, pos=menu.actionGeometry(second).center())
    assert wanted.args == [MLX.spec]
    composer.show_engines([LLAMA, MLX, SERVER], SERVER)
    assert composer.input.answers.text() == "Answers: qwen3-8b on 192.0.2.7:8000. Your text goes there."
    qtbot.keyClick(composer.input.engine, Qt.Key.Key_Space)
    menu = QApplication.activePopupWidget()
    assert isinstance(menu, QMenu)
    with qtbot.waitSignal(composer.engine_wanted) as wanted:
        qtbot.keyClick(menu, Qt.Key.Key_Down)
        qtbot.keyClick(menu, Qt.Key.Key_Return)
    assert wanted.args == [LLAMA.spec]
    with qtbot.waitSignal(composer.models_wanted):
        composer.engines_menu().actions()[-1].trigger()
    composer.show_engines([LLAMA], None)
    assert composer.input.answers.text() == "Answers: a model that is not here"


def test_a_short_window_scrolls(composer: Composer, qapp: QApplication) -> None:
    composer.resize(704, 500)
    qapp.processEvents()
    composer.grab()
    assert composer.verticalScrollBar().maximum() > 0
    assert composer.horizontalScrollBar().maximum() == 0


def test_every_control_has_a_name(composer: Composer) -> None:
    for control in composer.tab_order():
        assert control.accessibleName(), control


@pytest.mark.parametrize(
    "text", ["리튬과 코발트를 얼마나 회수해야 하는가? " * 6, "到二〇三一年必须回收多少锂和钴？" * 8]
)
def test_a_long_question_in_any_script_is_seen_whole(composer: Composer, text: str) -> None:
    composer.begin(text)
    edit = composer.input.edit
    composer.grab()
    assert edit.verticalScrollBar().maximum() == 0
    assert not edit.horizontalScrollBar().isVisible()
