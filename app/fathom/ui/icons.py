"""Fathom's own icons: line drawings on a 24 grid in ``resources/icons``, painted in the colour of a token.

The line is 2 units thick below 20 px and 1.8 from there on. Pixmaps are kept by name, colour, size and pixel ratio, so
that a change of theme needs no clearing. Knows nothing of widgets.
"""

from __future__ import annotations

from functools import cache, lru_cache

from PySide6.QtCore import QByteArray, QRect, QRectF, QSize, Qt
from PySide6.QtGui import QGuiApplication, QIcon, QIconEngine, QPainter, QPixmap
from PySide6.QtSvg import QSvgRenderer

from fathom.core.settings import resource_path
from fathom.ui import theme


@cache
def names() -> tuple[str, ...]:
    """Every icon there is."""
    return tuple(sorted(path.stem for path in resource_path("icons").glob("*.svg")))


@cache
def _source(name: str) -> str:
    path = resource_path("icons", f"{name}.svg")
    if not path.is_file():
        raise LookupError(f"unknown icon {name!r}; known: {', '.join(names())}")
    return path.read_text("utf-8")


@lru_cache(maxsize=512)
def _drawn(name: str, rgb: str, size: int, ratio: float) -> QPixmap:
    source = _source(name).replace("currentColor", rgb)
    if size >= 20:
        source = source.replace('stroke-width="2"', 'stroke-width="1.8"')
    pixels = round(size * ratio)
    pixmap = QPixmap(pixels, pixels)
    pixmap.fill(Qt.GlobalColor.transparent)
    painter = QPainter(pixmap)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    QSvgRenderer(QByteArray(source.encode())).render(painter, QRectF(0, 0, pixels, pixels))
    painter.end()
    pixmap.setDevicePixelRatio(ratio)
    return pixmap


def pixmap(name: str, token: str = "mut", size: int = 16, ratio: float = 0.0) -> QPixmap:
    """The icon ``size`` logical pixels wide; ``ratio`` 0 takes the screen's. Raises LookupError for an unknown name."""
    return _drawn(name, theme.value(token), size, ratio or _screen_ratio())


def _screen_ratio() -> float:
    screen = QGuiApplication.primaryScreen()
    return screen.devicePixelRatio() if screen is not None else 1.0


class _Engine(QIconEngine):
    """Draws an icon in the token's present colour, so that buttons follow the theme by themselves."""

    def __init__(self, name: str, token: str, disabled: str) -> None:
        super().__init__()
        self._name, self._token, self._disabled = name, token, disabled

    def paint(self, painter: QPainter, rect: QRect, mode: QIcon.Mode, state: QIcon.State) -> None:
        side = min(rect.width(), rect.height())
        ratio = painter.device().devicePixelRatio() if painter.device() is not None else 1.0
        token = self._disabled if mode == QIcon.Mode.Disabled else self._token
        painter.drawPixmap(rect.x(), rect.y() + (rect.height() - side) // 2, pixmap(self._name, token, side, ratio))

    def pixmap(self, size: QSize, mode: QIcon.Mode, state: QIcon.State) -> QPixmap:
        return self.scaledPixmap(size, mode, state, 1.0)

    def scaledPixmap(self, size: QSize, mode: QIcon.Mode, state: QIcon.State, scale: float) -> QPixmap:
        token = self._disabled if mode == QIcon.Mode.Disabled else self._token
        side = min(size.width(), size.height())
        drawn = pixmap(self._name, token, max(1, round(side / scale)), scale)
        if size.width() == size.height():
            return drawn
        # A size that is wider than high is an icon with a gap after it, which is how a button gets more air.
        whole = QPixmap(size)
        whole.fill(Qt.GlobalColor.transparent)
        whole.setDevicePixelRatio(scale)
        painter = QPainter(whole)
        painter.drawPixmap(0, 0, drawn)
        painter.end()
        return whole

    def clone(self) -> QIconEngine:
        return _Engine(self._name, self._token, self._disabled)


def icon(name: str, token: str = "text", disabled: str = "mut") -> QIcon:
    """An icon for a button or menu; it follows a change of theme. Raises LookupError for an unknown name."""
    _source(name)
    return QIcon(_Engine(name, token, disabled))
