"""What every local backend does with the tokens that it has sampled: text, ids, stops, limits, usage.

Knows no library. Shapes: logits are float32 (V,).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Literal

import numpy as np
import numpy.typing as npt

from fathom.core.events import TokenDelta
from fathom.core.protocols import GenerateRequest
from fathom.core.types import Usage
from fathom.engines.constrain import Constraint
from fathom.engines.tokens import TextDecoder, Vocabulary

Reason = Literal["stop", "length", "cancelled"]


class Generation:
    """The state of one generation after its prompt."""

    def __init__(
        self, request: GenerateRequest, constraint: Constraint | None, max_tokens: int, prompt_tokens: int
    ) -> None:
        self.request = request
        self.constraint = constraint
        sampling = request.sampling
        self.penalty = sampling.repeat_penalty
        self.repeatable = request.logprobs or sampling.temperature <= 0 or sampling.seed is not None
        self.reason: Reason | None = None if max_tokens > 0 else "length"
        self.reused = 0
        self.prefill_seconds = 0.0
        self.logprobs: deque[float] = deque()
        self._max_tokens = max_tokens
        self._prompt_tokens = prompt_tokens
        self._count = 0
        self._seen: set[int] = set()
        self._decoder = TextDecoder(request.stop)
        self._waiting: list[int] = []  # ids whose text is not complete yet

    @property
    def left(self) -> int:
        """How many tokens may still follow; 0 once it is over."""
        return 0 if self.reason is not None else self._max_tokens - self._count

    def penalize(self, logits: npt.NDArray[np.float32]) -> None:
        """Keskar et al. 2019, over the tokens of this generation; in place, and only where it changes something."""
        if self._seen:
            ids = np.fromiter(self._seen, dtype=np.int64, count=len(self._seen))
            values = logits[ids]
            logits[ids] = np.where(values > 0, values / self.penalty, values * self.penalty)

    def next_tokens(
        self, logits: npt.NDArray[np.float32], sample: Callable[[], int], eog: frozenset[int], limit: int
    ) -> list[int]:
        """The next token by ``sample``, which reads ``logits`` (changed in place); the grammar may force some more.

        At most ``limit`` tokens. Sample first, ask about that one token, and mask only when it is refused.
        """
        constraint = self.constraint
        before = logits.copy() if self.request.logprobs else None
        if self.penalty != 1.0:
            self.penalize(logits)
        token = sample()
        if constraint is not None:
            if not constraint.allows(token):
                constraint.forbid(logits)
                token = sample()
            constraint.accept(token)
        if before is not None:
            self.logprobs.append(log_probability(before, token))
        elif constraint is not None and token not in eog and not constraint.finished:
            return [token, *constraint.forced()[: limit - 1]]
        return [token]

    def add(self, tokens: list[int], vocabulary: Vocabulary) -> TokenDelta | None:
        """Take ``tokens`` (cut in place at the length limit); sets ``reason`` when the generation is over."""
        del tokens[self._max_tokens - self._count :]
        text = ""
        for token in tokens:
            self._count += 1
            self._waiting.append(token)
            if token in vocabulary.eog:
                self.reason = "stop"
                break
            self._seen.add(token)
            more, stopped = self._decoder.add(vocabulary.piece(token))
            text += more
            if stopped:
                self.reason = "stop"
                break
        if self.reason is None and self.constraint is not None and self.constraint.finished:
            self.reason = "stop"
        if self.reason is None and self._count >= self._max_tokens:
            self.reason = "length"
        return self._delta(text) if text else None

    def rest(self) -> TokenDelta | None:
        """What was held back, at the end."""
        text = self._decoder.end()
        return self._delta(text) if text or (self._waiting and self.request.logprobs) else None

    def _delta(self, text: str) -> TokenDelta:
        if not self.request.logprobs:
            self._waiting.clear()
            return TokenDelta(text=text)
        ids, self._waiting = tuple(self._waiting), []
        return TokenDelta(text=text, ids=ids, logprobs=tuple(self.logprobs.popleft() for _ in ids))

    def usage(self, decode_seconds: float) -> Usage:
        """The cost so far."""
        return Usage(
            prompt_tokens=self._prompt_tokens,
            reused_tokens=self.reused,
            completion_tokens=self._count,
            prefill_seconds=self.prefill_seconds,
            decode_seconds=decode_seconds,
        )


def log_probability(logits: npt.NDArray[np.float32], token: int) -> float:
    """Of ``token``, in nats, under the softmax of ``logits``."""
    highest = logits.max()
    return float(logits[token] - highest - np.log(np.exp(logits - highest).sum()))
