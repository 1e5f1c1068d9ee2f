"""The plain words of the timeline: a verb per tool, the argument that tells most, counts, durations.

Knows nothing of Qt and nothing of the state of a run.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping

from fathom.core.events import PermissionAnswered, PermissionAsked

VERBS: Mapping[str, str] = {
    "google_search": "Searched",
    "scrape_and_extract_info": "Opened a page",
    "run_python_code": "Calculated",
    "run_command": "Ran a command",
    "create_sandbox": "Made a workspace",
    "upload_file_from_local_to_sandbox": "Copied a file in",
    "download_file_from_internet_to_sandbox": "Fetched a file",
    "download_file_from_sandbox_to_local": "Saved a file",
}

RUNNING: Mapping[str, str] = {
    "google_search": "Searching",
    "scrape_and_extract_info": "Opening a page",
    "run_python_code": "Calculating",
    "run_command": "Running a command",
    "create_sandbox": "Making a workspace",
    "upload_file_from_local_to_sandbox": "Copying a file in",
    "download_file_from_sandbox_to_local": "Saving a file",
}

_COUNTED: Mapping[str, tuple[str, str]] = {
    "google_search": ("1 search", "{} searches"),
    "scrape_and_extract_info": ("1 page read", "{} pages read"),
    "run_python_code": ("1 calculation", "{} calculations"),
    "run_command": ("1 command", "{} commands"),
    "create_sandbox": ("1 workspace", "{} workspaces"),
    "upload_file_from_local_to_sandbox": ("1 file copied in", "{} files copied in"),
    "download_file_from_internet_to_sandbox": ("1 file fetched", "{} files fetched"),
    "download_file_from_sandbox_to_local": ("1 file saved", "{} files saved"),
}

_BY: Mapping[str, str] = {
    "person": "you said no",
    "silence": "no answer came in time",
    "headless": "there was nobody to ask",
    "end": "the run ended first",
}

_TELLING = ("q", "query", "url", "command", "code_block", "code", "local_file_path", "sandbox_file_path", "path")
_SPACE = re.compile(r"\s+")
MAX_ARGUMENT = 300  # characters of an argument that a row can ever show


def answered(asked: PermissionAsked, answer: PermissionAnswered) -> str:
    """What came of a question to the person."""
    did = {
        "page": f"open a page of {asked.host}",
        "search": f"search with {asked.host}",
        "tool": f"use {asked.address.partition(' ')[0]} of {asked.host}",
    }[asked.kind]
    if answer.answer == "refuse":
        return f"The model was not allowed to {did}: {_BY[answer.by]}."
    how = "once" if answer.answer == "once" else "for this session"
    return f"You allowed the model to {did}, {how}."


def verb(tool: str) -> str:
    """What the model did, in plain words; "Used" for a tool that is not known here."""
    return VERBS.get(tool, "Used")


def running_verb(tool: str) -> str:
    """What the model does while the tool runs; "Using" for a tool that is not known here."""
    return RUNNING.get(tool, "Using")


def main_argument(arguments: Mapping[str, object]) -> str:
    """The argument that tells most, on one line."""
    for name in _TELLING:
        value = arguments.get(name)
        if isinstance(value, str) and value.strip():
            return one_line(value)
    for value in arguments.values():
        if isinstance(value, str) and value.strip():
            return one_line(value)
    return ", ".join(f"{name} {value}" for name, value in arguments.items() if value not in (None, ""))[:MAX_ARGUMENT]


def one_line(text: str, limit: int = MAX_ARGUMENT) -> str:
    """``text`` with its white space folded, at most ``limit`` characters."""
    return _SPACE.sub(" ", text[: limit * 4]).strip()[:limit]


def count(number: int, one: str, many: str) -> str:
    """ "1 step", "1,204 steps"."""
    return f"{number:,} {one if number == 1 else many}"


def seconds(value: float) -> str:
    """ "0.8 s", "12 s", "3 min 20 s"; "" for no time at all: what was not run took none."""
    if value <= 0:
        return ""
    if value < 0.05:
        return "< 0.1 s"
    if value < 9.95:
        return f"{value:.1f} s"
    if value < 119.5:
        return f"{value:.0f} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def whole_seconds(value: float) -> str:
    """ "6 s", as a running clock shows it."""
    return f"{int(value)} s" if value < 120 else seconds(value)


def steps_label(first: int, last: int) -> str:
    """ "Step 3" or "Steps 1–7"."""
    return f"Step {first}" if first == last else f"Steps {first}–{last}"


def summary(tools: Iterable[str], failed: int) -> str:
    """ "5 searches, 2 pages read, 1 failed"; tools that are not known are counted as calls."""
    counted = Counter(tool if tool in _COUNTED else "" for tool in tools)
    parts = []
    for tool, (one, many) in _COUNTED.items():
        if number := counted[tool]:
            parts.append(one if number == 1 else many.format(number))
    if other := counted[""]:
        parts.append(count(other, "other call", "other calls"))
    if failed:
        parts.append(f"{failed} failed")
    return ", ".join(parts) or "thoughts only"
