"""How late the window's event loop is while tokens stream into a long run, and how long opening that run takes.

600 steps with 8 MB of text in the timeline and the detail pane, older steps shown, 100 tokens a second with a whole
step every two seconds. Lag is what a 5 ms timer comes late.
"""

from __future__ import annotations

import os
import statistics
import time

from options import Options

TARGETS = {"ui_lag_ms_p95": ("at most", 16)}
STEPS = 600
TEXT_CHARS = 13_000  # of an observation: 600 of them are 7.8 MB
TOKENS_PER_S = 100
TICK_MS = 5
SECONDS = 12.0


def _events(first: int, last: int) -> list[object]:
    from fathom.core.events import CallStarted, ObservationReady, StepFinished, StepStarted
    from fathom.core.types import Observation, Passage, Step, ToolCall

    events: list[object] = []
    for number in range(first, last + 1):
        text = f"Passage of step {number}. " + "Some words of a page that was read for this step. " * (TEXT_CHARS // 50)
        thought = f"Step {number}: " + "the numbers differ between the two pages, so I look at the table again. " * 3
        call = ToolCall(id=f"{number}.0", name="google_search", arguments={"q": f"the table of step {number}"})
        passage = Passage(uri=f"library:doc/{number}", title=f"Document {number}", text=text[:4000], end=4000)
        best = f"Passage of step {number}."
        result = Observation(
            call_id=call.id, tool=call.name, text=text, title=f"Document {number}", best=best, passages=(passage,)
        )
        view = tuple(range(max(1, number - 5), number))
        events += [
            StepStarted(step=number, in_view=view, prompt_tokens=6000),
            CallStarted(step=number, call_id=call.id, name=call.name, arguments=dict(call.arguments), thought=thought),
            ObservationReady(step=number, observation=result),
            StepFinished(step=Step(index=number, thought=thought, calls=(call,), observations=(result,))),
        ]
    return events


def _p95(values: list[float]) -> float:
    return statistics.quantiles(values, n=20)[18]


def measure(_options: Options) -> dict[str, float]:
    """ui_lag_ms_p95, ui_lag_ms_max, ui_open_ms (to the first paint, median of 3), ui_resize_ms (median of 5)."""
    if not os.environ.get("DISPLAY") and not os.environ.get("WAYLAND_DISPLAY"):
        os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    from PySide6.QtCore import QEventLoop, Qt, QTimer
    from PySide6.QtWidgets import QApplication, QHBoxLayout, QWidget

    from fathom.core.events import RunStarted, StepStarted, ThoughtDelta
    from fathom.core.types import Task
    from fathom.ui import theme
    from fathom.ui.research.detail import DetailPane
    from fathom.ui.research.timeline import Timeline

    app = QApplication.instance() or QApplication([])
    assert isinstance(app, QApplication)
    theme.apply(app, "light")
    window = QWidget()
    timeline, detail = Timeline(), DetailPane()
    layout = QHBoxLayout(window)
    layout.addWidget(timeline)
    layout.addWidget(detail)
    window.resize(1120, 800)
    window.show()
    app.processEvents()

    events = [RunStarted(task=Task(question="?"), keep=5), *_events(1, STEPS)]
    opened = []
    for _ in range(3):
        began = time.perf_counter()
        timeline.load(events)  # type: ignore[arg-type]
        detail.load(None, events)  # type: ignore[arg-type]
        window.repaint()
        app.processEvents()
        opened.append((time.perf_counter() - began) * 1000)
    timeline.model.toggle_fold()
    timeline.jump_to_latest()
    resized = []
    for width in (1110, 1100, 1090, 1080, 1120):
        began = time.perf_counter()
        window.resize(width, 800)
        window.repaint()
        app.processEvents()
        resized.append((time.perf_counter() - began) * 1000)

    lags: list[float] = []
    state = {"step": STEPS, "tokens": 0, "tick": time.perf_counter(), "began": time.perf_counter()}

    def send(event: object) -> None:
        timeline.handle(event)  # type: ignore[arg-type]
        detail.handle(event)  # type: ignore[arg-type]

    def stream() -> None:
        due = (time.perf_counter() - state["began"]) * TOKENS_PER_S
        while state["tokens"] < due:
            if state["tokens"] % (2 * TOKENS_PER_S) == 0:
                if state["tokens"]:
                    for event in _events(int(state["step"]), int(state["step"]))[1:]:
                        send(event)
                state["step"] += 1
                number = int(state["step"])
                send(StepStarted(step=number, in_view=tuple(range(number - 5, number)), prompt_tokens=6000))
            send(ThoughtDelta(step=int(state["step"]), text=" token"))
            state["tokens"] += 1

    def tick() -> None:
        now = time.perf_counter()
        lags.append(max(0.0, (now - state["tick"]) * 1000 - TICK_MS))
        state["tick"] = now

    loop = QEventLoop()
    tokens, clock = QTimer(), QTimer()
    for timer, interval, slot in ((tokens, 1000 // TOKENS_PER_S, stream), (clock, TICK_MS, tick)):
        timer.setTimerType(Qt.TimerType.PreciseTimer)
        timer.timeout.connect(slot)
        timer.start(interval)
    state["tick"] = state["began"] = time.perf_counter()
    QTimer.singleShot(int(SECONDS * 1000), loop.quit)
    loop.exec()
    tokens.stop()
    clock.stop()
    assert state["tokens"] >= SECONDS * TOKENS_PER_S * 0.8, "the tokens did not flow: the figure would mean nothing"
    window.close()
    return {
        "ui_lag_ms_p95": _p95(lags),
        "ui_lag_ms_max": max(lags),
        "ui_open_ms": statistics.median(opened),
        "ui_resize_ms": statistics.median(resized),
    }
