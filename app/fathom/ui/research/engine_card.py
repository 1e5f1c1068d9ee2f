"""The two cards beside a new question: how far the engine is, and what the small model can and cannot do.

Knows ``EngineStatus`` alone; says what was wanted through signals.
"""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QPlainTextEdit, QWidget

from fathom.core.errors import UserError
from fathom.core.events import EngineStatus
from fathom.ui import theme
from fathom.ui.research import words
from fathom.ui.widgets.banner import NeedsHasDo
from fathom.ui.widgets.buttons import Button
from fathom.ui.widgets.cards import Bar, Card, IconLine, column, row
from fathom.ui.widgets.labels import Icon, Label

TITLES = {
    "missing": "The local engine is not installed",
    "building": "Building the local engine",
    "no_model": "A model is needed",
    "fetching": "Fetching the small model",
    "loading": "Loading the model",
    "unloaded": "No model is loaded",
    "ready": "Ready to research",
    "failed": "The engine is not running",
}

STEPS = (
    ("fetching", "Fetch the small model"),
    ("building", "Compile for your processor"),
    ("loading", "Load the model"),
)
ORDER = {"fetching": 0, "building": 1, "loading": 2}


class EngineCard(Card):
    """What the engine does now, what comes next, and what can be done meanwhile."""

    sample_wanted = Signal()
    retry_wanted = Signal()
    fetch_wanted = Signal()
    model_wanted = Signal()

    def __init__(self) -> None:
        super().__init__("panel", gap=8)
        self._status = EngineStatus(state="loading")
        self._has_sample = False
        head = row(gap=8)
        self.icon = Icon("running", "teal", 20)
        self.title = Label("", "title", theme.BOLD, lines=0)
        head.addWidget(self.icon)
        head.addWidget(self.title, 1)
        self.text = Label("", lines=0)
        self.bar = Bar()
        self.steps_box = QWidget()
        self._steps_layout = column(self.steps_box, gap=4)
        self.details = QPlainTextEdit()
        self.details.setReadOnly(True)
        self.details.setFont(theme.font("mono"))
        self.details.setProperty("box", "true")
        self.details.setFixedHeight(112)
        self.details.setAccessibleName("Details of the engine")
        self.details.setTabChangesFocus(True)
        self.details.hide()
        buttons = row(gap=8)
        self.main = Button("Try again", "retry", on_click=self._main)
        self.sample = Button("Read the sample session", "library", on_click=self.sample_wanted.emit)
        self.show_details = Button("Show details", kind="link", on_click=self._toggle)
        buttons.addWidget(self.main)
        buttons.addWidget(self.sample)
        buttons.addWidget(self.show_details)
        buttons.addStretch(1)
        self.body.addLayout(head)
        self.body.addWidget(self.text)
        self.body.addWidget(self.bar)
        self.body.addWidget(self.steps_box)
        self.body.addWidget(self.details)
        self.body.addLayout(buttons)
        self.show_status(self._status)
        self._show_opening()

    def _show_opening(self) -> None:
        """Before anything is known of the engine."""
        self.title.setText("Opening Fathom")
        self.text.setText("Your sessions and the local engine are being looked up. You can ask now.")
        self.steps_box.hide()

    def set_has_sample(self, has_sample: bool) -> None:
        """Whether there is a sample session to read."""
        self._has_sample = has_sample
        self._show_buttons()

    def show_status(self, status: EngineStatus) -> None:
        """Show the engine's state."""
        self._status = status
        icon, token, _ = words.engine(status)
        self.icon.set_icon(icon, token)
        self.title.setText(TITLES[status.state])
        self.text.setText(self._words())
        known = status.state in ("building", "fetching") and status.total
        self.bar.setVisible(status.state in ("building", "fetching"))
        self.bar.set_share(status.done / status.total if known else None)
        self._show_steps()
        self.details.setPlainText(status.detail)
        if not status.detail:
            self.details.hide()
        self._show_buttons()

    def _words(self) -> str:
        status = self._status
        left = words.time_left(status.eta_s)
        meanwhile = "You can ask now: your question waits, then starts by itself."
        match status.state:
            case "building":
                return f"{left[0].upper()}{left[1:]}. {meanwhile}"
            case "fetching":
                return f"{left[0].upper()}{left[1:]}. {meanwhile}"
            case "loading":
                return f"A few seconds. {meanwhile}"
            case "unloaded":
                return "You gave its memory back. The next question loads it again by itself."
            case "ready":
                model = "The small model" if status.embedded else status.model or "The model"
                if status.host:
                    return f"{model} runs on {status.host}. Your question, and what is read for it, go there."
                if status.server:
                    return f"{model} runs on {status.server}, on this computer."
                return f"{model} runs on this computer. No account, no key, no network."
            case "missing":
                return "Fathom needs it to think. It is built on this computer, once."
            case "no_model":
                return status.message or "Choose a GGUF file, or fetch the small model that comes with Fathom."
            case "failed":
                return status.message or "The engine stopped. Your sessions are safe."

    def _show_steps(self) -> None:
        while item := self._steps_layout.takeAt(0):
            if widget := item.widget():
                widget.deleteLater()
        status = self._status
        shown = status.state in ("building", "fetching", "loading")
        self.steps_box.setVisible(shown)
        if not shown:
            return
        self._steps_layout.addWidget(IconLine("ok", "green", "Check this computer", "done"))
        for position, (state, text) in enumerate(STEPS):
            if position < ORDER[status.state]:
                line = IconLine("ok", "green", text, "done")
            elif position == ORDER[status.state]:
                unit = "file" if state == "building" else "MB"
                done, total = status.done, status.total
                if state == "fetching" and total > 10_000:  # bytes
                    done, total = round(done / 1e6), round(total / 1e6)
                progress = f"{done:,} of {total:,} {unit}{'s' if unit == 'file' else ''}" if total else "now"
                line = IconLine("running", "teal", text, progress, weight=theme.BOLD)
            else:
                line = IconLine("clock", "mut", text, tone="mut")
            self._steps_layout.addWidget(line)

    def _show_buttons(self) -> None:
        state = self._status.state
        faces = {
            "failed": ("Start again", "retry"),
            "missing": ("Build it now", "chip"),
            "no_model": ("Fetch the small model", "download"),
        }
        self.main.setVisible(state in faces)
        if state in faces:
            self.main.set_face(*faces[state])
        self.sample.setVisible(self._has_sample and state not in faces)
        self.show_details.setVisible(bool(self._status.detail))
        self.show_details.set_face("Show details" if self.details.isHidden() else "Hide details")

    def _main(self) -> None:
        if self._status.state == "no_model":
            self.fetch_wanted.emit()
        else:
            self.retry_wanted.emit()

    def _toggle(self) -> None:
        self.details.setVisible(self.details.isHidden())
        self._show_buttons()


class ModelCard(Card):
    """Plain words about the model in use: the small one that comes with Fathom, or a person's own."""

    model_wanted = Signal()
    small_wanted = Signal()

    def __init__(self) -> None:
        super().__init__("panel", gap=4)
        self.small = QWidget()
        small = column(self.small, gap=4)
        small.addWidget(Label("The small model that comes with Fathom", "title", theme.BOLD, lines=0))
        small.addWidget(
            Label("Good enough to try everything offline. For answers to rely on, use a larger model.", lines=0)
        )
        small.addSpacing(4)
        small.addWidget(Label("It can", "label", theme.BOLD, "green"))
        small.addWidget(IconLine("ok", "green", "plan searches and read pages, step by step"))
        small.addWidget(IconLine("ok", "green", "show the passages it read, word by word"))
        small.addSpacing(4)
        small.addWidget(Label("It cannot", "label", theme.BOLD, "mut"))
        small.addWidget(IconLine("no", "mut", "be trusted with the answer: it is often wrong"))
        small.addWidget(IconLine("no", "mut", "know anything newer than its sources"))
        small.addWidget(IconLine("no", "mut", "replace your own look at the sources"))
        self.own = QWidget()
        own = column(self.own, gap=4)
        own.addWidget(Label("Your model", "title", theme.BOLD, lines=0))
        self.own_text = Label("", lines=0)
        own.addWidget(self.own_text)
        self.error_box = QWidget()
        self._error_layout = column(self.error_box, gap=4)
        self.error_box.hide()
        self.advice = IconLine("info", "mut", "", tone="mut")
        self.advice.hide()
        self.choose = Button("Choose a better model", "models", "link", flush=True, on_click=self.model_wanted.emit)
        self.back = Button("Use the small model again", "undo", "link", flush=True, on_click=self.small_wanted.emit)
        self.body.addWidget(self.small)
        self.body.addWidget(self.own)
        self.body.addWidget(self.error_box)
        self.body.addSpacing(4)
        self.body.addWidget(self.advice)
        self.body.addWidget(self.choose, 0, Qt.AlignmentFlag.AlignLeft)
        self.body.addWidget(self.back, 0, Qt.AlignmentFlag.AlignLeft)
        self.show_status(EngineStatus(state="loading", embedded=True), "")

    def show_status(self, status: EngineStatus, path: str) -> None:
        """``path`` is the person's own model file, "" for the small model."""
        self.small.setVisible(not path)
        self.own.setVisible(bool(path))
        self.back.setVisible(bool(path))
        self.choose.set_face("Choose another model" if path else "Choose a better model")
        self.own_text.setText(f"{status.model or 'It is being read'}\n{path}" if path else "")

    def show_recommended(self, model: str) -> None:
        """The model that is recommended for this computer, "" when there is none or a better one is here."""
        self.advice.label.setText(f"Recommended for this computer: {model}" if model else "")
        self.advice.setVisible(bool(model))

    def show_error(self, error: UserError | None) -> None:
        """Why a chosen file cannot be used; None takes it away."""
        while item := self._error_layout.takeAt(0):
            if widget := item.widget():
                widget.deleteLater()
        self.error_box.setVisible(error is not None)
        if error is not None:
            head = IconLine("warn", "red", error.message, weight=theme.BOLD)
            self._error_layout.addWidget(head)
            self._error_layout.addWidget(NeedsHasDo(error.needs, error.has, error.do))
