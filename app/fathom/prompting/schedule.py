"""What a turn costs: which old results stay in view, and how many tokens have to be evaluated because of it.

Retention changes old text, so that whatever stands after the change is evaluated again. Strict ``S_t(K)`` changes one
old result each turn. Block eviction ("fast memory") lets the number of kept results grow to K + m and then fall back
to K: one change in m + 1 turns, and always at least K results in view. Both are exact. Pure; knows no engine.
"""

from __future__ import annotations

from typing import Literal

from fathom.core.types import Struct

KEEP_ALL = -1
MAX_BLOCK = 24

Policy = Literal["naive", "strict", "block", "shift"]


def kept(results: int, keep: int, block: int = 0) -> int:
    """How many of ``results`` results are in view: the last K, or with a block K to K + ``block`` of them.

    ``keep`` -1 keeps all. Raises ValueError if ``results`` < 0, ``keep`` < -1 or ``block`` < 0.
    """
    if results < 0 or keep < KEEP_ALL or block < 0:
        raise ValueError(f"results {results}, keep {keep} and block {block} make no schedule")
    if keep == KEEP_ALL or results <= keep + block:
        return results
    return keep + (results - keep) % (block + 1)


class Sizes(Struct, frozen=True):
    """Token counts of a trajectory: the part before the first step, each step's thought and call, each result, and what
    stands in place of a result out of view."""

    prefix: int
    calls: tuple[int, ...]
    observations: tuple[int, ...]
    blank: int = 12


def tokens_evaluated(sizes: Sizes, policy: Policy, keep: int = 5, block: int = 0) -> tuple[int, ...]:
    """Prompt tokens evaluated in each turn 1..n+1 of a trajectory of n steps.

    ``naive`` sends all again; ``strict`` reuses the longest common prefix, which holds the model's own last words;
    ``block`` does so with block eviction; ``shift`` removes the body of the result that leaves and moves the rest up
    (approximate: what stays was computed with the old result in view).
    """
    cost: list[int] = []
    cached: list[tuple[str, int]] = []
    for turn in range(1, len(sizes.calls) + 2):
        first = turn - kept(turn - 1, keep, block if policy == "block" else 0)
        prompt: list[tuple[str, int]] = [("prefix", 0)]
        for step in range(1, turn):
            prompt += [("call", step), ("result" if step >= first else "blank", step)]
        if policy == "naive":
            fresh = prompt
        elif policy == "shift":
            fresh = [("prefix", 0)] if turn == 1 else [prompt[-1]]
        else:
            same = 0
            while same < min(len(cached), len(prompt)) and cached[same] == prompt[same]:
                same += 1
            fresh = prompt[same:]
        cost.append(sum(_size(sizes, part) for part in fresh))
        cached = [*prompt, ("call", turn)]
    return tuple(cost)


def _size(sizes: Sizes, part: tuple[str, int]) -> int:
    kind, step = part
    if kind == "prefix":
        return sizes.prefix
    if kind == "blank":
        return sizes.blank
    return (sizes.calls if kind == "call" else sizes.observations)[step - 1]


def mean_cost(keep: int, block: int, call: float, observation: float, blank: float) -> float:
    """Tokens evaluated a turn in the long run, for steps that are alike.

    In ``block`` of ``block + 1`` turns the new result alone; then once the results that left, as blanks with the calls
    after them, and the K that stay.
    """
    return blank + (keep + block) * (call + observation) / (block + 1)


def choose_block(keep: int, call: float, observation: float, blank: float, room: float) -> int:
    """The smallest block that brings the cost of a turn to a third of the strict one, or the largest that has room.

    ``room`` is how many tokens more may be kept in view. 0 when nothing can be saved (K is -1 or 0).
    """
    if keep <= 0 or observation <= 0:
        return 0
    fits = min(MAX_BLOCK, int(room // observation))
    strict = mean_cost(keep, 0, call, observation, blank)
    for block in range(1, fits + 1):
        if mean_cost(keep, block, call, observation, blank) <= strict / 3:
            return block
    return max(fits, 0)
