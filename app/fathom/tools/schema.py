"""A tool's argument struct as the JSON schema that the model and the constrained decoder get.

Knows msgspec and nothing of any tool.
"""

from __future__ import annotations

from typing import Any

import msgspec

_NOISE = frozenset({"title", "$defs"})


def flat_schema(arguments: type[msgspec.Struct], *, compact: bool = False) -> dict[str, Any]:
    """The struct's schema: one object, without ``$ref``, ``$defs`` or titles, and closed to further properties.

    ``compact`` leaves out the properties that are not required. Property order is the struct's field order.
    """
    (_,), definitions = msgspec.json.schema_components((arguments,), ref_template="#/$defs/{name}")
    root = _flatten(definitions[arguments.__name__], definitions)
    required: list[str] = list(root.get("required", ()))
    properties: dict[str, Any] = root.get("properties", {})
    if compact:
        properties = {name: value for name, value in properties.items() if name in required}
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def description(arguments: type[msgspec.Struct]) -> str:
    """The struct's docstring, as one paragraph: what the model reads of the tool."""
    return " ".join((arguments.__doc__ or "").split())


def _flatten(value: Any, definitions: dict[str, Any]) -> Any:
    if isinstance(value, dict):
        if "$ref" in value:
            return _flatten(definitions[value["$ref"].rsplit("/", 1)[-1]], definitions)
        properties = value.get("properties")
        flat = {key: _flatten(item, definitions) for key, item in value.items() if key not in _NOISE | {"properties"}}
        if properties is not None:  # a property may well be called "title"
            flat["properties"] = {name: _flatten(item, definitions) for name, item in properties.items()}
        return flat
    if isinstance(value, list):
        return [_flatten(item, definitions) for item in value]
    return value
