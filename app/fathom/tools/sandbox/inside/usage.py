"""What a command takes of memory and disk, counted from outside of it."""

from __future__ import annotations

import os
from typing import Any


class Usage:
    """Whether a command takes more than is allowed. Where a cgroup counts the memory, this is the second line."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self._memory: int = settings["memory_bytes"]
        self._tmpfs: list[str] = settings["tmpfs"]
        self._files: int = settings["files"]
        self._folder = "" if settings["namespaces"] else settings["workspace"]
        self._folder_bytes: int = settings["workspace_bytes"]
        self._files_before = self._free = self._folder_before = 0

    def begin(self) -> None:
        """A command starts: what it does not add to is not held against it, so that it can clean up."""
        self._files_before = sum(_tmpfs_use(path)[1] for path in self._tmpfs)
        if self._folder:
            self._free = _free_bytes(self._folder)
            self._folder_before = tree_bytes(self._folder, self._files)

    def exceeded(self, processes: list[int]) -> str:
        """ "memory", "files", "disk" or ""."""
        used = [_tmpfs_use(path) for path in self._tmpfs]
        held = sum(size for size, _ in used)
        if held + sum(_quick_memory(pid) for pid in processes) > self._memory and (
            held + sum(_shared_memory(pid) for pid in processes) > self._memory
        ):
            return "memory"
        if sum(count for _, count in used) > max(self._files, self._files_before):
            return "files"
        if self._folder and self._free - _free_bytes(self._folder) > self._folder_bytes // 16:
            self._free = _free_bytes(self._folder)
            if tree_bytes(self._folder, self._files) > max(self._folder_bytes, self._folder_before):
                return "disk"
        return ""


def _tmpfs_use(path: str) -> tuple[int, int]:
    """Bytes and files."""
    found = os.statvfs(path)
    return (found.f_blocks - found.f_bfree) * found.f_frsize, found.f_files - found.f_ffree


def _free_bytes(path: str) -> int:
    found = os.statvfs(path)
    return found.f_bfree * found.f_frsize


def _quick_memory(pid: int) -> int:
    """What a process holds, pages that it shares with its parent counted in full."""
    return _kilobytes(pid, "status", ("RssAnon:", "RssShmem:", "VmSwap:"))


def _shared_memory(pid: int) -> int:
    """The same, with each page divided among those who hold it; slower."""
    return _kilobytes(pid, "smaps_rollup", ("Pss_Anon:", "Pss_Shmem:", "SwapPss:")) or _quick_memory(pid)


def _kilobytes(pid: int, name: str, wanted: tuple[str, ...]) -> int:
    try:
        with open(f"/proc/{pid}/{name}", errors="replace") as file:
            return sum(1024 * int(line.split()[1]) for line in file if line.startswith(wanted))
    except (OSError, ValueError):
        return 0


def tree_bytes(folder: str, most: int) -> int:
    """The bytes in a folder's files; endless when there are more than ``most``, or when it is too deep to be told."""
    total = count = 0
    waiting = [folder]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    count += 1
                    if count > most:
                        return 2**62
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    else:
                        total += entry.stat(follow_symlinks=False).st_blocks * 512
        except FileNotFoundError:
            continue
        except OSError:
            return 2**62
    return total
