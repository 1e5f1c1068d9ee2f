"""Writing a file so that it is either the whole new one or what was there before. Knows nothing of what is in it."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from contextlib import suppress
from pathlib import Path

from fathom.core.errors import ExportError


def write_atomically(path: Path, data: bytes, overwrite: bool = False) -> None:
    """Write ``data`` to ``path``: a temporary file beside it, fsync, then one rename or link.

    Raises FileExistsError when something is there and ``overwrite`` is not said (it is never touched, also not when it
    appears meanwhile), ExportError when the file cannot be written.
    """
    if overwrite and path.is_symlink():
        path = path.resolve()
    if not overwrite and os.path.lexists(path):
        raise FileExistsError(errno.EEXIST, "a file is there already", str(path))
    temporary = path.with_name(f".{path.name[:100]}.{secrets.token_hex(4)}.tmp")
    try:
        try:
            _write(temporary, data)
            if overwrite:
                temporary.replace(path)
            else:
                _move_without_clobbering(temporary, path)
        finally:
            with suppress(OSError):
                temporary.unlink()
        _sync_folder(path.parent)
    except FileExistsError:
        raise
    except OSError as error:
        raise _export_error(path, len(data), error) from error


def _write(path: Path, data: bytes) -> None:
    # os.open and not tempfile: the person's umask decides who may read the result
    with os.fdopen(
        os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666), "wb"
    ) as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _move_without_clobbering(temporary: Path, path: Path) -> None:
    if os.name == "nt":
        temporary.rename(path)  # fails there when the target exists
        return
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK):
            raise
        # a file system without hard links (FAT, some network drives): claim the name, then replace the empty file
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
        temporary.replace(path)


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":
        return
    with suppress(OSError):  # some network drives refuse to sync a folder; the file itself is synced
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _export_error(path: Path, size: int, error: OSError) -> ExportError:
    reason = error.strerror or str(error)
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        free = shutil.disk_usage(path.parent).free if path.parent.is_dir() else 0
        return ExportError(
            f"There is no room for {path.name}.",
            needs=f"{max(1, size // 1000)} KB in {path.parent}",
            has=f"{free // 1000} KB free ({reason})",
            do="Make room, or save it elsewhere.",
            remedy="save_elsewhere",
        )
    if path.is_dir():
        return ExportError(
            f"{path} is a folder.",
            needs="the name of a file",
            has="a folder",
            do="Give it a name.",
            remedy="save_elsewhere",
        )
    if not path.parent.is_dir():
        return ExportError(
            f"{path.name} cannot be saved: its folder is not there.",
            needs=str(path.parent),
            has=reason,
            do="Make the folder, or save it elsewhere.",
            remedy="save_elsewhere",
        )
    return ExportError(
        f"{path.name} cannot be saved.",
        needs=f"write access to {path.parent}",
        has=reason,
        do="Choose a folder that you may write to.",
        remedy="save_elsewhere",
    )
