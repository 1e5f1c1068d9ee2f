"""Plain words for states, times and places, as the list, the header and the status bar say them. Knows no widgets."""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import date, datetime, timedelta

from fathom.core.events import EngineStatus, HostContacted
from fathom.core.types import Scope, Session, SessionState

STATE_ICONS: dict[SessionState, tuple[str, str]] = {
    # state: icon, token
    "waiting": ("clock", "mut"),
    "running": ("running", "teal"),
    "paused": ("pause", "orange"),
    "done": ("ok", "green"),
    "partial": ("half", "orange"),
    "stopped": ("stop", "mut"),
    "failed": ("warn", "red"),
    "interrupted": ("warn", "orange"),
}

STATE_WORDS: dict[SessionState, str] = {
    "waiting": "Waiting",
    "running": "Running",
    "paused": "Paused",
    "done": "Done",
    "partial": "No short answer",
    "stopped": "Stopped by you",
    "failed": "Failed",
    "interrupted": "Interrupted",
}


ASKS = -1  # in place of a step's number: the session waits for the person's answer


def count(number: int, one: str, many: str = "") -> str:
    """ "1 source", "5 sources"."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def status(session: Session, step: int = 0) -> tuple[str, str, str]:
    """Icon, token and words of a session's second line. ``step`` is the running one, 0 unknown, ASKS while it asks."""
    if step == ASKS and session.state in ("running", "paused"):
        return "hand", "orange", "Needs your answer"
    icon, token = STATE_ICONS[session.state]
    word = STATE_WORDS[session.state]
    more = ""
    if session.state == "done" and session.unbacked:
        icon, token = STATE_ICONS["partial"]
        word = "Not backed"
    if session.sample:
        icon, token, word = "library", "mut", "Sample"
    step = step or (session.steps + 1 if session.state == "running" else session.steps)
    if session.state in ("running", "paused") and step:
        more = f"step {step}"
    elif session.state == "waiting":
        more = "starts by itself"
    elif session.state in ("done", "partial"):
        more = count(session.sources, "source")
    elif session.state in ("failed", "interrupted"):
        more = f"{count(session.steps, 'step')} saved" if session.steps else ""
    return icon, token, f"{word}  ·  {more}" if more else word


def group(session: Session, today: date) -> str:
    """The heading under which a session stands in the list."""
    if session.sample:
        return "Samples"
    day = datetime.fromisoformat(session.created).astimezone().date()
    if day >= today:
        return "Today"
    return "Yesterday" if day == today - timedelta(days=1) else "Earlier"


GROUPS = ("Today", "Yesterday", "Earlier", "Samples")


def duration(seconds: float) -> str:
    """ "12 s", "3 min", "1 h 5 min"."""
    if seconds < 59.5:
        return f"{round(seconds)} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, rest = divmod(minutes, 60)
    return f"{hours} h {rest} min" if rest else f"{hours} h"


def clock(seconds: float) -> str:
    """Time that ticks: "0:12", "6:03", "1:05:12"."""
    whole = int(seconds)
    hours, rest = divmod(whole, 3600)
    minutes, last = divmod(rest, 60)
    return f"{hours}:{minutes:02}:{last:02}" if hours else f"{minutes}:{last:02}"


def time_left(eta_s: float | None) -> str:
    """ "about 4 min left", or that it is not known."""
    if eta_s is None:
        return "time left not known yet"
    return f"about {duration(max(1.0, math.ceil(eta_s)))} left"


def places(scope: Scope, documents: int | None = None) -> str:
    """ "Sample library · My documents (212) · Web off"; ``documents`` is how many there are, None when not known."""
    parts = ["Sample library" if scope.sample else "Sample library off"]
    if not scope.documents:
        parts.append("My documents off")
    elif documents != 0:
        parts.append("My documents" if documents is None else f"My documents ({documents:,})")
    parts.append(("Web on, asks first" if scope.ask else "Web on") if scope.web else "Web off")
    return "  ·  ".join(parts)


def place(uri: str) -> str:
    """Where a source is, for people: "Sample library", "My documents", another program, or the address on the web."""
    if uri.startswith("mcp://"):
        return f"Tool of {uri.removeprefix('mcp://').partition('/')[0]}"
    if not uri.startswith("library://"):
        return uri
    return "Sample library" if uri.startswith("library://sample/") else "My documents"


_LEFT = {"search": "search words", "page": "pages", "tool": "calls of tools"}


def contacts(events: Iterable[HostContacted]) -> list[str]:
    """Each host once, with what went there: "example.org (search words and pages)"."""
    kinds: dict[str, set[str]] = {}
    for event in events:
        kinds.setdefault(event.host, set()).add(_LEFT[event.kind])
    return [f"{host} ({' and '.join(sorted(what, reverse=True))})" for host, what in kinds.items()]


def engine(status: EngineStatus) -> tuple[str, str, str]:
    """Icon, token and words of the engine's state for the status bar."""
    model = "the small model" if status.embedded else status.model or "the model"
    match status.state:
        case "ready":
            return "ok", "green", f"Model ready: {model}, on {status.server or 'this computer'}"
        case "building":
            done = f": {status.done} of {count(status.total, 'file')}" if status.total else ""
            return "running", "teal", f"Building the local engine{done}, {time_left(status.eta_s)}"
        case "fetching":
            return "running", "teal", f"Fetching {model}, {time_left(status.eta_s)}"
        case "loading":
            return "running", "teal", status.message if status.server or not status.model else f"Loading {model}"
        case "missing":
            return "warn", "orange", status.message or "The local engine is not installed"
        case "unloaded":
            return "pause", "mut", "No model is loaded: the next question loads it"
        case "no_model":
            return "warn", "orange", status.message or "No model yet"
        case "failed":
            return "warn", "red", status.message or "The engine stopped"
