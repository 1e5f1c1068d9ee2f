"""MiroThinker's MCP XML format: ``<use_mcp_tool>`` with server, tool and JSON arguments; results as user messages."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from itertools import groupby
from typing import Any, ClassVar

from fathom.core.types import Message, Observation, Task, ToolChoice, ToolSpec
from fathom.prompting.formats import grammar as lark
from fathom.prompting.formats.base import CallFormat, Limits, neutralise
from fathom.prompting.formats.parsing import TurnParser, WrittenCall, read_json_call

_OPEN, _CLOSE = "<use_mcp_tool>", "</use_mcp_tool>"
_TOOL = re.compile(r"<tool_name>\s*(.*?)\s*</tool_name>", re.DOTALL)
_ARGUMENTS = re.compile(r"<arguments>\s*(.*?)\s*(?:</arguments>|\Z)", re.DOTALL)


class McpXml(CallFormat):
    """See the module."""

    name: ClassVar[str] = "mcp_xml"
    stop: ClassVar[tuple[str, ...]] = (_CLOSE,)

    def system_prompt(self, specs: Sequence[ToolSpec], *, today: str = "", compact: bool = False) -> str:
        date = f" Today is: {today}" if today else ""
        parts = [
            "In this environment you have access to a set of tools you can use to answer the user's question.\n\n"
            "You only have access to the tools provided below. You can only use one tool per message, and will receive "
            "the result of that tool in the user's next response. You use tools step-by-step to accomplish a given "
            f"task, with each tool-use informed by the result of the previous tool-use.{date}",
            _USAGE,
            "Here are the functions available in JSONSchema format:",
        ]
        for server, members in groupby(sorted(specs, key=lambda spec: spec.server), key=lambda spec: spec.server):
            parts.append(f"## Server name: {server}")
            parts += [
                f"### Tool name: {spec.name}\nDescription: {spec.description}\n"
                f"Input JSON schema: {json.dumps(spec.parameters, ensure_ascii=False)}"
                for spec in members
            ]
        parts += [_GENERAL, _AGENT]
        return "\n\n".join(parts)

    def question(self, task: Task) -> Message:
        return Message(
            role="user",
            content=f"{neutralise(task.question)}\n\nYou should follow the format instruction in the request strictly "
            "and wrap the final answer in \\boxed{}.",
        )

    def call_text(self, name: str, arguments: dict[str, Any], server: str = "fathom") -> str:
        return (
            f"{_OPEN}\n<server_name>{server}</server_name>\n<tool_name>{name}</tool_name>\n<arguments>\n"
            f"{json.dumps(arguments, ensure_ascii=False)}\n</arguments>\n{_CLOSE}"
        )

    def result(self, observation: Observation) -> Message:
        return Message(role="user", content=neutralise(observation.text))

    def parser(self, *, bare: bool = True) -> TurnParser:
        return TurnParser(_OPEN, _CLOSE, _read, bare=bare)

    def grammar(self, specs: Sequence[ToolSpec], tool_choice: ToolChoice, limits: Limits) -> str:
        rules = [lark.thought_rule(limits.thought_tokens, limits.one_line)]
        if tool_choice == "none" or not specs:
            return "\n".join(["start: thought", *rules, ""])
        names = [f"tool{number}" for number in range(len(specs))]
        tail = f"</arguments>\n{_CLOSE}"
        rules.append(f"call: {lark.text(_OPEN + chr(10) + '<server_name>')} ({' | '.join(names)})")
        for rule, spec in zip(names, specs, strict=True):
            head = f"{spec.server}</server_name>\n<tool_name>{spec.name}</tool_name>\n<arguments>\n"
            rules.append(f"{rule}: {lark.text(head)} {rule}_arguments {lark.text(chr(10) + tail)}")
            rules.append(lark.json_rule(f"{rule}_arguments", lark.bounded(spec.parameters, 2 * limits.call_tokens)))
        start = "start: thought call" + ("?" if tool_choice == "auto" else "")
        return "\n".join([start, *rules, ""])


def _read(text: str) -> WrittenCall | None:
    tool = _TOOL.search(text)
    if tool is None:
        return read_json_call(text)
    found = _ARGUMENTS.search(text, tool.end())
    if found is None:
        return None
    try:
        arguments = json.loads(found[1] or "{}", strict=False)
    except (ValueError, RecursionError):
        return None if "</arguments>" not in text else WrittenCall(name=tool[1], error="its arguments are not JSON")
    if not isinstance(arguments, dict):
        return WrittenCall(name=tool[1], error="its arguments are not an object")
    return WrittenCall(name=tool[1], arguments=arguments)


_USAGE = """# Tool-Use Formatting Instructions

Tool-use is formatted using XML-style tags. The tool-use is enclosed in <use_mcp_tool></use_mcp_tool> and each parameter is similarly enclosed within its own set of tags.

Description: request to use a tool of a server. Each tool has an input schema that defines required and optional parameters.

Parameters:
- server_name: (required) the name of the server that provides the tool
- tool_name: (required) the name of the tool
- arguments: (required) a JSON object with the tool's input parameters, following its input schema; quotes in strings are escaped

Usage:
<use_mcp_tool>
<server_name>server name here</server_name>
<tool_name>tool name here</tool_name>
<arguments>
{"param1": "value1", "param2": "value2"}
</arguments>
</use_mcp_tool>

The tool-use must stand at the end of the message, at the top level, and not inside other tags. Always follow this format."""  # noqa: E501

_GENERAL = """# General Objective

You accomplish a given task iteratively, breaking it down into clear steps and working through them methodically."""

_AGENT = """# Agent Specific Objective

You are a task-solving agent that uses tools step-by-step to answer the user's question. Your goal is to provide complete, accurate and well-reasoned answers using additional tools."""  # noqa: E501
