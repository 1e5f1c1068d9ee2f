"""Experimental: what may be cut out of a KV cache so that a shortened prompt is not computed again.

Retention puts a short blank in place of an old result. The keys and values of what follows were computed with it
in view; here they are kept and only moved, which is not the same as computing them anew. Pure; knows no library.
"""

from __future__ import annotations

from collections.abc import Sequence

from fathom.core.types import Struct

ANCHOR_TOKENS = 24  # so many in a row are taken for the same text
BLANK_TOKENS = 64  # a longer text in place of the one that left is computed
GAIN_TOKENS = 16  # a shorter gap is not worth it


class Cut(Struct, frozen=True):
    """Of the cached tokens ``[start, end)`` leave; what stands from ``end`` on moves up to ``start``.

    ``common`` tokens are the same before it; those in ``[common, start)`` stay in place of the prompt's own.
    """

    common: int
    start: int
    end: int


def find_cut(cached: Sequence[int], prompt: Sequence[int]) -> Cut | None:
    """The first cut that brings ``cached`` nearer to ``prompt``, None when there is none."""
    common = 0
    for one, other in zip(cached, prompt, strict=False):
        if one != other:
            break
        common += 1
    ours = _packed(cached[common:])
    for blank in range(min(BLANK_TOKENS, len(prompt) - common - ANCHOR_TOKENS) + 1):
        start = common + blank
        anchor = _packed(prompt[start : start + ANCHOR_TOKENS])
        at = ours.find(anchor)
        while at >= 0 and at % 4:  # between two tokens only
            at = ours.find(anchor, at + 1)
        if at >= 0 and at // 4 - blank >= GAIN_TOKENS:
            return Cut(common=common, start=start, end=common + at // 4)
    return None


def _packed(tokens: Sequence[int]) -> bytes:
    return b"".join(token.to_bytes(4, "little") for token in tokens)
