"""How long the window takes to its first paint: from starting the process to the first painted frame, seconds.

The real process, five times, the median; on the display at hand, or under Xvfb, or else on Qt's offscreen platform.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

from options import Options

TARGETS = {"first_paint_s": ("at most", 1.0)}
RUNS = 5


def command() -> tuple[list[str], dict[str, str]]:
    """The command line and what it needs of the environment."""
    gui = [sys.executable, "-m", "fathom", "gui"]
    if os.environ.get("DISPLAY") or os.environ.get("QT_QPA_PLATFORM") or sys.platform != "linux":
        return gui, {}
    return gui, {"QT_QPA_PLATFORM": "offscreen"}


def first_paint_s(home: str, more: dict[str, str]) -> float:
    """One run. The clock stops when the process has written that it has painted."""
    arguments, platform = command()
    environment = {**os.environ, **platform, **more, "FATHOM_HOME": home, "FATHOM_MEASURE_FIRST_PAINT": "1"}
    began = time.perf_counter()
    with subprocess.Popen(arguments, env=environment, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        line = child.stdout.readline()
        seconds = time.perf_counter() - began
        child.communicate()
    if child.returncode or not line.startswith("first paint"):
        raise RuntimeError(f"the window did not paint: exit {child.returncode}, {line!r}")
    return seconds


def measure(_options: Options) -> dict[str, float]:
    """``first_paint_s``: the median of five runs after one that warms the disk's cache."""
    with tempfile.TemporaryDirectory() as home, _display() as more:
        first_paint_s(home, more)
        return {"first_paint_s": round(statistics.median(first_paint_s(home, more) for _ in range(RUNS)), 3)}


class _display:  # noqa: N801 (used as a function)
    """An X server of its own while nothing else can show a window, when there is one to start."""

    def __enter__(self) -> dict[str, str]:
        self._server: subprocess.Popen[bytes] | None = None
        if os.environ.get("DISPLAY") or os.environ.get("QT_QPA_PLATFORM") or not shutil.which("Xvfb"):
            return {}
        read, write = os.pipe()
        self._server = subprocess.Popen(
            ["Xvfb", "-displayfd", str(write), "-screen", "0", "1440x900x24", "-nolisten", "tcp"],
            pass_fds=[write],
            stderr=subprocess.DEVNULL,
        )
        os.close(write)
        with os.fdopen(read) as pipe:
            number = pipe.readline().strip()
        return {"DISPLAY": f":{number}", "QT_QPA_PLATFORM": "xcb"} if number else {}

    def __exit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.terminate()
            self._server.wait()
