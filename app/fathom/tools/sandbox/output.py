"""What a command printed, in bounded memory: its beginning, its end, and how much lies between.

Knows no process.
"""

from __future__ import annotations

import re
from collections import deque

_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[PX^_][^\x1b]*(?:\x1b\\)?|[@-_])")
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class BoundedOutput:
    """Keeps the first and the last ``keep`` bytes of what is added; ``total`` counts all of it."""

    def __init__(self, keep: int = 8192) -> None:
        self._keep = keep
        self._head = b""
        self._tail: deque[bytes] = deque()
        self._tail_size = 0
        self.total = 0

    def add(self, data: bytes) -> None:
        """Take more bytes; memory stays below ``2 * keep`` and one chunk."""
        self.total += len(data)
        room = self._keep - len(self._head)
        if room > 0:
            self._head += data[:room]
            data = data[room:]
        if data:
            self._tail.append(data[-self._keep :])
            self._tail_size += len(self._tail[-1])
        while self._tail and self._tail_size - len(self._tail[0]) >= self._keep:
            self._tail_size -= len(self._tail.popleft())

    def text(self) -> str:
        """Head and tail as text without control characters; what is left out between them is counted."""
        tail = b"".join(self._tail)[-self._keep :]
        left_out = self.total - len(self._head) - len(tail)
        if left_out <= 0:
            return printable((self._head + tail).decode("utf-8", "replace"))
        between = f"\n[... {left_out:,} bytes left out ...]\n"
        return printable(self._head.decode("utf-8", "replace")) + between + printable(tail.decode("utf-8", "replace"))


def printable(text: str) -> str:
    """The text without terminal escapes and control characters; of an overwritten line the last state stays."""
    text = _ESCAPES.sub("", text.replace("\r\n", "\n"))
    lines = (line.rstrip("\r").rsplit("\r", 1)[-1] for line in text.split("\n"))
    return _CONTROLS.sub("", "\n".join(lines))
