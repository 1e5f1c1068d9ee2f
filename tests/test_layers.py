"""The floors hold: imports go down only, and heavy libraries stay in the processes that need them."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def test_imports_go_down_only() -> None:
    lint = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([lint, "--config", "pyproject.toml"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("module", "forbidden"),
    [
        ("fathom.agent.loop", "llama_cpp mlx transformers PySide6 sqlite3 httpx"),
        ("fathom.services.application", "llama_cpp mlx transformers PySide6 mcp pydantic"),
        ("fathom.ui.app", "llama_cpp mlx transformers httpx trafilatura"),
        ("fathom.ui.main_window", "llama_cpp mlx transformers"),
        ("fathom.weights.convert", "mlx llama_cpp transformers"),
        ("fathom.workers.host", "PySide6 httpx sqlite3"),
        ("fathom.__main__", "llama_cpp PySide6 httpx msgspec"),
    ],
)
def test_import_stays_light(module: str, forbidden: str) -> None:
    code = f"import sys, {module}; print(' '.join(n for n in '{forbidden}'.split() if n in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_every_registry_entry_can_be_loaded() -> None:
    from fathom import export, prompting, tools
    from fathom.core.registry import load
    from fathom.engines import BACKENDS
    from fathom.prompting.formats import FORMATS
    from fathom.tools.search import PROVIDERS
    from fathom.workers import ROLES

    assert prompting.__doc__
    for registry in (BACKENDS, FORMATS, PROVIDERS, ROLES, tools.TOOLS, export.EXPORTERS):
        assert registry
        for name in registry:
            if name == "mlx" and importlib.util.find_spec("mlx_lm") is None:
                continue
            assert load(registry, name) is not None
