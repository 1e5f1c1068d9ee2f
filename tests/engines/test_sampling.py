"""Sampling by hand-computed numbers: temperature first, then the truncations."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fathom.core.types import Sampling
from fathom.engines.sampling import Sampler, candidates

LOGITS = np.log(np.array([0.1, 0.4, 0.2, 0.3], dtype=np.float32))


def left(**options: float) -> dict[int, float]:
    """Token -> probability after the truncations."""
    sampling = Sampling(**({"temperature": 1.0, "top_p": 1.0, "repeat_penalty": 1.0} | options))  # type: ignore[arg-type]
    ids, weights = candidates(LOGITS, sampling)
    return {int(token): round(float(weight / weights.sum()), 4) for token, weight in zip(ids, weights, strict=True)}


def test_nothing_is_cut_by_default() -> None:
    assert left() == {0: 0.1, 1: 0.4, 2: 0.2, 3: 0.3}


def test_top_p_keeps_the_fewest_likeliest_that_reach_it() -> None:
    assert set(left(top_p=0.7)) == {1, 3}
    assert set(left(top_p=0.71)) == {1, 3, 2}
    assert set(left(top_p=0.0)) == {1}


def test_the_temperature_comes_before_top_p() -> None:
    # at 0.5: 1 16 4 9 of 30, so that 16 + 9 reach 0.8 where 0.4 + 0.3 did not
    assert set(left(temperature=0.5, top_p=0.8)) == {1, 3}
    assert left(temperature=0.5)[1] == pytest.approx(16 / 30, abs=1e-3)


def test_top_k_and_min_p() -> None:
    assert set(left(top_k=3)) == {1, 2, 3}
    assert set(left(min_p=0.49)) == {1, 2, 3}
    assert set(left(min_p=0.6)) == {1, 3}
    assert set(left(top_k=3, top_p=0.75)) == {1, 3}  # of what top-k left: 4/9 + 3/9


def test_greedy_takes_the_highest_and_a_seed_repeats_itself() -> None:
    assert Sampler(Sampling(temperature=0)).sample(LOGITS) == 1
    hot = Sampling(temperature=1.0, top_p=1.0, seed=5)
    draws = [[sampler.sample(LOGITS) for _ in range(40)] for sampler in (Sampler(hot), Sampler(hot))]
    assert draws[0] == draws[1]
    assert len(set(draws[0])) > 1


def test_draws_follow_the_probabilities() -> None:
    sampler = Sampler(Sampling(temperature=1.0, top_p=1.0, seed=1))
    counts = np.bincount([sampler.sample(LOGITS) for _ in range(4000)], minlength=4) / 4000
    assert counts == pytest.approx([0.1, 0.4, 0.2, 0.3], abs=0.03)


@given(st.integers(1, 1200), st.floats(0.01, 1.0), st.integers(0, 2**32))
def test_a_forbidden_token_is_never_drawn(size: int, top_p: float, seed: int) -> None:
    logits = np.random.default_rng(seed).normal(0, 3, size).astype(np.float32)
    logits[1::2] = -np.inf
    token = Sampler(Sampling(temperature=0.8, top_p=top_p, seed=seed)).sample(logits)
    assert token % 2 == 0
