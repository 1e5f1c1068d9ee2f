"""Fixtures that every test may use: a data folder of its own, the embedded model, the real window on a screen."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

if TYPE_CHECKING:
    from real_window import Desktop, Home, Window

FAILED = pytest.StashKey[bool]()

hypothesis.settings.register_profile("fathom", deadline=None)  # a busy machine is no defect of the code
hypothesis.settings.load_profile("fathom")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where there is no wheel of mlx, its tests are skipped; Fathom then says so, too."""
    if importlib.util.find_spec("mlx_lm") is None:
        for item in items:
            if item.get_closest_marker("mlx"):
                item.add_marker(pytest.mark.skip(reason="mlx is not installed: see .venv/mlx-install.json"))


@pytest.fixture
def fathom_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty data folder; FATHOM_HOME points to it, for this process and its children."""
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    monkeypatch.setenv("FATHOM_HOME", str(home))
    return home


@pytest.fixture(scope="session")
def embedded_model() -> Path:
    """The embedded model's file. ``make setup`` puts it beside the virtual environment."""
    from fathom.weights import embedded

    path = embedded.locate()
    assert path is not None, "the embedded model is missing: run `make setup`"
    return path


@pytest.fixture(scope="session")
def desktop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desktop]:
    """A screen with a window manager, without anybody before it."""
    if not sys.platform.startswith("linux"):
        pytest.skip("Xvfb and xdotool are Linux's")
    from real_window import Desktop

    shown = Desktop(tmp_path_factory.mktemp("desktop"))
    yield shown
    shown.close()


@pytest.fixture
def open_window(
    desktop: Desktop, embedded_model: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Callable[[Home], Window]]:
    """Opens the real window on a data folder; after a failure ``tmp_path`` holds a picture of it and what it said."""
    from real_window import Window

    opened: list[Window] = []

    def open_on(home: Home) -> Window:
        opened.append(Window(desktop, home, tmp_path / f"window {len(opened) + 1}"))
        return opened[-1]

    yield open_on
    failed = request.node.stash.get(FAILED, False)
    for window in reversed(opened):
        window.end(failed)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Remember for the fixtures that a test failed."""
    report = yield
    if report.failed:
        item.stash[FAILED] = True
    return report


@pytest.fixture(scope="session")
def mlx_model(embedded_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The embedded model as a folder for MLX."""
    from fathom.weights import convert

    folder = tmp_path_factory.mktemp("mlx") / "SmolLM2"
    convert.convert(embedded_model, folder)
    return folder
