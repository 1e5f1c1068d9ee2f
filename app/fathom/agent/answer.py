"""What the model is given for the final answer when the profile says ``answer_from = "passages"``.

A small model that has the whole conversation before it repeats the conversation. With the two right paragraphs alone
before it, SmolLM2-135M named the answer to 9 (as a phrase) to 15 (in a sentence) of 40 HotpotQA questions; from the
conversation of whole runs, which did not always read the right pages, to none of 15. Pure; knows no engine.
"""

from __future__ import annotations

from collections.abc import Sequence

from fathom.agent import prompts
from fathom.agent.evidence import Saved, saved_passages, terms
from fathom.core.types import Message, Step
from fathom.prompting.formats.base import neutralise

_SHORTEST = 120


def passages_view(question: str, steps: Sequence[Step], limit_chars: int) -> tuple[Message, ...]:
    """The messages that ask for the answer from saved passages of at most ``limit_chars``; empty when there are none.

    Passages of opened pages come first, then those that share most words with the question. What stands in a longer
    one is left out.
    """
    chosen = _chosen(question, saved_passages(steps), limit_chars)
    if not chosen:
        return ()
    text = "\n\n".join(f"{passage.passage.title}: {words}" for passage, words in chosen)
    return (
        Message(role="system", content=prompts.READER),
        Message(role="user", content=prompts.reader_request(neutralise(text), neutralise(question))),
    )


def _chosen(question: str, saved: Sequence[Saved], limit_chars: int) -> list[tuple[Saved, str]]:
    wanted = terms(question)
    ranked = sorted(
        saved,
        key=lambda item: (item.read, len(wanted & (terms(item.passage.text) | terms(item.passage.title)))),
        reverse=True,
    )
    chosen: list[tuple[Saved, str]] = []
    room = limit_chars
    for item in ranked:
        words = " ".join(item.passage.text.split())
        if any(words in other for _, other in chosen):
            continue
        if len(words) > room:
            if room < _SHORTEST:
                break
            words = words[:room].rpartition(" ")[0] or words[:room]
        chosen.append((item, words))
        room -= len(words) + len(item.passage.title)
    return chosen
