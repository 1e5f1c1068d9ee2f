"""The vocabulary of a model that llama.cpp has loaded."""

from __future__ import annotations

import ctypes
import warnings
from typing import Any

import llama_cpp
import llguidance
import llguidance.llamacpp  # makes guidance.llamacpp

from fathom.core.errors import EngineError
from fathom.engines.tokens import Vocabulary

lib: Any = llama_cpp
guidance: Any = llguidance


class LlamaCppVocabulary(Vocabulary):
    """Every question goes to llama.cpp, which owns the tokenizer."""

    def __init__(self, handle: Any, chat_template: str) -> None:
        """``handle`` is a llama_vocab_p whose model outlives this object."""
        self.handle = handle
        self._buffer = ctypes.create_string_buffer(1 << 10)
        self._pieces: dict[int, bytes] = {}
        self._ids = (lib.llama_token * (1 << 15))()
        size = int(lib.llama_vocab_n_tokens(handle))
        control: set[str] = set()
        user_defined: set[str] = set()
        eog: list[int] = []
        for token in range(size):
            attributes = lib.llama_vocab_get_attr(handle, token)
            if lib.llama_vocab_is_eog(handle, token):
                eog.append(token)
            if attributes & (lib.LLAMA_TOKEN_ATTR_CONTROL | lib.LLAMA_TOKEN_ATTR_UNKNOWN):
                control.add(self.text_of(token))
            elif attributes & lib.LLAMA_TOKEN_ATTR_USER_DEFINED:
                user_defined.add(self.text_of(token))
        super().__init__(
            size=size,
            template=chat_template,
            bos=int(lib.llama_vocab_bos(handle)),
            eos=int(lib.llama_vocab_eos(handle)),
            add_bos=bool(lib.llama_vocab_get_add_bos(handle)),
            eog=eog,
            control=control,
            user_defined=user_defined,
        )

    def piece(self, token: int) -> bytes:
        """As Vocabulary.piece."""
        found = self._pieces.get(token)
        if found is None:
            length = lib.llama_token_to_piece(self.handle, token, self._buffer, len(self._buffer), 0, True)
            if length < 0:
                self._buffer = ctypes.create_string_buffer(-length)
                length = lib.llama_token_to_piece(self.handle, token, self._buffer, len(self._buffer), 0, True)
            found = self._pieces[token] = self._buffer.raw[: max(length, 0)]
        return found

    def tokenize(self, text: str, *, special: bool) -> list[int]:
        """As Vocabulary.tokenize. Raises EngineError when llama.cpp cannot."""
        data = text.encode("utf-8", errors="replace")
        count = lib.llama_tokenize(self.handle, data, len(data), self._ids, len(self._ids), False, special)
        if count < 0:
            self._ids = (lib.llama_token * -count)()
            count = lib.llama_tokenize(self.handle, data, len(data), self._ids, len(self._ids), False, special)
        if count < 0:
            raise EngineError("the text cannot be tokenised")
        return list(self._ids[:count])

    def grammar_tokenizer(self) -> Any:
        """As Vocabulary.grammar_tokenizer; takes 0.2 to 0.8 s."""
        return tokenizer_of(self.handle, sorted(self.eog))


def tokenizer_of(vocabulary: Any, end_tokens: list[int] | None = None) -> Any:
    """llguidance's tokenizer of a llama.cpp vocabulary; ``end_tokens`` end a generation (None: the vocabulary's)."""
    with warnings.catch_warnings():  # llguidance 1.9 asks for attributes by llama.cpp's old name
        warnings.simplefilter("ignore", DeprecationWarning)
        return guidance.llamacpp.lltokenizer_from_vocab(vocabulary, eos_token=end_tokens)
