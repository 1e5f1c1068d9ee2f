"""The thread governor gives way while another program holds a core, and comes back."""

from __future__ import annotations

from fathom.engines.threads import HOLD_TOKENS, SLOW_TOKENS, ThreadGovernor


def governor(threads: int) -> tuple[ThreadGovernor, list[int]]:
    told: list[int] = []
    found = ThreadGovernor(threads, told.append)
    for _ in range(20):
        found.decoded(0.01)
    assert told == []
    return found, told


def test_single_slow_tokens_change_nothing() -> None:
    watched, told = governor(2)
    for _ in range(50):
        watched.decoded(0.5)
        watched.decoded(0.01)
    assert told == []


def test_a_collapse_takes_a_thread_away_and_quiet_gives_it_back() -> None:
    watched, told = governor(2)
    for _ in range(SLOW_TOKENS):
        watched.decoded(0.2)
    assert (told, watched.threads) == ([1], 1)
    for _ in range(2 * HOLD_TOKENS):
        watched.decoded(0.012)
    assert (told, watched.threads) == ([1, 2], 2)


def test_each_relapse_is_tried_later_again() -> None:
    watched, told = governor(2)
    tokens = 0
    while len(told) < 9 and tokens < 100_000:
        tokens += 1
        watched.decoded(0.2 if watched.threads == 2 else 0.012)
    assert told == [1, 2] * 4 + [1]
    assert tokens > HOLD_TOKENS * (2 + 4 + 8 + 16)


def test_many_cores_are_given_up_in_small_parts_and_never_all() -> None:
    watched, told = governor(8)
    for _ in range(100):
        watched.decoded(1.0)
    assert told[:3] == [6, 5, 4]
    assert told[-1] == 1


def test_a_slowly_growing_context_is_no_collapse() -> None:
    watched, told = governor(2)
    seconds = 0.01
    for _ in range(6000):
        seconds *= 1.0005
        watched.decoded(seconds)
    assert told == []


def test_a_repeatable_generation_gets_all_threads() -> None:
    watched, told = governor(4)
    for _ in range(SLOW_TOKENS):
        watched.decoded(1.0)
    watched.all()
    assert told == [3, 4]


def test_the_number_can_be_changed_from_outside() -> None:
    watched, told = governor(4)
    watched.use(3)
    assert (told, watched.threads) == ([3], 3)
    for _ in range(5):
        watched.decoded(0.02)  # slower with fewer, and no collapse
    assert watched.threads == 3
    for _ in range(SLOW_TOKENS):
        watched.decoded(0.2)
    watched.all()
    assert (told, watched.threads) == ([3, 2, 3], 3)
