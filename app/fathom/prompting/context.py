"""The view of a trajectory that the model gets: recency retention, budgets in tokens, cutting, the check for room.

Pure functions over the core's values. The stored trace is never touched: only copies are. Knows no engine and no tool.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from fathom.core.types import Message, Step, Struct
from fathom.prompting.formats.base import CallFormat
from fathom.prompting.schedule import kept

OMITTED = "Tool result is omitted to save tokens."
"""What stands in place of an old result; the sentence that research models were trained on."""


def retained(turn: int, keep: int, block: int = 0) -> tuple[int, ...]:
    """The steps whose observations the model sees in turn t: S_t(K) = {i in 1..t-1 : i >= t-K}; K = -1 keeps all.

    Source: arXiv 2511.11793. With a ``block`` up to so many more stay in view (``schedule.kept``). Raises ValueError if
    ``turn`` < 1, ``keep`` < -1 or ``block`` < 0.
    """
    if turn < 1:
        raise ValueError(f"turns are counted from 1, not {turn}")
    return tuple(range(turn - kept(turn - 1, keep, block), turn))


def view(steps: Sequence[Step], keep: int, block: int = 0) -> tuple[Step, ...]:
    """The history of the next turn: every thought and action stays, observations that are not retained are blanked.

    ``steps`` are all steps before that turn, with indices 1, 2, ...; they are not changed.
    """
    seen = set(retained(len(steps) + 1, keep, block))
    return tuple(step if position in seen else _blanked(step) for position, step in enumerate(steps, 1))


def _blanked(step: Step) -> Step:
    blank = tuple(msgspec.structs.replace(each, text=OMITTED, passages=(), cut_chars=0) for each in step.observations)
    return msgspec.structs.replace(step, observations=blank)


def conversation(
    call_format: CallFormat, opening: Sequence[Message], steps: Sequence[Step], keep: int, block: int = 0
) -> tuple[Message, ...]:
    """The messages of the next turn: the ``opening``, which ends in the question, then each step as the view has it."""
    messages = list(opening)
    for step in view(steps, keep, block):
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
