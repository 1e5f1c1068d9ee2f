"""What the Library area shows before there are documents, and the sheet that a drag hangs over. Know no services."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QObject, QRectF, Qt, Signal
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QWidget

from fathom.ui import icons, theme
from fathom.ui.research.detail_empty import let_grow
from fathom.ui.widgets.banner import Banner
from fathom.ui.widgets.buttons import Button
from fathom.ui.widgets.cards import column, row
from fathom.ui.widgets.labels import Icon, Label


class Welcome(QWidget):
    """No documents yet: ``folder_wanted()``, ``files_wanted()``, ``sample_wanted()``."""

    folder_wanted = Signal()
    files_wanted = Signal()
    sample_wanted = Signal()

    def __init__(self) -> None:
        super().__init__()
        centre = Qt.AlignmentFlag.AlignHCenter
        outer = column(self, gap=0, margins=(32, 16, 32, 32))
        self.banner = Banner()
        outer.addWidget(self.banner)
        outer.addStretch(2)
        narrow = QWidget()
        narrow.setMaximumWidth(520)
        body = column(narrow, gap=12)
        self.title = Label("No documents of your own yet", "title", theme.BOLD, align=centre, lines=0)
        self.text = Label("", tone="mut", align=centre, lines=0)
        for label in (self.title, self.text):
            let_grow(label)
        self.choose = Button("Choose a folder", "folder", "primary", on_click=self.folder_wanted.emit)
        self.files = Button("Choose files", "result", on_click=self.files_wanted.emit)
        self.sample = Button("Look at the sample library", kind="link", on_click=self.sample_wanted.emit)
        buttons = row(gap=12)
        buttons.addStretch(1)
        for button in (self.choose, self.files):
            buttons.addWidget(button)
        buttons.addStretch(1)
        body.addWidget(Icon("library", "mut", 32), 0, centre)
        body.addSpacing(4)
        body.addWidget(self.title)
        body.addWidget(self.text)
        body.addSpacing(4)
        body.addLayout(buttons)
        body.addWidget(self.sample, 0, centre)
        across = row()
        across.addStretch(1)
        across.addWidget(narrow, 10)
        across.addStretch(1)
        outer.addLayout(across)
        outer.addStretch(3)

    def show_formats(self, formats: str) -> None:
        """What can be read."""
        self.text.setText(
            f"Choose a folder, or drop folders and files here. Fathom reads {formats} on this computer, follows their "
            "changes and quotes from them. They stay where they are, and nothing of them is sent anywhere."
        )

    def show_opening(self) -> None:
        """The services are not open yet."""
        self.text.setText("Opening your library")


class DropSheet(QWidget):
    """Lies over ``host`` while something is dragged over it."""

    def __init__(self, host: QWidget) -> None:
        super().__init__(host)
        self._host = host
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.setAccessibleName("Drop to add to the library")
        host.installEventFilter(self)
        self.hide()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Resize:
            self.setGeometry(self._host.rect())
        return False

    def rise(self) -> None:
        """Show it over everything."""
        self.setGeometry(self._host.rect())
        self.show()
        self.raise_()

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        ground = QColor(theme.color("panel"))
        ground.setAlphaF(0.92)
        painter.fillRect(self.rect(), ground)
        painter.setPen(QPen(theme.color("blue"), 2, Qt.PenStyle.DashLine))
        painter.drawRoundedRect(QRectF(self.rect()).adjusted(16, 16, -16, -16), theme.RADIUS, theme.RADIUS)
        middle = self.rect().center()
        painter.drawPixmap(
            middle.x() - 16, middle.y() - 44, icons.pixmap("download", "blue", 32, self.devicePixelRatioF())
        )
        painter.setFont(theme.font("title", theme.BOLD))
        painter.setPen(theme.color("text"))
        painter.drawText(self.rect().adjusted(0, 24, 0, 0), Qt.AlignmentFlag.AlignCenter, "Drop to add to the library")
        painter.end()
