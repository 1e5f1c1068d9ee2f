"""Settings' list of sections: goes to each of them, by mouse and keyboard, and marks the one that is read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QWidget
from pytestqt.qtbot import QtBot

from fathom.core.settings import Settings
from fathom.ui import theme
from fathom.ui.bridge import Bridge, Tasks
from fathom.ui.settings.area import SettingsArea
from fathom.ui.widgets.cards import Card


@pytest.fixture
def area(qtbot: QtBot, qapp: QApplication, fathom_home: Path) -> Iterator[SettingsArea]:
    theme.apply(qapp, "light")
    made = SettingsArea(Bridge(), Tasks(), Settings())
    qtbot.addWidget(made)
    made.resize(1200, 700)
    made.show()
    qtbot.waitExposed(made)
    qtbot.wait(20)
    yield made


def marked(area: SettingsArea) -> str:
    [one] = [button.text() for button in area.sections.buttons if button.isChecked()]
    return one


def in_view(area: SettingsArea, widget: QWidget) -> bool:
    """Whether its beginning is seen."""
    top = widget.mapTo(area.page.viewport(), QPoint(0, 0)).y()
    return 0 <= top < area.page.viewport().height() - 60


def test_every_card_has_its_section_and_is_gone_to(area: SettingsArea) -> None:
    inside = area.page.widget()
    cards = [one for one in inside.findChildren(Card) if one.parentWidget().parentWidget() is inside]
    cards.sort(key=lambda one: one.mapTo(inside, QPoint(0, 0)).y())
    assert len(cards) == len(area.sections.buttons) == 9
    for button, card in zip(area.sections.buttons, cards, strict=True):
        QTest.mouseClick(button, Qt.MouseButton.LeftButton)
        assert in_view(area, card), button.text()
        assert marked(area) == button.text()


def test_what_is_read_is_marked_when_the_page_is_moved(area: SettingsArea) -> None:
    assert marked(area) == "Appearance"
    bar = area.page.verticalScrollBar()
    bar.setValue(bar.maximum())
    assert marked(area) == "Your data"
    bar.setValue(area.endpoint.mapTo(area.page.widget(), QPoint(0, 0)).y())
    assert marked(area) == "A server of your own"
    bar.setValue(0)
    assert marked(area) == "Appearance"


def test_the_keyboard_goes_to_a_section(area: SettingsArea) -> None:
    button = area.sections.buttons[2]
    assert button.text() == "How it computes" and button.accessibleName() == "Section: How it computes"
    button.setFocus()
    QTest.keyClick(button, Qt.Key.Key_Return)
    assert in_view(area, area.computing)
