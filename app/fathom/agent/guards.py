"""Guards against going in circles: repeated calls, repeated text. Pure; they change no call and hide nothing.

A guard's text becomes the observation that the model and the person read.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import msgspec

from fathom.core.types import Observation, Sampling, Step, ToolCall

_IDENTITY: dict[str, tuple[str, ...]] = {
    "google_search": ("q", "page", "num", "hl", "tbs"),
    "scrape_and_extract_info": ("url", "info_to_extract"),
    "create_sandbox": (),
}
"""The arguments that make two calls the same. Other tools have a state: the same call may do another thing."""

MAX_DUPLICATES = 3
"""So many repeated calls in a row end the run."""

MAX_ERRORS = 5
"""So many failed calls in a row end the run."""

_ROUND = 6
_DIFFERENT_IN_A_ROUND = 2

_TAIL_CHARS, _TAIL_TIMES = 50, 5


def same_call(call: ToolCall, steps: Sequence[Step]) -> Step | None:
    """The earliest step that made the same call and got a result, or None."""
    wanted = _key(call)
    if wanted is None:
        return None
    for step in steps:
        for made, observation in zip(step.calls, step.observations, strict=False):
            if _key(made) == wanted and not observation.is_error and not observation.interrupted:
                return step
    return None


def duplicate(call: ToolCall, earlier: Step, in_view: bool) -> Observation:
    """The observation of a repeated call that is not run: where its result stands, or the saved result itself."""
    saved = earlier.observations[0]
    if in_view:
        text = (
            f"You made this call in step {earlier.index} already and its result is above. It was not run again. "
            "Search for something else, open another page, or answer."
        )
    else:
        text = f"You made this call in step {earlier.index} already. Its saved result:\n{saved.text}"
    return Observation(
        call_id=call.id,
        tool=call.name,
        text=text,
        title=f"Repeats step {earlier.index}, not run again",
        best=f"Its result: {saved.title}" if saved.title else "",
        passages=() if in_view else saved.passages,
    )


def goes_in_circles(steps: Sequence[Step]) -> bool:
    """Whether the last steps only repeated calls, or only failed, for long enough to end the run."""
    if duplicates_in_a_row(steps) >= MAX_DUPLICATES or errors_in_a_row(steps) >= MAX_ERRORS:
        return True
    last = [call for step in steps[-_ROUND:] for call in step.calls]
    different = {(call.name, json.dumps(call.arguments, sort_keys=True)) for call in last}
    return len(last) >= _ROUND and len(different) <= _DIFFERENT_IN_A_ROUND


def duplicates_in_a_row(steps: Sequence[Step]) -> int:
    """How many of the last steps only repeated calls."""
    count = 0
    for position in range(len(steps) - 1, -1, -1):
        step = steps[position]
        if not step.calls or not all(same_call(call, steps[:position]) for call in step.calls):
            break
        count += 1
    return count


def withheld(steps: Sequence[Step]) -> frozenset[str]:
    """Tools that are not offered in the next turn: the one whose call was just repeated, until another call is made.

    A small model that repeats itself would do so until the run ends; what else it calls, and with what, is its choice.
    """
    if not duplicates_in_a_row(steps):
        return frozenset()
    return frozenset(call.name for call in steps[-1].calls)


def useful_calls(steps: Sequence[Step]) -> int:
    """Calls that brought something: neither failed nor repeated."""
    count = 0
    for position, step in enumerate(steps):
        if any(observation.is_error or observation.interrupted for observation in step.observations):
            continue
        count += sum(same_call(call, steps[:position]) is None for call in step.calls)
    return count


def livelier(sampling: Sampling, duplicates: int) -> Sampling:
    """``sampling`` with a higher temperature after repeated calls, so that the model gets out of the rut."""
    if not duplicates:
        return sampling
    temperature = max(sampling.temperature, min(1.2, sampling.temperature + 0.4 * duplicates))
    return msgspec.structs.replace(sampling, temperature=temperature)


def errors_in_a_row(steps: Sequence[Step]) -> int:
    """How many of the last steps ended in an error."""
    count = 0
    for step in reversed(steps):
        if not step.observations or not all(observation.is_error for observation in step.observations):
            break
        count += 1
    return count


def repeats_itself(text: str) -> bool:
    """Whether the last 50 characters occur more than 5 times, or a shorter piece fills the last 300 characters."""
    tail = text[-_TAIL_CHARS:]
    if len(text) >= _TAIL_CHARS * 2 and tail.strip() and text.count(tail) > _TAIL_TIMES:
        return True
    end = text[-300:]
    return len(end) == 300 and any(end == (end[:size] * (300 // size + 1))[:300] for size in range(1, _TAIL_CHARS))


def without_repetition(text: str) -> str:
    """``text`` up to the end of the first occurrence of what it repeats; as it is when it repeats nothing."""
    if not repeats_itself(text):
        return text
    tail = text[-_TAIL_CHARS:]
    return text[: text.index(tail) + len(tail)]


def _key(call: ToolCall) -> tuple[str, ...] | None:
    names = _IDENTITY.get(call.name)
    if names is None:
        return None
    return (call.name, *(" ".join(str(call.arguments.get(name) or "").split()).casefold() for name in names))
