"""Constrained decoding with llguidance: which tokens a grammar allows next.

Sample first, ask about that one token, and compute the mask only when it is refused: free parts of a grammar then cost
some 2 microseconds a token. Knows no model, only a vocabulary.
"""

from __future__ import annotations

import re
from typing import Any

import llguidance
import numpy as np
import numpy.typing as npt

from fathom.core.errors import EngineError
from fathom.engines.tokens import Vocabulary

lib: Any = llguidance

_LITERALS = re.compile(
    r"""(?P<kept>"(?:\\.|[^"\\\n])*"i?      # a string
      |/(?:\\.|[^/\\\n])+/[imslux]*         # a regular expression
      |//[^\n]*)                            # a comment
      |(?P<special><(?!\[)[^<>\s"]+>)       # a special token""",
    re.VERBOSE,
)


class Constraint:
    """One grammar over one generation."""

    def __init__(self, matcher: Any, vocabulary_size: int) -> None:
        self._matcher = matcher
        self._words = np.zeros((vocabulary_size + 31) // 32, dtype=np.uint32)
        self._size = vocabulary_size

    def allows(self, token: int) -> bool:
        """Whether ``token`` may come next; a token that ends the generation may when the text is complete."""
        return bool(self._matcher.validate_tokens([token]))

    def forbid(self, logits: npt.NDArray[np.float32]) -> None:
        """Set the ``logits`` (shape (V,)) of all tokens that may not come next to minus infinity."""
        self._matcher.unsafe_compute_mask_ptr(self._words.ctypes.data, self._words.nbytes)
        self._check()
        allowed = np.unpackbits(self._words.view(np.uint8), bitorder="little", count=self._size)
        size = min(self._size, len(logits))  # a vocabulary may be larger than the model's last layer, or smaller
        logits[:size][allowed[:size] == 0] = -np.inf
        logits[size:] = -np.inf

    def accept(self, token: int) -> None:
        """``token`` was chosen. Raises EngineError when it is not allowed."""
        if not self._matcher.consume_token(token):
            self._check()

    def forced(self) -> list[int]:
        """The tokens that must come next whatever the model says; they are accepted by this call."""
        tokens: list[int] = self._matcher.compute_ff_tokens()
        if tokens and not self._matcher.consume_tokens(tokens):
            self._check()
        return tokens

    @property
    def finished(self) -> bool:
        """The text is complete and nothing can follow."""
        return bool(self._matcher.is_stopped())

    def _check(self) -> None:
        if self._matcher.is_error():
            raise EngineError(f"the grammar failed: {str(self._matcher.get_error())[:500]}")


class Constrainer:
    """Makes constraints for one vocabulary. The tokenizer's trie is built at the first use (0.2 to 0.8 s) and kept."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._tokenizer: Any = None

    def constraint(self, grammar: str) -> Constraint:
        """A fresh constraint of the Lark ``grammar``. Raises EngineError that says what is wrong with it."""
        if self._tokenizer is None:
            self._tokenizer = self._vocabulary.grammar_tokenizer()
        special = self._vocabulary.markers | self._vocabulary.control
        matcher = lib.LLMatcher(self._tokenizer, spell_out(grammar, special), log_level=0)
        if matcher.is_error():
            raise EngineError(f"the grammar is refused: {str(matcher.get_error())[:500]}")
        return Constraint(matcher, self._vocabulary.size)


def spell_out(grammar: str, special: frozenset[str]) -> str:
    """``grammar`` with the special tokens that the vocabulary does not have as quoted strings.

    So one grammar with ``<tool_call>`` serves a model that has such a token and one that writes it letter by letter.
    """

    def replace(match: re.Match[str]) -> str:
        token = match["special"]
        return match[0] if token is None or token in special else f'"{token}"'

    return _LITERALS.sub(replace, grammar)
