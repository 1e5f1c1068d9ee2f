"""What every call format gives: prompts, messages, a parser and a grammar.

Knows no engine and no tool. Whether a vocabulary has ``<tag>`` as one special token or spells it out is the constrained
decoder's business: an unquoted ``<tag>`` in a grammar means either.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

from fathom.core.types import Message, Observation, Step, Struct, Task, ToolChoice, ToolSpec
from fathom.prompting.formats.grammar import json_call_schema
from fathom.prompting.formats.parsing import TurnParser

_ROLE_TOKENS = re.compile(
    r"<(?=\|[^|<>\n]{1,40}\|>"  # <|im_start|>, <|endoftext|>
    r"|/?(?:tool_call|tool_calls|tool_response|tools|use_mcp_tool|server_name|tool_name|arguments|think|function_call"
    r"|start_of_turn|end_of_turn|s|bos|eos)>"
    r"|｜)",
    re.IGNORECASE,
)
_BRACKET_TOKENS = re.compile(r"\[(?=/?(?:INST|SYS|TOOL_CALLS|TOOL_RESULTS|AVAILABLE_TOOLS)\])")


def neutralise(text: str) -> str:
    """``text`` with tags that could pass for a call, a result or a role made harmless: ``<`` becomes ``‹``.

    They stay readable. For whatever comes from outside: results, pages, the question.
    """
    return _BRACKET_TOKENS.sub("［", _ROLE_TOKENS.sub("‹", text))


def no_role_tokens(text: str) -> str:
    """``text`` that the model wrote, with role tokens made harmless; call tags stay."""
    return re.sub(r"<(?=\|[^|<>\n]{1,40}\|>)", "‹", text)


class Limits(Struct, frozen=True):
    """Bounds of one turn in tokens. ``call_tokens`` are reserved after the thought, so that a call is never cut off."""

    thought_tokens: int = 512
    call_tokens: int = 1024
    one_line: bool = False  # the thought is one line


class CallFormat(ABC):
    """One way to write calls. Stateless."""

    name: ClassVar[str]
    stop: ClassVar[tuple[str, ...]]
    """Where an unconstrained turn ends: one call a message."""

    @abstractmethod
    def system_prompt(self, specs: Sequence[ToolSpec], *, today: str = "", compact: bool = False) -> str:
        """The system's text that names the tools; ``compact`` is for small models."""

    @abstractmethod
    def call_text(self, name: str, arguments: dict[str, object], server: str = "fathom") -> str:
        """A call as the model writes it."""

    @abstractmethod
    def result(self, observation: Observation) -> Message:
        """The message that brings a result back, made harmless."""

    @abstractmethod
    def parser(self, *, bare: bool = True) -> TurnParser:
        """A fresh parser for one turn; ``bare``: a call written as JSON without its tags counts as well."""

    @abstractmethod
    def grammar(self, specs: Sequence[ToolSpec], tool_choice: ToolChoice, limits: Limits) -> str:
        """A llguidance Lark grammar of one turn: a free thought, then a call held to the tools' schemas.

        The call is optional for ``auto``, there for ``required``, absent for ``none`` (and when there is no tool).
        """

    def call_schema(self, specs: Sequence[ToolSpec], limits: Limits) -> dict[str, Any]:
        """A JSON schema of one call without its tags, for engines that know no grammar; every parser reads it."""
        return {"anyOf": [json_call_schema(spec, 2 * limits.call_tokens) for spec in specs]}

    def question(self, task: Task) -> Message:
        """The user's first message."""
        return Message(role="user", content=neutralise(task.question))

    def action(self, step: Step) -> Message:
        """The assistant's message of a step: the model's text to the letter, or the thought and call in this format."""
        if step.raw:
            return Message(role="assistant", content=no_role_tokens(step.raw))
        parts = [step.thought] if step.thought else []
        parts += [self.call_text(call.name, call.arguments) for call in step.calls]
        return Message(role="assistant", content=no_role_tokens("\n".join(parts)))
