"""Python as it is after the first part of the set-up, when the window opens: the engines are not there yet.

``python base_install.py FILE`` runs FILE with every package hidden that Fathom's own dependencies do not bring.
"""

from __future__ import annotations

import runpy
import sys
from collections.abc import Sequence
from importlib import metadata
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import ClassVar

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def brought_by(name: str) -> set[str]:
    """The distributions that installing ``name`` without extras brings, itself included."""
    seen: set[tuple[str, str]] = set()
    waiting = [(canonicalize_name(name), "")]
    while waiting:
        one = waiting.pop()
        if one in seen:
            continue
        seen.add(one)
        try:
            lines = metadata.requires(one[0]) or []
        except metadata.PackageNotFoundError:  # of another platform
            continue
        for line in lines:
            needed = Requirement(line)
            if needed.marker is None or needed.marker.evaluate({"extra": one[1]}):
                waiting += [(canonicalize_name(needed.name), extra) for extra in ("", *needed.extras)]
    return {distribution for distribution, _ in seen}


def hidden() -> set[str]:
    """The top-level modules of every other distribution."""
    kept = brought_by("fathom")
    return {
        module
        for module, distributions in metadata.packages_distributions().items()
        if not any(canonicalize_name(name) in kept for name in distributions)
    }


class Finder(PathFinder):
    """Finds what is not hidden, in place of Python's own finder."""

    names: ClassVar[set[str]] = set()

    @classmethod
    def find_spec(
        cls, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return None if fullname.partition(".")[0] in cls.names else super().find_spec(fullname, path, target)


if __name__ == "__main__":
    Finder.names = hidden()
    assert {"numpy", "llama_cpp", "pytest"} <= Finder.names, sorted(Finder.names)
    sys.meta_path[sys.meta_path.index(PathFinder)] = Finder
    runpy.run_path(sys.argv[1], run_name="__main__")
