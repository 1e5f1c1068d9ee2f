"""Toast: one line, one action, six seconds; it stays while it is hovered or has the focus."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QEvent, QObject, Qt, QTimer
from PySide6.QtGui import QEnterEvent
from PySide6.QtWidgets import QWidget

from fathom.ui import theme
from fathom.ui.widgets.buttons import Button
from fathom.ui.widgets.cards import Card, row
from fathom.ui.widgets.labels import Icon, Label

STAYS_MS = 6000


class Toast(Card):
    """Lies above the lower edge of ``host``. A new message replaces the old one, whose ``on_gone`` runs then."""

    def __init__(self, host: QWidget) -> None:
        super().__init__("toast", padding=12, parent=host)
        self._host = host
        self._on_gone: Callable[[], None] | None = None
        self._on_action: Callable[[], None] | None = None
        line = row(gap=8)
        self._icon = Icon("ok", "panel")
        self._label = Label("", weight=theme.BOLD, tone="panel", lines=1)
        self._action = Button("", kind="toast", on_click=self._act)
        self._close = Button("", "close", "toast", on_click=self.dismiss)
        self._close.setAccessibleName("Close this message")
        line.addWidget(self._icon)
        line.addWidget(self._label, 1)
        line.addSpacing(8)
        line.addWidget(self._action)
        line.addWidget(self._close)
        self.body.addLayout(line)
        self._timer = QTimer(self, singleShot=True, interval=STAYS_MS)
        self._timer.timeout.connect(self._time_is_up)
        host.installEventFilter(self)
        self.hide()

    def say(
        self,
        text: str,
        icon: str = "ok",
        *,
        action: str = "",
        on_action: Callable[[], None] | None = None,
        on_gone: Callable[[], None] | None = None,
    ) -> None:
        """Show one line. ``on_gone`` runs when it goes without the action having been taken."""
        self.dismiss()
        self._label.setText(text)
        self.setAccessibleName(text)
        self._icon.set_icon(icon, "panel")
        self._action.setText(action)
        self._action.setAccessibleName(action)
        self._action.setVisible(bool(action))
        self._on_action, self._on_gone = on_action, on_gone
        self.show()
        self._place()
        self.raise_()
        self._timer.start()

    def dismiss(self) -> None:
        """Take it away now."""
        self._timer.stop()
        self.hide()
        gone, self._on_gone, self._on_action = self._on_gone, None, None
        if gone is not None:
            gone()

    def _act(self) -> None:
        action, self._on_gone = self._on_action, None
        self.dismiss()
        if action is not None:
            action()

    def _time_is_up(self) -> None:
        if self.underMouse() or self._action.hasFocus() or self._close.hasFocus():
            self._timer.start()
        else:
            self.dismiss()

    def enterEvent(self, event: QEnterEvent) -> None:
        self._timer.start()
        super().enterEvent(event)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if watched is self._host and event.type() == QEvent.Type.Resize and self.isVisible():
            self._place()
        return False

    def _place(self) -> None:
        width = min(max(self.body.sizeHint().width(), 320), max(320, self._host.width() - 64))
        height = 48
        self.setGeometry((self._host.width() - width) // 2, self._host.height() - height - 48, width, height)
        self.setAttribute(Qt.WidgetAttribute.WA_Hover)
