"""Which process a running session belongs to: a lock file that the system frees when its process dies, however it dies.

Safer than a process number, which may be given to another program.
"""

from __future__ import annotations

import os
import secrets
import sys
from contextlib import suppress
from pathlib import Path
from typing import IO

if sys.platform == "win32":
    import msvcrt

    def _lock(file: IO[bytes]) -> None:
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _lock(file: IO[bytes]) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


class Owner:
    """This process's mark in a folder of lock files. The file is made when ``name`` is first needed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._name = f"{os.getpid()}-{secrets.token_hex(4)}"
        self._file: IO[bytes] | None = None

    @property
    def name(self) -> str:
        """What to write beside the things that this process owns. Raises OSError."""
        if self._file is None:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            path = self._folder / self._name
            begun = path if sys.platform == "win32" else path.with_name(f".{path.name}")
            file = begun.open("wb")
            _lock(file)
            if begun != path:  # a file that can be seen is locked already, so that nobody sweeps it away
                begun.replace(path)
            self._file = file
        return self._name

    def is_other_alive(self, name: str) -> bool:
        """Whether ``name`` is another owner that lives. A dead one's file is removed."""
        if not name or name == self._name:
            return False
        path = self._folder / name
        try:
            with path.open("r+b") as file:
                _lock(file)
        except FileNotFoundError:
            return False
        except OSError:
            return True
        with suppress(OSError):
            path.unlink()
        return False

    def sweep(self) -> None:
        """Remove the files that dead processes left behind."""
        with suppress(FileNotFoundError):
            for path in self._folder.iterdir():
                if not path.name.startswith("."):
                    self.is_other_alive(path.name)

    def close(self) -> None:
        """Give up ownership."""
        if self._file is not None:
            with suppress(OSError):
                (self._folder / self._name).unlink()
            self._file.close()
            self._file = None
