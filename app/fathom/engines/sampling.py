"""Sampling in numpy, with llama.cpp's semantics: temperature first, then top-k, top-p, min-p, then a draw.

Knows logits, no model. The repetition penalty is ``generation.Generation``'s.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fathom.core.types import Sampling

_HEAD = 256  # so many of the likeliest are sorted first; they nearly always hold top_p


class Sampler:
    """Draws tokens; one for each generation, so that a seed gives the same draws again."""

    def __init__(self, sampling: Sampling) -> None:
        self._sampling = sampling
        self._random = np.random.default_rng(sampling.seed)

    def sample(self, logits: npt.NDArray[np.float32]) -> int:
        """A token, from ``logits`` of shape (V,), minus infinity for what is forbidden."""
        if self._sampling.temperature <= 0:
            return int(logits.argmax())
        ids, weights = candidates(logits, self._sampling)
        ends = np.cumsum(weights)
        drawn = int(np.searchsorted(ends, self._random.random() * ends[-1], side="right"))
        return int(ids[min(drawn, len(ids) - 1)])


def candidates(
    logits: npt.NDArray[np.float32], sampling: Sampling
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.float64]]:
    """(ids, weights) that the truncations leave; the weights are in proportion to the probabilities."""
    scaled = logits.astype(np.float64) / sampling.temperature
    weights = np.exp(scaled - scaled.max())
    ids = np.arange(len(weights))
    if 0 < sampling.top_k < len(weights):
        ids = np.argpartition(weights, -sampling.top_k)[-sampling.top_k :]
        weights = weights[ids]
    if sampling.top_p < 1:
        kept = _nucleus(weights, sampling.top_p)
        ids, weights = ids[kept], weights[kept]
    if sampling.min_p > 0:
        likely = weights >= sampling.min_p * weights.max()
        ids, weights = ids[likely], weights[likely]
    return ids, weights


def _nucleus(weights: npt.NDArray[np.float64], top_p: float) -> npt.NDArray[np.intp]:
    """The places of the fewest likeliest that together have at least ``top_p``, the likeliest first."""
    wanted = top_p * weights.sum()
    for count in (min(_HEAD, len(weights)), len(weights)):
        head = np.argpartition(weights, -count)[-count:] if count < len(weights) else np.arange(len(weights))
        head = head[np.argsort(-weights[head], kind="stable")]
        sums = np.cumsum(weights[head])
        if sums[-1] >= wanted:
            break
    return head[: int(np.searchsorted(sums, wanted, side="left")) + 1]
