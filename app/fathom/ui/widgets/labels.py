"""Labels with the line heights of the theme, which are either never cut or elided with the whole text on hover.

They are QLabels to a screen reader; only the drawing is their own.
"""

from __future__ import annotations

import html
import math
import re

from PySide6.QtCore import QPointF, QRect, QSize, Qt
from PySide6.QtGui import QFont, QFontMetricsF, QPainter, QPaintEvent, QTextLayout, QTextOption
from PySide6.QtWidgets import QFrame, QLabel, QSizePolicy, QWidget

from fathom.ui import icons, theme

_BETWEEN_HANGUL = re.compile(r"(?<=[\uac00-\ud7a3])(?=[\uac00-\ud7a3])")
_WORD_JOINER = "\u2060"


def keep_words(text: str) -> str:
    """The text with word joiners inside Korean words, so that lines break at spaces only."""
    return _BETWEEN_HANGUL.sub(_WORD_JOINER, text)


def plain_tip(text: str) -> str:
    """A tooltip that shows ``text`` to the letter: Qt takes words with tags for HTML, and loads their pictures."""
    return f"<qt>{html.escape(text)}</qt>" if "<" in text else text


def lay_out(text: str, font: QFont, width: int, max_lines: int = 0) -> tuple[list[str], bool]:
    """Break ``text`` into lines of at most ``width`` pixels; the last of ``max_lines`` (0: no limit) ends in "…".

    Returns the lines and whether something was cut.
    """
    lines: list[str] = []
    metrics = QFontMetricsF(font)
    option = QTextOption()
    option.setWrapMode(QTextOption.WrapMode.WrapAtWordBoundaryOrAnywhere)
    for paragraph in text.split("\n"):
        kept = keep_words(paragraph)
        layout = QTextLayout(kept, font)
        layout.setTextOption(option)
        layout.beginLayout()
        while (line := layout.createLine()).isValid():
            line.setLineWidth(max(width, 1))
            if max_lines and len(lines) == max_lines - 1:
                rest = kept[line.textStart() :].rstrip()
                layout.endLayout()
                end = line.textStart() + line.textLength()
                whole = kept[end:].strip() == "" and paragraph is text.split("\n")[-1]
                shown = rest if whole else metrics.elidedText(rest.strip(), Qt.TextElideMode.ElideRight, width)
                lines.append(_elided(shown, rest, metrics, width, whole))
                return lines, not whole
            lines.append(kept[line.textStart() : line.textStart() + line.textLength()].rstrip())
        layout.endLayout()
        if not paragraph:
            lines.append("")
    return lines, False


def _elided(shown: str, rest: str, metrics: QFontMetricsF, width: int, whole: bool) -> str:
    if whole or shown != rest:
        return shown
    # The rest of this paragraph fits, but another one follows.
    return metrics.elidedText(rest + " …" * 40, Qt.TextElideMode.ElideRight, width)


class Label(QLabel):
    """Text in a role, weight and tone of the theme.

    ``lines`` 1 and ``fit``: one line that is never cut. ``lines`` n: at most n lines, then "…" and a tooltip.
    ``lines`` 0: as many as it takes.
    """

    def __init__(
        self,
        text: str = "",
        role: str = "body",
        weight: int = theme.REGULAR,
        tone: str = "text",
        *,
        lines: int = 1,
        fit: bool = False,
        align: Qt.AlignmentFlag = Qt.AlignmentFlag.AlignLeft,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._role, self._tone, self._lines, self._fit, self._align = role, tone, lines, fit, align
        self._cached: tuple[str, int, list[str], bool] | None = None
        self._own_tip = ""
        self.setFont(theme.font(role, weight))
        self.setTextFormat(Qt.TextFormat.PlainText)
        across = QSizePolicy.Policy.Fixed if fit else QSizePolicy.Policy.Preferred
        policy = QSizePolicy(across, QSizePolicy.Policy.Fixed if lines == 1 else QSizePolicy.Policy.Preferred)
        policy.setHeightForWidth(lines != 1)
        self.setSizePolicy(policy)
        self.setText(text)
        theme.notifier().changed.connect(self.update)

    def setText(self, text: str) -> None:
        """Show another text."""
        if text == self.text():
            return
        super().setText(text)
        self._cached = None
        self.updateGeometry()
        self.update()

    def setToolTip(self, text: str) -> None:
        """A tooltip of its own; without one, a cut text shows itself whole."""
        self._own_tip = text
        super().setToolTip(text)

    def set_tone(self, tone: str) -> None:
        """Another colour token."""
        if tone != self._tone:
            self._tone = tone
            self.update()

    def is_cut(self) -> bool:
        """Whether a part of the text does not show at the present width."""
        return self._laid_out(self.width())[1]

    def shown_lines(self) -> list[str]:
        """The lines as drawn, without word joiners."""
        return [line.replace(_WORD_JOINER, "") for line in self._laid_out(self.width())[0]]

    def _laid_out(self, width: int) -> tuple[list[str], bool]:
        text = self.text()
        if self._cached is None or self._cached[:2] != (text, width):
            lines, cut = ([text], False) if self._fit else lay_out(text, self.font(), width, self._lines)
            self._cached = (text, width, lines, cut)
        return self._cached[2], self._cached[3]

    def _line(self) -> int:
        return theme.line_height(self._role)

    def _text_width(self) -> int:
        metrics = QFontMetricsF(self.font())
        return max(math.ceil(metrics.horizontalAdvance(line)) for line in self.text().split("\n")) + 1

    def hasHeightForWidth(self) -> bool:
        return self._lines != 1

    def heightForWidth(self, width: int) -> int:
        return max(1, len(self._laid_out(width)[0])) * self._line()

    def sizeHint(self) -> QSize:
        width = self._text_width()
        if self._lines != 1 and width > 480:
            return QSize(480, self.heightForWidth(480))
        return QSize(width, self._line() if self._lines == 1 else self.heightForWidth(width))

    def minimumSizeHint(self) -> QSize:
        if self._fit:
            return self.sizeHint()
        return QSize(min(48, self._text_width()), self._line())

    def paintEvent(self, _event: QPaintEvent) -> None:
        lines, cut = self._laid_out(self.width())
        if not self._own_tip and (self.toolTip() != "") != cut:
            super().setToolTip(plain_tip(self.text()) if cut else "")
        painter = QPainter(self)
        painter.setFont(self.font())
        painter.setPen(theme.color(self._tone))
        metrics = QFontMetricsF(self.font())
        height = self._line()
        top = max(0, (self.height() - height * len(lines)) // 2)
        for index, line in enumerate(lines):
            y = top + index * height + (height - metrics.height()) / 2 + metrics.ascent()
            x = 0.0
            if self._align & Qt.AlignmentFlag.AlignRight:
                x = self.width() - metrics.horizontalAdvance(line)
            elif self._align & Qt.AlignmentFlag.AlignHCenter:
                x = (self.width() - metrics.horizontalAdvance(line)) / 2
            painter.drawText(QPointF(x, y), line)
        painter.end()


class Icon(QWidget):
    """An icon of Fathom's own in the colour of a token. Decorative: the word beside it says the same."""

    def __init__(self, name: str, token: str = "mut", size: int = 16, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._name, self._token, self._size = name, token, size
        self.setFixedSize(size, size)
        theme.notifier().changed.connect(self.update)

    def set_icon(self, name: str, token: str) -> None:
        """Show another one."""
        if (name, token) != (self._name, self._token):
            self._name, self._token = name, token
            self.update()

    @property
    def name(self) -> str:
        """Which icon it shows."""
        return self._name

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.drawPixmap(
            QRect(0, 0, self._size, self._size),
            icons.pixmap(self._name, self._token, self._size, self.devicePixelRatioF()),
        )
        painter.end()


class Rule(QFrame):
    """A line of one pixel."""

    def __init__(self, vertical: bool = False, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        if vertical:
            self.setFixedWidth(1)
        else:
            self.setFixedHeight(1)
        theme.notifier().changed.connect(self.update)

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.fillRect(self.rect(), theme.color("line"))
        painter.end()
