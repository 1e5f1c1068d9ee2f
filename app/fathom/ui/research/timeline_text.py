"""Text of strangers made safe to draw, and wrapped: Korean breaks at spaces only, what has no spaces breaks anywhere.

A Wrapped keeps line starts, no laid-out documents: a line is shaped when it is drawn, and text that grows is wrapped
on from its last line. Knows nothing of steps or rows.
"""

from __future__ import annotations

import re

from PySide6.QtCore import Qt
from PySide6.QtGui import QFont, QFontMetricsF, QTextLayout, QTextOption

from fathom.ui import theme

JOINER = "\u2060"  # word joiner: no break here
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f\u2028\u2029\u202a-\u202e\u2066-\u2069]")  # controls and bidi overrides
_HANGUL = "\u1100-\u11ff\u3130-\u318f\uac00-\ud7a3"
_HAS_HANGUL = re.compile(f"[{_HANGUL}]")
_SEAM = re.compile(f"(?<=[{_HANGUL}])(?=[^\\s{JOINER}])|(?<=[^\\s{JOINER}])(?=[{_HANGUL}])")


def clean(text: str) -> str:
    """``text`` without control characters, bidi overrides and lone surrogates; line ends become ``\\n``."""
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            text = text.encode("utf-8", "replace").decode()
    return _UNSAFE.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))


def display(text: str) -> str:
    """Cleaned text whose Korean words hold together when it is wrapped. ``plain`` undoes the joiners."""
    text = clean(text)
    return _SEAM.sub(JOINER, text) if _HAS_HANGUL.search(text) else text


def plain(text: str) -> str:
    """``display`` undone, for the clipboard."""
    return text.replace(JOINER, "")


class Fonts:
    """The theme's fonts by role and weight with their metrics, made once."""

    def __init__(self) -> None:
        self._made: dict[tuple[str, int], tuple[QFont, QFontMetricsF]] = {}

    def clear(self) -> None:
        """Forget them, after a change of theme or of the font size."""
        self._made.clear()

    def _get(self, role: str, weight: int) -> tuple[QFont, QFontMetricsF]:
        found = self._made.get((role, weight))
        if found is None:
            font = QFont(theme.font(role))
            font.setWeight(QFont.Weight(weight))
            found = self._made[role, weight] = (font, QFontMetricsF(font))
        return found

    def font(self, role: str, weight: int = 400) -> QFont:
        """A shared font: do not change it."""
        return self._get(role, weight)[0]

    def width(self, text: str, role: str, weight: int = 400) -> float:
        """Advance width of one line in pixels."""
        return self._get(role, weight)[1].horizontalAdvance(text)

    def elided(self, text: str, width: float, role: str, weight: int = 400) -> str:
        """``text`` on one line of at most ``width`` pixels."""
        if width <= 0:
            return ""
        text = text.replace("\n", " ")
        metrics = self._get(role, weight)[1]
        if len(text) * metrics.averageCharWidth() > width * 6:
            text = text[: max(8, int(width * 6 / metrics.averageCharWidth()))]
        return metrics.elidedText(text, Qt.TextElideMode.ElideRight, width)

    def baseline(self, role: str, weight: int, line_height: float) -> float:
        """Where the baseline lies in a line of ``line_height`` pixels, from its top."""
        metrics = self._get(role, weight)[1]
        return round((line_height - metrics.ascent() - metrics.descent()) / 2 + metrics.ascent())


class Wrapped:
    """Line starts of a text in one font and width. Offsets are UTF-16 units, as Qt counts them."""

    def __init__(self, text: str, font: QFont, width: float, max_lines: int = 0) -> None:
        """``max_lines`` ends the wrapping early; ``cut`` then says whether text is left over."""
        self._font = font
        self._width = max(1.0, width)
        self._text = ""
        self._wide = False
        self._starts: list[int] = []
        self.cut = False
        self._fill(text, max_lines)

    def grow(self, text: str) -> None:
        """Take a longer version of the text; lines before the last one stay as they are."""
        last = self._starts[-1] if self._starts else 0
        if self._wide or (not text.isascii() and max(text) > "\uffff") or not text.startswith(self._text[:last]):
            self._starts.clear()
        else:
            self._starts.pop()
        self._fill(text, 0, last if self._starts else 0)

    def _fill(self, text: str, max_lines: int, start: int = 0) -> None:
        self._text = text
        self._wide = not text.isascii() and max(text) > "\uffff"
        tail = text[start:].replace("\n", "\u2028")
        layout = QTextLayout(tail, self._font)
        option = QTextOption()
        option.setWrapMode(QTextOption.WrapMode.WrapAtWordBoundaryOrAnywhere)
        layout.setTextOption(option)
        layout.setCacheEnabled(False)
        layout.beginLayout()
        while True:
            line = layout.createLine()
            if not line.isValid():
                break
            if max_lines and len(self._starts) == max_lines:
                self.cut = True
                break
            line.setLineWidth(self._width)
            self._starts.append(start + line.textStart())
        layout.endLayout()
        if not self._starts:
            self._starts.append(start)

    def __len__(self) -> int:
        return len(self._starts)

    def line(self, index: int) -> str:
        """One line without the white space at its end."""
        start = self._starts[index]
        end = self._starts[index + 1] if index + 1 < len(self._starts) else None
        if self._wide:
            units = self._text.encode("utf-16-le")
            return units[2 * start : None if end is None else 2 * end].decode("utf-16-le", "replace").rstrip()
        text = self._text[start:end]
        return text.rstrip() if end is not None else text

    def rest(self, index: int) -> str:
        """Everything from line ``index`` on, for eliding."""
        start = self._starts[index]
        if self._wide:
            return self._text.encode("utf-16-le")[2 * start :].decode("utf-16-le", "replace")
        return self._text[start:]
