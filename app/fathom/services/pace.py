"""How long a question takes with a model: estimated from a probe of 20 s at most, later its sessions' median.

The probe reads a paragraph and writes up to 64 tokens, then reads a page. An estimate is always said to be one. Kept in
``models/pace.json`` by the model's path, since the speed is this computer's.
"""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import msgspec

from fathom.core.errors import EngineError
from fathom.core.events import GenerationFinished, TokenDelta
from fathom.core.protocols import Engine, GenerateRequest
from fathom.core.types import Message, Sampling, Session, Struct, Usage
from fathom.prompting.profiles import Profile

PROBE_S = 20.0
WRITE_TOKENS = 64
MEASURED_SESSIONS = 3  # from so many finished sessions on their median counts
COMPARABLE = 4.0  # the speed of another model says something about one at most so many times its size

TURNS = 6  # of a typical question: searches and pages
TOOL_S = 1.0  # a turn's search or page
CHARS_PER_TOKEN = 4

_PARAGRAPH = (
    "The harbour of the town was dug in 1843, after the old mole had been carried away by the sea for the third time. "
    "Stone came by barge from the quarries up the coast, and the work took eleven years and two hundred men. "
)
_TASK = "Say in a few plain sentences what this text tells."
SHORT = f"{_PARAGRAPH}\n{_TASK}"
PAGE = f"{_PARAGRAPH * 12}\n{_TASK}"


class Probe(Struct, frozen=True):
    """What a probe measured of a loaded model."""

    prefill_tokens_per_s: float
    decode_tokens_per_s: float
    text: str = ""
    seconds: float = 0.0
    device: str = "cpu"
    when: str = ""


class Pace(Struct, frozen=True):
    """Seconds a question, and how that is known. ``sessions`` is how many were measured."""

    seconds: float
    source: Literal["measured", "estimate", "rough"]
    sessions: int = 0


async def probe(engine: Engine, limit_s: float = PROBE_S) -> Probe:
    """Let the model read and write for ``limit_s`` at most. Raises EngineError when it writes nothing in that time.

    First a short text, which even a slow model gets through; then, when there is time for it, a page, since many tokens
    at once are read faster than few.
    """
    started = time.monotonic()
    first = await _run(engine, SHORT, WRITE_TOKENS, limit_s)
    if first is None:
        raise EngineError(f"The model wrote nothing within {limit_s:.0f} s: it is too slow for this computer.")
    prefill, decode, text = first
    left = limit_s - (time.monotonic() - started)
    if prefill > 0 and len(PAGE) / CHARS_PER_TOKEN / prefill < left:
        page = await _run(engine, PAGE, 1, left)
        prefill = max(prefill, page[0]) if page is not None else prefill
    return Probe(
        prefill_tokens_per_s=prefill,
        decode_tokens_per_s=decode,
        text=printable(text),
        seconds=time.monotonic() - started,
        device=engine.info.device,
        when=datetime.now(UTC).isoformat(timespec="seconds"),
    )


async def _run(engine: Engine, prompt: str, tokens: int, limit_s: float) -> tuple[float, float, str] | None:
    """Tokens read a second, tokens written a second, and the text; None when nothing came in time."""
    request = GenerateRequest(
        messages=(Message(role="user", content=prompt),),
        max_tokens=tokens,
        sampling=Sampling(temperature=0.0, repeat_penalty=1.0),
    )
    text, usage = "", Usage()
    started = time.monotonic()
    first: float | None = None
    try:
        async with asyncio.timeout(max(limit_s, 0.001)), contextlib.aclosing(engine.generate(request)) as events:
            async for event in events:
                if isinstance(event, TokenDelta):
                    first = first if first is not None else time.monotonic()
                    text += event.text
                elif isinstance(event, GenerationFinished):
                    usage = event.usage
    except TimeoutError:
        if first is None:
            return None
    now = time.monotonic()
    read = usage.prompt_tokens - usage.reused_tokens
    if usage.completion_tokens and usage.prefill_seconds > 0 and read > 0:
        return read / usage.prefill_seconds, usage.tokens_per_second, text
    if first is None:
        return None
    # Time ran out, or the engine keeps no count: from what came until then.
    per_s = len(text) / CHARS_PER_TOKEN / max(now - first, 1e-3)
    return len(prompt) / CHARS_PER_TOKEN / max(first - started, 1e-3), per_s, text


def estimate_s(measured: Probe, profile: Profile) -> float:
    """Seconds of a typical question: six turns that each read a result and write a thought and a call, then the answer.

    The first prompt and every result are read once, and when old results leave the view what follows is read again.
    """
    if measured.prefill_tokens_per_s <= 0 or measured.decode_tokens_per_s <= 0:
        return 0.0
    result = profile.observation_chars / CHARS_PER_TOKEN
    written = min(profile.thought_tokens, 250) + 60
    prompt = 700 if profile.compact else 2200
    read = prompt + TURNS * (result + written) + 2 * result  # two results are read again after one left the view
    wrote = TURNS * written + min(profile.answer_tokens, 500)
    return read / measured.prefill_tokens_per_s + wrote / measured.decode_tokens_per_s + TURNS * TOOL_S


def scaled(measured: Probe, active_bytes: float, other_active_bytes: float) -> Probe | None:
    """What another model may do, from the bytes that each reads for a token; None when the sizes are too far apart."""
    ratio = active_bytes / other_active_bytes
    if not 1 / COMPARABLE <= ratio <= COMPARABLE:
        return None
    return Probe(
        prefill_tokens_per_s=measured.prefill_tokens_per_s * ratio,
        decode_tokens_per_s=measured.decode_tokens_per_s * ratio,
        device=measured.device,
    )


def measured(sessions: Iterable[Session], model_name: str) -> Pace | None:
    """The median of the model's finished sessions, None before there are three."""
    seconds = [
        one.seconds
        for one in sessions
        if one.model_name == model_name and one.state in ("done", "partial") and one.steps and not one.sample
    ]
    if len(seconds) < MEASURED_SESSIONS:
        return None
    return Pace(seconds=statistics.median(seconds), source="measured", sessions=len(seconds))


def printable(text: str, limit: int = 2000) -> str:
    """Foreign text for a terminal or a label: on one line, without control characters and marks of a markup."""
    kept = "".join(c if c.isprintable() and c not in "<>" else " " for c in text[: limit * 2])
    return " ".join(kept.split())[:limit]


class ProbeBook:
    """The probes of this computer, in a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._probes = msgspec.json.decode(path.read_bytes(), type=dict[str, Probe])
        except (OSError, msgspec.MsgspecError):
            self._probes = {}

    def get(self, model_path: str) -> Probe | None:
        """The last probe of a model, None when there was none."""
        return self._probes.get(model_path)

    def all(self) -> dict[str, Probe]:
        """Every probe by the model's path."""
        return dict(self._probes)

    def put(self, model_path: str, found: Probe) -> None:
        """Keep a probe."""
        self._probes[model_path] = found
        self._path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self._path.with_suffix(".tmp")
        temporary.write_bytes(msgspec.json.encode(self._probes))
        temporary.replace(self._path)


def words(found: Pace | None) -> str:
    """ "about 4 min a question, measured here"."""
    if found is None:
        return "Minutes a question not known yet"
    minutes = found.seconds / 60
    span = (
        f"{found.seconds:.0f} s"
        if found.seconds < 55
        else f"{minutes:.0f} min"
        if minutes < 90
        else f"{minutes / 60:.0f} h"
    )
    how = {
        "measured": f"measured in {found.sessions} sessions",
        "estimate": "estimate from a test here",
        "rough": "rough estimate from another model",
    }[found.source]
    return f"About {span} a question  ·  {how}"
