"""Splits what a model writes into its thought and its first call, piece by piece.

Tags never show in the thought. A call may also come as bare or fenced JSON, which unconstrained models like to write;
where calls are held to their schemas they are held in their tags, and bare JSON is part of the thought.
Only the first call counts; what follows it is ignored. Knows no tool and no schema.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import msgspec

from fathom.core.types import Struct

_JSON_START = re.compile(r'(?:^|(?<=\n))[ \t]*(?:```[a-z_]*\s*)?(\{\s*"(?:name|tool_name|function)"\s*:)')
# Any beginning of a line that may still turn out to be such a start:
_JSON_MAYBE = re.compile(
    r'(?:^|(?<=\n))[ \t]*(?:`{1,2}|```[a-z_]*\s*(?:\{\s*(?:"[a-z_]{0,10}(?:"\s*)?)?)?'
    r'|\{\s*(?:"[a-z_]{0,10}(?:"\s*)?)?)?\Z'
)
_THINK_TAGS = ("<think>", "</think>")


class WrittenCall(Struct, frozen=True):
    """A call as it was read; ``error`` says why it cannot be run, "" when it can."""

    name: str
    arguments: dict[str, Any] = msgspec.field(default_factory=dict)
    error: str = ""


class Turn(Struct, frozen=True):
    """A whole turn. ``raw`` is the text up to the end of the first call; ``cut_off``: the call was not finished."""

    thought: str
    call: WrittenCall | None = None
    raw: str = ""
    cut_off: bool = False


class Piece(NamedTuple):
    """New text of the thought or of the call."""

    kind: Literal["thought", "call"]
    text: str


class TurnParser:
    """Feed it text, then ``finish`` it."""

    def __init__(
        self, open_tag: str, close_tag: str, read: Callable[[str], WrittenCall | None], *, bare: bool = True
    ) -> None:
        """``read`` turns the text between the tags into a call, None while it is not whole; ``bare``: JSON outside of
        tags counts as well."""
        self._open, self._close, self._read, self._bare = open_tag, close_tag, read, bare
        self._hidden = (*_THINK_TAGS, close_tag)
        self._raw = ""
        self._pending = ""  # not decided yet
        self._thought: list[str] = []
        self._line_start = True  # whether the pending text begins a line
        self._call = ""  # the text inside the call
        self._state: Literal["thought", "tagged", "bare", "done"] = "thought"
        self._found: WrittenCall | None = None

    @property
    def done(self) -> bool:
        """The first call is whole."""
        return self._state == "done"

    def feed(self, text: str) -> list[Piece]:
        """Take more text; returns what became certain."""
        pieces: list[Piece] = []
        if self._state == "done":
            return pieces
        self._raw += text
        self._pending += text
        if self._state == "thought":
            self._in_thought(pieces)
        if self._state in ("tagged", "bare") and self._pending:
            self._in_call(pieces)
        return [piece for piece in pieces if piece.text]

    def finish(self) -> Turn:
        """The turn, when no more text comes."""
        if self._state == "thought":
            self._thought.append(_without(self._pending, self._hidden))
        thought = "".join(self._thought).strip()
        if self._state in ("thought", "done"):
            return Turn(thought=thought, call=self._found, raw=self._raw)
        call = self._read(self._call)  # a closing tag that a stop string has eaten
        return Turn(thought=thought, call=call, raw=self._raw, cut_off=call is None)

    def _in_thought(self, pieces: list[Piece]) -> None:
        text = self._pending
        tag = text.find(self._open)
        start = self._json_start(text)
        bare = start.start(1) if start else -1
        if tag >= 0 and (bare < 0 or tag < bare):
            self._say(text[:tag], pieces)
            self._state, self._pending = "tagged", text[tag + len(self._open) :]
        elif start:
            self._say(text[: start.start()], pieces)
            self._state, self._pending = "bare", text[bare:]
        else:
            held = self._undecided(text)
            if held < len(text):
                self._say(text[: len(text) - held], pieces)
                self._pending = text[len(text) - held :]

    def _in_call(self, pieces: list[Piece]) -> None:
        pieces.append(Piece("call", self._pending))
        self._call += self._pending
        self._pending = ""
        if self._state == "bare":
            end = _json_end(self._call)
            if end >= 0:
                self._settle(self._call[:end], len(self._call) - end)
        elif (end := self._call.find(self._close)) >= 0:
            after = len(self._call) - end - len(self._close)
            self._settle(self._call[:end], after)

    def _settle(self, inside: str, after: int) -> None:
        self._found = self._read(inside) or WrittenCall(
            name="", error="the call is not one JSON object with a name and its arguments"
        )
        self._state = "done"
        self._raw = self._raw[: len(self._raw) - after] if after else self._raw

    def _json_start(self, text: str) -> re.Match[str] | None:
        found = _JSON_START.search(text) if self._bare else None
        return None if found and found.start() == 0 and not self._line_start else found

    def _undecided(self, text: str) -> int:
        """How many characters at the end may still become a tag or the start of a call."""
        held = 0
        for tag in (self._open, *self._hidden):
            for size in range(min(len(tag) - 1, len(text)), 0, -1):
                if text.endswith(tag[:size]):
                    held = max(held, size)
                    break
        maybe = _JSON_MAYBE.search(text) if self._bare else None
        if maybe and (maybe.start() > 0 or self._line_start):
            held = max(held, len(text) - maybe.start())
        return held

    def _say(self, text: str, pieces: list[Piece]) -> None:
        if text:
            self._line_start = text.endswith("\n")
        shown = _without(text, self._hidden)
        if not self._thought:
            shown = shown.lstrip()
        if shown:
            self._thought.append(shown)
            pieces.append(Piece("thought", shown))


def read_json_call(text: str, name_keys: tuple[str, ...] = ("name", "tool_name", "function")) -> WrittenCall | None:
    """A call written as one JSON object ``{"name": ..., "arguments": {...}}``; None when it is no whole object."""
    try:
        value = json.loads(text.strip(), strict=False)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict):
        return None
    name = next((value[key] for key in name_keys if isinstance(value.get(key), str)), "")
    arguments = value.get("arguments", value.get("parameters", {}))
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments, strict=False)
        except (ValueError, RecursionError):
            return WrittenCall(name=name, error="its arguments are not JSON")
    if not name:
        return WrittenCall(name="", error="it names no tool")
    if not isinstance(arguments, dict):
        return WrittenCall(name=name, error="its arguments are not an object")
    return WrittenCall(name=name, arguments=arguments)


def _json_end(text: str) -> int:
    """Where the JSON object at the start of ``text`` ends, -1 while it does not."""
    try:
        return json.JSONDecoder(strict=False).raw_decode(text)[1]
    except (ValueError, RecursionError):
        return -1


def _without(text: str, tags: tuple[str, ...]) -> str:
    for tag in tags:
        text = text.replace(tag, "")
    return text
