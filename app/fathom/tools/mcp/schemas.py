"""Rebuilds a foreign tool's JSON schema from the few parts that constrained decoding can hold, within bounds.

Nothing is passed through: a schema that refers to itself, unfolds without end or hides instructions in a name becomes
small and plain, or the tool is not offered. Knows no server.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from fathom.core.errors import ToolError
from fathom.core.types import Struct
from fathom.prompting.formats.base import neutralise

MAX_DEPTH = 4
MAX_PARTS = 120
MAX_PROPERTIES = 24
MAX_ENUM = 48
MAX_SCHEMA_CHARS = 6000
MAX_DESCRIPTION = 600
MAX_NOTE = 200
_BOUND = 10**9

_NAME = re.compile(r"[\w$.-]{1,64}")
_TELLING = ("type", "properties", "items", "enum", "const", "anyOf", "oneOf", "allOf", "$ref")


class PlainSchema(Struct, frozen=True):
    """``parameters`` is for the model. At the ``free`` paths it writes JSON as text, and the server gets objects.

    "*" in a path stands for every item of an array.
    """

    parameters: dict[str, Any]
    free: tuple[tuple[str, ...], ...] = ()


def plain_text(text: str, limit: int) -> str:
    """One line of foreign text without control characters and role tokens, cut to ``limit`` characters."""
    line = " ".join("".join(sign if sign.isprintable() else " " for sign in text[: 4 * limit]).split())
    line = neutralise(line)
    return line if len(line) <= limit else f"{line[: limit - 1].rstrip()}…"


def plain_schema(schema: Any) -> PlainSchema:
    """The schema of a tool's arguments. Raises ToolError when what it requires cannot be held."""
    built = _Builder(schema if isinstance(schema, dict) else {})
    root = built.whole()
    for spare in (("description",), ("enum",), ()):
        if len(json.dumps(root, ensure_ascii=False)) <= MAX_SCHEMA_CHARS:
            return PlainSchema(parameters=root, free=tuple(built.free))
        if spare:
            _without(root, spare[0])
        else:
            root["properties"] = {key: part for key, part in root["properties"].items() if key in root["required"]}
    if len(json.dumps(root, ensure_ascii=False)) <= MAX_SCHEMA_CHARS:
        return PlainSchema(parameters=root, free=tuple(built.free))
    raise ToolError("what it requires is too long to be told to a model")


def restored(arguments: dict[str, Any], free: Sequence[tuple[str, ...]]) -> dict[str, Any]:
    """``arguments`` with the JSON texts at the ``free`` paths read. Raises ToolError when one is no JSON object."""
    for path in free:
        arguments = _restored(arguments, path)
    return arguments


def _restored(value: Any, path: tuple[str, ...]) -> Any:
    if not path:
        if not isinstance(value, str):
            return value
        try:
            read = json.loads(value or "{}")
        except (ValueError, RecursionError):
            read = None
        if not isinstance(read, dict):
            raise ToolError(f"{value[:80]!r} is not a JSON object")
        return read
    if path[0] == "*":
        return [_restored(one, path[1:]) for one in value] if isinstance(value, list) else value
    if isinstance(value, dict) and path[0] in value:
        return value | {path[0]: _restored(value[path[0]], path[1:])}
    return value


def _without(part: Any, key: str) -> None:
    if not isinstance(part, dict):
        return
    if key in part and "type" in part:
        del part[key]
    for one in part.get("properties", {}).values():
        _without(one, key)
    _without(part.get("items"), key)


class _Builder:
    def __init__(self, root: dict[str, Any]) -> None:
        self._root = root
        self._parts = 0
        self.free: list[tuple[str, ...]] = []

    def whole(self) -> dict[str, Any]:
        return self._object(self._resolved(self._root), (), 0)

    def _resolved(self, part: Any) -> dict[str, Any]:
        """References followed (a few), choices made: the first that is not null."""
        for _ in range(8):
            if not isinstance(part, dict):
                return {}
            reference = part.get("$ref")
            options = next((part[key] for key in ("anyOf", "oneOf", "allOf") if isinstance(part.get(key), list)), None)
            if isinstance(reference, str):
                part = self._at(reference)
            elif options and "type" not in part and "properties" not in part:
                told = [one for one in options[:16] if isinstance(one, dict) and one.get("type") != "null"]
                best = next((one for one in told if any(key in one for key in _TELLING)), {})
                kept = {key: part[key] for key in ("description",) if key in part}
                part = best | kept
            else:
                return part
        return {}

    def _at(self, reference: str) -> Any:
        if not reference.startswith("#"):
            return {}
        found: Any = self._root
        for step in reference.lstrip("#/").split("/")[:16]:
            found = found.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(found, dict) else None
        return found

    def _object(self, part: dict[str, Any], path: tuple[str, ...], depth: int) -> dict[str, Any]:
        given = part.get("properties")
        properties = given if isinstance(given, dict) else {}
        listed = part.get("required")
        named = [name for name in (listed if isinstance(listed, list) else []) if isinstance(name, str)]
        required = [name for name in dict.fromkeys(named) if name in properties]
        if len(required) > MAX_PROPERTIES:
            raise ToolError(f"it requires {len(required)} arguments, and {MAX_PROPERTIES} can be told to a model")
        order = [*required, *(name for name in properties if name not in required)]
        held: dict[str, Any] = {}
        for name in order[:MAX_PROPERTIES]:
            usable = isinstance(name, str) and _NAME.fullmatch(name) and self._parts < MAX_PARTS
            if usable:
                held[name] = self._part(properties[name], (*path, name), depth + 1)
            elif name in required:
                raise ToolError(f"it requires {plain_text(str(name), 40)!r}, which cannot be told to a model")
        held = {name: held[name] for name in properties if name in held}  # as the server ordered them
        return {"type": "object", "properties": held, "required": required, "additionalProperties": False}

    def _part(self, given: Any, path: tuple[str, ...], depth: int) -> dict[str, Any]:
        self._parts += 1
        part = self._resolved(given)
        note = part.get("description") or part.get("title")
        told = {"description": plain_text(note, MAX_NOTE)} if isinstance(note, str) and note.strip() else {}
        built = self._bare(part, path, depth)
        if told and "description" in built:
            told = {"description": f"{told['description']} ({built['description']})"}
        return built | told

    def _bare(self, part: dict[str, Any], path: tuple[str, ...], depth: int) -> dict[str, Any]:
        values = [part["const"]] if "const" in part else part.get("enum")
        if isinstance(values, list) and (kept := _scalars(values)):
            return {"type": "string", "enum": kept} if all(isinstance(one, str) for one in kept) else {"enum": kept}
        kind = part.get("type")
        if isinstance(kind, list):
            kind = next((one for one in kind if one != "null"), None)
        if kind is None:
            kind = "object" if "properties" in part else "array" if "items" in part else "string"
        if kind == "object":
            if depth < MAX_DEPTH and isinstance(part.get("properties"), dict) and part["properties"]:
                return self._object(part, path, depth)
            self.free.append(path)
            return {"type": "string", "description": "a JSON object, written as text"}
        if kind == "array":
            if depth >= MAX_DEPTH or self._parts >= MAX_PARTS:
                return {"type": "array", "items": {"type": "string"}}
            return {"type": "array", "items": self._part(part.get("items"), (*path, "*"), depth + 1)}
        if kind in ("integer", "number"):
            bounds = {
                key: part[key]
                for key in ("minimum", "maximum")
                if isinstance(part.get(key), int if kind == "integer" else int | float) and abs(part[key]) <= _BOUND
            }
            empty = bounds.get("minimum", -_BOUND) > bounds.get("maximum", _BOUND)
            return {"type": kind} | ({} if empty else bounds)
        if kind in ("boolean", "null"):
            return {"type": "boolean"} if kind == "boolean" else {"enum": [None]}
        return {"type": "string"}


def _scalars(values: list[Any]) -> list[Any]:
    """Values that can be offered to the letter; none when one carries a role token or is too long."""
    kept = [one for one in values[:MAX_ENUM] if one is None or isinstance(one, str | int | float | bool)]
    texts = [one for one in kept if isinstance(one, str)]
    harmless = all(len(one) <= MAX_NOTE and one.isprintable() and neutralise(one) == one for one in texts)
    return kept if harmless and len(kept) == len(values) else []
