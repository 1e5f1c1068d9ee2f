"""Is MLX here, and if not, why? ``packaging/bootstrap.py`` installs it after the engine and writes how that went."""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import importlib.util
import platform
import sys
from pathlib import Path

import msgspec

from fathom.core.errors import EngineMissing
from fathom.services.engine_build import BuildState, alive

MODULES = ("mlx", "mlx_lm", "llguidance", "gguf")


class MlxInstall:
    """Reads the state of the installation in this Python environment."""

    def __init__(self, prefix: Path | None = None) -> None:
        self._path = (prefix or Path(sys.prefix)) / "mlx-install.json"

    def installed(self) -> bool:
        """Whether MLX can be imported; looked up afresh at each call, and not believed while it is being installed."""
        importlib.invalidate_caches()
        return not self.installing() and all(importlib.util.find_spec(name) is not None for name in MODULES)

    def installing(self) -> bool:
        """Whether pip is at work on it."""
        state = self._read()
        return state is not None and state.state == "installing" and alive(state)

    def graphics(self) -> bool:
        """Whether it computes on a graphics card: Apple's own, or CUDA when that part of it is installed."""
        if sys.platform == "darwin" and platform.machine() == "arm64":
            return True
        for name in ("mlx-cuda-12", "mlx-cuda-13", "mlx-cuda"):
            with contextlib.suppress(importlib.metadata.PackageNotFoundError):
                return bool(importlib.metadata.version(name))
        return False

    def why_not(self) -> str:
        """Why it is not installed, in plain words; "" when it is."""
        if self.installed():
            return ""
        state = self._read()
        if state is None:
            return f"it has not been installed on this {platform.system()} {platform.machine()} computer"
        if state.state == "installing":
            return "it is being installed" if self.installing() else "its installation was ended before it was done"
        return state.error or "some of its parts are missing"

    def missing(self) -> EngineMissing:
        """The error to raise."""
        return EngineMissing(
            "MLX is not installed.",
            needs="mlx and mlx-lm, of which there are wheels for Apple silicon and Linux",
            has=self.why_not(),
            do="Use llama.cpp (--backend llamacpp, or the setting), or install MLX with `make setup`.",
            remedy="retry",
        )

    def _read(self) -> BuildState | None:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=BuildState)
        except (OSError, msgspec.MsgspecError):
            return None
