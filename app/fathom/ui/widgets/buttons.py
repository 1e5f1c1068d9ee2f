"""Buttons and ticks: one main button a region, standard ones with an edge, links in blue without a border."""

from __future__ import annotations

import math
from collections.abc import Callable

from PySide6.QtCore import QRect, QRectF, QSize, Qt
from PySide6.QtGui import QFontMetricsF, QKeyEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QAbstractButton, QCheckBox, QPushButton, QRadioButton, QSizePolicy, QWidget

from fathom.ui import icons, theme

_ICON_TOKEN = {"primary": "onblue", "standard": "text", "link": "blue", "toast": "toastlink", "bare": "mut"}


class Button(QPushButton):
    """A button with a word and perhaps an icon; ``kind`` is primary, standard, link, toast, bare or section.

    ``flush`` is for a link whose word lines up with the text above it.
    """

    def __init__(
        self,
        text: str,
        icon: str = "",
        kind: str = "standard",
        *,
        name: str = "",
        flush: bool = False,
        on_click: Callable[[], None] | None = None,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._kind = kind
        self._icon_width = 16
        self.setProperty("kind", kind)
        self.setProperty("flush", "true" if flush else "false")
        self.setFont(theme.font("body", theme.BOLD if kind == "primary" else theme.MEDIUM))
        if kind in ("link", "bare"):
            self.setFont(theme.font("body"))
            self.setCursor(Qt.CursorShape.PointingHandCursor)
        if kind == "toast":
            self.setFont(theme.font("body", theme.BOLD))
            self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setSizePolicy(QSizePolicy.Policy.Minimum, QSizePolicy.Policy.Fixed)
        self.setAutoDefault(False)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)  # a ring only where the keyboard is used
        self.set_face(text, icon)
        self.setAccessibleName(name or text)
        if on_click is not None:
            self.clicked.connect(lambda: on_click())

    def set_face(self, text: str, icon: str = "") -> None:
        """Another word and icon."""
        self.setText(text)
        self.setAccessibleName(text)
        if icon:
            self.setIcon(icons.icon(icon, _ICON_TOKEN[self._kind]))
            self._icon_width = 20 if text else 16
            if self.iconSize().width():
                self.setIconSize(QSize(self._icon_width, 16))

    def show_icon(self, shown: bool) -> None:
        """With or without its icon, where there is little room."""
        if shown != bool(self.iconSize().width()):
            self.setIconSize(QSize(self._icon_width, 16) if shown else QSize(0, 0))
            self.updateGeometry()

    def offer(self, why_not: str = "", tip: str = "") -> None:
        """Available when ``why_not`` is ""; otherwise it keeps its word and says why not on hover."""
        self.setEnabled(not why_not)
        self.setToolTip(why_not or tip)
        self.setAccessibleDescription(why_not or tip)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if not press_with_enter(self, event):
            super().keyPressEvent(event)

    def sizeHint(self) -> QSize:
        words = math.ceil(QFontMetricsF(self.font()).horizontalAdvance(self.text()))
        picture = (
            0 if self.icon().isNull() else self.iconSize().width() + (4 if words and self.iconSize().width() else 0)
        )
        boxed = self._kind in ("primary", "standard", "section")
        return QSize(words + picture + 2 * (16 if boxed else 5), 32 if boxed else 24)

    def minimumSizeHint(self) -> QSize:
        return self.sizeHint()


def press_with_enter(button: QAbstractButton, event: QKeyEvent) -> bool:
    """Press ``button`` with Enter as with the space bar; False when it was another key."""
    if event.key() not in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
        return False
    button.click()
    return True


class Tick(QCheckBox):
    """A check box drawn with the theme's own tick."""

    def __init__(self, text: str, parent: QWidget | None = None) -> None:
        super().__init__(text, parent)
        _prepare(self)

    def sizeHint(self) -> QSize:
        return _size(self)

    def minimumSizeHint(self) -> QSize:
        return self.sizeHint()

    def hitButton(self, pos: object) -> bool:
        return True

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter, box = _begin(self)
        on, enabled = self.isChecked(), self.isEnabled()
        painter.setPen(QPen(theme.color("blue" if on and enabled else "edge"), 1))
        painter.setBrush(theme.color("line" if not enabled else "blue" if on else "panel"))
        painter.drawRoundedRect(box.adjusted(0, 0, -1, -1), 4, 4)
        if on:
            token = "onblue" if enabled else "mut"
            painter.drawPixmap(box.adjusted(1, 1, -1, -1), icons.pixmap("tick", token, 14, self.devicePixelRatioF()))
        _end(self, painter)


class Choice(QRadioButton):
    """One of several, drawn as a ring with a point."""

    def __init__(self, text: str, parent: QWidget | None = None) -> None:
        super().__init__(text, parent)
        _prepare(self)

    def sizeHint(self) -> QSize:
        return _size(self)

    def minimumSizeHint(self) -> QSize:
        return self.sizeHint()

    def hitButton(self, pos: object) -> bool:
        return True

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter, box = _begin(self)
        on, enabled = self.isChecked(), self.isEnabled()
        painter.setPen(QPen(theme.color("blue" if on and enabled else "edge"), 1))
        painter.setBrush(theme.color("panel" if enabled else "line"))
        painter.drawEllipse(box.adjusted(0, 0, -1, -1))
        if on:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(theme.color("blue" if enabled else "mut"))
            painter.drawEllipse(QRectF(box).adjusted(3.5, 3.5, -4.5, -4.5))
        _end(self, painter)


_BESIDE = 26  # where the words begin


def _prepare(one: QCheckBox | QRadioButton) -> None:
    one.setFont(theme.font("body", theme.MEDIUM))
    one.setAccessibleName(one.text())
    one.setCursor(Qt.CursorShape.PointingHandCursor)
    one.setFocusPolicy(Qt.FocusPolicy.TabFocus)
    theme.notifier().changed.connect(one.update)


def _size(one: QCheckBox | QRadioButton) -> QSize:
    return QSize(_BESIDE + one.fontMetrics().horizontalAdvance(one.text()) + 6, 24)


def _begin(one: QCheckBox | QRadioButton) -> tuple[QPainter, QRect]:
    painter = QPainter(one)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    return painter, QRect(1, (one.height() - 16) // 2, 16, 16)


def _end(one: QCheckBox | QRadioButton, painter: QPainter) -> None:
    """The words, and a ring around them where the keyboard is."""
    words = one.rect().adjusted(_BESIDE, 0, 0, 0)
    painter.setPen(theme.color("text" if one.isEnabled() else "mut"))
    painter.setFont(one.font())
    painter.drawText(words, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft, one.text())
    if one.hasFocus():
        painter.setPen(QPen(theme.color("blue"), 2))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        width = one.fontMetrics().horizontalAdvance(one.text())
        painter.drawRoundedRect(QRectF(_BESIDE - 5, 1, width + 10, one.height() - 2), 4, 4)
    painter.end()
