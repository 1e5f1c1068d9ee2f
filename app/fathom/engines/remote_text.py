"""Text of a server's deltas, and how many tokens a text takes when nobody counts them. No network."""

from __future__ import annotations

import json
import math
import re
from typing import Any

from fathom.prompting.formats.base import CallFormat

_PIECES = re.compile(r"[A-Za-z]+|\n+|[ \t\r\f\v]+|[\x21-\x7e]|[^\x00-\x7f]+|.", re.S)


def estimate(text: str) -> int:
    """Tokens of ``text``, on the high side for the tokenizers of multilingual models.

    An English word is a token for each four letters begun, a digit or sign is one, a Greek or Cyrillic letter one,
    and an accented letter or a character of any other script two.
    """
    count = 0
    for piece in _PIECES.findall(text):
        if piece.isascii():
            count += math.ceil(len(piece) / 4) if piece.isalpha() else len(piece) > 1 or piece != " "
        else:
            count += sum(map(_foreign, piece))
    return count


def _foreign(letter: str) -> int:
    point = ord(letter)
    return 1 if 0x370 <= point < 0x590 else 2 if point < 0x1F000 else 4


class DeltaText:
    """The deltas of one answer, as the text that the model would have written in the profile's own format.

    Reasoning that a server hands over on the side is put between ``<think>`` tags. Native tool calls are put
    together and written when the next one begins or the answer ends.
    """

    def __init__(self, format_: CallFormat, servers: dict[str, str]) -> None:
        """``servers``: tool name -> the server that the format writes beside it."""
        self._format, self._servers = format_, servers
        self._thinking = False
        self._said = False
        self._index: int | None = None
        self._name = ""
        self._arguments = ""

    def add(self, delta: dict[str, Any]) -> str:
        """New text of a delta (or of a whole message)."""
        text = ""
        reasoning = delta.get("reasoning_content") or delta.get("reasoning")
        if isinstance(reasoning, str) and reasoning:
            text += "" if self._thinking else "<think>"
            self._thinking = True
            text += reasoning
        content = delta.get("content")
        if isinstance(content, str) and content:
            text += self._end_thinking() + content
        calls = delta.get("tool_calls")
        for call in calls if isinstance(calls, list) else ():
            if isinstance(call, dict):
                text += self._call(call)
        self._said = self._said or bool(text)
        return text

    def end(self) -> str:
        """What was held back."""
        return self._end_thinking() + self._write()

    def _call(self, call: dict[str, Any]) -> str:
        text = self._end_thinking()
        index = call.get("index", 0)
        function = call.get("function")
        function = function if isinstance(function, dict) else {}
        if index != self._index:
            text += self._write()
            self._index = index if isinstance(index, int) else 0
        name, arguments = function.get("name"), function.get("arguments")
        if isinstance(name, str):
            self._name += name
        self._arguments += arguments if isinstance(arguments, str) else json.dumps(arguments) if arguments else ""
        return text

    def _write(self) -> str:
        name, written = self._name, self._arguments
        self._index, self._name, self._arguments = None, "", ""
        if not name:
            return ""
        lead = "\n" if self._said else ""
        try:
            arguments = json.loads(written or "{}", strict=False)
        except (ValueError, RecursionError):
            arguments = written  # the parser says what is wrong with it
        return lead + self._format.call_text(name, arguments, self._servers.get(name, "fathom"))

    def _end_thinking(self) -> str:
        ended, self._thinking = self._thinking, False
        return "</think>\n" if ended else ""
