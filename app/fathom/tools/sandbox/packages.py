"""numpy, pandas and what they need, for the Python inside: a folder that the set-up fills (``packaging/bootstrap.py``).

It holds nothing else, so that mounting it shows neither the app nor its keys.
"""

from __future__ import annotations

import functools
import subprocess
import sys
from pathlib import Path

import msgspec

MANIFEST = "fathom-packages.json"


class Manifest(msgspec.Struct, frozen=True):
    """``python`` is the version that the packages were installed for, like "3.11"; ``packages``: name==version."""

    python: str
    packages: tuple[str, ...]


def place() -> Path:
    """Where the set-up puts them: beside the environment that the app runs in."""
    return Path(sys.prefix, "share", "fathom", "sandbox")


def folder(python: str, where: Path | None = None) -> Path | None:
    """The folder, when it was filled to the end and for this Python; None otherwise."""
    where = where or place()
    found = _manifest(where)
    return where if found is not None and found.python == _version(python) else None


def names(where: Path | None) -> tuple[str, ...]:
    """The packages that were asked for, like ``numpy 2.4.6``."""
    found = _manifest(where) if where is not None else None
    return tuple(package.replace("==", " ") for package in found.packages) if found is not None else ()


def _manifest(where: Path) -> Manifest | None:
    try:
        return msgspec.json.decode((where / MANIFEST).read_bytes(), type=Manifest)
    except (OSError, msgspec.MsgspecError):
        return None


@functools.cache
def _version(python: str) -> str:
    done = subprocess.run(
        [python, "-I", "-c", "import sys; print('%d.%d' % sys.version_info[:2])"],
        capture_output=True,
        text=True,
        check=False,
        env={},
    )
    return done.stdout.strip()
