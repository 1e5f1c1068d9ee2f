"""A run steered by mouse, and the window used by keyboard alone."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from fathom.core.events import (
    ObservationReady,
    RunFinished,
    RunPaused,
    RunResumed,
    RunStarted,
    RunStopped,
    StepFinished,
    StepStarted,
)
from fathom.ui.research.composer import examples
from real_window import Home, Window, eventually

pytestmark = [pytest.mark.e2e, pytest.mark.engine]

OpenWindow = Callable[[Home], Window]
QUESTION = "Who played Corliss Archer? 콜리스 아처"


def test_pause_finish_now_and_stop_are_three_things(open_window: OpenWindow, tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    window = open_window(home)
    window.wait("EditableText", "Your question", states="focused")
    window.type_into("Your question", QUESTION)
    window.desktop.keys("Return")
    session = home.asked(QUESTION)
    window.wait("StaticText", f"Question: {QUESTION}")

    # Pause holds the run, Resume lets it go on, and nothing is lost or done in between.
    home.wait_event(session, StepStarted, 1)
    window.click("Button", "Pause")
    window.wait("Button", "Resume")
    assert home.store.get(session.id).state == "paused"
    held = home.events(session)
    assert isinstance(held[-1], RunPaused)
    window.click("Button", "Resume")
    window.wait("Button", "Pause")
    events = home.wait_event(session, ObservationReady)
    assert events[: len(held)] == held
    assert isinstance(events[len(held)], RunResumed)

    # Finish now writes the report from what there is: a small model has to search twice before it may end by itself.
    home.wait_event(session, StepStarted, 2)
    window.click("Button", "Finish now")
    eventually(lambda: home.store.get(session.id).state in ("done", "partial"), "the report is written")
    end = home.events(session)[-1]
    assert isinstance(end, RunFinished)
    assert end.finish_reason == "finish_now"
    window.wait("PageTab", "Report", states="selected")
    window.wait("StaticText", "Report")

    # Stop ends the run without a report and keeps its finished steps.
    window.click("Button", "New question")
    window.click("Button", examples()[1])
    session = home.asked(examples()[1])
    home.wait_event(session, StepFinished)
    window.click("Button", "Stop")
    window.wait("Button", "Go on")
    assert home.store.get(session.id).state == "stopped"
    events = home.events(session)
    assert isinstance(events[-1], RunStopped)
    assert not any(isinstance(event, RunFinished) for event in events)
    assert window.wait("ListItem", re.compile(r"^Step 1\."))
    window.wait("ListItem", re.compile("^Stopped by you"))
    window.close()


def test_the_keyboard_alone_finds_a_session_and_asks(open_window: OpenWindow, tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    wanted = home.add_finished(1, "How deep is the Mariana Trench?")
    other = home.add_finished(2, "Who wrote Frankenstein?")
    window = open_window(home)
    window.wait("ListItem", re.compile(f"^{re.escape(other.title)}"))

    window.desktop.keys("ctrl+f")
    window.wait("EditableText", "Find a session", states="focused")
    window.type_into("Find a session", "mariana")
    window.wait_gone("ListItem", re.compile(f"^{re.escape(other.title)}"))
    window.desktop.keys("Down")
    window.wait("ListItem", re.compile(f"^{re.escape(wanted.title)}"), states="selected")
    window.wait("StaticText", f"Question: {wanted.title}")
    window.wait("ListItem", re.compile(r"^Step 1\. .*I look for this"))

    window.desktop.keys("ctrl+n")
    window.wait("EditableText", "Your question", states="focused")
    window.type_into("Your question", QUESTION)
    for name in ("Change what answers", "Change where Fathom looks", "Ask"):
        window.desktop.keys("Tab")
        window.wait("Button", name, states="focused")
    window.desktop.keys("space")
    session = home.asked(QUESTION)
    home.wait_event(session, StepStarted, 1)

    # The window can be closed in the middle of a run; what waited behind it starts by itself the next time.
    window.desktop.keys("ctrl+n")
    window.wait("EditableText", "Your question", states="focused")
    window.type_into("Your question", "What waits?")
    window.desktop.keys("Return")
    waiting = home.asked("What waits?")
    window.close()
    assert home.store.get(session.id).state == "interrupted"
    assert home.store.get(waiting.id).state == "waiting"
    again = open_window(home)
    home.wait_event(waiting, RunStarted)
    again.close()
