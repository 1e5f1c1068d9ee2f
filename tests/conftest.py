"""Fixtures that every test may use: a data folder of its own and the embedded model."""

from __future__ import annotations

from pathlib import Path

import hypothesis
import pytest

hypothesis.settings.register_profile("fathom", deadline=None)  # a busy machine is no defect of the code
hypothesis.settings.load_profile("fathom")


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
