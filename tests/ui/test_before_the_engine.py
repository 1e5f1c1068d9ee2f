"""The window works while the engines, and all that comes with them, are still being installed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
NEED_PACKAGES = {f"fathom.weights.{name}" for name in ("convert", "gguf_blocks", "llama_family", "mlx_runtime")}


def run_hidden(script: str) -> list[str]:
    ran = subprocess.run(
        [sys.executable, HERE.parent / "base_install.py", HERE / script],
        env={**os.environ, "QT_QPA_PLATFORM": "offscreen"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.splitlines()


def test_every_area_opens_without_the_engines_packages(fathom_home: Path) -> None:
    assert run_hidden("open_everything.py") == ["engine failed", "session waiting"]


def test_only_the_local_engines_and_the_conversion_need_their_packages() -> None:
    needing = set(run_hidden("import_everything.py"))
    assert "fathom.engines.llamacpp" in needing
    assert needing >= NEED_PACKAGES
    others = {name for name in needing - NEED_PACKAGES if not name.startswith("fathom.engines.")}
    assert others == set()
    assert not {name for name in needing if name.startswith(("fathom.engines.remote", "fathom.engines.scripted"))}
