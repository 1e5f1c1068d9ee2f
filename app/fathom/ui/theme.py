"""Colours, fonts and the style sheet: one table of tokens for light and dark. No colour value is written elsewhere.

Tokens: ``TOKENS`` (name -> light, dark). Tints are ``violet_tint``, ``teal_tint``, ``amber_tint``, ``green_tint``,
``orange_tint``, ``red_tint``. Knows nothing of panes: a widget that paints itself asks :func:`color` when it paints and
updates itself on ``notifier().changed``.
"""

from __future__ import annotations

import logging
from functools import cache
from typing import Literal

from PySide6.QtCore import QLocale, QObject, Qt, Signal
from PySide6.QtGui import QColor, QFont, QFontDatabase, QGuiApplication, QPalette
from PySide6.QtWidgets import QApplication

from fathom.core.settings import resource_path

log = logging.getLogger(__name__)

Mode = Literal["system", "light", "dark"]

TOKENS: dict[str, tuple[str, str]] = {
    # words and marks
    "text": ("#1A1F26", "#E8EBEF"),
    "mut": ("#56606D", "#A4AEBA"),
    "ink": ("#3A4450", "#C3CBD5"),
    "blue": ("#1F5BD1", "#8CB4FF"),
    "violet": ("#6439B8", "#C0A8FF"),
    "teal": ("#0B6B68", "#5CCFC4"),
    "amber": ("#7A5200", "#EBC069"),
    "green": ("#17703F", "#74D29D"),
    "orange": ("#A8430A", "#FFAE7A"),
    "red": ("#B3261E", "#FF9A92"),
    "onblue": ("#FFFFFF", "#0E1626"),
    "toastlink": ("#8CB4FF", "#123F9C"),
    "edge": ("#838C99", "#77828F"),
    # grounds
    "panel": ("#FFFFFF", "#1B1F24"),
    "bg": ("#F6F7F8", "#14171B"),
    "side": ("#EEF0F2", "#171A1F"),
    "sunk": ("#F1F3F5", "#21262C"),
    "sel": ("#E1E5EA", "#2C333B"),
    "line": ("#DCE1E6", "#323A43"),
    "mark": ("#FFE59A", "#4B3B10"),
    # tints
    "violet_tint": ("#F0EBFA", "#2A2440"),
    "teal_tint": ("#E2F3F1", "#14312F"),
    "amber_tint": ("#FBF1D8", "#332A15"),
    "green_tint": ("#E3F3E9", "#18321F"),
    "orange_tint": ("#FCEDE3", "#3A2416"),
    "red_tint": ("#FBE9E7", "#3D1F1D"),
}

RADIUS = 8
HOVER = 0.6  # how much of the sel ground what lies under the pointer has, on the side ground

FONTS: dict[str, tuple[int, int]] = {
    # role: (size, line height), pixels
    "label": (12, 16),
    "body": (13, 20),
    "title": (15, 24),
    "page": (18, 24),
    "hero": (24, 32),
    "mono": (12, 20),
}

REGULAR, MEDIUM, BOLD = 400, 500, 600


class Notifier(QObject):
    """``changed`` after the colours changed."""

    changed = Signal()


class _State:
    mode: Mode = "system"
    dark: bool = False
    notifier: Notifier | None = None
    follows_system: bool = False


def notifier() -> Notifier:
    """The one object that tells of a change of theme."""
    if _State.notifier is None:
        _State.notifier = Notifier()
    return _State.notifier


def is_dark() -> bool:
    """Whether the dark column of the table is in use."""
    return _State.dark


def mode() -> Mode:
    """What was chosen, "system" included."""
    return _State.mode


def value(name: str, dark: bool | None = None) -> str:
    """The "#RRGGBB" of a token, of the theme in use when ``dark`` is None. Raises KeyError for an unknown name."""
    return TOKENS[name][_State.dark if dark is None else dark]


@cache
def _color(text: str) -> QColor:
    return QColor(text)


def color(name: str) -> QColor:
    """The colour of a token in the theme in use. Not to be changed by the caller."""
    return _color(value(name))


def contrast(one: str, other: str) -> float:
    """Contrast of two "#RRGGBB" colours after WCAG 2: 1.0 to 21.0."""

    def luminance(text: str) -> float:
        channels = [int(text[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


# --- fonts --------------------------------------------------------------------------------------------------------

_CJK_BY_LANGUAGE = {
    QLocale.Language.Japanese: ("Noto Sans CJK JP", "Yu Gothic UI", "Hiragino Sans"),
    QLocale.Language.Chinese: ("Noto Sans CJK SC", "Microsoft YaHei UI", "PingFang SC"),
}
_KOREAN = ("Noto Sans CJK KR", "Noto Sans KR", "Malgun Gothic", "Apple SD Gothic Neo")


@cache
def load_fonts() -> None:
    """Give Qt the bundled fonts; once."""
    for path in sorted(resource_path("fonts").glob("*.otf")):
        if QFontDatabase.addApplicationFont(str(path)) < 0:
            log.warning("the font %s cannot be read", path)


@cache
def _families() -> tuple[str, ...]:
    load_fonts()
    first = _CJK_BY_LANGUAGE.get(QLocale.system().language(), ())
    return ("Inter", *first, *_KOREAN, "Noto Sans CJK SC", "Noto Sans")


@cache
def _mono_families() -> tuple[str, ...]:
    load_fonts()
    system = QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont).family()
    return ("Noto Sans Mono", "DejaVu Sans Mono", "Menlo", "Consolas", system, *_KOREAN)


@cache
def _font(role: str, weight: int) -> QFont:
    font = QFont()
    font.setFamilies(list(_mono_families() if role == "mono" else _families()))
    font.setPixelSize(FONTS[role][0])
    font.setWeight(QFont.Weight(weight))
    font.setHintingPreference(QFont.HintingPreference.PreferNoHinting)
    if role == "mono":
        font.setStyleHint(QFont.StyleHint.Monospace)
    return font


def font(role: str = "body", weight: int = REGULAR) -> QFont:
    """A new font of a role; ``weight`` is 400 (text), 500 (item title) or 600 (heading, chosen)."""
    return QFont(_font(role, weight))


def line_height(role: str) -> int:
    """Line height of a role in pixels."""
    return FONTS[role][1]


# --- applying -----------------------------------------------------------------------------------------------------


def apply(app: QApplication, mode: Mode = "system") -> None:
    """Give the application the colours of ``mode``; "system" follows the desktop, also later."""
    _State.mode = mode
    hints = QGuiApplication.styleHints()
    if not _State.follows_system:
        _State.follows_system = True
        hints.colorSchemeChanged.connect(lambda _scheme: _follow(app))
    _State.dark = mode == "dark" or (mode == "system" and hints.colorScheme() == Qt.ColorScheme.Dark)
    if app.style().objectName() != "fusion":
        app.setStyle("fusion")
    app.setFont(font("body"))
    app.setPalette(_palette())
    app.setStyleSheet(_style_sheet())
    notifier().changed.emit()


def _follow(app: QApplication) -> None:
    dark = QGuiApplication.styleHints().colorScheme() == Qt.ColorScheme.Dark
    if _State.mode == "system" and dark != _State.dark:
        apply(app, "system")


def _palette() -> QPalette:
    palette = QPalette()
    roles = QPalette.ColorRole
    for role, name in (
        (roles.Window, "bg"),
        (roles.WindowText, "text"),
        (roles.Base, "panel"),
        (roles.AlternateBase, "sunk"),
        (roles.Text, "text"),
        (roles.PlaceholderText, "mut"),
        (roles.Button, "panel"),
        (roles.ButtonText, "text"),
        (roles.BrightText, "red"),
        (roles.Highlight, "blue"),
        (roles.HighlightedText, "onblue"),
        (roles.Link, "blue"),
        (roles.LinkVisited, "blue"),
        (roles.ToolTipBase, "ink"),
        (roles.ToolTipText, "panel"),
        (roles.Light, "panel"),
        (roles.Midlight, "line"),
        (roles.Mid, "line"),
        (roles.Dark, "edge"),
        (roles.Shadow, "edge"),
        (roles.Accent, "blue"),
    ):
        palette.setColor(role, color(name))
    for role in (roles.WindowText, roles.Text, roles.ButtonText):
        palette.setColor(QPalette.ColorGroup.Disabled, role, color("mut"))
    return palette


_QSS = """
QToolTip { background: @ink; color: @panel; border: 0; padding: 4px 8px; }
QMenu { background: @panel; color: @text; border: 1px solid @edge; padding: 4px; }
QMenu::item { padding: 6px 24px 6px 12px; border-radius: 4px; }
QMenu::item:selected { background: @sel; color: @text; }
QMenu::item:disabled { color: @mut; }
QMenu::separator { height: 1px; background: @line; margin: 4px 8px; }

QLabel { background: transparent; color: @text; }
QLabel[tone="mut"] { color: @mut; }
QLabel[tone="green"] { color: @green; }
QLabel[tone="orange"] { color: @orange; }
QLabel[tone="red"] { color: @red; }
QLabel[tone="amber"] { color: @amber; }
QLabel[tone="teal"] { color: @teal; }
QLabel[tone="violet"] { color: @violet; }
QLabel[tone="toast"] { color: @panel; }

QPushButton, QToolButton[kind="standard"] {
  background: @panel; color: @text; border: 1px solid @edge; border-radius: 8px;
  min-height: 30px; padding: 0 12px;
}
QPushButton:hover, QToolButton[kind="standard"]:hover { background: @sunk; }
QPushButton:pressed, QToolButton[kind="standard"]:pressed { background: @sel; }
QPushButton:focus { border: 2px solid @blue; padding: 0 11px; min-height: 28px; }
QPushButton:disabled { background: @sunk; color: @mut; border: 1px solid @line; }
QPushButton[kind="primary"] { background: @blue; color: @onblue; border: 1px solid @blue; }
QPushButton[kind="primary"]:hover { background: @blue; border: 1px solid @text; }
QPushButton[kind="primary"]:pressed { background: @ink; color: @panel; border: 1px solid @ink; }
QPushButton[kind="primary"]:focus { border: 2px solid @text; }
QPushButton[kind="primary"]:disabled { background: @sunk; color: @mut; border: 1px solid @line; }
QPushButton[kind="link"] {
  background: transparent; color: @blue; border: 0; border-radius: 4px; padding: 0 4px; min-height: 24px;
}
QPushButton[kind="link"]:hover { text-decoration: underline; }
QPushButton[kind="link"]:focus { border: 2px solid @blue; padding: 0 2px; min-height: 20px; }
QPushButton[kind="link"]:disabled { color: @mut; }
QPushButton[flush="true"] { padding: 0; text-align: left; }
QPushButton[flush="true"]:focus { padding: 0; }
QPushButton[kind="toast"] {
  background: transparent; color: @toastlink; border: 0; border-radius: 4px; padding: 0 4px; min-height: 24px;
  text-decoration: underline;
}
QPushButton[kind="toast"]:focus { border: 2px solid @toastlink; padding: 0 2px; min-height: 20px; }
QPushButton[kind="section"] {
  background: transparent; color: @mut; border: 0; border-radius: 8px; min-height: 32px; padding: 0 12px;
  text-align: left;
}
QPushButton[kind="section"]:hover { background: @sunk; color: @text; }
QPushButton[kind="section"]:checked { background: @sel; color: @text; }
QPushButton[kind="section"]:focus { border: 2px solid @blue; padding: 0 10px; min-height: 28px; }
QPushButton[kind="bare"] { background: transparent; border: 0; min-height: 24px; padding: 0 4px; }
QPushButton[kind="bare"]:hover { background: @sel; }
QPushButton[kind="bare"]:focus { border: 2px solid @blue; padding: 0 2px; min-height: 20px; }

QLineEdit {
  background: @panel; color: @text; border: 1px solid @edge; border-radius: 8px; min-height: 30px; padding: 0 8px;
  selection-background-color: @blue; selection-color: @onblue;
}
QLineEdit:focus { border: 2px solid @blue; padding: 0 7px; min-height: 28px; }
QPlainTextEdit[box="true"] { background: @sunk; border: 1px solid @line; border-radius: 8px; padding: 4px; }
QPlainTextEdit[box="true"]:focus { border: 2px solid @blue; padding: 3px; }
QDialogButtonBox { dialogbuttonbox-buttons-have-icons: 0; }
QHeaderView::section {
  background: @sunk; color: @mut; border: 0; border-bottom: 1px solid @line; padding: 4px 8px;
}
QPlainTextEdit, QTextEdit, QTextBrowser {
  background: @panel; color: @text; selection-background-color: @blue; selection-color: @onblue;
}

QFrame[card="panel"] { background: @panel; border: 1px solid @line; border-radius: 8px; }
QFrame[card="input"] { background: @panel; border: 1px solid @edge; border-radius: 8px; }
QFrame[card="input"][focused="true"] { border: 2px solid @blue; }
QFrame[card="sunk"] { background: @sunk; border: 0; border-radius: 8px; }
QFrame[card="red"] { background: @red_tint; border: 0; border-radius: 8px; }
QFrame[card="amber"] { background: @amber_tint; border: 0; border-radius: 8px; }
QFrame[card="toast"] { background: @ink; border: 0; border-radius: 8px; }

QWidget[ground="side"] { background: @side; }
QWidget[ground="panel"] { background: @panel; }
QWidget[ground="bg"] { background: @bg; }

QScrollArea { background: transparent; border: 0; }
QScrollArea > QWidget > QWidget[ground="clear"] { background: transparent; }
QListView { background: transparent; border: 0; outline: 0; }

QScrollBar:vertical { background: transparent; width: 12px; margin: 0; }
QScrollBar:horizontal { background: transparent; height: 12px; margin: 0; }
QScrollBar::handle { background: @edge; border-radius: 2px; margin: 4px; }
QScrollBar::handle:vertical { min-height: 32px; }
QScrollBar::handle:horizontal { min-width: 32px; }
QScrollBar::handle:hover { background: @mut; }
QScrollBar::add-line, QScrollBar::sub-line { width: 0; height: 0; }
QScrollBar::add-page, QScrollBar::sub-page { background: transparent; }

QSplitter::handle { background: @line; }
QSplitter::handle:horizontal { width: 1px; }
QSplitter::handle:vertical { height: 1px; }
"""


def _style_sheet() -> str:
    text = _QSS
    for name in sorted(TOKENS, key=len, reverse=True):
        text = text.replace(f"@{name}", value(name))
    return text
