"""A person's main path through the real app: ask by mouse, watch, read, export, close, come back."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from fathom.core.events import RunFinished
from fathom.ui.research.composer import examples
from real_window import Home, Window, eventually

pytestmark = [pytest.mark.e2e, pytest.mark.engine]

OpenWindow = Callable[[Home], Window]
THREE_ROWS = re.compile(r"^Step 1\..* Thought: (?!none\.).+ Action: .+ Observation", re.DOTALL)


def letters(text: str) -> str:
    """A text without what drawing adds or leaves out: spaces, marks, joiners."""
    return re.sub(r"\W+", "", text)


def rows(window: Window) -> list[str]:
    """Every row of the timeline, as a screen reader is told of it."""
    return [row.name for row in window.wait("List", "Steps of this run").children if row.role == "ListItem"]


def save_as(window: Window, name: str) -> None:
    """Ctrl+E, then the file dialog by keyboard."""
    window.desktop.keys("ctrl+e")
    field = window.wait("EditableText", "File name:", states="focused")
    assert field.text.endswith(".md")
    window.desktop.keys("ctrl+a")
    window.type_into("File name:", name)
    window.desktop.keys("Return")


def test_an_example_asked_by_one_click_ends_in_a_report_to_check_export_and_reopen(
    open_window: OpenWindow, tmp_path: Path
) -> None:
    home = Home(tmp_path / "home")
    window = open_window(home)
    question = examples()[0]
    assert home.newest() is None

    window.click("Button", question)
    eventually(lambda: window.find("ListItem", THREE_ROWS), "thought, action and observation are shown", every_s=0.05)
    session = home.asked(question)

    # Nothing else is touched until the run has ended by itself.
    eventually(lambda: home.store.get(session.id).state in ("done", "partial"), "the run ends", every_s=0.1)
    end = home.events(session)[-1]
    assert isinstance(end, RunFinished)
    assert end.finish_reason not in ("finish_now", "max_time", "stopped", "failed")
    window.wait("PageTab", "Report", states="selected")
    shown = window.wait("StaticText", "Report")
    assert letters(end.answer) in letters(shown.text)
    assert len(home.store.trajectory(session.id).steps) == sum(row.startswith("Step ") for row in rows(window))

    # Export: the question stands in the file, and what is there is not replaced unasked.
    save_as(window, "report")
    file = window.folder / "report.md"
    eventually(file.exists, "the report is saved")
    window.wait("StaticText", "Report saved as report.md")
    assert question in file.read_text("utf-8")
    assert all(citation.passage.title in file.read_text("utf-8") for citation in end.report.citations)
    file.write_text("mine", "utf-8")
    save_as(window, "report")
    window.wait("Button", "No", states="focused")
    window.desktop.keys("Escape")
    window.wait("EditableText", "File name:", states="focused")
    assert file.read_text("utf-8") == "mine"
    window.desktop.keys("Return")
    window.wait("Button", "Yes")
    window.desktop.keys("alt+y")
    eventually(lambda: question in file.read_text("utf-8"), "the file is replaced after a yes")
    window.wait_gone("Dialog", "Save the report")

    live = rows(window)
    window.close()

    again = open_window(home)
    again.click("ListItem", re.compile(f"^{re.escape(session.title)}. (Done|Not backed|No short answer)"))
    again.wait("PageTab", "Report", states="selected")
    assert rows(again) == live
    assert letters(again.wait("StaticText", "Report").text) == letters(shown.text)
    again.close()


def test_a_citation_opens_the_saved_passage_that_it_rests_on(open_window: OpenWindow, tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    session = home.add_finished(1, "How many moons has it?")
    window = open_window(home)
    window.click("ListItem", re.compile(f"^{re.escape(session.title)}"))
    window.wait("PageTab", "Report", states="selected")
    window.click_words("StaticText", "Report", "[1]")
    window.wait("StaticText", "Page 1")
    passage = window.wait("EditableText", "Saved passage")
    assert passage.text == "Words before it. The answer to “How many moons has it?” is eleven. Words after it."
    window.click("Button", "Step 1")
    window.wait("ListItem", re.compile(r"^Step 1\."), states="selected")
    window.close()
