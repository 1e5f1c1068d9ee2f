"""The Settings area: appearance, the model and how it computes, the web, other programs' tools, the sandbox, the data.

Shows ``Settings`` and what the services say; a change counts at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from PySide6.QtCore import Qt, QUrl, Signal
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import QApplication, QButtonGroup, QFrame, QScrollArea, QWidget

from fathom.core.events import EngineStatus
from fathom.core.settings import Settings, data_dir
from fathom.tools.sandbox.attacks import NAMES
from fathom.ui import theme
from fathom.ui.bridge import Bridge, Tasks
from fathom.ui.research import words
from fathom.ui.settings.computing import ComputingCard
from fathom.ui.settings.endpoint import EndpointCard
from fathom.ui.settings.hosts import HostsCard
from fathom.ui.settings.mcp import McpCard
from fathom.ui.settings.search import SearchCard
from fathom.ui.settings.sections import Sections
from fathom.ui.widgets.buttons import Button, Choice
from fathom.ui.widgets.cards import Card, IconLine, column, row
from fathom.ui.widgets.labels import Label

if TYPE_CHECKING:
    from fathom.services.application import Services

MODES: tuple[tuple[Literal["system", "light", "dark"], str], ...] = (
    ("system", "As the desktop"),
    ("light", "Light"),
    ("dark", "Dark"),
)


class SettingsArea(QWidget):
    """``model_wanted()`` asks for a GGUF file, ``small_wanted()`` for the embedded model, ``restart_wanted()``."""

    model_wanted = Signal()
    small_wanted = Signal()
    restart_wanted = Signal()

    def __init__(self, bridge: Bridge, tasks: Tasks, settings: Settings) -> None:
        super().__init__()
        self._settings = settings
        self._services: Services | None = None
        self._tasks = tasks
        across = row(self, gap=0, margins=(24, 0, 0, 0))
        self.page = QScrollArea()
        self.page.setWidgetResizable(True)
        self.page.setFrameShape(QFrame.Shape.NoFrame)
        self.page.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        inside = QWidget()
        inside.setProperty("ground", "clear")
        self.page.setWidget(inside)
        outer = row(inside, margins=(24, 32, 48, 32))
        narrow = QWidget()
        narrow.setMaximumWidth(720)
        outer.addWidget(narrow, 1)
        outer.addStretch(0)
        outer.setAlignment(Qt.AlignmentFlag.AlignLeft)
        page = column(narrow, gap=16)
        self.sections = Sections(self.page)
        beside = column(gap=16, margins=(0, 32, 0, 16))
        title = row(margins=(12, 0, 0, 0))
        title.addWidget(Label("Settings", "hero", theme.BOLD))
        beside.addLayout(title)
        beside.addWidget(self.sections, 1)
        across.addLayout(beside)
        across.addWidget(self.page, 1)
        self.computing = ComputingCard(bridge, tasks)
        self.endpoint = EndpointCard(tasks)
        self.search = SearchCard(tasks)
        self.mcp = McpCard(tasks)
        self.hosts = HostsCard()
        for word, card in (
            ("Appearance", self._appearance()),
            ("Model", self._model()),
            ("How it computes", self.computing),
            ("A server of your own", self.endpoint),
            ("Searching the web", self.search),
            ("Tools of other programs", self.mcp),
            ("Running code", self._sandbox()),
            ("What was contacted", self.hosts),
            ("Your data", self._data()),
        ):
            page.addWidget(card)
            self.sections.add(word, card)
        page.addStretch(1)
        bridge.engine_changed.connect(self._engine_changed)

    def attach(self, services: Services) -> None:
        """The services are open."""
        self._services = services
        self._settings = services.settings
        self._engine_changed(services.engine.status)
        self.computing.attach(services.engine, services.settings)
        self.endpoint.attach(services.engine, services.settings)
        self.search.attach(services.search)
        self.mcp.attach(services.mcp)
        self.hosts.attach(services.sessions)
        self._tasks.start(self._test_sandbox())

    # --- cards ----------------------------------------------------------------------------------------------------

    def _appearance(self) -> Card:
        card = Card(gap=8)
        card.body.addWidget(Label("Appearance", "title", theme.BOLD))
        line = row(gap=16)
        self.modes = QButtonGroup(self)
        for mode, word in MODES:
            button = Choice(word)
            button.setAccessibleName(f"Appearance: {word}")
            button.setChecked(self._settings.theme == mode)
            button.clicked.connect(lambda _checked=False, mode=mode: self._choose_mode(mode))
            self.modes.addButton(button)
            line.addWidget(button)
        line.addStretch(1)
        card.body.addLayout(line)
        return card

    def _model(self) -> Card:
        card = Card(gap=8)
        card.body.addWidget(Label("Model", "title", theme.BOLD))
        self.model_line = IconLine("clock", "mut", "Opening Fathom")
        self.model_path = Label("", tone="mut", lines=2)
        buttons = row(gap=8)
        self.choose = Button("Choose another model (a GGUF file)…", "models", on_click=self.model_wanted.emit)
        self.small = Button("Use the small model", "undo", on_click=self.small_wanted.emit)
        self.restart = Button("Start the engine again", "retry", on_click=self.restart_wanted.emit)
        for button in (self.choose, self.small, self.restart):
            buttons.addWidget(button)
        buttons.addStretch(1)
        card.body.addWidget(self.model_line)
        card.body.addWidget(self.model_path)
        card.body.addLayout(buttons)
        return card

    def _sandbox(self) -> Card:
        card = Card(gap=8)
        card.body.addWidget(Label("Running code", "title", theme.BOLD))
        self.sandbox_line = IconLine("clock", "mut", "Not tested yet")
        self.sandbox_remedy = Label("", tone="mut", lines=0)
        self.sandbox_remedy.hide()
        self.test = Button("Test again", "retry", on_click=self._test_again)
        buttons = row()
        buttons.addWidget(self.test)
        buttons.addStretch(1)
        card.body.addWidget(self.sandbox_line)
        card.body.addWidget(self.sandbox_remedy)
        self.attacks = column(gap=2)
        card.body.addLayout(self.attacks)
        card.body.addLayout(buttons)
        return card

    def _data(self) -> Card:
        card = Card(gap=8)
        card.body.addWidget(Label("Your data", "title", theme.BOLD))
        card.body.addWidget(
            Label("Sessions, the library’s index, models and the log are in one folder on this computer.", lines=0)
        )
        self.folder = Label(str(data_dir()), tone="mut", lines=2)
        card.body.addWidget(self.folder)
        buttons = row()
        buttons.addWidget(Button("Open the folder", "folder", on_click=self._open_folder))
        buttons.addStretch(1)
        card.body.addLayout(buttons)
        return card

    # --- what happens ---------------------------------------------------------------------------------------------

    def _choose_mode(self, mode: Literal["system", "light", "dark"]) -> None:
        self._settings.theme = mode
        self._settings.save()
        app = QApplication.instance()
        assert isinstance(app, QApplication)
        theme.apply(app, mode)

    def _engine_changed(self, status: EngineStatus) -> None:
        icon, token, text = words.engine(status)
        self.model_line.icon.set_icon(icon, token)
        self.model_line.label.setText(text)
        path = self._settings.model
        small = f"{status.model}, which comes with Fathom" if status.model else "The small model comes with Fathom"
        if status.server:
            self.model_path.setText("It is chosen under “A server of your own”.")
            path = ""
        else:
            self.model_path.setText(path or f"{small}. For answers to rely on, choose a larger one.")
        self.small.setVisible(bool(path))
        self.restart.setVisible(status.state in ("failed", "missing", "no_model"))

    def _test_again(self) -> None:
        if self._services is not None:
            self._tasks.start(self._test_sandbox(again=True))

    async def _test_sandbox(self, *, again: bool = False) -> None:
        assert self._services is not None
        self.sandbox_line.icon.set_icon("running", "teal")
        self.sandbox_line.label.setText("Testing the sandbox")
        state = await self._services.sandbox_state(again=again)
        self.sandbox_line.icon.set_icon(*(("ok", "green") if state.available else ("warn", "orange")))
        self.sandbox_line.label.setText(
            "Code that the model writes runs in a sandbox, without network, home or keys."
            if state.available
            else f"The tools that run code are off: {state.reason}"
        )
        remarks = " ".join(filter(None, (state.remark, state.remedy)))
        self.sandbox_remedy.setText(remarks)
        self.sandbox_remedy.setVisible(bool(remarks))
        self._show_attacks(state.checks)

    def _show_attacks(self, checks: Mapping[str, bool]) -> None:
        while (item := self.attacks.takeAt(0)) is not None:
            if (widget := item.widget()) is not None:
                widget.deleteLater()
        for attack, held in checks.items():
            line = IconLine(*(("ok", "green") if held else ("warn", "red")), NAMES[attack])
            line.setAccessibleName(f"{NAMES[attack]}: {'held' if held else 'an attack got through'}")
            self.attacks.addWidget(line)

    def _open_folder(self) -> None:
        QDesktopServices.openUrl(QUrl.fromLocalFile(str(data_dir())))
