"""The view of a trajectory that the model gets: recency retention, budgets in tokens, cutting, the check for room.

Pure functions over the core's values. The stored trace is never touched: only copies are. Knows no engine and no tool.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from fathom.core.types import Message, Step, Struct
from fathom.prompting.formats.base import CallFormat

OMITTED = "Tool result is omitted to save tokens."
"""What stands in place of an old result; the sentence that research models were trained on."""

KEEP_ALL = -1


def retained(turn: int, keep: int) -> tuple[int, ...]:
    """The steps whose observations the model sees in turn t: S_t(K) = {i in 1..t-1 : i >= t-K}; K = -1 keeps all.

    Source: arXiv 2511.11793. Raises ValueError if ``turn`` < 1 or ``keep`` < -1.
    """
    if turn < 1 or keep < KEEP_ALL:
        raise ValueError(f"turn must be at least 1 and keep at least -1, not {turn} and {keep}")
    first = 1 if keep == KEEP_ALL else max(1, turn - keep)
    return tuple(range(first, turn))


def view(steps: Sequence[Step], keep: int) -> tuple[Step, ...]:
    """The history of the next turn: every thought and action stays, observations out of S_t(K) are blanked.

    ``steps`` are all steps before that turn, with indices 1, 2, ...; they are not changed.
    """
    seen = set(retained(len(steps) + 1, keep))
    return tuple(step if position in seen else _blanked(step) for position, step in enumerate(steps, 1))


def _blanked(step: Step) -> Step:
    blank = tuple(msgspec.structs.replace(each, text=OMITTED, passages=(), cut_chars=0) for each in step.observations)
    return msgspec.structs.replace(step, observations=blank)


def conversation(
    call_format: CallFormat, opening: Sequence[Message], steps: Sequence[Step], keep: int
) -> tuple[Message, ...]:
    """The messages of the next turn: the ``opening``, which ends in the question, then each step as the view has it."""
    messages = list(opening)
    for step in view(steps, keep):
        messages.append(call_format.action(step))
        messages += [call_format.result(observation) for observation in step.observations]
    return tuple(messages)


def with_request(messages: Sequence[Message], request: str) -> tuple[Message, ...]:
    """``messages`` with a request of the user at the end, joined to the last one when that is the user's as well."""
    last = messages[-1]
    if last.role != "user":
        return (*messages, Message(role="user", content=request))
    return (*messages[:-1], Message(role="user", content=f"{last.content}\n\n{request}"))


class Budget(Struct, frozen=True):
    """How a context is shared out, in tokens: of ``context``, ``output`` a turn may write, ``observation`` a result
    may take, and ``reserve`` stays free for what the template adds."""

    context: int
    reserve: int
    output: int
    observation: int


def has_room(prompt_tokens: int, last_result_tokens: int, summary_tokens: int, budget: Budget) -> bool:
    """The context check before each turn: whether a further turn, its result and the final answer still fit.

    ``prompt_tokens`` is the turn's whole prompt; the coming result is taken as 1.5 times the last one, the request for
    the final answer as 1.5 times itself (as the reference implementation does).
    """
    coming = 1.5 * last_result_tokens + 1.5 * summary_tokens + budget.output
    return prompt_tokens + coming + budget.reserve < budget.context


def cut(text: str, limit_chars: int) -> tuple[str, int]:
    """``text`` cut to about ``limit_chars`` characters at a line or sentence end, and how many were left out.

    The cut is said at its end; a text that fits comes back as it is, with 0.
    """
    if len(text) <= limit_chars:
        return text, 0
    head = text[: max(limit_chars, 0)]
    for mark in ("\n", ". ", "。", " "):
        place = head.rfind(mark)
        if place > len(head) * 0.7:
            head = head[: place + len(mark)]
            break
    head = head.rstrip()
    left_out = len(text) - len(head)
    return f"{head}\n[{left_out:,} more characters are saved but not shown]", left_out
