"""The cost of a turn: hand-computed counts, and the properties that make block eviction exact."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fathom.prompting.context import retained
from fathom.prompting.schedule import Sizes, choose_block, kept, mean_cost, tokens_evaluated

SIZES = st.integers(min_value=1, max_value=900)


def alike(steps: int, call: int = 80, observation: int = 800, prefix: int = 1000, blank: int = 12) -> Sizes:
    return Sizes(prefix=prefix, calls=(call,) * steps, observations=(observation,) * steps, blank=blank)


def test_kept_grows_to_k_plus_m_and_falls_to_k() -> None:
    assert [kept(n, 2, 3) for n in range(12)] == [0, 1, 2, 3, 4, 5, 2, 3, 4, 5, 2, 3]
    assert [kept(n, 2) for n in range(5)] == [0, 1, 2, 2, 2]
    assert kept(40, -1, 3) == 40
    assert [kept(n, 0) for n in range(4)] == [0] * 4


@given(results=st.integers(0, 700), keep=st.integers(0, 9), block=st.integers(0, 24))
def test_a_block_never_shows_less_than_k_nor_more_than_k_plus_m(results: int, keep: int, block: int) -> None:
    seen = kept(results, keep, block)
    assert min(results, keep) <= seen <= min(results, keep + block)
    assert set(retained(results + 1, keep)) <= set(retained(results + 1, keep, block))


@given(results=st.integers(0, 300), keep=st.integers(0, 9), block=st.integers(0, 24))
def test_what_has_left_does_not_come_back(results: int, keep: int, block: int) -> None:
    before, after = retained(results + 1, keep, block), retained(results + 2, keep, block)
    assert set(after) - {results + 1} <= set(before)


@pytest.mark.parametrize(("results", "keep", "block"), [(-1, 5, 0), (3, -2, 0), (3, 5, -1)])
def test_nonsense_is_refused(results: int, keep: int, block: int) -> None:
    with pytest.raises(ValueError, match="no schedule"):
        kept(results, keep, block)


def test_four_turns_by_hand() -> None:
    sizes = Sizes(prefix=100, calls=(10, 20, 30), observations=(200, 300, 400), blank=5)
    # Turn 2 sees [100, 10, 200]; turn 3 with K = 1 sees [100, 10, 5, 20, 300]; turn 4 [100, 10, 5, 20, 5, 30, 400].
    assert tokens_evaluated(sizes, "naive", keep=1) == (100, 310, 435, 570)
    # The model's own call is in the cache: turn 2 reads 200; turn 3 goes back to the blank: 5 + 20 + 300.
    assert tokens_evaluated(sizes, "strict", keep=1) == (100, 200, 325, 435)
    # K + 1 may stay: turn 3 reads 300 alone; in turn 4 both old ones leave: 5 + 20 + 5 + 30 + 400.
    assert tokens_evaluated(sizes, "block", keep=1, block=1) == (100, 200, 300, 460)
    assert tokens_evaluated(sizes, "shift", keep=1) == (100, 200, 300, 400)


@given(steps=st.lists(st.tuples(SIZES, SIZES), max_size=24), keep=st.integers(-1, 6), block=st.integers(0, 8))
def test_no_policy_costs_more_than_sending_all_again(steps: list[tuple[int, int]], keep: int, block: int) -> None:
    sizes = Sizes(prefix=50, calls=tuple(a for a, _ in steps), observations=tuple(b for _, b in steps))
    naive = tokens_evaluated(sizes, "naive", keep)
    strict = tokens_evaluated(sizes, "strict", keep)
    assert len(naive) == len(steps) + 1
    assert all(a >= b for a, b in zip(naive, strict, strict=True))
    assert tokens_evaluated(sizes, "block", keep, 0) == strict
    if keep == -1:
        assert strict[1:] == sizes.observations


def test_a_turn_costs_the_same_after_600_steps_as_after_10() -> None:
    cost = tokens_evaluated(alike(600), "strict", keep=5)
    assert cost[600] == cost[10]
    assert cost[600] == 12 + 5 * (80 + 800)


@pytest.mark.parametrize("block", [1, 4, 9])
def test_the_mean_cost_is_what_the_count_says(block: int) -> None:
    turns = 20 * (block + 1)
    cost = tokens_evaluated(alike(turns + 100), "block", keep=5, block=block)[60 : 60 + turns]
    assert sum(cost) / turns == pytest.approx(mean_cost(5, block, 80, 800, 12), rel=0.02)


def test_block_is_the_smallest_that_brings_the_cost_to_a_third() -> None:
    chosen = choose_block(5, 80, 800, 12, room=100_000)
    strict = mean_cost(5, 0, 80, 800, 12)
    assert mean_cost(5, chosen, 80, 800, 12) <= strict / 3 < mean_cost(5, chosen - 1, 80, 800, 12)
    assert choose_block(5, 80, 800, 12, room=2000) == 2
    assert choose_block(5, 80, 800, 12, room=100) == 0
    assert choose_block(-1, 80, 800, 12, room=1e6) == 0
    assert choose_block(5, 80, 0, 12, room=1e6) == 0
