"""Typed settings and where data lives.

The data folder is ``$FATHOM_HOME`` or the platform's own (``~/.local/share/fathom`` on Linux), mode 0700.
``resources/`` and ``models/`` are read through :func:`resource_path` and :func:`models_path`, from a checkout and from
an installed wheel alike.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import msgspec
import platformdirs

from fathom.core.types import Scope

_PACKAGE = Path(__file__).resolve().parent.parent


def data_dir() -> Path:
    """The data folder; made when it is missing. Raises OSError when it cannot be made."""
    configured = os.environ.get("FATHOM_HOME")
    path = (
        Path(configured).expanduser().resolve()
        if configured
        else Path(platformdirs.user_data_dir("fathom", appauthor=False))
    )
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    return path


def _shipped(name: str) -> Path:
    inside = _PACKAGE / f"_{name}"  # in an installed wheel
    return inside if inside.is_dir() else _PACKAGE.parent.parent / name


def resource_path(*parts: str) -> Path:
    """A file or folder of ``resources/``."""
    return _shipped("resources").joinpath(*parts)


def models_path(*parts: str) -> Path:
    """A file or folder of ``models/`` (profiles and the catalogue, not weights)."""
    return _shipped("models").joinpath(*parts)


class Settings(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What a person chose; ``settings.json`` in the data folder."""

    theme: Literal["system", "light", "dark"] = "system"
    model: str = ""  # path of a GGUF or of an MLX folder; "" is the embedded model
    backend: Literal["", "llamacpp", "mlx"] = ""  # "": MLX on Apple silicon when it is installed, else llama.cpp
    keep: int = 5
    memory: Literal["auto", "strict", "fast"] = "auto"  # fast: results leave the view in blocks, which costs less
    max_calls: int = 600
    max_time_s: float = 0.0  # 0: no limit
    scope: Scope = Scope()
    downloads_dir: str = ""  # "": <data folder>/downloads

    @classmethod
    def load(cls, path: Path | None = None) -> Settings:
        """Read ``settings.json``; a missing or unreadable file gives the defaults (the broken one is kept aside)."""
        path = path or data_dir() / "settings.json"
        try:
            return msgspec.json.decode(path.read_bytes(), type=cls)
        except FileNotFoundError:
            return cls()
        except (msgspec.MsgspecError, UnicodeDecodeError):
            path.replace(path.with_suffix(".broken.json"))
            return cls()

    def save(self, path: Path | None = None) -> None:
        """Write atomically: a temporary file, then a rename."""
        path = path or data_dir() / "settings.json"
        temporary = path.with_suffix(".tmp")
        temporary.write_bytes(msgspec.json.format(msgspec.json.encode(self), indent=2))
        temporary.replace(path)
