"""Keys that this process knows, and how they are taken out of whatever is written or shown.

A key is replaced by as many dots as it has characters, so that offsets into a text stay right. Holds them in memory
only, and gives none back. Knows nothing of where keys are kept.
"""

from __future__ import annotations

import logging
from typing import TypeVar
from urllib.parse import quote

import msgspec

SHORTEST = 8
"""A shorter word may well stand in a text that has nothing to do with the key."""

_known: dict[str, None] = {}
T = TypeVar("T", bound=msgspec.Struct)


def remember(secret: str) -> None:
    """From now on ``secret`` is taken out, as it is and as a part of an address."""
    if len(secret) >= SHORTEST:
        _known.update(dict.fromkeys((secret, quote(secret, safe=""))))


def redact(text: str) -> str:
    """``text`` without the keys that are known."""
    for secret in _known:
        if secret in text:
            text = text.replace(secret, "•" * len(secret))
    return text


def redacted(value: T) -> T:
    """A struct of Fathom's own without the keys in any of its texts; the same object when there is none."""
    if not _known:
        return value
    plain = msgspec.to_builtins(value)
    clean = _walk(plain)
    return value if clean == plain else msgspec.convert(clean, type(value), strict=False)


def _walk(value: object) -> object:
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, dict):
        return {_walk(key): _walk(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_walk(one) for one in value]
    return value


class RedactingFormatter(logging.Formatter):
    """A log line, its traceback included, without the keys that are known."""

    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))
