"""What is known of the inference library: is it there, and how far is its build?

The build itself is ``packaging/bootstrap.py``'s: a process of its own that writes ``engine-build.json`` into the Python
environment. This module reads that file, and can start the build again.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import subprocess
import sys
import time
from pathlib import Path

import msgspec

from fathom.core.errors import EngineMissing
from fathom.core.events import EngineStatus

_STALE_S = 20.0  # a build that says nothing of itself for so long, and whose process is gone, has died


class BuildState(msgspec.Struct, frozen=True, kw_only=True):
    """``engine-build.json``: times are seconds since 1970, ``done`` of ``total`` are compiled files."""

    state: str  # fetching_model | preparing | building | installing | ready | failed
    done: int = 0
    total: int = 0
    started: float = 0.0
    updated: float = 0.0
    pid: int = 0
    error: str = ""
    log: str = ""


class EngineBuild:
    """Reads the state of the build in this Python environment."""

    def __init__(self, prefix: Path | None = None) -> None:
        self._prefix = prefix or Path(sys.prefix)

    @property
    def path(self) -> Path:
        """The state's file."""
        return self._prefix / "engine-build.json"

    def installed(self) -> bool:
        """Whether the library and the grammar engine can be imported; looked up afresh at each call."""
        importlib.invalidate_caches()
        if self._building() is not None:
            return False  # half-copied files can be found before the installation ends
        return all(importlib.util.find_spec(name) is not None for name in ("llama_cpp", "llguidance"))

    def graphics(self) -> str:
        """What the library was built for beside the processor: "cuda", "metal", ...; "" when nothing."""
        try:
            found = importlib.util.find_spec("llama_cpp")
            names = (
                [path.name for path in (Path(found.origin).parent / "lib").iterdir()] if found and found.origin else []
            )
        except OSError:
            return ""
        kinds = ("cuda", "metal", "vulkan", "hip", "sycl")
        return next((kind for kind in kinds if any(f"ggml-{kind}" in name for name in names)), "")

    def read(self) -> BuildState | None:
        """The last written state, None when there is none (or it is being replaced, or not ours)."""
        try:
            return msgspec.json.decode(self.path.read_bytes(), type=BuildState)
        except (OSError, msgspec.MsgspecError):
            return None

    def status(self) -> EngineStatus:
        """The build as a status for people: ``fetching``, ``building``, ``missing`` or ``failed``."""
        state = self.read()
        if state is None or state.state == "ready":
            return EngineStatus(
                state="missing",
                message="The local engine is not built yet.",
                detail="llama-cpp-python is not installed",
            )
        if state.state == "failed":
            return self._failed(state, state.error or "the build ended with an error")
        if self._building() is None:
            return self._failed(state, "the build was ended before it was done")
        if state.state == "fetching_model":
            return EngineStatus(state="fetching", message="Taking the small model", embedded=True)
        words = {"preparing": "Preparing the build", "installing": "Installing the engine"}
        return EngineStatus(
            state="building",
            message=words.get(state.state, "Building the local engine"),
            done=state.done,
            total=state.total,
            eta_s=_eta_s(state),
            detail=state.log,
        )

    def start(self) -> None:
        """Build again, in a process that outlives this one. Raises EngineMissing when that can't be done from here."""
        script = Path(__file__).resolve().parents[3] / "packaging" / "bootstrap.py"
        if not script.is_file():
            raise EngineMissing(
                "The local engine cannot be built from here.",
                needs="llama-cpp-python",
                do=f"{sys.executable} -m pip install 'fathom[llamacpp]'",
            )
        options = {"creationflags": 0x00000208} if sys.platform == "win32" else {"start_new_session": True}
        subprocess.Popen(
            [sys.executable, str(script), "build-engine"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            **options,
        )

    def _building(self) -> BuildState | None:
        state = self.read()
        if state is None or state.state in ("ready", "failed"):
            return None
        return state if alive(state) else None

    def _failed(self, state: BuildState, why: str) -> EngineStatus:
        return EngineStatus(
            state="failed", message="The local engine could not be built.", detail=f"{why}\n{state.log}"
        )


def _eta_s(state: BuildState) -> float | None:
    """Time left from the files compiled so far; not known before a twentieth of them is done."""
    if state.total <= 0 or state.done < max(3, state.total // 20):
        return None
    spent = max(0.0, state.updated - state.started)
    return spent / state.done * (state.total - state.done)


def alive(state: BuildState) -> bool:
    """Whether the process that wrote ``state`` is still at it."""
    return time.time() - state.updated < _STALE_S or _alive(state.pid)


def _alive(pid: int) -> bool:
    if pid <= 0 or sys.platform == "win32":  # there the time of the last word decides
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
