"""The Hermes and Qwen format: ``<tool_call>`` around one JSON object, results in ``<tool_response>``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, ClassVar

from fathom.core.types import Message, Observation, ToolChoice, ToolSpec
from fathom.prompting.formats import grammar as lark
from fathom.prompting.formats.base import CallFormat, Limits, neutralise
from fathom.prompting.formats.parsing import TurnParser, read_json_call

_OPEN, _CLOSE = "<tool_call>", "</tool_call>"


class Hermes(CallFormat):
    """See the module."""

    name: ClassVar[str] = "hermes"
    stop: ClassVar[tuple[str, ...]] = (_CLOSE,)

    def system_prompt(self, specs: Sequence[ToolSpec], *, today: str = "", compact: bool = False) -> str:
        return _compact(specs) if compact else _full(specs, today)

    def call_text(self, name: str, arguments: dict[str, Any], server: str = "fathom") -> str:
        return f"{_OPEN}\n{json.dumps({'name': name, 'arguments': arguments}, ensure_ascii=False)}\n{_CLOSE}"

    def result(self, observation: Observation) -> Message:
        return Message(role="user", content=f"<tool_response>\n{neutralise(observation.text)}\n</tool_response>")

    def parser(self, *, bare: bool = True) -> TurnParser:
        return TurnParser(_OPEN, _CLOSE, read_json_call, bare=bare)

    def grammar(self, specs: Sequence[ToolSpec], tool_choice: ToolChoice, limits: Limits) -> str:
        rules = [lark.thought_rule(limits.thought_tokens, limits.one_line)]
        if tool_choice == "none" or not specs:
            return "\n".join(["start: thought", *rules, ""])
        calls = self.call_schema(specs, limits)
        rules += [f'call: {_OPEN} "\\n" body "\\n" {_CLOSE}', lark.json_rule("body", calls)]
        start = "start: thought call" + ("?" if tool_choice == "auto" else "")
        return "\n".join([start, *rules, ""])


def _full(specs: Sequence[ToolSpec], today: str) -> str:
    tools = "\n".join(
        json.dumps(
            {
                "type": "function",
                "function": {"name": spec.name, "description": spec.description, "parameters": spec.parameters},
            },
            ensure_ascii=False,
        )
        for spec in specs
    )
    date = f" Today is: {today}." if today else ""
    return (
        "You are a careful research assistant. You answer a question by working step by step: think briefly, call one "
        f"tool, read its result, think again.{date}\n"
        "Search first, then open the most promising pages and read them. Do not repeat a call that you have made. "
        "Rely on what the pages say, not on memory. When the pages hold the answer, write without calling a tool "
        "what you found.\n\n"
        "# Tools\n\nYou may call one function at a time to assist with the user query.\n\n"
        "You are provided with function signatures within <tools></tools> XML tags:\n<tools>\n"
        f"{tools}\n</tools>\n\n"
        "For each function call, return a json object with function name and arguments within "
        f'{_OPEN}{_CLOSE} XML tags:\n{_OPEN}\n{{"name": <function-name>, "arguments": <args-json-object>}}\n{_CLOSE}'
    )


def _compact(specs: Sequence[ToolSpec]) -> str:
    lines = [f"- {spec.name}({', '.join(spec.parameters.get('properties', {}))}): {spec.description}" for spec in specs]
    return (
        "You answer questions by using tools. First search, then open the best page, then answer from what you read.\n"
        "In each turn write one short sentence about what you need next, then call one tool. "
        "When you have read the answer, say so and call no tool.\n\nTools:\n" + "\n".join(lines)
    )
