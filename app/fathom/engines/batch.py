"""What the batches of both local backends share: the end of a row, what a row may ask for, running many to their end.

Knows no library.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from fathom.core.errors import EngineError
from fathom.core.protocols import GenerateRequest
from fathom.core.types import Usage
from fathom.engines.generation import Reason


@dataclass
class Finished:
    """The end of one row. ``tokens`` are the prompt's and the sampled ones, as far as their keys and values are kept.

    ``ids`` and ``logprobs`` (nats, under the model's own distribution) are of the sampled tokens, the one that ended
    the row included.
    """

    number: int
    text: str
    ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    reason: Reason
    usage: Usage
    tokens: list[int] = field(repr=False, default_factory=list)


class Batch(Protocol):
    """Rows of generations that are computed together."""

    @property
    def running(self) -> int:
        """Rows that have not ended, the waiting ones included."""
        ...

    def add_tokens(self, prompt: list[int], request: GenerateRequest) -> int:
        """Queue a generation after a prompt of ids; returns its number. Raises EngineError when it cannot be."""
        ...

    def step(self, cancelled: Callable[[], bool]) -> Sequence[Finished]:
        """One token more for each writing row; the rows that ended with it."""
        ...


def limit_of(prompt: Sequence[int], request: GenerateRequest, row_tokens: int) -> int:
    """How many tokens a row may write after ``prompt``, where it may have ``row_tokens`` in all.

    Raises EngineError when the prompt does not fit, nothing may be generated, or the request has a grammar.
    """
    if request.grammar:
        raise EngineError("a batch takes no grammar; generate one by one for constrained text")
    room = row_tokens - len(prompt)
    if not prompt or room < 1 or request.max_tokens < 1:
        raise EngineError(
            f"the prompt has {len(prompt)} tokens; {request.max_tokens} more do not fit into the context of "
            f"{row_tokens}"
        )
    return min(request.max_tokens, room)


def run(
    batch: Batch,
    prompts: Sequence[list[int]],
    requests: Sequence[GenerateRequest],
    cancelled: Callable[[], bool],
    on_step: Callable[[], None],
) -> Iterator[tuple[int, Finished]]:
    """Run all rows to their end; yields (place in ``requests``, result) as each one ends.

    A cancel ends it: what runs then is the caller's to close. Every row is looked at before the first one is computed.
    """
    places = {
        batch.add_tokens(prompt, request): place
        for place, (prompt, request) in enumerate(zip(prompts, requests, strict=True))
    }
    while batch.running and not cancelled():
        for finished in batch.step(cancelled):
            yield places[finished.number], finished
        on_step()
