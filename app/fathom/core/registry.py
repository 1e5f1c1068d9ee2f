"""Registries are dicts of name -> "module:attr", so that listing what there is imports nothing."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any


class UnknownNameError(LookupError):
    """A name that its registry does not hold; the text lists the known ones."""


def load(registry: Mapping[str, str], name: str, kind: str = "name") -> Any:
    """Import and return the object that ``registry`` lists under ``name``.

    Raises UnknownNameError with the known names when there is no such entry.
    """
    try:
        target = registry[name]
    except KeyError:
        raise UnknownNameError(f"unknown {kind} {name!r}; known: {', '.join(sorted(registry))}") from None
    module, _, attribute = target.partition(":")
    return getattr(importlib.import_module(module), attribute)
