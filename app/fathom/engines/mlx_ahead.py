"""Decoding one step ahead: the next token's graph is built and begun while the present token is read and told.

Building a graph takes Python some 4 ms for 30 layers, which the device would wait for at every token (as mlx-lm's
``generate_step`` avoids it, too). So the token is drawn on the device, and its value is looked at one step later.
Knows no text. Logits are float32 (V,).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from fathom.core.types import Sampling
from fathom.engines.mlx_batch import device_sampler
from fathom.weights import mlx_runtime
from fathom.weights.mlx_runtime import mx


def suits(sampling: Sampling) -> bool:
    """Whether drawing on the device is fast: its sort for the truncations costs more on a CPU than the step ahead."""
    truncated = sampling.top_p < 1 or sampling.top_k > 0 or sampling.min_p > 0
    return not mlx_runtime.on_cpu() or sampling.temperature <= 0 or not truncated


class Ahead:
    """Draws tokens from ``logits`` on; ``step`` computes the logits after a token that may not be known yet."""

    def __init__(self, logits: Any, step: Callable[[Any], Any], sampling: Sampling, *, logprobs: bool) -> None:
        self._step = step
        self._sample = device_sampler(sampling)
        self._penalty = sampling.repeat_penalty
        self._seen = mx.zeros(logits.shape, dtype=mx.bool_)
        self._logprobs = logprobs
        self._drawn = self._draw(logits)

    def tokens(self, left: Callable[[], int]) -> Iterator[tuple[int, float, bool]]:
        """(token, its log-probability in nats before the penalty, whether it was fed to the model), one after another.

        ``left`` tells how many tokens may still be told: the last one is not fed. The log-probability is 0.0 unless
        asked for.
        """
        while (remaining := left()) > 0:
            token, logprob = self._drawn
            if remaining > 1:
                self._drawn = self._draw(self._step(token))
            yield int(token.item()), float(logprob.item()) if self._logprobs else 0.0, remaining > 1

    def _draw(self, logits: Any) -> tuple[Any, Any]:
        logprobs = logits - mx.logsumexp(logits)
        penalised = logits
        if self._penalty != 1.0:
            changed = mx.where(logits > 0, logits / self._penalty, logits * self._penalty)
            penalised = mx.where(self._seen, changed, logits)
        token = self._sample(penalised[None])  # (1,)
        if self._penalty != 1.0:
            self._seen = mx.put_along_axis(self._seen, token, mx.array(True), axis=0)
        drawn = (token, logprobs[token] if self._logprobs else token)
        mx.async_eval(*drawn)
        return drawn
