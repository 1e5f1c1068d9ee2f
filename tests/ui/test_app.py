"""The app as a process: no display, one window a folder, a clean end."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


def environment(home: Path, **more: str) -> dict[str, str]:
    kept = {
        key: value for key, value in os.environ.items() if key not in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")
    }
    return {**kept, "FATHOM_HOME": str(home), **more}


def gui(home: Path, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "fathom", "gui"],
        env=environment(home, **more),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can be without a display")
@pytest.mark.parametrize("display", ["", ":4711", "nonsense"])
def test_without_a_display_it_shows_the_headless_command(fathom_home: Path, display: str) -> None:
    ran = gui(fathom_home, **({"DISPLAY": display} if display else {}))
    assert ran.returncode == 2
    assert 'fathom ask "your question"' in ran.stderr
    assert "Traceback" not in ran.stderr


def test_a_platform_that_cannot_start_is_no_crash(fathom_home: Path) -> None:
    ran = gui(fathom_home, QT_QPA_PLATFORM="no-such-platform")
    assert ran.returncode == 2
    assert 'fathom ask "your question"' in ran.stderr


def test_the_first_paint_needs_no_services(fathom_home: Path) -> None:
    ran = gui(fathom_home, QT_QPA_PLATFORM="offscreen", FATHOM_MEASURE_FIRST_PAINT="1")
    assert ran.returncode == 0
    assert ran.stdout.startswith("first paint ")
    assert not (fathom_home / "fathom.db").exists()


def test_the_window_imports_nothing_heavy_before_it_paints() -> None:
    code = (
        "import sys, fathom.ui.app, fathom.ui.main_window, fathom.ui.research.area\n"
        "heavy = ('httpx', 'markdown_it', 'qasync', 'sqlite_utils', 'llama_cpp', 'transformers', 'mlx', 'numpy',"
        " 'fathom.services', 'fathom.ui.research.detail')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert ran.stdout.strip() == "[]"
