"""The vocabulary of a loaded model: text to token ids, ids to text, and which tokens are special; text out of tokens.

Knows no library: ``llamacpp_tokens`` and ``json_tokens`` fill in the tokenizer. A special token is either *control*
(turn markers, end of generation: the tokenizer makes it only on request) or a *marker* that looks like one
(``<tool_call>`` in Qwen: it always makes it).
"""

from __future__ import annotations

import codecs
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any

from fathom.core.types import Message, Role
from fathom.prompting import templates


class Vocabulary(ABC):
    """Token ids of one model. ``size`` is the number of its logits; ``eog``: ids that end a generation."""

    def __init__(
        self,
        *,
        size: int,
        template: str,
        bos: int,
        eos: int,
        add_bos: bool,
        eog: Iterable[int],
        control: Iterable[str],
        user_defined: Iterable[str],
    ) -> None:
        """``bos`` and ``eos`` are -1 where there is none; ``user_defined`` are added tokens beside ``control``."""
        self.size = size
        self.template = template or templates.CHATML
        self.bos = bos
        self.eos = eos
        self.eog = frozenset(eog)
        self.control = frozenset(control) - {""}
        self.markers = frozenset(text for text in user_defined if re.fullmatch(r"<.+>|\[.+\]", text, re.DOTALL))
        self._add_bos = add_bos
        self._foreign = templates.pattern_of(self.control | self.markers)
        self._own = templates.pattern_of(self._turn_markers())

    def _turn_markers(self) -> set[str]:
        """Control tokens that the template itself writes, and those that end a generation: never part of a turn."""
        text = self.text_of(self.bos) if self.bos >= 0 else ""
        probes: tuple[tuple[Role, ...], ...] = (("system", "user", "assistant", "user"), ("user", "assistant", "tool"))
        for roles in probes:
            text += templates.render(self.template, [Message(role=role, content="-") for role in roles])
        return {token for token in self.control if token in text} | {self.text_of(token) for token in self.eog}

    @abstractmethod
    def piece(self, token: int) -> bytes:
        """The bytes of one token, special ones as they are spelled; may be a part of a character."""

    @abstractmethod
    def tokenize(self, text: str, *, special: bool) -> list[int]:
        """Ids of ``text``, nothing added; ``special`` makes control tokens of their spellings."""

    @abstractmethod
    def grammar_tokenizer(self) -> Any:
        """llguidance's tokenizer of this vocabulary, which ends a generation with any of ``eog``; made anew."""

    def text_of(self, token: int) -> str:
        """The spelling of one token."""
        return self.piece(token).decode("utf-8", errors="replace")

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
