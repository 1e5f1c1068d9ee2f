"""The maker of the README's pictures: of the right size, not blank, small; plain words when there is nothing."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PySide6.QtGui import QImage
from workbench import QUESTION, Workbench

SCRIPT = Path(__file__).resolve().parents[2] / "packaging" / "screenshots.py"


def make(samples: Path, out: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT), "--samples", str(samples), "--out", str(out)],
        env={key: value for key, value in os.environ.items() if key != "FATHOM_HOME"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.fixture
def samples(tmp_path: Path) -> Path:
    """A folder with one recording, as the store writes it."""
    home = tmp_path / "home"
    home.mkdir()
    bench = Workbench(home)
    session = bench.add_session(QUESTION, sample=True)
    folder = tmp_path / "samples"
    folder.mkdir()
    (folder / "small.json").write_bytes(bench.store.export_recording(session.id))
    asyncio.run(bench.services.close())
    return folder


def test_four_pictures_of_the_window(samples: Path, tmp_path: Path) -> None:
    ran = make(samples, tmp_path / "out")
    assert ran.returncode == 0, ran.stderr
    pictures = {path.stem: path for path in (tmp_path / "out").iterdir()}
    assert sorted(pictures) == ["dark", "first-run", "report", "research"]
    for name, path in pictures.items():
        assert path.stat().st_size < 200_000
        image = QImage(str(path))
        assert (image.width(), image.height()) == (1440, 900)
        shades = {image.pixel(x, y) for x in range(0, 1440, 8) for y in range(0, 900, 4)}
        assert len(shades) > 20, f"{name} is blank"
        assert (image.pixelColor(800, 880).lightness() < 64) == (name == "dark")
    assert len({path.read_bytes() for path in pictures.values()}) == 4


def test_without_a_recording_it_says_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    ran = make(tmp_path / "empty", tmp_path / "out")
    assert ran.returncode == 1
    assert "holds no recording" in ran.stderr
    assert "Traceback" not in ran.stderr
    assert not (tmp_path / "out").exists()


def test_a_broken_recording_is_named(samples: Path, tmp_path: Path) -> None:
    (samples / "broken.json").write_text("{}")
    ran = make(samples, tmp_path / "out")
    assert ran.returncode == 1
    assert "cannot be read" in ran.stderr
    assert "Traceback" not in ran.stderr
