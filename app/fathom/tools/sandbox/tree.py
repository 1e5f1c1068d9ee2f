"""Removes a folder that hostile code has filled, however deep its tree is.

``shutil.rmtree`` recurses (a tree 3,000 folders deep kills it) and long paths fail; this walks by file descriptors and
lifts every folder to the top before it looks inside. To be used when nothing runs in the folder any more.
"""

from __future__ import annotations

import itertools
import os
import secrets
from pathlib import Path

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def remove_tree(path: Path) -> None:
    """Delete ``path`` and all in it; symbolic links are deleted, not followed. A missing path is fine.

    Raises OSError when something cannot be deleted.
    """
    try:
        top = os.open(path, _FOLDER)
    except FileNotFoundError:
        return
    try:
        os.fchmod(top, 0o700)
        prefix = f".lifted-{secrets.token_hex(8)}-"  # nothing in the folder can have this name already
        names = (f"{prefix}{number}" for number in itertools.count())
        waiting = _folders_after_unlinking_files(top)
        while waiting:
            name = waiting.pop()
            os.chmod(name, 0o700, dir_fd=top)
            folder = os.open(name, _FOLDER, dir_fd=top)
            try:
                for inner in _folders_after_unlinking_files(folder):
                    os.chmod(inner, 0o700, dir_fd=folder)  # moving a folder needs write access to it
                    lifted = next(names)
                    os.rename(inner, lifted, src_dir_fd=folder, dst_dir_fd=top)
                    waiting.append(lifted)
            finally:
                os.close(folder)
            os.rmdir(name, dir_fd=top)
    finally:
        os.close(top)
    path.rmdir()


def _folders_after_unlinking_files(folder: int) -> list[str]:
    folders = []
    with os.scandir(folder) as entries:
        found = list(entries)
    for entry in found:
        if entry.is_dir(follow_symlinks=False):
            folders.append(entry.name)
        else:
            os.unlink(entry.name, dir_fd=folder)
    return folders
