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


class SearchSettings(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How the web is searched once it is on. Keys are never in here: they are in the system's keyring.

    ``order`` names providers, the first to be asked first; those that it does not name follow. Only those in ``on`` are
    asked. ``together`` asks all of them and merges the results; otherwise the next one is asked when one fails or finds
    nothing, unless ``fall_back`` is off. ``addresses`` holds a provider's own server. ``blocked`` and ``pinned`` are
    domains, or a domain and the beginning of a path: the former are left out and not opened, the latter come first.
    """

    order: tuple[str, ...] = ()
    on: tuple[str, ...] = ("wikipedia",)
    together: bool = False
    fall_back: bool = True
    addresses: dict[str, str] = {}
    blocked: tuple[str, ...] = ()
    pinned: tuple[str, ...] = ()
    deadline_s: float = 45.0


McpPermission = Literal["ask", "allow", "never"]


class McpServer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A server of tools: a ``command`` to start, or the ``url`` of one that runs.

    ``permissions`` are by tool name; ``allowed_as`` are the tools' fingerprints at the time when they were allowed.

    ``secrets`` names the values that are in the keyring ("env:NAME", "headers:NAME", "args:2", "url:"); what stands in
    their place here is what comes before the secret, for instance "Bearer ".
    """

    command: str = ""
    args: tuple[str, ...] = ()
    env: dict[str, str] = {}
    url: str = ""
    headers: dict[str, str] = {}
    secrets: tuple[str, ...] = ()
    on: bool = True
    permissions: dict[str, McpPermission] = {}
    allowed_as: dict[str, str] = {}
    start_timeout_s: float = 30.0
    call_timeout_s: float = 60.0


class EndpointSettings(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A server that speaks OpenAI's protocol. Its key is never in here: it is in the system's keyring.

    ``allow_remote`` is the person's word that questions and pages may go to a host that is not this computer.
    ``context_tokens`` 0: what the server says, else the profile's. The time-outs are for the first token, which waits
    for the whole prompt to be read, and for each one after it.
    """

    base_url: str = ""
    model: str = ""  # "": the first one that the server lists
    native_tools: bool = False  # the server's own tool calls instead of the profile's text format
    context_tokens: int = 0
    allow_remote: bool = False
    first_token_s: float = 600.0
    between_tokens_s: float = 120.0


class Settings(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What a person chose; ``settings.json`` in the data folder."""

    theme: Literal["system", "light", "dark"] = "system"
    model: str = ""  # path of a GGUF or of an MLX folder; "" is the embedded model
    backend: Literal["", "llamacpp", "mlx", "endpoint"] = (
        ""  # "": MLX on Apple silicon when it is installed, else llama.cpp
    )
    endpoint: EndpointSettings = EndpointSettings()
    keep: int = 5
    memory: Literal["auto", "strict", "fast"] = "auto"  # fast: results leave the view in blocks, which costs less
    kv_type: Literal["f16", "q8_0"] = "f16"  # of llama.cpp's context: q8_0 takes half the memory
    shift_memory: bool = False  # experimental, llama.cpp: what the model writes may change
    max_calls: int = 600
    max_time_s: float = 0.0  # 0: no limit
    scope: Scope = Scope()
    downloads_dir: str = ""  # "": <data folder>/downloads
    search: SearchSettings = SearchSettings()
    mcp_servers: dict[str, McpServer] = {}
    permission_wait_s: float = 600.0  # a question to the person that stays unanswered for so long is a no
    page_cache_days: float = 7.0  # how long a saved copy stands for a web page; 0: every page is fetched again
    page_cache_mb: int = 200  # room for saved copies; 0: none are kept
    extract_model: str = ""  # path of a GGUF that reads long pages for the main model; "": none does
    extra_ports: tuple[int, ...] = ()  # ports that pages may be read from besides 80 and 443
    command_s: int = 60  # the longest that one command in the sandbox may run, at most 600
    model_places: tuple[str, ...] = ()  # model files and folders that a person added
    forgotten_models: tuple[str, ...] = ()  # paths that are not to be listed
    quiet: Literal["never", "on_battery", "always"] = "never"  # compute with half the cores
    pause_on_low_battery: bool = False  # below 20 %

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
