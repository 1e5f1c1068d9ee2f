"""The hint before a question is asked that nothing close to it was found."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot
from workbench import QUESTION, Workbench, run_qt, until

from fathom.core.types import Scope
from fathom.ui import theme
from fathom.ui.bridge import Bridge, Tasks
from fathom.ui.research.area import ResearchArea
from fathom.ui.research.composer import Composer


def test_hint_comes_for_a_question_that_nothing_is_about(qapp: QApplication, qtbot: QtBot, tmp_path: Path) -> None:
    async def main() -> None:
        theme.apply(qapp, "light")
        bench = Workbench(tmp_path)
        await bench.services.library.ensure_sample()
        bridge, tasks = Bridge(), Tasks()
        bridge.attach(bench.services)
        area = ResearchArea(bridge, tasks, Scope())
        qtbot.addWidget(area)
        area.show()
        area.attach(bench.services)
        composer, hint = area.composer, area.composer.nothing_close
        composer.input.edit.setPlainText("How do I fix a leaking kitchen tap?")
        await until(hint.isVisible)
        composer.input.edit.setPlainText(QUESTION)
        await until(lambda: not hint.isVisible())
        composer.input.edit.setPlainText("How do I fix a leaking kitchen tap?")
        await until(hint.isVisible)
        hint.web.click()
        await until(lambda: not hint.isVisible())
        assert composer.scope.web
        await tasks.close()
        bridge.detach()
        await bench.services.close()

    run_qt(qapp, main())


def test_hint_offers_to_add_documents_and_to_ask_anyway(qapp: QApplication, qtbot: QtBot) -> None:
    composer = Composer()
    qtbot.addWidget(composer)
    composer.show()
    hint = composer.nothing_close
    asked: list[str] = []
    composer.asked.connect(asked.append)
    QTest.keyClicks(composer.input.edit, "how do heat pumps work")
    hint.show_near("another question", False)
    assert not hint.isVisible()
    hint.show_near("how do heat pumps work", False)
    assert hint.isVisible()
    with qtbot.waitSignal(composer.folder_wanted):
        hint.folder.click()
    hint.ask.click()
    assert asked == ["how do heat pumps work"]
    assert not hint.isVisible()
    for button in (hint.web, hint.folder, hint.ask):
        assert button.accessibleName()


def test_too_few_words_are_not_wondered_about(qapp: QApplication, qtbot: QtBot) -> None:
    composer = Composer()
    qtbot.addWidget(composer)
    wondered: list[str] = []
    composer.nothing_close.wondered.connect(wondered.append)
    for text in ("", "heat", "heat pumps"):
        composer.input.edit.setPlainText(text)
        composer.nothing_close.wonder()
    assert wondered == []
    for text in ("how heat pumps work", "전기차 배터리 화재"):
        composer.input.edit.setPlainText(text)
        composer.nothing_close.wonder()
    assert wondered == ["how heat pumps work", "전기차 배터리 화재"]
