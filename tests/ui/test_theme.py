"""The tokens: every pair that the design puts together is readable, in both themes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from PySide6.QtGui import QFontInfo, QIcon
from PySide6.QtWidgets import QApplication

from fathom.ui import icons, theme

GROUNDS = ("panel", "bg", "side", "sunk")
WORDS = ("text", "mut", "ink", "blue", "violet", "teal", "amber", "green", "orange", "red")
TINTS = ("violet_tint", "teal_tint", "amber_tint", "green_tint", "orange_tint", "red_tint")


def test_contrast_is_the_formula_of_wcag() -> None:
    assert theme.contrast("#000000", "#FFFFFF") == pytest.approx(21.0)
    assert theme.contrast("#777777", "#FFFFFF") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("dark", [False, True])
def test_words_are_readable_on_every_ground(dark: bool) -> None:
    for word in WORDS:
        for ground in GROUNDS:
            assert theme.contrast(theme.value(word, dark), theme.value(ground, dark)) >= 4.5, (word, ground)
    for word in ("text", "mut", "blue"):
        for tint in (*TINTS, "sel", "mark"):
            if (word, tint) != ("mut", "mark"):
                assert theme.contrast(theme.value(word, dark), theme.value(tint, dark)) >= 4.5, (word, tint)
    for tint in TINTS:
        own = tint.removesuffix("_tint")
        assert theme.contrast(theme.value(own, dark), theme.value(tint, dark)) >= 4.5, tint
    assert theme.contrast(theme.value("onblue", dark), theme.value("blue", dark)) >= 4.5
    assert theme.contrast(theme.value("toastlink", dark), theme.value("ink", dark)) >= 4.5


@pytest.mark.parametrize("dark", [False, True])
def test_edges_show_on_the_grounds_that_carry_controls(dark: bool) -> None:
    for ground in GROUNDS:
        assert theme.contrast(theme.value("edge", dark), theme.value(ground, dark)) >= 2.95, ground


def test_no_colour_is_written_outside_the_table() -> None:
    folder = Path(theme.__file__).parent
    found = [
        (path.name, text)
        for path in folder.rglob("*.py")
        if path.name != "theme.py"
        for text in re.findall(r"""["']#[0-9A-Fa-f]{3,8}["']|rgba?\(""", path.read_text("utf-8"))
    ]
    assert found == []


def test_the_style_sheet_has_no_token_left(qapp: QApplication) -> None:
    for mode in ("dark", "light"):
        theme.apply(qapp, mode)
        assert "@" not in qapp.styleSheet()


def test_a_change_of_theme_is_told_and_changes_colours(qapp: QApplication) -> None:
    theme.apply(qapp, "light")
    told: list[str] = []
    theme.notifier().changed.connect(lambda: told.append(theme.value("panel")))
    theme.apply(qapp, "dark")
    assert told == ["#1B1F24"]
    assert theme.color("panel").name().upper() == "#1B1F24"
    assert qapp.palette().window().color() == theme.color("bg")
    theme.apply(qapp, "light")


def test_inter_comes_with_fathom(qapp: QApplication) -> None:
    for weight in (theme.REGULAR, theme.MEDIUM, theme.BOLD):
        font = theme.font("body", weight)
        assert QFontInfo(font).family().startswith("Inter")
        assert font.pixelSize() == 13
        assert font.weight() == weight


def test_every_icon_of_the_design_is_there(qapp: QApplication) -> None:
    places = {"search", "library", "train", "models", "evaluate", "settings"}
    acts = {"plus", "pause", "play", "flag", "stop", "export", "download", "retry", "undo", "copy", "open", "close"}
    steps = {"left", "right", "thought", "action", "result", "eye", "archive", "leave"}
    states = {"running", "ok", "half", "no", "warn", "info", "clock", "hand", "offline"}
    things = {"folder", "globe", "quote", "chip", "memory", "gpu", "disk"}
    assert places | acts | steps | states | things <= set(icons.names())


@pytest.mark.parametrize("name", icons.names())
def test_an_icon_draws_something_in_its_colour(qapp: QApplication, name: str) -> None:
    theme.apply(qapp, "light")
    image = icons.pixmap(name, "red", 24, 2.0).toImage()
    assert image.width() == 48
    solid = [image.pixelColor(x, y) for x in range(48) for y in range(48) if image.pixelColor(x, y).alpha() == 255]
    assert solid
    assert all(abs(one.red() - 0xB3) <= 2 and abs(one.green() - 0x26) <= 2 for one in solid)


def test_a_buttons_icon_follows_the_theme(qapp: QApplication) -> None:
    theme.apply(qapp, "light")
    icon = icons.icon("stop", "text")
    before = icon.pixmap(16).toImage()
    theme.apply(qapp, "dark")
    assert icon.pixmap(16).toImage() != before
    theme.apply(qapp, "light")
    assert icon.pixmap(16, mode=QIcon.Mode.Normal).toImage() == before


def test_an_unknown_icon_names_the_known_ones(qapp: QApplication) -> None:
    with pytest.raises(LookupError, match="known: action"):
        icons.icon("no such icon")
