"""Plain words for collections, files and sizes, as the Library area says them. Knows no widgets."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from fathom.ui.research.words import count, duration, time_left

if TYPE_CHECKING:
    from fathom.services.library_service import Collection, IndexProgress, Preference

PREFERENCES: tuple[tuple[Preference, str, str], ...] = (
    ("normal", "Counts as usual", "Its results stand where their words put them."),
    ("pinned", "Pinned", "Its results weigh half as much again."),
    ("blocked", "Blocked", "Never searched when a question is asked."),
)


def preference_word(preference: Preference) -> str:
    """ "Pinned"."""
    return next(word for name, word, _ in PREFERENCES if name == preference)


def state(collection: Collection, progress: IndexProgress | None, missing: bool) -> tuple[str, str, str]:
    """Icon, token and words of a collection's second line."""
    documents = count(collection.documents, "document")
    if progress is not None:
        return "running", "teal", running(progress)
    if missing:
        what = "Folder not found" if Path(collection.path).suffix == "" else "File not found"
        return "warn", "orange", f"{what}  ·  {documents}"
    if not collection.indexed:
        return "pause", "orange", f"Stopped  ·  {documents}"
    if collection.failed:
        return "half", "orange", f"{documents}  ·  {len(collection.failed):,} not read"
    return "ok", "green", documents


def running(progress: IndexProgress) -> str:
    """ "Reading 340 of 1,200 · about 2 min left" in the room of a list."""
    if progress.state == "waiting":
        return "Waiting  ·  starts by itself"
    if progress.state == "looking" or not progress.files:
        return "Looking for files"
    if progress.files == 1:
        share = progress.done / progress.total if progress.total else 0.0
        return f"{count(progress.documents, 'document')}  ·  {share:.0%}"
    left = f"{duration(max(1.0, progress.eta_s))} left" if progress.eta_s is not None else "time not known yet"
    return f"{progress.files_done:,} of {progress.files:,}  ·  {left}"


def progress_line(progress: IndexProgress) -> str:
    """The same with room: files, time left, and what could not be read."""
    if progress.state == "waiting":
        return "Waits until the folder before it is read, then starts by itself"
    if progress.state == "looking" or not progress.files:
        return "Looking for files"
    parts = [f"{progress.files_done:,} of {count(progress.files, 'file')}", time_left(progress.eta_s)]
    if progress.files == 1:
        parts[0] = f"{count(progress.documents, 'document')} so far"
    if progress.failed:
        parts.append(f"{progress.failed:,} could not be read")
    return "  ·  ".join(parts)


def looked(indexed: str) -> str:
    """ "Read today, 14:02"; "not read to the end"."""
    if not indexed:
        return "not read to the end"
    moment = datetime.fromisoformat(indexed).astimezone()
    return f"Looked through {_day(moment.date())}, {moment:%H:%M}"


def _day(day: date) -> str:
    today = date.today()
    if day == today:
        return "today"
    return "yesterday" if day == today - timedelta(days=1) else f"on {day.day} {day:%b %Y}"


def size(octets: int) -> str:
    """ "12 KB", "3.4 MB"."""
    if octets < 1000:
        return f"{octets} bytes"
    if octets < 1_000_000:
        return f"{octets / 1000:.0f} KB"
    return f"{octets / 1_000_000:.1f} MB"


def short_path(path: str) -> str:
    """The path with "~" for the home folder."""
    try:
        return f"~/{Path(path).relative_to(Path.home()).as_posix()}".removesuffix("/.")
    except ValueError:
        return path


def place(path: str, root: str) -> str:
    """Where a file lies, as seen from its collection's folder."""
    if root:
        try:
            return Path(path).relative_to(root).as_posix()
        except ValueError:
            pass
    return short_path(path)


def details(author: str, date_text: str, pages: int = 0) -> list[str]:
    """What a document tells of itself, as parts of a line."""
    parts = [part for part in (author, date_text[:10]) if part]
    if pages:
        parts.append(count(pages, "page"))
    return parts
