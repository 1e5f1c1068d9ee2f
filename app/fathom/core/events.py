"""What happens, as two tagged unions: AgentEvent of a run, EngineEvent of one generation; and the engine's state.

Each has ``type`` in its JSON form, the class's name. Deltas pass by; whatever is not a delta is in the database before
anybody sees it.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from fathom.core.types import (
    FinishReason,
    Observation,
    PermissionAnswer,
    PermissionKind,
    Report,
    Step,
    Task,
    ToolChoice,
    Usage,
)


class Event(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Base of all events."""


# --- of a run -----------------------------------------------------------------------------------------------------


class RunStarted(Event, frozen=True):
    """A run begins, or goes on from ``first_step`` after an interruption."""

    task: Task
    model: str = ""
    keep: int = 5
    max_calls: int = 600
    context_tokens: int = 0
    first_step: int = 1
    scripted: bool = False


class StepStarted(Event, frozen=True):
    """A turn begins. ``in_view``: the steps whose observations the model sees; ``prompt_tokens``: the prompt's size.

    ``block``: up to so many results more than K stay in view before they leave together (fast memory), 0 for strict K.
    """

    step: int
    tool_choice: ToolChoice = "auto"
    in_view: tuple[int, ...] = ()
    prompt_tokens: int = 0
    context_tokens: int = 0
    block: int = 0


class PromptProgress(Event, frozen=True):
    """The model reads: ``done`` of ``total`` prompt tokens are evaluated."""

    step: int
    done: int
    total: int


class ThoughtDelta(Event, frozen=True):
    """More text of the thought."""

    step: int
    text: str


class CallDelta(Event, frozen=True):
    """The model writes a call: raw text, for a sign of life only."""

    step: int
    text: str


class CallStarted(Event, frozen=True):
    """A tool runs."""

    step: int
    call_id: str
    name: str
    arguments: dict[str, object]
    thought: str = ""  # the whole thought, so that a step that is cut off later keeps it


class ObservationReady(Event, frozen=True):
    """A tool returned."""

    step: int
    observation: Observation


class StepFinished(Event, frozen=True):
    """The turn is complete. ``tokens_per_second`` is the decode speed."""

    step: Step
    tokens_per_second: float = 0.0


class AnswerStarted(Event, frozen=True):
    """The report is being written from the trace."""

    reason: FinishReason
    prompt_tokens: int = 0


class AnswerDelta(Event, frozen=True):
    """More text of the final answer."""

    text: str


class Notice(Event, frozen=True):
    """Something a person should know: a fall-back, a limit, a tool that is off. ``level`` picks the colour and icon."""

    text: str
    level: Literal["info", "warning"] = "info"
    step: int = 0


class PermissionAsked(Event, frozen=True):
    """The run waits for a person's leave, ``wait_s`` seconds at most; silence is a no.

    ``address`` is the page's address, the words of a search, or a tool with its arguments (``host`` is its server);
    ``why`` is the model's own word on it. ``was_shown``: a result, a page or the question named the address, so that
    this is asked because the session asks for everything.
    """

    step: int
    id: str
    kind: PermissionKind
    host: str
    address: str
    why: str = ""
    was_shown: bool = False
    wait_s: float = 0.0


class PermissionAnswered(Event, frozen=True):
    """The answer to a PermissionAsked of the same ``id``. ``by`` "headless": there was nobody to ask."""

    step: int
    id: str
    answer: PermissionAnswer
    by: Literal["person", "silence", "headless", "end"] = "person"


class HostContacted(Event, frozen=True):
    """The first contact of a session with a host. Search words or a page's address went there."""

    step: int
    host: str
    kind: PermissionKind


class RunPaused(Event, frozen=True):
    """The run waits until the person resumes it."""

    step: int = 0


class RunResumed(Event, frozen=True):
    """The run goes on."""

    step: int = 0


class RunFinished(Event, frozen=True):
    """The run ended with a report. ``answer`` is the short answer, "" when there is none."""

    answer: str
    finish_reason: FinishReason
    report: Report
    seconds: float = 0.0


class RunStopped(Event, frozen=True):
    """The person stopped the run; the finished steps stay."""

    step: int = 0


class RunFailed(Event, frozen=True):
    """The run ended with an error; the finished steps stay. ``remedy`` is one of ``errors.REMEDIES``."""

    message: str
    needs: str = ""
    has: str = ""
    do: str = ""
    remedy: str = ""
    detail: str = ""  # for the log: the tail of the engine's stderr, a traceback
    engine: bool = False  # True when it was the engine
    partial_text: str = ""  # what the model had written of the cut-off step


class RunInterrupted(Event, frozen=True):
    """Only when a stored session is opened: the app ended in ``step``; 0: between two, or in the report."""

    step: int
    thought: str = ""


AgentEvent = (
    RunStarted
    | StepStarted
    | PromptProgress
    | ThoughtDelta
    | CallDelta
    | CallStarted
    | ObservationReady
    | StepFinished
    | AnswerStarted
    | AnswerDelta
    | Notice
    | PermissionAsked
    | PermissionAnswered
    | HostContacted
    | RunPaused
    | RunResumed
    | RunFinished
    | RunStopped
    | RunFailed
    | RunInterrupted
)

DELTAS = (PromptProgress, ThoughtDelta, CallDelta, AnswerDelta)
"""Events that pass by and are not stored."""


# --- of one generation --------------------------------------------------------------------------------------------


class PrefillProgress(Event, frozen=True):
    """``done`` of ``total`` prompt tokens are in the KV cache; ``reused`` of them were there already."""

    done: int
    total: int
    reused: int = 0


class TokenDelta(Event, frozen=True):
    """Text of one or more tokens; ``ids`` and ``logprobs`` (nats, of the sampled ids) when they were asked for."""

    text: str
    ids: tuple[int, ...] = ()
    logprobs: tuple[float, ...] = ()


class GenerationFinished(Event, frozen=True):
    """The generation ended: at a stop or end-of-turn token, at the length limit, or because it was cancelled."""

    reason: Literal["stop", "length", "cancelled"]
    usage: Usage


EngineEvent = PrefillProgress | TokenDelta | GenerationFinished


class RowFinished(Event, frozen=True):
    """One of many generations that run together has ended; ``place`` is its request's place.

    ``ids`` and ``logprobs`` (nats, under the model's own distribution) are of every sampled token.
    """

    place: int
    text: str
    ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    reason: Literal["stop", "length", "cancelled"]
    usage: Usage


# --- of the engine's life -----------------------------------------------------------------------------------------


class EngineStatus(Event, frozen=True):
    """The engine's state, for the status bar and the first-run card.

    ``missing``: the inference library is not there. ``building``: it is being compiled, ``done`` of ``total`` files.
    ``no_model``: no model file. ``fetching``: the embedded model is being taken. ``unloaded``: a person gave the memory
    back; the next question loads it. ``loading``; ``ready``; ``failed``.
    ``message`` is one plain sentence. ``eta_s`` is None while it is not known yet.
    """

    state: Literal["missing", "building", "no_model", "fetching", "unloaded", "loading", "ready", "failed"]
    message: str = ""
    done: int = 0
    total: int = 0
    eta_s: float | None = None
    model: str = ""
    embedded: bool = False
    server: str = ""  # where the model is, when it is not in a process of Fathom's
    host: str = ""  # the same, when that is not this computer: text goes there
    detail: str = ""
