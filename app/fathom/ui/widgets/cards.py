"""Cards, rows and bars: the grounds that things stand on, and how far something is."""

from __future__ import annotations

from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QSizePolicy, QVBoxLayout, QWidget

from fathom.ui import icons, theme
from fathom.ui.widgets.labels import Icon, Label


def column(
    parent: QWidget | None = None, *, gap: int = 8, margins: tuple[int, int, int, int] = (0, 0, 0, 0)
) -> QVBoxLayout:
    """A vertical layout with a gap of the theme."""
    layout = QVBoxLayout(parent) if parent is not None else QVBoxLayout()
    layout.setSpacing(gap)
    layout.setContentsMargins(*margins)
    return layout


def row(
    parent: QWidget | None = None, *, gap: int = 8, margins: tuple[int, int, int, int] = (0, 0, 0, 0)
) -> QHBoxLayout:
    """A horizontal layout with a gap of the theme."""
    layout = QHBoxLayout(parent) if parent is not None else QHBoxLayout()
    layout.setSpacing(gap)
    layout.setContentsMargins(*margins)
    return layout


class Card(QFrame):
    """A frame on one of the grounds: panel, input, sunk, red, amber, toast."""

    def __init__(self, kind: str = "panel", *, gap: int = 8, padding: int = 16, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("card", kind)
        self.body = column(self, gap=gap, margins=(padding, padding, padding, padding))


class IconLine(QWidget):
    """An icon and its words, with something muted on the right: a step of a task, a thing that it can do."""

    def __init__(
        self, icon: str, token: str, text: str, right: str = "", *, weight: int = theme.REGULAR, tone: str = "text"
    ) -> None:
        super().__init__()
        layout = row(self, gap=8)
        self.icon = Icon(icon, token)
        self.label = Label(text, weight=weight, tone=tone, lines=0)
        self.right = Label(right, "label", tone="mut", fit=True)
        layout.addWidget(self.icon, 0, Qt.AlignmentFlag.AlignTop)
        layout.setAlignment(self.icon, Qt.AlignmentFlag.AlignVCenter)
        layout.addWidget(self.label, 1)
        layout.addWidget(self.right, 0)


class Bar(QWidget):
    """How much of something is used or done, 6 px high. Only a drawing: the words beside it say the numbers."""

    def __init__(self, token: str = "ink", width: int = 0, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._token = token
        self._share: float | None = 0.0
        self._width = width
        self.setFixedHeight(6)
        if width:
            self.setFixedWidth(width)
        else:
            self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        theme.notifier().changed.connect(self.update)

    @property
    def share(self) -> float | None:
        """0.0 to 1.0; None while it is not known."""
        return self._share

    def set_share(self, share: float | None, token: str = "ink") -> None:
        """Show another share."""
        self._share = None if share is None else min(1.0, max(0.0, share))
        self._token = token
        self.update()

    def sizeHint(self) -> QSize:
        return QSize(self._width or 120, 6)

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        whole = QRectF(self.rect())
        painter.setBrush(theme.color("line"))
        painter.drawRoundedRect(whole, 3, 3)
        if self._share:
            painter.setBrush(theme.color(self._token))
            painter.drawRoundedRect(QRectF(0, 0, max(6.0, whole.width() * self._share), 6), 3, 3)
        painter.end()


class Badge(QWidget):
    """A status: icon and word on its tint, 24 high. Never a button."""

    def __init__(self, icon: str, text: str, token: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._icon, self._text, self._token = icon, text, token
        self.setFixedHeight(24)
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self.setFont(theme.font("label", theme.BOLD))
        self.setAccessibleName(text)
        theme.notifier().changed.connect(self.update)

    def sizeHint(self) -> QSize:
        return QSize(8 + 16 + 4 + self.fontMetrics().horizontalAdvance(self._text) + 8, 24)

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        tint = f"{self._token}_tint"
        painter.setBrush(theme.color(tint if tint in theme.TOKENS else "sunk"))
        painter.drawRoundedRect(self.rect(), theme.RADIUS, theme.RADIUS)
        painter.drawPixmap(8, 4, icons.pixmap(self._icon, self._token, 16, self.devicePixelRatioF()))
        painter.setPen(theme.color(self._token))
        painter.setFont(self.font())
        painter.drawText(self.rect().adjusted(28, 0, -4, 0), Qt.AlignmentFlag.AlignVCenter, self._text)
        painter.end()
