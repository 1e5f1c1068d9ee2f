"""The window: rail, areas, status bar. Layout only; what the areas do is their own."""

from __future__ import annotations

from PySide6.QtCore import QRectF, QSize, Qt, Signal
from PySide6.QtGui import QCloseEvent, QFocusEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QAbstractButton, QMainWindow, QStackedWidget, QWidget

from fathom.core.events import EngineStatus
from fathom.ui import icons, theme
from fathom.ui.research import words
from fathom.ui.widgets.cards import column, row
from fathom.ui.widgets.labels import Icon, Label, Rule

RAIL_WIDTH = 80
FOOTER_HEIGHT = 28
TITLE_BAR = 40  # room for the frame that the desktop draws


class Place(QAbstractButton):
    """A place on the rail: icon over word, always both. The chosen one has a ground, a bold word and a blue icon."""

    def __init__(self, icon: str, word: str) -> None:
        super().__init__()
        self._icon = icon
        self._ring = False
        self.setText(word)
        self.setAccessibleName(word)
        self.setCheckable(True)
        self.setAutoExclusive(True)
        self.setFixedSize(72, 56)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)  # a ring only where the keyboard is used
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setAttribute(Qt.WidgetAttribute.WA_Hover)
        theme.notifier().changed.connect(self.update)

    def sizeHint(self) -> QSize:
        return QSize(72, 56)

    def focusInEvent(self, event: QFocusEvent) -> None:
        self._ring = event.reason() != Qt.FocusReason.OtherFocusReason
        super().focusInEvent(event)

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        chosen = self.isChecked()
        if chosen or self.underMouse():
            painter.setOpacity(1.0 if chosen else theme.HOVER)
            painter.setBrush(theme.color("sel"))
            painter.setPen(Qt.PenStyle.NoPen)
            painter.drawRoundedRect(QRectF(self.rect()), theme.RADIUS, theme.RADIUS)
            painter.setOpacity(1.0)
        if self.hasFocus() and self._ring:
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(theme.color("blue"), 2))
            painter.drawRoundedRect(QRectF(self.rect()).adjusted(1, 1, -1, -1), theme.RADIUS, theme.RADIUS)
        token = "blue" if chosen else "mut"
        painter.drawPixmap(26, 8, icons.pixmap(self._icon, token, 20, self.devicePixelRatioF()))
        painter.setFont(theme.font("label", theme.BOLD if chosen else theme.REGULAR))
        painter.setPen(theme.color("text" if chosen else "mut"))
        painter.drawText(self.rect().adjusted(0, 32, 0, -6), Qt.AlignmentFlag.AlignCenter, self.text())
        painter.end()


class Footer(QWidget):
    """The status bar: the model's state on the left, its speed, and on the right what leaves this computer."""

    def __init__(self) -> None:
        super().__init__()
        self.setFixedHeight(FOOTER_HEIGHT)
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.setProperty("ground", "side")
        outer = column(self, gap=0)
        outer.addWidget(Rule())
        line = row(gap=8, margins=(12, 5, 16, 6))
        self.engine_icon = Icon("clock", "mut", 14)
        self.engine = Label("Opening Fathom", "label", tone="mut")
        self.speed = Label("", "label", tone="mut", fit=True)
        self.download_icon = Icon("download", "mut", 14)
        self.download = Label("", "label", tone="mut", fit=True)
        self.leaves_icon = Icon("shield", "mut", 14)
        self.leaves = Label("", "label", tone="mut", fit=True)
        line.addWidget(self.engine_icon)
        line.addWidget(self.engine)
        line.addWidget(self.speed)
        line.addStretch(1)
        line.addWidget(self.download_icon)
        line.addWidget(self.download)
        line.addSpacing(8)
        line.addWidget(self.leaves_icon)
        line.addWidget(self.leaves)
        outer.addLayout(line, 1)
        self._web, self._host = False, ""
        self.show_download("")
        self.show_web(False)

    def show_engine(self, status: EngineStatus) -> None:
        """The engine's state in words."""
        icon, token, text = words.engine(status)
        self.engine_icon.set_icon(icon, token)
        self.engine.setText(text)
        self.engine.setAccessibleName(text)
        self._host = status.host
        self._show_leaves()

    def show_speed(self, tokens_per_second: float) -> None:
        """How fast the model writes; 0 hides it."""
        shown = f"{tokens_per_second:.0f}" if tokens_per_second >= 10 else f"{tokens_per_second:.1f}"
        self.speed.setText(f"·  {shown} tokens/s" if tokens_per_second else "")

    def show_download(self, text: str) -> None:
        """The download that runs, "" for none."""
        self.download.setText(text)
        self.download.setAccessibleName(text)
        self.download.setVisible(bool(text))
        self.download_icon.setVisible(bool(text))
        self._show_leaves()

    def show_web(self, on: bool) -> None:
        """Whether search words can leave this computer."""
        self._web = on
        self._show_leaves()

    def _show_leaves(self) -> None:
        # A download names the host that it talks to: beside it "nothing leaves" would be one word too many.
        leaves = self._web or bool(self._host)
        self.leaves.setVisible(leaves or not self.download.text())
        self.leaves_icon.setVisible(leaves or not self.download.text())
        self.leaves_icon.set_icon("globe" if leaves else "shield", "orange" if leaves else "mut")
        if self._host:
            what = "Your text and search words go to" if self._web else "Your text goes to"
            self.leaves.setText(f"{what} {self._host}{' and the web' if self._web else ''}")
        else:
            self.leaves.setText(
                "Web is on: search words leave this computer" if self._web else "Nothing leaves this computer"
            )


class MainWindow(QMainWindow):
    """``close_asked()`` instead of closing: the app ends what runs first. ``painted`` is true after the first paint."""

    close_asked = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.painted = False
        self.setWindowTitle("Fathom")
        self.setWindowIcon(icons.icon("fathom", "blue"))
        self.setMinimumSize(1024, 640)
        self.resize(1280, 800)
        central = QWidget()
        central.setProperty("ground", "bg")
        outer = column(central, gap=0)
        across = row(gap=0)
        rail = QWidget()
        rail.setFixedWidth(RAIL_WIDTH - 1)
        rail.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        rail.setProperty("ground", "side")
        self._rail = column(rail, gap=4, margins=(4, 8, 3, 8))
        self._rail.addStretch(1)
        self.areas = QStackedWidget()
        self.footer = Footer()
        across.addWidget(rail)
        across.addWidget(Rule(vertical=True))
        across.addWidget(self.areas, 1)
        outer.addLayout(across, 1)
        outer.addWidget(self.footer)
        self.setCentralWidget(central)
        self.places: dict[str, Place] = {}
        self._areas: dict[str, QWidget] = {}

    def add_area(self, icon: str, word: str, area: QWidget, *, at_bottom: bool = False) -> None:
        """Put an area behind a place on the rail; the first one is shown."""
        place = Place(icon, word)
        self.places[word] = place
        self._areas[word] = area
        self.areas.addWidget(area)
        self._rail.insertWidget(self._rail.count() if at_bottom else self._rail.count() - 1, place)
        place.clicked.connect(lambda: self._go(place, area))
        if len(self.places) == 1:
            place.setChecked(True)

    def remove_area(self, word: str) -> None:
        """Take an area away again. Raises KeyError when there is none of that name."""
        place = self.places.pop(word)
        area = self._areas.pop(word)
        self._rail.removeWidget(place)
        self.areas.removeWidget(area)
        place.deleteLater()
        area.deleteLater()

    def show_area(self, word: str) -> None:
        """Go to an area. Raises KeyError when there is none of that name."""
        self.places[word].click()

    def _go(self, place: Place, area: QWidget) -> None:
        left, focus = self.areas.currentWidget(), self.focusWidget()
        if left is not area and left is not None and focus is not None and left.isAncestorOf(focus):
            place.setFocus(Qt.FocusReason.OtherFocusReason)  # or Qt would hand it to whatever comes next, with a ring
        self.areas.setCurrentWidget(area)

    def fit_to_screen(self) -> None:
        """As large as is comfortable on the screen at hand."""
        screen = self.screen().availableSize()
        self.resize(min(1440, screen.width()), min(900, screen.height() - TITLE_BAR))

    def paintEvent(self, event: QPaintEvent) -> None:
        super().paintEvent(event)
        self.painted = True

    def closeEvent(self, event: QCloseEvent) -> None:
        event.ignore()
        self.close_asked.emit()
