"""Events as rows: their JSON, checksum and place, what a search finds of them, and what a finished step can give back.

Pure functions; knows nothing of SQLite.
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from fathom.core.events import (
    AgentEvent,
    CallStarted,
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
from fathom.core.types import Session, SessionState, Step

EVENT: msgspec.json.Decoder[AgentEvent] = msgspec.json.Decoder(AgentEvent)


def encode(value: msgspec.Struct) -> bytes:
    """Its JSON, UTF-8."""
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:  # half of a surrogate pair: a model can write one as "\ud83d" in a JSON string
        return msgspec.json.encode(_without_surrogates(msgspec.to_builtins(value)))


def _without_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_without_surrogates(key): _without_surrogates(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_without_surrogates(one) for one in value]
    return value


def decode(payload: bytes | None, checksum: bytes) -> AgentEvent | None:
    """None for a row without a payload and for a damaged one."""
    if payload is None or checksum_of(payload) != checksum:
        return None
    return EVENT.decode(payload)


def checksum_of(payload: bytes) -> bytes:
    """8 bytes; SQLite's own checks do not see a changed letter."""
    return hashlib.blake2b(payload, digest_size=8).digest()


def place(event: AgentEvent) -> tuple[int, str]:
    """The step that an event belongs to, and the call within the step."""
    match event:
        case StepFinished(step=step):
            return step.index, ""
        case CallStarted(step=index, call_id=call):
            return index, call
        case ObservationReady(step=index, observation=observation):
            return index, observation.call_id
    index = getattr(event, "step", 0)
    return (index if isinstance(index, int) else 0), ""


def from_step(step: Step, kind: str, part: str) -> AgentEvent | None:
    """The CallStarted or ObservationReady of call ``part``, made again from the finished step."""
    if kind == "CallStarted":
        for call in step.calls:
            if call.id == part:
                return CallStarted(
                    step=step.index, call_id=call.id, name=call.name, arguments=call.arguments, thought=step.thought
                )
    if kind == "ObservationReady":
        for observation in step.observations:
            if observation.call_id == part:
                return ObservationReady(step=step.index, observation=observation)
    return None


def interruption(events: list[AgentEvent]) -> RunInterrupted:
    """Of a run whose process died: the open step and what is known of its thought; step 0 when none was open."""
    step, thought = 0, ""
    for event in events:
        match event:
            case StepStarted(step=index):
                step, thought = index, ""
            case CallStarted(thought=text):
                thought = text
            case StepFinished():
                step, thought = 0, ""
    return RunInterrupted(step=step, thought=thought)


def state_after(event: AgentEvent) -> SessionState | None:
    """The state that an event puts its session in, None when it leaves it."""
    match event:
        case RunStarted() | RunResumed():
            return "running"
        case RunPaused():
            return "paused"
        case RunFinished() | RunFailed() | RunStopped():
            return end_state(event)
    return None


def end_state(end: RunFinished | RunFailed | RunStopped) -> SessionState:
    """The state of a session whose run ended so."""
    if isinstance(end, RunFinished):
        return "done" if end.answer else "partial"
    return "stopped" if isinstance(end, RunStopped) else "failed"


def session_text(session: Session) -> str:
    """What a search finds of a session itself."""
    return f"{session.title}\n{session.task.question}"


def event_text(event: AgentEvent) -> str:
    """What a search over sessions finds of an event; the same text for the same event, whenever it is asked for."""
    match event:
        case StepFinished(step=step):
            arguments = [str(value) for call in step.calls for value in call.arguments.values()]
            observations = [text for seen in step.observations for text in (seen.title, seen.text)]
            return "\n".join([step.thought, *arguments, *observations])
        case RunFinished(answer=answer, report=report):
            return f"{answer}\n{report.body}"
    return ""
