"""Locks a process in for good with Landlock and a filter of system calls, where there are no namespaces."""

from __future__ import annotations

import ctypes
import os
import stat
import struct
from typing import Any

_ALL_FS = {1: 0x1FFF, 2: 0x3FFF, 3: 0x7FFF, 4: 0x7FFF, 5: 0xFFFF}  # the accesses that each Landlock ABI knows
_FILE_ONLY = 0x1 | 0x2 | 0x4 | 0x4000 | 0x8000
_READ = 0x1 | 0x4 | 0x8
_NO_DEVICES = 0xFFFF & ~(0x40 | 0x800)  # everything but making device files


def lock_in(rules: dict[str, Any], seccomp: bytes) -> None:
    """Give up for good, for this process and its children, what ``rules`` do not name. Raises OSError.

    ``rules``: ``abi``, ``read`` (files and folders to read and execute), ``devices`` (to read and write), ``write``.
    """
    libc = ctypes.CDLL(None, use_errno=True)

    def call(number: int, *arguments: Any) -> int:
        result = int(libc.syscall(number, *arguments))
        if result < 0:
            error = ctypes.get_errno()
            raise OSError(error, f"system call {number}: {os.strerror(error)}")
        return result

    abi = rules["abi"]
    handled = _ALL_FS[min(abi, 5)]
    network = 0x3 if abi >= 4 else 0  # bind and connect by TCP
    scoped = 0x3 if abi >= 6 else 0  # abstract sockets and signals outside
    attributes = struct.pack("QQQ", handled, network, scoped)[: 24 if abi >= 6 else 16 if abi >= 4 else 8]
    if libc.prctl(38, 1, 0, 0, 0):  # PR_SET_NO_NEW_PRIVS
        raise OSError(ctypes.get_errno(), "no_new_privs")
    ruleset = call(444, attributes, ctypes.c_size_t(len(attributes)), 0)
    granted = ((rules["read"], _READ), (rules["devices"], _READ | 0x2), (rules["write"], _NO_DEVICES))
    for paths, access in granted:
        for path in paths:
            try:
                descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
            except FileNotFoundError:
                continue
            allowed = access & handled
            if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
                allowed &= _FILE_ONLY
            call(445, ruleset, 1, struct.pack("=Qi", allowed, descriptor), 0)
            os.close(descriptor)
    call(446, ruleset, 0)
    os.close(ruleset)
    program = ctypes.create_string_buffer(seccomp, len(seccomp))

    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]

    filters = Program(len(seccomp) // 8, ctypes.cast(program, ctypes.c_void_p))
    if libc.prctl(22, 2, ctypes.byref(filters), 0, 0):  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER
        raise OSError(ctypes.get_errno(), "seccomp")
