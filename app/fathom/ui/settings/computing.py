"""Settings, How it computes: llama.cpp or MLX, which results stay in view, how much memory the view takes.

Works on the engine's service; every change counts from the next question on, and can be loaded at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from PySide6.QtGui import QShowEvent
from PySide6.QtWidgets import QButtonGroup, QWidget

from fathom.core.events import EngineStatus
from fathom.core.settings import Settings
from fathom.ui import theme
from fathom.ui.bridge import Bridge, Tasks
from fathom.ui.widgets.buttons import Button, Choice, Tick
from fathom.ui.widgets.cards import Card, IconLine, column, row
from fathom.ui.widgets.labels import Label

if TYPE_CHECKING:
    from fathom.services.engine_service import EngineService

BACKENDS = (("", "What suits this computer"), ("llamacpp", "llama.cpp"), ("mlx", "MLX"))
MEMORIES = (("auto", "As the run needs"), ("strict", "One by one"), ("fast", "In blocks"))
KV_TYPES = (("f16", "Full"), ("q8_0", "Half"))
BACKEND_WORDS = (
    "MLX is made for Apple’s chips; on other processors llama.cpp is several times as fast. A single question can have "
    "its own, with the line below it."
)
MEMORY_WORDS = {
    "auto": "One by one in short runs; in blocks in long ones, where reading the rest again takes most of the time.",
    "strict": "The model sees exactly the newest results, as in the paper, and reads them anew at each turn.",
    "fast": "Faster: less is read again, and for some turns the model sees a few results more.",
}
KV_WORDS = (
    "Half leaves room for a longer view or a larger model, and is somewhat slower on a processor. llama.cpp only."
)
SHIFT_WORDS = (
    "The fastest for long runs, and not exact: the model may write other things than it would otherwise, and each run "
    "says so. llama.cpp only."
)


class Options(QWidget):
    """A title, choices beside each other, and a small line that explains them."""

    def __init__(self, title: str, values: Sequence[tuple[str, str]], on_choose: Callable[[str], None]) -> None:
        super().__init__()
        outer = column(self, gap=4)
        outer.addWidget(Label(title, weight=theme.MEDIUM))
        line = row(gap=16)
        self._group = QButtonGroup(self)
        self.choices: dict[str, Choice] = {}
        for value, word in values:
            button = self.choices[value] = Choice(word)
            button.setAccessibleName(f"{title}: {word}")
            button.clicked.connect(lambda _checked=False, value=value: on_choose(value))
            self._group.addButton(button)
            line.addWidget(button)
        line.addStretch(1)
        outer.addLayout(line)
        self.words = Label("", "label", tone="mut", lines=0)
        outer.addWidget(self.words)

    def show_chosen(self, value: str | None, words: str) -> None:
        """Check one of the choices, or none for None; ``words`` explain it."""
        self._group.setExclusive(False)
        for name, button in self.choices.items():
            button.setChecked(name == value)
        self._group.setExclusive(True)
        self.words.setText(words)


class ComputingCard(Card):
    """Empty until ``attach``."""

    def __init__(self, bridge: Bridge, tasks: Tasks) -> None:
        super().__init__(gap=16)
        self._tasks = tasks
        self._engine: EngineService | None = None
        self._settings = Settings()
        self.body.addWidget(Label("How it computes", "title", theme.BOLD))
        self.backends = Options("The model is computed by", BACKENDS, lambda value: self._compute(backend=value))
        self.memories = Options("Old results leave what the model sees", MEMORIES, self._remember)
        self.kv_types = Options("Memory for what the model sees", KV_TYPES, lambda value: self._compute(kv_type=value))
        for options in (self.backends, self.memories, self.kv_types):
            self.body.addWidget(options)
        holder = column(gap=4)
        self.shift = Tick("Cut old results out without reading the rest again (experimental)")
        self.shift.setAccessibleDescription(SHIFT_WORDS)
        self.shift.clicked.connect(lambda on: self._compute(shift_memory=on))
        holder.addWidget(self.shift)
        holder.addWidget(Label(SHIFT_WORDS, "label", tone="mut", lines=0))
        self.body.addLayout(holder)
        self.pending = QWidget()
        line = row(self.pending, gap=8)
        self.state = IconLine("clock", "mut", "Counts from the next question on")
        self.load = Button("Load it now", "retry", on_click=self._start_load)
        line.addWidget(self.state, 1)
        line.addWidget(self.load)
        self.pending.hide()
        self.body.addWidget(self.pending)
        bridge.engine_changed.connect(self._engine_changed)

    def attach(self, engine: EngineService, settings: Settings) -> None:
        """Show what there is."""
        self._engine, self._settings = engine, settings
        self._show()

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        if self._engine is not None:
            self._show()

    # --- what is there --------------------------------------------------------------------------------------------

    def _show(self) -> None:
        assert self._engine is not None
        chosen, no_mlx = self._settings, self._engine.mlx.why_not()
        words = f"MLX cannot be chosen: {no_mlx}." if no_mlx else BACKEND_WORDS
        self.backends.choices["mlx"].setEnabled(not no_mlx)
        if chosen.backend == "endpoint":
            words = "A server answers now. Choose one of these, and a model on this computer answers again."
            self.backends.show_chosen(None, words)
        else:
            self.backends.show_chosen(chosen.backend, words)
        self.memories.show_chosen(chosen.memory, MEMORY_WORDS[chosen.memory])
        self.kv_types.show_chosen(chosen.kv_type, KV_WORDS)
        self.shift.setChecked(chosen.shift_memory)
        self._tasks.start(self._show_pending())

    async def _show_pending(self) -> None:
        """Whether what is loaded was loaded in another way."""
        engine = self._engine
        if engine is None:
            return
        outdated = engine.info is not None and await engine.outdated()
        self.load.offer("A question is being answered: wait for its report, or stop it" if engine.busy() else "")
        self.pending.setVisible(outdated)

    def _engine_changed(self, status: EngineStatus) -> None:
        if self._engine is not None and self.isVisible() and status.state in ("ready", "failed", "unloaded"):
            self._show()

    # --- what is wanted -------------------------------------------------------------------------------------------

    def _compute(self, **changes: object) -> None:
        if self._engine is not None:
            self._engine.compute(**changes)  # type: ignore[arg-type]
            self._show()

    def _remember(self, value: str) -> None:
        self._settings.memory = value  # type: ignore[assignment]
        self._settings.save()
        self._show()

    def _start_load(self) -> None:
        if self._engine is not None and not self._engine.busy():
            self._tasks.start(self._engine.restart())
