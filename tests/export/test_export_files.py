"""Writing a file: the whole new one or what was there, never something between, and never over somebody's file."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from fathom.core.errors import ExportError
from fathom.export import files
from fathom.export.files import write_atomically


def test_new_file_is_written_whole_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        write_atomically(tmp_path / "report.md", b"text")
    finally:
        os.umask(old)
    assert [path.name for path in tmp_path.iterdir()] == ["report.md"]
    assert (tmp_path / "report.md").read_bytes() == b"text"
    assert stat.S_IMODE((tmp_path / "report.md").stat().st_mode) == 0o640


def test_file_that_is_there_is_kept_unless_overwriting_is_said(tmp_path: Path) -> None:
    path = tmp_path / "report.md"
    path.write_bytes(b"mine")
    with pytest.raises(FileExistsError):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"mine"
    write_atomically(path, b"new", overwrite=True)
    assert path.read_bytes() == b"new"
    assert len(list(tmp_path.iterdir())) == 1


def test_dangling_link_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "report.md").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileExistsError):
        write_atomically(tmp_path / "report.md", b"new")
    assert not (tmp_path / "elsewhere").exists()


def test_overwriting_keeps_a_link_and_writes_its_target(tmp_path: Path) -> None:
    (tmp_path / "target.md").write_bytes(b"old")
    (tmp_path / "report.md").symlink_to(tmp_path / "target.md")
    write_atomically(tmp_path / "report.md", b"new", overwrite=True)
    assert (tmp_path / "report.md").is_symlink()
    assert (tmp_path / "target.md").read_bytes() == b"new"


def test_of_many_writers_one_wins_and_the_others_are_told(tmp_path: Path) -> None:
    path = tmp_path / "report.md"
    outcomes: list[str] = []
    start = threading.Barrier(8)

    def write(number: int) -> None:
        start.wait()
        try:
            write_atomically(path, str(number).encode() * 1000)
            outcomes.append(str(number))
        except FileExistsError:
            outcomes.append("exists")

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (winner,) = [outcome for outcome in outcomes if outcome != "exists"]
    assert path.read_bytes() == winner.encode() * 1000
    assert list(tmp_path.iterdir()) == [path]


def test_file_system_without_hard_links_still_does_not_clobber(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*_: object) -> None:
        raise OSError(errno.EPERM, "no hard links here")

    monkeypatch.setattr(files.os, "link", no_links)
    write_atomically(tmp_path / "report.md", b"text")
    assert (tmp_path / "report.md").read_bytes() == b"text"
    with pytest.raises(FileExistsError):
        files._move_without_clobbering(tmp_path / "report.md", tmp_path / "report.md")
    assert (tmp_path / "report.md").read_bytes() == b"text"


def test_missing_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="folder is not there") as caught:
        write_atomically(tmp_path / "nowhere" / "report.md", b"text")
    assert caught.value.remedy == "save_elsewhere"


def test_folder_as_a_target_is_told(tmp_path: Path) -> None:
    (tmp_path / "report.md").mkdir()
    with pytest.raises(ExportError, match="is a folder"):
        write_atomically(tmp_path / "report.md", b"text", overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["report.md"]


def test_place_that_cannot_be_written_is_told() -> None:
    with pytest.raises(ExportError, match="cannot be saved") as caught:
        write_atomically(Path("/proc/report.md"), b"text")
    assert caught.value.needs == "write access to /proc"
    assert caught.value.has


TOO_LARGE = """
import resource, signal, sys
from pathlib import Path
from fathom.core.errors import ExportError
from fathom.export.files import write_atomically

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    write_atomically(Path(sys.argv[1]), b"x" * 100_000, overwrite=True)
except ExportError as error:
    print(error)
"""


def test_no_room_keeps_the_old_file_and_is_told(tmp_path: Path) -> None:
    path = tmp_path / "report.md"
    path.write_bytes(b"mine")
    child = subprocess.run(
        [sys.executable, "-c", TOO_LARGE, str(path)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "There is no room for report.md" in child.stdout
    assert "Make room, or save it elsewhere." in child.stdout
    assert path.read_bytes() == b"mine"
    assert list(tmp_path.iterdir()) == [path]
