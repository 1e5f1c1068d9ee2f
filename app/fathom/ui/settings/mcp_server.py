"""One MCP server in the settings: on or off, how it is, its tools and what each may do.

Says what was wanted through signals; knows no service. All that a server says of itself is shown as plain text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QButtonGroup, QWidget

from fathom.ui import theme
from fathom.ui.widgets.buttons import Button, Choice, Tick
from fathom.ui.widgets.cards import IconLine, column, row
from fathom.ui.widgets.labels import Label, Rule

if TYPE_CHECKING:
    from fathom.core.settings import McpPermission
    from fathom.services.mcp_service import McpServerState
    from fathom.tools.mcp.connection import RemoteTool

INDENT = 26  # where a tick's word begins
CHOICES: tuple[tuple[McpPermission, str], ...] = (("ask", "Ask"), ("allow", "Allow"), ("never", "Never"))


class ServerRow(QWidget):
    """Signals carry the server's name: ``switched(name, on)``, ``started(name)``, ``removed(name)``,
    ``permitted(name, tool, permission)``."""

    switched = Signal(str, bool)
    started = Signal(str)
    removed = Signal(str)
    permitted = Signal(str, str, str)

    def __init__(self, state: McpServerState) -> None:
        super().__init__()
        self.name = state.name
        self._shown: tuple[RemoteTool, ...] = ()
        self.choices: dict[tuple[str, str], Choice] = {}
        outer = column(self, gap=4)
        outer.addWidget(Rule())
        head = row(gap=8)
        self.tick = Tick(state.name)
        self.tick.setAccessibleDescription(state.where)
        self.tick.clicked.connect(lambda on: self.switched.emit(self.name, on))
        self.unfold = self._button("Show tools", f"Show the tools of {state.name}", self._toggle)
        self.start = self._button("Start now", f"Start {state.name} now", lambda: self.started.emit(self.name))
        self.remove = self._button("Remove", f"Remove {state.name}", self._remove)
        head.addWidget(self.tick)
        head.addStretch(1)
        for button in (self.unfold, self.start, self.remove):
            head.addWidget(button)
        outer.addLayout(head)
        below = column(gap=4, margins=(INDENT, 0, 0, 8))
        below.addWidget(Label(state.where, "label", tone="mut", lines=2))
        if state.secrets:
            below.addWidget(Label(f"Kept apart as secret: {', '.join(state.secrets)}", "label", tone="mut", lines=2))
        self.health = IconLine("clock", "mut", "")
        below.addWidget(self.health)
        self.details = QWidget()
        self._tools = column(self.details, gap=8, margins=(0, 4, 0, 4))
        self.details.hide()
        below.addWidget(self.details)
        outer.addLayout(below)
        self.show_state(state)

    def _button(self, word: str, name: str, act: object) -> Button:
        assert callable(act)
        button = Button(word, "", "link", name=name, on_click=act)
        button.setToolTip(name)
        return button

    def focusable(self) -> list[QWidget]:
        """What Tab visits, in order."""
        return [self.tick, self.unfold, self.start, self.remove, *self.choices.values()]

    def show_state(self, state: McpServerState) -> None:
        """The server as it is now."""
        self.tick.setChecked(state.on)
        tools = state.state.tools
        match state.state.kind:
            case "ready":
                self._say("ok", "green", f"Running, {len(tools)} tool{'' if len(tools) == 1 else 's'}")
            case "starting":
                self._say("running", "teal", "Starting")
            case "failed":
                self._say("warn", "red", f"{state.name} {state.state.message}")
            case _:
                self._say("clock", "mut", "Starts when it is first needed" if state.on else "Off")
        self.start.setVisible(state.on and state.state.kind in ("idle", "failed"))
        self.unfold.setVisible(bool(tools))
        if tools != self._shown:
            self._show_tools(state)
        for tool in tools:
            if not tool.problem:
                self.choices[tool.remote, state.permission(tool)].setChecked(True)

    def _show_tools(self, state: McpServerState) -> None:
        self._shown = state.state.tools
        self.choices = {}
        while (item := self._tools.takeAt(0)) is not None:
            widget = item.widget()
            assert widget is not None
            widget.hide()
            widget.deleteLater()
        for tool in self._shown:
            self._tools.addWidget(self._tool(tool))

    def _tool(self, tool: RemoteTool) -> QWidget:
        made = QWidget()
        lines = column(made, gap=0)
        short = tool.name.partition("__")[2]
        head = row(gap=12)
        head.addWidget(Label(short, weight=theme.MEDIUM), 1)
        if tool.problem:
            lines.addLayout(head)
            lines.addWidget(Label(f"Not offered: {tool.problem}", "label", tone="mut", lines=2))
            return made
        group = QButtonGroup(made)
        for permission, word in CHOICES:
            choice = Choice(word)
            choice.setAccessibleName(f"{short} of {self.name}: {word.lower()}")
            choice.clicked.connect(
                lambda _checked=False, permission=permission: self.permitted.emit(self.name, tool.remote, permission)
            )
            group.addButton(choice)
            self.choices[tool.remote, permission] = choice
            head.addWidget(choice)
        lines.addLayout(head)
        lines.addWidget(Label(tool.description or "It has no description.", "label", tone="mut", lines=2))
        return made

    def _toggle(self) -> None:
        shown = self.details.isHidden()
        self.details.setVisible(shown)
        self.unfold.set_face("Hide tools" if shown else "Show tools")
        self.unfold.setAccessibleName(f"{self.unfold.text().partition(' ')[0]} the tools of {self.name}")

    def _remove(self) -> None:
        """The first press asks, the second one does it."""
        if self.remove.text() == "Remove":
            self.remove.set_face("Remove it, with its secrets?")
            self.remove.setAccessibleName(f"Really remove {self.name}")
        else:
            self.removed.emit(self.name)

    def _say(self, icon: str, token: str, text: str) -> None:
        self.health.icon.set_icon(icon, token)
        self.health.label.setText(text)
        self.health.setAccessibleName(f"{self.name}: {text}")


def as_permission(word: str) -> McpPermission:
    """The word of a signal as the settings know it."""
    return cast("McpPermission", word)
