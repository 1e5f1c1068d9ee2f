"""Buttons and ticks: one main button a region, standard ones with an edge, links in blue without a border."""

from __future__ import annotations

import math
from collections.abc import Callable

from PySide6.QtCore import QRect, QSize, Qt
from PySide6.QtGui import QFontMetricsF, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QCheckBox, QPushButton, QSizePolicy, QWidget

from fathom.ui import icons, theme

_ICON_TOKEN = {"primary": "onblue", "standard": "text", "link": "blue", "toast": "toastlink", "bare": "mut"}


class Button(QPushButton):
    """A button with a word and perhaps an icon; ``kind`` is primary, standard, link, toast or bare.

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

    def sizeHint(self) -> QSize:
        words = math.ceil(QFontMetricsF(self.font()).horizontalAdvance(self.text()))
        picture = (
            0 if self.icon().isNull() else self.iconSize().width() + (4 if words and self.iconSize().width() else 0)
        )
        boxed = self._kind in ("primary", "standard")
        return QSize(words + picture + 2 * (16 if boxed else 5), 32 if boxed else 24)

    def minimumSizeHint(self) -> QSize:
        return self.sizeHint()


class Tick(QCheckBox):
    """A check box drawn with the theme's own tick."""

    def __init__(self, text: str, parent: QWidget | None = None) -> None:
        super().__init__(text, parent)
        self.setFont(theme.font("body", theme.MEDIUM))
        self.setAccessibleName(text)
        theme.notifier().changed.connect(self.update)

    def sizeHint(self) -> QSize:
        return QSize(28 + self.fontMetrics().horizontalAdvance(self.text()), 24)

    def minimumSizeHint(self) -> QSize:
        return self.sizeHint()

    def hitButton(self, pos: object) -> bool:
        return True

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        box = QRect(1, (self.height() - 16) // 2, 16, 16)
        on, enabled = self.isChecked(), self.isEnabled()
        ground = "line" if not enabled else "blue" if on else "panel"
        edge = "blue" if (on or self.hasFocus()) and enabled else "edge"
        painter.setPen(QPen(theme.color(edge), 2 if self.hasFocus() else 1))
        painter.setBrush(theme.color(ground))
        painter.drawRoundedRect(box.adjusted(0, 0, -1, -1), 4, 4)
        if on:
            token = "onblue" if enabled else "mut"
            painter.drawPixmap(box.adjusted(1, 1, -1, -1), icons.pixmap("tick", token, 14, self.devicePixelRatioF()))
        painter.setPen(theme.color("text" if enabled else "mut"))
        painter.setFont(self.font())
        painter.drawText(
            self.rect().adjusted(26, 0, 0, 0), Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft, self.text()
        )
        painter.end()
