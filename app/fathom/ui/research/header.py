"""The header of a session: the question, where it looks, time and sources, what can be done, and the model's memory.

Live and reopened sessions arrive as the same events. Says what was wanted through signals; does nothing itself.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QWidget

from fathom.core.events import (
    AgentEvent,
    AnswerStarted,
    ObservationReady,
    RunFailed,
    RunFinished,
    RunInterrupted,
    RunPaused,
    RunResumed,
    RunStarted,
    RunStopped,
    StepFinished,
    StepStarted,
)
from fathom.core.types import Session
from fathom.ui import theme
from fathom.ui.research import words
from fathom.ui.widgets.buttons import Button
from fathom.ui.widgets.cards import Bar, column, row
from fathom.ui.widgets.labels import Icon, Label

NEARLY_FULL = 0.9
ROOM_FOR_ICONS = 820
ENDED = ("done", "partial", "stopped", "failed", "interrupted")


class Header(QWidget):
    """Everything above the timeline. One signal per wish."""

    pause_wanted = Signal()
    resume_wanted = Signal()
    finish_wanted = Signal()
    stop_wanted = Signal()
    go_on_wanted = Signal()
    export_wanted = Signal()
    copy_wanted = Signal()
    elsewhere_wanted = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.setProperty("ground", "panel")
        self._session: Session | None = None
        self._documents: int | None = None
        self._since = time.monotonic()
        self._sources: set[str] = set()
        self._results = 0
        self._steps = 0
        self._writing = False
        self._finishing = False
        self._pausing = False
        self._scripted = False
        self._unbacked = False

        outer = column(self, gap=4, margins=(24, 12, 24, 11))
        top = row(gap=24)
        bottom = row(gap=24)
        outer.addLayout(top)
        outer.addStretch(1)
        outer.addLayout(bottom)
        self.question = Label("", "page", theme.BOLD, lines=3)
        self.question.setMinimumWidth(200)
        looks = row(gap=8)
        self.places = Label("", tone="mut", lines=3)  # one line in any window of comfortable width
        self.places.setMinimumWidth(120)
        self.elsewhere = Button("Ask elsewhere", kind="link", on_click=self.elsewhere_wanted.emit)
        self.elsewhere.setToolTip("A session keeps its places to the end. This asks the same question anew.")
        looks.addWidget(Icon("folder"))
        looks.addWidget(self.places)
        looks.addWidget(self.elsewhere)
        looks.addStretch(1)
        facts = row(gap=8)
        self.facts_icon = Icon("clock")
        self.facts = Label("", weight=theme.MEDIUM)
        facts.addWidget(self.facts_icon)
        facts.addWidget(self.facts, 1)
        left = column(gap=2)
        left.addLayout(looks)
        left.addLayout(facts)
        top.addWidget(self.question, 1, Qt.AlignmentFlag.AlignTop)
        bottom.addLayout(left, 1)

        buttons = row(gap=8)
        self.pause = Button("Pause", "pause", on_click=self._pause_or_resume)
        self.finish = Button("Finish now", "flag", on_click=self._finish)
        self.stop = Button("Stop", "stop", on_click=self.stop_wanted.emit)
        self.go_on = Button("Go on", "play", on_click=self.go_on_wanted.emit)
        self.copy = Button("Copy report", "copy", on_click=self.copy_wanted.emit)
        self.export = Button("Export", "export", on_click=self.export_wanted.emit)
        self._buttons = (self.pause, self.finish, self.stop, self.go_on, self.copy, self.export)
        for button in self._buttons:
            buttons.addWidget(button)
        top.addLayout(buttons)
        top.setAlignment(buttons, Qt.AlignmentFlag.AlignTop)
        self.memory = QWidget()
        memory = column(self.memory, gap=4)
        memory_words = row(gap=4)
        self.memory_icon = Icon("warn", "orange")
        self.memory_words = Label("", "label", tone="mut", fit=True)
        memory_words.addWidget(self.memory_icon)
        memory_words.addWidget(self.memory_words)
        memory_words.addStretch(1)
        self.memory_bar = Bar(width=240)
        memory.addLayout(memory_words)
        memory.addWidget(self.memory_bar)
        bottom.addWidget(self.memory, 0, Qt.AlignmentFlag.AlignBottom)

        self._tick = QTimer(self, interval=1000)
        self._tick.timeout.connect(self._show_facts)

    def resizeEvent(self, event: QResizeEvent) -> None:
        roomy = event.size().width() >= ROOM_FOR_ICONS
        for button in self._buttons:
            button.show_icon(roomy)
        super().resizeEvent(event)

    # --- what it is told ------------------------------------------------------------------------------------------

    def load(self, session: Session, events: Sequence[AgentEvent], documents: int | None = None) -> None:
        """Show another session from its events so far. ``documents`` is how many of the person's own it may look in."""
        self._session = session
        self._documents = documents
        self._since = time.monotonic()
        self._sources, self._results, self._steps = set(), 0, session.steps
        self._writing = self._finishing = self._pausing = False
        self._scripted = self._unbacked = False
        self.memory_words.setText("")
        self.memory.hide()
        self.question.setText(session.task.question)
        self.question.setAccessibleName(f"Question: {session.task.question}")
        for event in events:
            self._take(event)
        self._show()

    def handle(self, event: AgentEvent) -> None:
        """One more event of the session shown."""
        if self._take(event):
            self._show()

    def set_session(self, session: Session) -> None:
        """The session shown changed its state."""
        self._session = session
        self._since = time.monotonic()
        self._steps = max(self._steps, session.steps)
        if session.state in ENDED:
            self._writing = self._finishing = self._pausing = False
        self._show()

    # --- inside ---------------------------------------------------------------------------------------------------

    def _take(self, event: AgentEvent) -> bool:
        match event:
            case StepStarted():
                self._writing = False
                self._show_memory(event.prompt_tokens, event.context_tokens, len(event.in_view))
            case ObservationReady(observation=observation):
                self._results += 1
                self._sources |= {passage.uri for passage in observation.passages}
            case StepFinished(step=step):
                self._steps = max(self._steps, step.index)
            case AnswerStarted():
                self._writing = True
            case RunStarted(scripted=scripted):
                self._scripted = scripted
                self._writing = self._finishing = self._pausing = False
            case RunResumed():
                self._writing = self._finishing = self._pausing = False
            case RunFinished(report=report):
                self._unbacked = report.unbacked
            case RunStopped() | RunFailed() | RunInterrupted() | RunPaused():
                pass
            case _:
                return False
        return True

    def _show_memory(self, used: int, whole: int, seen: int) -> None:
        if not whole:
            self.memory.hide()
            return
        share = used / whole
        full = share >= NEARLY_FULL
        sees = f"  ·  sees {seen} of {words.count(self._results, 'result')}" if self._results else ""
        text = f"Memory {share:.0%}{', nearly full' if full else ''}{sees}".replace("%", " %")
        self.memory_words.setText(text)
        self.memory_words.set_tone("orange" if full else "mut")
        self.memory_icon.setVisible(full)
        self.memory_bar.set_share(share, "orange" if full else "ink")
        self.memory.setToolTip(f"{used:,} of {whole:,} tokens of the model’s memory are used.")
        self.memory.setAccessibleName(text)
        self.memory.show()

    def _elapsed(self) -> float:
        assert self._session is not None
        running = self._session.state == "running"
        return self._session.seconds + (time.monotonic() - self._since if running else 0.0)

    def _doing(self) -> str:
        if self._writing:
            return "writing the report"
        if self._finishing:
            return "finishing after this step"
        return "pausing after what it does now" if self._pausing else ""

    def _show_facts(self) -> None:
        session = self._session
        if session is None:
            return
        found = len(self._sources) or session.sources
        sources = words.count(found, "source")
        icon, token = words.STATE_ICONS[session.state]
        match session.state:
            case "waiting":
                text = "Waiting: it starts by itself as soon as the engine is free"
            case "running":
                text = "  ·  ".join(part for part in (words.clock(self._elapsed()), sources, self._doing()) if part)
                icon, token = "clock", "mut"
            case "paused":
                text = f"Paused  ·  {words.clock(self._elapsed())}  ·  {sources}"
            case "done":
                text = f"Done in {words.duration(session.seconds)}  ·  {sources}"
                if self._unbacked:
                    icon, token = "half", "orange"
                    text += "  ·  no saved passage contains the short answer"
            case "partial":
                text = f"Ended without a short answer after {words.duration(session.seconds)}  ·  {sources}"
            case _:
                saved = f"{words.count(self._steps, 'step')} saved" if self._steps else ""
                parts = (words.STATE_WORDS[session.state], saved, sources if found else "")
                text = "  ·  ".join(part for part in parts if part)
        if self._scripted:
            text += "  ·  demonstration: the model follows a script"
        elif session.sample:
            text += f"  ·  recorded with {session.model_name}" if session.model_name else "  ·  a recording"
        elif session.answered_by and session.state in ("running", "paused", "done", "partial"):
            text += f"  ·  {session.answered_by}"
        self.facts.setText(text)
        self.facts_icon.set_icon(icon, token)

    def _show(self) -> None:
        session = self._session
        assert session is not None
        looks = "Looked in" if session.state in ENDED else "Looks in"
        self.places.setText(f"{looks}: {words.places(session.task.scope, self._documents)}")
        ended = session.state in ENDED
        self.pause.setVisible(not ended)
        self.finish.setVisible(not ended)
        self.stop.setVisible(not ended)
        self.go_on.setVisible(session.state == "stopped")  # after an error the banner offers it
        self.go_on.set_face("Go on" if self._steps else "Start again", "play")
        self.copy.setVisible(session.state in ("done", "partial"))
        self.memory.setVisible(not ended and bool(self.memory_words.text()) and session.state != "waiting")
        waiting = "It has not started yet." if session.state == "waiting" else ""
        busy = "The report is being written." if self._writing else ""
        asked = "It finishes after this step." if self._finishing else ""
        held = "It pauses after what it is doing now." if self._pausing and session.state != "paused" else ""
        if session.state == "paused":
            self.pause.set_face("Resume", "play")
        else:
            self.pause.set_face("Pause", "pause")
        self.pause.offer(waiting or busy or asked or held, "Holds the run after what it is doing now")
        self.finish.offer(waiting or busy or asked, "Writes the report from what there is")
        self.stop.offer("", "Ends the run without a report; finished steps stay saved")
        nothing = "" if self._steps or self._results else "There is nothing to export yet."
        self.export.offer(nothing, "Saves the report as a Markdown file (Ctrl+E)")
        if session.state == "running":
            self._tick.start()
        else:
            self._tick.stop()
        self._show_facts()

    def _pause_or_resume(self) -> None:
        if self._session is not None and self._session.state == "paused":
            self._pausing = False
            self.resume_wanted.emit()
        else:
            self._pausing = True
            self.pause_wanted.emit()
            self._show()

    def _finish(self) -> None:
        self._finishing = True
        self.finish_wanted.emit()
        self._show()
