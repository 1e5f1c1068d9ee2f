"""Files of the workspace, reached so that no link that a command left leads anywhere else."""

from __future__ import annotations

import contextlib
import ctypes
import os
import stat
import struct
import sys

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
MAX_FILE = 256 * 2**20
_OPENAT2 = 437  # the same on every architecture
_RESOLVE = 0x02 | 0x04 | 0x08  # no magic links, no symbolic links, nothing above the folder


class Refused(Exception):
    """A file that is not given or not written; the text says why."""


def open_regular(workspace: str, parts: list[str]) -> int:
    """A descriptor of a regular file that has no second name, reached without following any link.

    Raises Refused, or OSError when it cannot be opened.
    """
    folder = os.open(workspace, FOLDER)
    try:
        descriptor = open_beneath(folder, parts)
    finally:
        os.close(folder)
    found = os.fstat(descriptor)
    problem = ""
    if not stat.S_ISREG(found.st_mode):
        problem = "is not a regular file"
    elif found.st_nlink != 1:
        problem = "has other names (hard links); copy it to a new file first"
    elif found.st_size > MAX_FILE:
        problem = f"is larger than {MAX_FILE // 2**20} MiB"
    if problem:
        os.close(descriptor)
        raise Refused(problem)
    return descriptor


def open_beneath(folder: int, parts: list[str]) -> int:
    """Open for reading below a folder: openat2, which resolves the whole path at once and refuses links and ``..``.

    Does not wait at a FIFO. Raises OSError. Kernels before 5.6 walk the folders one by one.
    """
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC | os.O_NOFOLLOW
    if not parts or any(part in ("", ".", "..") or "/" in part or "\0" in part for part in parts):
        raise FileNotFoundError(2, os.strerror(2), "/".join(parts))
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        how = struct.pack("QQQ", flags, 0, _RESOLVE)
        path = "/".join(parts).encode()
        descriptor = libc.syscall(_OPENAT2, ctypes.c_int(folder), path, how, ctypes.c_size_t(len(how)))
        if descriptor >= 0:
            return int(descriptor)
        if (error := ctypes.get_errno()) not in (38, 1):  # not there, or not allowed by an outer filter
            raise OSError(error, os.strerror(error), "/".join(parts))
    inner = _walked(folder, parts[:-1], make=False)
    try:
        return os.open(parts[-1], flags, dir_fd=inner)
    finally:
        os.close(inner)


def create_beneath(workspace: str, parts: list[str]) -> int:
    """A new file, its folders made as needed. Raises FileExistsError when it is there, OSError."""
    if not parts or any(part in ("", ".", "..") or "/" in part for part in parts):
        raise Refused("is not a path inside the workspace")
    folder = os.open(workspace, FOLDER)
    try:
        inner = _walked(folder, parts[:-1], make=True)
    finally:
        os.close(folder)
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        return os.open(parts[-1], flags, 0o600, dir_fd=inner)
    finally:
        os.close(inner)


def remove_beneath(workspace: str, parts: list[str]) -> None:
    """Take a half-written file away."""
    with contextlib.suppress(OSError):
        folder = os.open(workspace, FOLDER)
        try:
            inner = _walked(folder, parts[:-1], make=False)
            try:
                os.unlink(parts[-1], dir_fd=inner)
            finally:
                os.close(inner)
        finally:
            os.close(folder)


def _walked(folder: int, parts: list[str], *, make: bool) -> int:
    current = os.dup(folder)
    try:
        for part in parts:
            if make:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(part, 0o700, dir_fd=current)
            inner = os.open(part, FOLDER, dir_fd=current)
            os.close(current)
            current = inner
    except BaseException:
        os.close(current)
        raise
    return current
