"""The vocabulary of a loaded llama.cpp model: text to token ids, ids to text, and which tokens are special.

Knows the tokenizer, not the weights. A special token is either *control* (turn markers, end of generation: the
tokenizer makes it only on request) or a *marker* that looks like one (``<tool_call>`` in Qwen: it always makes it).
"""

from __future__ import annotations

import codecs
import ctypes
import re
from collections.abc import Sequence
from typing import Any

import llama_cpp

from fathom.core.errors import EngineError
from fathom.core.types import Message, Role
from fathom.prompting import templates

lib: Any = llama_cpp


class Vocabulary:
    """Token ids of one model. ``eog``: ids that end a generation."""

    def __init__(self, handle: Any, chat_template: str) -> None:
        """``handle`` is a llama_vocab_p whose model outlives this object."""
        self.handle = handle
        self.size = int(lib.llama_vocab_n_tokens(handle))
        self.template = chat_template or templates.CHATML
        self._buffer = ctypes.create_string_buffer(1 << 10)
        self._pieces: dict[int, bytes] = {}
        self._ids = (lib.llama_token * (1 << 15))()
        self.bos = int(lib.llama_vocab_bos(handle))
        self.eos = int(lib.llama_vocab_eos(handle))
        self._add_bos = bool(lib.llama_vocab_get_add_bos(handle))
        control: set[str] = set()
        markers: set[str] = set()
        eog: list[int] = []
        for token in range(self.size):
            attributes = lib.llama_vocab_get_attr(handle, token)
            if lib.llama_vocab_is_eog(handle, token):
                eog.append(token)
            if attributes & (lib.LLAMA_TOKEN_ATTR_CONTROL | lib.LLAMA_TOKEN_ATTR_UNKNOWN):
                control.add(self.piece(token).decode("utf-8", errors="replace"))
            elif attributes & lib.LLAMA_TOKEN_ATTR_USER_DEFINED:
                text = self.piece(token).decode("utf-8", errors="replace")
                if re.fullmatch(r"<.+>|\[.+\]", text, re.DOTALL):
                    markers.add(text)
        self.eog = frozenset(eog)
        self.markers = frozenset(markers)
        self.control = frozenset(control - {""})
        self._foreign = templates.pattern_of(self.control | self.markers)
        self._own = templates.pattern_of(self._turn_markers())

    def _turn_markers(self) -> set[str]:
        """Control tokens that the template itself writes, and those that end a generation: never part of a turn."""
        text = self.text_of(self.bos) if self.bos >= 0 else ""
        probes: tuple[tuple[Role, ...], ...] = (("system", "user", "assistant", "user"), ("user", "assistant", "tool"))
        for roles in probes:
            text += templates.render(self.template, [Message(role=role, content="-") for role in roles])
        return {token for token in self.control if token in text} | {self.text_of(token) for token in self.eog}

    def piece(self, token: int) -> bytes:
        """The bytes of one token, special ones as they are spelled; may be a part of a character."""
        found = self._pieces.get(token)
        if found is None:
            length = lib.llama_token_to_piece(self.handle, token, self._buffer, len(self._buffer), 0, True)
            if length < 0:
                self._buffer = ctypes.create_string_buffer(-length)
                length = lib.llama_token_to_piece(self.handle, token, self._buffer, len(self._buffer), 0, True)
            found = self._pieces[token] = self._buffer.raw[: max(length, 0)]
        return found

    def text_of(self, token: int) -> str:
        """The spelling of one token."""
        return self.piece(token).decode("utf-8", errors="replace")

    def tokenize(self, text: str, *, special: bool) -> list[int]:
        """Ids of ``text``, nothing added; ``special`` makes control tokens of their spellings."""
        data = text.encode("utf-8", errors="replace")
        count = lib.llama_tokenize(self.handle, data, len(data), self._ids, len(self._ids), False, special)
        if count < 0:
            self._ids = (lib.llama_token * -count)()
            count = lib.llama_tokenize(self.handle, data, len(data), self._ids, len(self._ids), False, special)
        if count < 0:
            raise EngineError("the text cannot be tokenised")
        return list(self._ids[:count])

    def prompt(self, messages: Sequence[Message], prefill: str = "") -> list[int]:
        """Ids of the rendered conversation with the assistant's turn opened, then ``prefill``.

        Spelled-out special tokens in what a user or a tool said stay text. What the system or the assistant said keeps
        its markers (``<tool_call>``), but no turn marker.
        """
        seal = templates.Seal()
        sealed = [
            Message(
                role=message.role,
                content=seal.hide(message.content, self._own if message.role in _OURS else self._foreign),
            )
            for message in messages
        ]
        bos = self.text_of(self.bos) if self.bos >= 0 else ""
        eos = self.text_of(self.eos) if self.eos >= 0 else ""
        text = templates.render(self.template, sealed, bos=bos, eos=eos)
        ids: list[int] = []
        for piece, hidden in seal.split(text + prefill):
            if hidden:  # in two parts: the tokenizer makes a marker even when it is told to make no special token
                ids += self.tokenize(piece[:1], special=False) + self.tokenize(piece[1:], special=False)
            else:
                ids += self.tokenize(piece, special=True)
        if self._add_bos and (not ids or ids[0] != self.bos):
            ids.insert(0, self.bos)
        return ids

    def plain(self, text: str) -> int:
        """How many tokens ``text`` takes inside of a turn of a user or a tool."""
        return len(self.tokenize(text, special=False))


_OURS = ("system", "assistant")


class TextDecoder:
    """Token bytes to text, never half a character; and stop strings, which may come in parts."""

    def __init__(self, stop: Sequence[str]) -> None:
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._stop = [text for text in stop if text]
        self._held = ""

    def add(self, data: bytes) -> tuple[str, bool]:
        """(text that is certain now, whether a stop string was met); nothing comes after a stop string."""
        return self._certain(self._decode(data))

    def end(self) -> str:
        """What was held back; half a character becomes the replacement character."""
        text, stopped = self._certain(self._decode(b"", True))
        return text if stopped else text + self._held

    def _certain(self, text: str) -> tuple[str, bool]:
        if not self._stop:
            return text, False
        text = self._held + text
        met = [at for at in (text.find(stop) for stop in self._stop) if at >= 0]
        if met:
            self._held = ""
            return text[: min(met)], True
        held = max(
            length for stop in self._stop for length in range(len(stop)) if not length or text.endswith(stop[:length])
        )
        self._held = text[len(text) - held :]
        return text[: len(text) - held], False
