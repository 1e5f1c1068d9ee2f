"""The right side of the Models area: what answers now, what it learned, battery and noise."""

from __future__ import annotations

from typing import Literal

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QButtonGroup, QWidget

from fathom.core.events import EngineStatus
from fathom.core.settings import Settings
from fathom.core.types import EngineInfo
from fathom.services.machine import Battery
from fathom.services.model_library import Model
from fathom.ui import theme
from fathom.ui.models import words
from fathom.ui.research import words as research_words
from fathom.ui.widgets.buttons import Button, Choice, Tick
from fathom.ui.widgets.cards import Badge, Card, IconLine, column, row
from fathom.ui.widgets.labels import Label, Rule
from fathom.weights.memory import gigabytes

QUIET: tuple[tuple[Literal["never", "on_battery", "always"], str], ...] = (
    ("never", "All cores"),
    ("on_battery", "Half of them on battery"),
    ("always", "Half of them always"),
)


class NowCard(Card):
    """Which model answers now."""

    unload_wanted = Signal()
    load_wanted = Signal()

    def __init__(self) -> None:
        super().__init__("panel", gap=8)
        head = row(gap=8)
        self.name = Label("", "title", theme.BOLD, lines=0)
        self.badge = Badge("ok", "Loaded", "green")
        head.addWidget(self.name, 1)
        head.addWidget(self.badge, 0, Qt.AlignmentFlag.AlignTop)
        self.state = IconLine("clock", "mut", "", tone="mut")
        self.table = QWidget()
        self._lines = column(self.table, gap=4)
        self._values: dict[str, Label] = {}
        for what in ("A question takes", "Reads at once", "Speed", "Memory", "Computes on"):
            line = row(gap=8)
            line.addWidget(Label(what, lines=1))
            value = Label("", weight=theme.MEDIUM, lines=1, align=Qt.AlignmentFlag.AlignRight)
            value.setAccessibleName(what)
            self._values[what] = value
            line.addWidget(value, 1)
            self._lines.addLayout(line)
        self.unload = Button("Give its memory back", "leave", "link", flush=True, on_click=self.unload_wanted.emit)
        self.load = Button("Load it now", "play", "link", flush=True, on_click=self.load_wanted.emit)
        self.body.addLayout(head)
        self.body.addWidget(self.state)
        self.body.addWidget(Rule())
        self.body.addWidget(self.table)
        self.body.addWidget(self.unload, 0, Qt.AlignmentFlag.AlignLeft)
        self.body.addWidget(self.load, 0, Qt.AlignmentFlag.AlignLeft)

    def show_now(self, status: EngineStatus, info: EngineInfo | None, model: Model | None, busy: str) -> None:
        """``model`` is the loaded one as the shelf knows it; ``busy`` why its memory cannot be given back."""
        icon, token, text = research_words.engine(status)
        loaded = status.state == "ready" and info is not None
        name = model.name if model is not None else "The small model" if status.embedded else status.model
        self.name.setText(name or "No model")
        self.badge.setVisible(loaded)
        self.state.setVisible(not loaded)
        self.state.icon.set_icon(icon, token)
        self.state.label.setText(text)
        self.table.setVisible(loaded)
        self.unload.setVisible(loaded)
        self.unload.offer(busy, "The next question loads it again")
        self.load.setVisible(status.state == "unloaded")
        if info is not None and loaded:
            pace = model.pace if model is not None else None
            known = words.time_of(pace).removeprefix("About ").split(" a question")[0] if pace is not None else ""
            how = {"measured": "measured", "estimate": "estimate", "rough": "rough estimate"}
            self._say(
                "A question takes", f"about {known} ({how[pace.source]})" if pace is not None else "not known yet"
            )
            self._say("Reads at once", f"{info.context_tokens:,} tokens")
            probe = model.probe if model is not None else None
            speed = f"{probe.decode_tokens_per_s:.0f} tokens a second" if probe else "not tested yet"
            self._say("Speed", speed)
            self._say("Memory", gigabytes(model.fit.needs_bytes) if model is not None else "not known yet")
            self._say("Computes on", "the processor" if info.device == "cpu" else "the graphics card")

    def _say(self, what: str, text: str) -> None:
        self._values[what].setText(text)
        self._values[what].setAccessibleDescription(text)

    def value(self, what: str) -> str:
        """The words beside ``what``."""
        return self._values[what].text()


class LearnedCard(Card):
    """Which adapter is on."""

    def __init__(self) -> None:
        super().__init__("panel", gap=4)
        self.choice = Choice("Nothing: the model as it came")
        self.choice.setChecked(True)
        self.choice.setAccessibleName("Adapter: nothing, the model as it came")
        self.body.addWidget(self.choice)
        self.body.addWidget(
            Label(
                "An adapter is what a model learned from your own sessions. There is none yet.",
                "label",
                tone="mut",
                lines=0,
            )
        )


class PowerCard(Card):
    """How many cores compute, and what a low battery does."""

    changed = Signal()

    def __init__(self, settings: Settings) -> None:
        super().__init__("panel", gap=4)
        self._settings = settings
        self.group = QButtonGroup(self)
        for value, word in QUIET:
            button = Choice(word)
            button.setAccessibleName(f"Quiet mode: {word}")
            button.setChecked(settings.quiet == value)
            button.clicked.connect(lambda _checked=False, value=value: self._quiet(value))
            self.group.addButton(button)
            self.body.addWidget(button)
        self.pause = Tick("Pause a session below 20 % battery")
        self.pause.setChecked(settings.pause_on_low_battery)
        self.pause.toggled.connect(self._pause)
        self.battery = Label("", "label", tone="mut", lines=0)
        self.body.addSpacing(4)
        self.body.addWidget(self.pause)
        self.body.addWidget(self.battery)

    def attach(self, settings: Settings, battery: Battery | None) -> None:
        """The settings that count from now on, and the battery as it is."""
        self._settings = settings
        if battery is None:
            self.battery.setText("No battery was found: half the cores is for less heat and noise.")
        else:
            plugged = "plugged in" if battery.plugged_in else "not plugged in"
            self.battery.setText(f"The battery is at {battery.percent:.0f} %, {plugged}.")

    def _quiet(self, value: Literal["never", "on_battery", "always"]) -> None:
        self._settings.quiet = value
        self._settings.save()
        self.changed.emit()

    def _pause(self, on: bool) -> None:
        self._settings.pause_on_low_battery = on
        self._settings.save()
        self.changed.emit()
