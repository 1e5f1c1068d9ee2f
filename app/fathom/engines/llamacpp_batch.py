"""Many generations at once on one model that llama.cpp has loaded, for rollouts and evaluation.

Rows join and leave between two steps; each step is one batch: a token of every writing row and pieces of waiting
prompts. What all waiting prompts begin with is computed once and its keys and values are shared (the trunk). A finished
row's keys and values stay in its slot until that is needed, so that the next turn of its conversation computes only
what is new.
"""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from fathom.core.errors import EngineError
from fathom.core.protocols import GenerateRequest
from fathom.core.types import EngineSpec
from fathom.engines.batch import Finished, limit_of
from fathom.engines.generation import Generation
from fathom.engines.llamacpp_adapters import LlamaCppAdapters
from fathom.engines.llamacpp_native import Cancelled, Context, SamplerChain, TokenBatch, lib
from fathom.engines.tokens import Vocabulary

TRUNK_TOKENS = 16  # a shorter common beginning is not worth a sequence


@dataclass
class _Row:
    number: int
    prompt: list[int]
    generation: Generation
    sampler: SamplerChain
    limit: int
    text: str = ""
    ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)

    @property
    def cells(self) -> int:
        """The cells that it may come to need, nothing shared."""
        return len(self.prompt) + self.limit


@dataclass
class _Slot:
    sequence: int
    row: _Row | None = None
    cached: list[int] = field(default_factory=list)  # the tokens whose keys and values it has
    shared: int = 0  # of them from the trunk
    waiting: list[int] = field(default_factory=list)  # to be computed next
    place: int = -1  # of its logits in the last batch

    @property
    def cells(self) -> int:
        """The cells that are or may come to be its own."""
        return (self.row.cells if self.row is not None else len(self.cached)) - self.shared


class LlamaCppBatch:
    """Rows of generations. Not thread-safe; the adapter must not change while it lives."""

    def __init__(
        self,
        model: Any,
        spec: EngineSpec,
        vocabulary: Vocabulary,
        adapters: LlamaCppAdapters,
        *,
        row_tokens: int,
        room_tokens: int,
        width: int,
        threads: int,
    ) -> None:
        """``row_tokens``: the most that one row may have; ``room_tokens``: that all of them together may have.

        ``room_tokens`` decide the memory. Raises EngineError when there is none for them.
        """
        self._vocabulary = vocabulary
        self._row_tokens = min(row_tokens, room_tokens)
        self._numbers = 0
        self._waiting: deque[_Row] = deque()
        self._trunk: list[int] = []
        self._slots = [_Slot(sequence) for sequence in range(1, width + 1)]  # sequence 0 is the trunk
        self._can_share = not (lib.llama_model_is_recurrent(model) or lib.llama_model_is_hybrid(model))
        with contextlib.ExitStack() as closing:
            threads = threads or os.cpu_count() or 1
            self._context = Context(model, spec, room_tokens, threads, sequences=width + 1)
            closing.callback(self._context.close)
            adapters.apply(self._context)
            self._batch = TokenBatch(self._context.batch_tokens)
            closing.callback(self._batch.close)
            self._closing = closing.pop_all()

    @property
    def running(self) -> int:
        """Rows that have not ended, the waiting ones included."""
        return len(self._waiting) + sum(slot.row is not None for slot in self._slots)

    @property
    def trunk_tokens(self) -> int:
        """Tokens that were computed once for several rows."""
        return len(self._trunk)

    def add(self, request: GenerateRequest) -> int:
        """Queue a generation; returns its number.

        Raises EngineError when the prompt does not fit, nothing may be generated, or the request has a grammar.
        """
        return self.add_tokens(self._vocabulary.prompt(request.messages, request.prefill), request)

    def add_tokens(self, prompt: list[int], request: GenerateRequest) -> int:
        """As :meth:`add` for a prompt of token ids; ``request.messages`` are not looked at.

        So sampled text is never tokenised again: a next prompt is ``Finished.tokens`` and the new turn's ids.
        """
        limit = limit_of(prompt, request, self._row_tokens)
        generation = Generation(_with_logprobs(request), None, limit, len(prompt))
        self._numbers += 1
        row = _Row(self._numbers, list(prompt), generation, SamplerChain(request.sampling), limit)
        self._waiting.append(row)
        return row.number

    def step(self, cancelled: Callable[[], bool] = lambda: False) -> list[Finished]:
        """Compute one token for each writing row and pieces of the waiting prompts; the rows that ended with it.

        After a cancel in the middle of it no row has a token more: the same step can be made again.
        """
        with self._context.stopped_by(cancelled):
            try:
                self._admit()
                self._compute()
            except Cancelled:
                return []
        return self._sample()

    def drop(self, number: int) -> None:
        """Give a row up; an unknown number is no error."""
        for row in [row for row in self._waiting if row.number == number]:
            self._waiting.remove(row)
            row.sampler.close()
        for slot in self._slots:
            if slot.row is not None and slot.row.number == number:
                slot.row.sampler.close()
                slot.row, slot.waiting = None, []

    def close(self) -> None:
        """Drop all rows and free their memory."""
        for row in [*self._waiting, *(slot.row for slot in self._slots if slot.row is not None)]:
            self.drop(row.number)
        self._closing.close()

    # --- rows and slots -------------------------------------------------------------------------------------------

    def _admit(self) -> None:
        """Put waiting rows into idle slots, in order, as far as there is room for all that they may come to need."""
        if self._waiting and all(slot.row is None for slot in self._slots):
            self._grow_trunk()
        while self._waiting:
            idle = [slot for slot in self._slots if slot.row is None]
            if not idle:
                return
            row = self._waiting[0]
            slot = max(idle, key=lambda slot: (_common(slot.cached, row.prompt), -len(slot.cached)))
            kept, trunk = _common(slot.cached, row.prompt), _common(self._trunk, row.prompt)
            shared = trunk if trunk >= kept else min(slot.shared, kept)
            if not self._make_room(row.cells - shared, slot):
                if len(idle) < len(self._slots) or not self._trunk:
                    return
                self._forget()  # a prompt of another kind, beside which the trunk has no room
                continue
            self._waiting.popleft()
            if trunk >= kept or not lib.llama_memory_seq_rm(self._context.memory, slot.sequence, kept, -1):
                self._clear(slot)
                if trunk:
                    lib.llama_memory_seq_cp(self._context.memory, 0, slot.sequence, 0, trunk)
                slot.cached, slot.shared = row.prompt[:trunk], trunk
            else:  # the beginning of a conversation whose last turn ended here
                del slot.cached[kept:]
                slot.shared = min(slot.shared, kept)
            row.generation.reused = len(slot.cached)
            slot.row, slot.waiting = row, row.prompt[len(slot.cached) :]

    def _make_room(self, cells: int, keep: _Slot) -> bool:
        """Whether ``cells`` more are free, beside those of ``keep``, if need be after forgetting finished rows."""
        for slot in self._slots:
            taken = len(self._trunk) + sum(other.cells for other in self._slots if other is not keep)
            if taken + cells <= self._context.tokens:
                return True
            if slot.row is None and slot is not keep:
                self._clear(slot)
        taken = len(self._trunk) + sum(other.cells for other in self._slots if other is not keep)
        return taken + cells <= self._context.tokens

    def _forget(self) -> None:
        lib.llama_memory_clear(self._context.memory, True)
        self._trunk = []
        for slot in self._slots:
            slot.cached, slot.shared = [], 0

    def _clear(self, slot: _Slot) -> None:
        lib.llama_memory_seq_rm(self._context.memory, slot.sequence, -1, -1)
        slot.cached, slot.shared = [], 0

    def _grow_trunk(self) -> None:
        """Compute what all waiting prompts begin with, unless that is there already."""
        prompts = [row.prompt for row in self._waiting]
        wanted = prompts[0][: min(_common(prompts[0], prompt) for prompt in prompts)]
        known = _common(self._trunk, prompts[0])
        if not self._can_share or len(prompts) < 2 or len(wanted) < TRUNK_TOKENS or known >= len(wanted):
            return
        if any(_common(slot.cached, wanted) >= len(wanted) for slot in self._slots):
            return  # the next turns of what is here
        self._forget()
        try:
            for start in range(0, len(wanted), self._context.batch_tokens):
                part = wanted[start : start + self._context.batch_tokens]
                self._batch.clear()
                for place, token in enumerate(part):
                    self._batch.add(token, start + place, 0, logits=False)
                self._context.decode(self._batch.native, len(part))
        except (Cancelled, EngineError):
            lib.llama_memory_clear(self._context.memory, True)
            raise
        self._trunk = wanted

    # --- one step -------------------------------------------------------------------------------------------------

    def _compute(self) -> None:
        """One batch: the next token of each writing row first, then prompts, as many tokens as it takes."""
        self._batch.clear()
        parts: list[tuple[_Slot, int]] = []
        for slot in sorted((slot for slot in self._slots if slot.waiting), key=lambda slot: len(slot.waiting)):
            slot.place = -1
            part = slot.waiting[: self._context.batch_tokens - self._batch.size]
            for number, token in enumerate(part):
                last = number + 1 == len(slot.waiting)
                place = self._batch.add(token, len(slot.cached) + number, slot.sequence, logits=last)
                slot.place = place if last else -1
            parts.append((slot, len(part)))
        if not self._batch.size:
            return
        try:
            self._context.decode(self._batch.native, self._batch.size)
        except (Cancelled, EngineError):
            for slot, _count in parts:
                slot.place = -1
                lib.llama_memory_seq_rm(self._context.memory, slot.sequence, len(slot.cached), -1)
            raise
        for slot, count in parts:
            slot.cached += slot.waiting[:count]
            del slot.waiting[:count]

    def _sample(self) -> list[Finished]:
        ended = []
        for slot in self._slots:
            row, place = slot.row, slot.place
            slot.place = -1
            if row is None or place < 0:
                continue
            generation = row.generation
            (token,) = generation.next_tokens(
                self._context.logits(place),
                lambda row=row, place=place: row.sampler.sample(self._context, place),  # type: ignore[misc]
                self._vocabulary.eog,
                1,
            )
            row.ids.append(token)
            row.logprobs.append(generation.logprobs[-1])
            delta = generation.add([token], self._vocabulary)
            row.text += delta.text if delta is not None else ""
            if generation.reason is None:
                slot.waiting = [token]
                continue
            rest = generation.rest()
            row.sampler.close()
            slot.row = None
            ended.append(
                Finished(
                    number=row.number,
                    text=row.text + (rest.text if rest is not None else ""),
                    ids=tuple(row.ids),
                    logprobs=tuple(row.logprobs),
                    reason=generation.reason,
                    usage=generation.usage(0.0),
                    tokens=[*row.prompt, *row.ids],
                )
            )
        return ended


def room_for(prompts: Sequence[tuple[int, int]], width: int, row_tokens: int) -> int:
    """Cells for the ``width`` largest of (prompt's tokens, most tokens to write), nothing shared."""
    sizes = sorted((min(prompt + limit, row_tokens) for prompt, limit in prompts), reverse=True)
    return max(256, sum(sizes[:width]))


def _common(ours: Sequence[int], prompt: Sequence[int]) -> int:
    """How many tokens both begin with; the last one of ``prompt`` is always computed, for its logits."""
    count = 0
    for one, other in zip(ours, prompt[:-1], strict=False):
        if one != other:
            break
        count += 1
    return count


def _with_logprobs(request: GenerateRequest) -> GenerateRequest:
    return msgspec.structs.replace(request, logprobs=True)
