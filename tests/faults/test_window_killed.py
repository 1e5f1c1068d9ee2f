"""kill -9 of the real window, or of its engine, in a run: what was shown as finished is there, and it goes on."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from fathom.core.events import (
    AnswerStarted,
    CallStarted,
    RunFailed,
    RunFinished,
    RunInterrupted,
    RunPaused,
    StepFinished,
    StepStarted,
)
from fathom.core.types import Session
from fathom.ui.research.composer import examples
from real_window import Home, Window, eventually

pytestmark = [pytest.mark.e2e, pytest.mark.engine]

OpenWindow = Callable[[Home], Window]


def finished(window: Window) -> dict[int, str]:
    """Thought, action and observation of each step that the window shows as finished; where it stands may change."""
    rows = [row.name for row in window.wait("List", "Steps of this run").children if row.name.startswith("Step ")]
    done = [row for row in rows if "Live:" not in row and "Cut off." not in row]
    return {int(row.split()[1].rstrip(".")): row[row.index("Thought:") :] for row in done}


def ask(window: Window) -> Session:
    question = examples()[0]
    window.click("Button", question)
    return window.home.asked(question)


def hold(window: Window) -> int:
    """Stop the engine, so that the run stays where it is; it still dies when the window dies."""
    engine = window.child("engine")
    os.kill(engine, signal.SIGSTOP)
    return engine


def open_step(home: Home, session: Session) -> int:
    """The step that has begun and not finished, 0 when there is none."""
    number = 0
    for event in home.events(session):
        if isinstance(event, StepStarted):
            number = event.step
        elif isinstance(event, StepFinished):
            number = 0
    return number


def while_it_acts(window: Window, session: Session) -> None:
    """Between CallStarted and ObservationReady: paused before the call, then let go with an engine that is stopped."""
    home = window.home
    for step in (1, 2):
        home.wait_event(session, StepStarted, step)
        window.click("Button", "Pause")
        window.wait("Button", "Resume")
        assert isinstance(home.events(session)[-1], RunPaused)
        if open_step(home, session):
            break
        window.click("Button", "Resume")  # too late for this step: it was finished already
    hold(window)
    window.click("Button", "Resume")
    home.wait_event(session, CallStarted, step)
    window.wait("ListItem", re.compile(rf"^Step {step}\. .*Action: .*running\.$"))


def while_it_thinks_in_step_3(window: Window, session: Session) -> None:
    """In the middle of step 3, when a part of its thought is shown."""
    window.home.wait_event(session, StepStarted, 3)
    engine = hold(window)
    thinks = re.compile(r"^Step 3\. .*Live: .*Thought: (?!none)")
    while not window.find("ListItem", thinks):  # on in short steps: a small model thinks in a few words
        os.kill(engine, signal.SIGCONT)
        eventually(lambda: window.tree(), "the window answers")
        os.kill(engine, signal.SIGSTOP)
    assert open_step(window.home, session) == 3


def while_it_writes_the_report(window: Window, session: Session) -> None:
    """After the last step, before the answer is there."""
    window.home.wait_event(session, AnswerStarted)
    hold(window)


def test_a_window_killed_at_any_moment_goes_on_from_its_last_finished_step(
    open_window: OpenWindow, tmp_path: Path
) -> None:
    home = Home(tmp_path / "home")
    window = open_window(home)
    session = ask(window)
    for moment in (while_it_acts, while_it_thinks_in_step_3, while_it_writes_the_report):
        moment(window, session)
        shown, cut = finished(window), open_step(home, session)
        assert not any(isinstance(event, RunFinished) for event in home.events(session))
        assert window.kill(), "the engine outlived the window"

        window = open_window(home)
        window.click("ListItem", re.compile(f"^{re.escape(session.title)}. Interrupted"))
        assert home.store.get(session.id).state == "interrupted"
        window.wait("Button", "Go on from here")
        assert isinstance(home.events(session)[-1], RunInterrupted)
        kept = finished(window)
        assert shown.items() <= kept.items()
        assert sorted(kept) == [step.index for step in home.store.trajectory(session.id).steps]
        marked = [step_of_row(row.name) for row in window.all("ListItem", re.compile("Cut off"))]
        assert marked == ([cut] if cut else [])
        window.click("Button", "Go on from here")

    eventually(lambda: home.store.get(session.id).state in ("done", "partial"), "the report is written", every_s=0.1)
    end = home.events(session)[-1]
    assert isinstance(end, RunFinished)
    window.wait("StaticText", "Report")
    assert kept.items() <= finished(window).items()
    window.close()


def step_of_row(name: str) -> int:
    """The number in "Step 3. ..."."""
    found = re.match(r"Step (\d+)\.", name)
    return int(found[1]) if found else 0


def test_a_killed_engine_leaves_the_window_and_is_started_again_by_one_click(
    open_window: OpenWindow, tmp_path: Path
) -> None:
    home = Home(tmp_path / "home", max_calls=2)
    window = open_window(home)
    session = ask(window)
    home.wait_event(session, StepStarted, 2)
    engine = window.child("engine")
    os.kill(engine, signal.SIGKILL)
    window.wait("StaticText", "The engine stopped. Your session is safe.")
    window.wait("Button", "Start again and go on")
    shown = finished(window)
    end = home.events(session)[-1]
    assert isinstance(end, RunFailed)
    assert end.engine
    assert "Traceback" not in f"{end.message} {end.has} {end.do}"
    assert home.store.get(session.id).state == "failed"

    window.click("Button", "Start again and go on")
    eventually(lambda: home.store.get(session.id).state in ("done", "partial"), "the report is written", every_s=0.1)
    assert isinstance(home.events(session)[-1], RunFinished)
    window.wait("StaticText", "Report")
    assert shown.items() <= finished(window).items()
    assert window.child("engine") != engine
    window.close(expected="the engine ended")
