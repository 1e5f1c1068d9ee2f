"""Pieces of llguidance Lark grammars that the call formats share: a bounded thought, bounded JSON schemas.

Measured with llguidance 1.9: a thought as ``/[^<]*/`` ends cleanly where a tag begins, whether the tag is one special
token or spelled out; an expression that lets some ``<`` through does not end before a spelled-out tag.
"""

from __future__ import annotations

import json
from typing import Any

from fathom.core.types import ToolSpec

MAX_ITEMS = 16
MAX_INTEGER = 10**9
_EXACT_SPACES = {"whitespace_flexible": False, "key_separator": ": ", "item_separator": ", "}


def thought_rule(tokens: int, one_line: bool = False) -> str:
    """``thought``: free text without ``<``, at most ``tokens`` tokens, possibly with a ``<think>`` part before it.

    ``one_line``: it ends at the first line break, for small models that ramble.
    """
    if tokens <= 0:
        return 'thought: ""'
    if one_line:
        return f'thought: line "\\n"?\nline[max_tokens={tokens}]: /[^<\\n]*/'
    return (
        f"thought: thinking? free\n"
        f"thinking: <think> pondering </think>\n"
        f"pondering[max_tokens={tokens}]: /[^<]*/\n"
        f"free[max_tokens={tokens}]: /[^<]*/"
    )


def json_rule(name: str, schema: dict[str, Any]) -> str:
    """A rule that holds to ``schema``, with one space after colons and commas and no other white space."""
    return f"{name}: %json {json.dumps(schema | {'x-guidance': _EXACT_SPACES}, ensure_ascii=False)}"


def text(value: str) -> str:
    """``value`` as a Lark string."""
    return json.dumps(value, ensure_ascii=False)


def json_call_schema(spec: ToolSpec, max_chars: int) -> dict[str, Any]:
    """The schema of a call of this tool as ``{"name": ..., "arguments": {...}}``, bounded."""
    return {
        "type": "object",
        "properties": {"name": {"const": spec.name}, "arguments": bounded(spec.parameters, max_chars)},
        "required": ["name", "arguments"],
        "additionalProperties": False,
    }


def bounded(schema: dict[str, Any], max_chars: int) -> dict[str, Any]:
    """``schema`` with an upper bound on every string (``max_chars`` at most), array and integer, and closed objects.

    So that a call always ends within its reserved tokens.
    """
    kind = schema.get("type")
    result = {key: value for key, value in schema.items() if key not in ("description", "title", "default", "examples")}
    for key in ("anyOf", "oneOf", "allOf"):
        if key in schema:
            result[key] = [bounded(option, max_chars) for option in schema[key]]
    if "enum" in schema or "const" in schema:
        return result
    if kind == "string":
        result["maxLength"] = max(1, min(int(schema.get("maxLength", max_chars)), max_chars))
        result["minLength"] = min(int(schema.get("minLength", 0)), result["maxLength"])
    elif kind == "array":
        result["maxItems"] = min(int(schema.get("maxItems", MAX_ITEMS)), MAX_ITEMS)
        result["items"] = bounded(schema.get("items", {"type": "string"}), max_chars)
    elif kind == "integer":
        result.setdefault("minimum", -MAX_INTEGER)
        result.setdefault("maximum", MAX_INTEGER)
    elif kind == "object":
        properties = schema.get("properties", {})
        result["properties"] = {name: bounded(value, max_chars) for name, value in properties.items()}
        result["additionalProperties"] = False
    return result


def answer_grammar(prose_tokens: int, box_chars: int = 120) -> str:
    r"""A whole answer: prose of at most ``prose_tokens`` tokens, then one ``\boxed{...}`` on one line."""
    return (
        'start: prose "\\\\boxed{" box "}"\n'
        f"prose[max_tokens={prose_tokens}]: /[^<\\\\]*/\n"
        f"box: /[^{{}}<>\\\\\\n]{{1,{box_chars}}}/\n"
    )


def phrase_grammar(prose_tokens: int, phrase_chars: int = 160) -> str:
    """``The answer is "PHRASE".`` and prose of at most ``prose_tokens`` tokens after it, for small models.

    They find a phrase in quotation marks more easily than one in a box.
    """
    return (
        'start: "The answer is \\"" phrase "\\". " prose\n'
        f'phrase: /[^"<>\\n]{{1,{phrase_chars}}}/\n'
        f"prose[max_tokens={prose_tokens}]: /[^<]*/\n"
    )
