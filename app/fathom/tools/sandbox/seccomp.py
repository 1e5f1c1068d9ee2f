"""The filter of system calls, as the BPF program that ``bwrap --seccomp`` loads.

A deny list over the namespaces: what gives access to the kernel's large or privileged surfaces is refused, so is memory
that no process is seen to hold, sockets are Unix sockets only, and other ways to enter the kernel (x32, 32-bit calls)
kill the process. ``alone`` makes it stricter, for where there are no namespaces. Written out by hand because
no binding of libseccomp comes as a wheel that is kept up; the numbers are those of the kernel's tables.
"""

from __future__ import annotations

import errno
import platform
import struct

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16  # offsets in struct seccomp_data
_X32 = 0x40000000
_AF_UNIX = 1
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C
_NEW_NAMESPACE = 0x7E020080  # CLONE_NEW*: time, mount, cgroup, uts, ipc, user, pid, net
_SETID = 0o6000

_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
# the call's number on x86_64 and on aarch64
_Table = dict[str, tuple[int | None, int | None]]
_REFUSED: _Table = {
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "kcmp": (312, 272),
    "pidfd_getfd": (438, 438),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "fanotify_init": (300, 262),
    "quotactl": (179, 60),
    "unshare": (272, 97),
    "setns": (308, 268),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "reboot": (169, 142),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "acct": (163, 89),
    "syslog": (103, 116),
    "vhangup": (153, 58),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "move_pages": (279, 239),
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "shmget": (29, 194),
    "msgget": (68, 186),
}
# Without namespaces these reach files and processes outside, which Landlock does not look at
_REFUSED_ALONE: _Table = {
    "socket": (41, 198),
    "connect": (42, 203),
    "bind": (49, 200),
    "chmod": (90, None),
    "fchmodat": (268, 53),
    "fchmodat2": (452, 452),
    "chown": (92, None),
    "lchown": (94, None),
    "fchownat": (260, 54),
    "utime": (132, None),
    "utimes": (235, None),
    "futimesat": (261, None),
    "setxattr": (188, 5),
    "lsetxattr": (189, 6),
    "removexattr": (197, 14),
    "lremovexattr": (198, 15),
    "setxattrat": (463, 463),
    "removexattrat": (466, 466),
    "inotify_init": (253, None),
    "inotify_init1": (294, 26),
    "mq_open": (240, 180),
    "mq_unlink": (241, 181),
    "semget": (64, 190),
    "semop": (65, 193),
    "semtimedop": (220, 192),
    "semctl": (66, 191),
    "shmat": (30, 196),
    "shmctl": (31, 195),
    "msgsnd": (69, 189),
    "msgrcv": (70, 188),
    "msgctl": (71, 187),
    "migrate_pages": (256, 238),
    "process_madvise": (440, 440),
    "process_mrelease": (448, 448),
}
_SIGNALS: _Table = {
    "kill": (62, 129),
    "tkill": (200, 130),
    "tgkill": (234, 131),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "pidfd_send_signal": (424, 424),
}
# The call and the argument that names a process: only 0, the own one, is allowed
_OWN_ONLY = {
    "prlimit64": (302, 261, 0),
    "sched_setparam": (142, 118, 0),
    "sched_setscheduler": (144, 119, 0),
    "sched_setaffinity": (203, 122, 0),
    "sched_setattr": (314, 274, 0),
    "ioprio_set": (251, 30, 1),
}
_OWN_ONLY_ALONE = {"setpriority": (141, 140, 1)}  # in a namespace the supervisor has to use it under the same filter
# F_SETOWN, F_SETOWN_EX, FIOSETOWN, SIOCSPGRP have another process signalled: the call, the argument, its value
_OWNERS = (((72, 25), 1, 8), ((72, 25), 1, 15), ((16, 29), 1, 0x8901), ((16, 29), 1, 0x8902))
_UTIMENSAT = (280, 88)
_X86_ONLY = (172, 173)  # iopl, ioperm
_CLONE, _CLONE3, _SOCKET, _IOCTL = (56, 220), (435, 435), (41, 198), (16, 29)
_MODES = ((90, None, 1), (91, 52, 1), (268, 53, 2), (452, 452, 2))  # chmod, fchmod, fchmodat, fchmodat2; mode's place


def program(machine: str | None = None, *, alone: bool = False, signals: bool = True) -> bytes | None:
    """The filter for this machine (``platform.machine()``), None where its numbers are not known.

    ``alone``: nothing else keeps it from other processes and from the metadata of files. Then ``signals`` says whether
    something else (Landlock) keeps its signals inside; if not, it can send none at all.
    """
    machine = machine or platform.machine()
    if machine not in _ARCHITECTURES:
        return None
    column = 0 if machine == "x86_64" else 1
    code = [_op(_LOAD, _ARCHITECTURE), _op(_EQUAL, _ARCHITECTURES[machine], 1, 0), _op(_RETURN, _KILL)]
    code.append(_op(_LOAD, _NUMBER))
    if column == 0:
        code += [_op(_AT_LEAST, _X32, 0, 1), _op(_RETURN, _KILL)]
    tables = [_REFUSED, *([_REFUSED_ALONE] if alone else []), *([] if signals else [_SIGNALS])]
    refused = [numbers[column] for table in tables for numbers in table.values()]
    for number in refused + (list(_X86_ONLY) if column == 0 else []):
        if number is None:
            continue
        code += [_op(_EQUAL, number, 0, 1), _refuse(errno.EPERM)]
    # A C library falls back to clone, whose flags can be seen here, when clone3 is not there
    code += [_op(_EQUAL, _CLONE3[column], 0, 1), _refuse(errno.ENOSYS)]
    code += _by_argument(_CLONE[column], 0, _op(_ANY_BIT, _NEW_NAMESPACE, 0, 1), errno.EPERM)
    code += _by_argument(_SOCKET[column], 0, _op(_EQUAL, _AF_UNIX, 1, 0), errno.EAFNOSUPPORT)
    for *call, place in (_OWN_ONLY | (_OWN_ONLY_ALONE if alone else {})).values():
        code += _by_argument(call[column], place, _op(_EQUAL, 0, 1, 0), errno.EPERM)
    if alone:
        code += _unless_null(_UTIMENSAT[column], 1, errno.EPERM)  # on an open file it is fine, by a name it is not
    for numbers, place, value in () if signals else _OWNERS:
        code += _by_argument(numbers[column], place, _op(_EQUAL, value, 0, 1), errno.EPERM)
    for request in (_TIOCSTI, _TIOCLINUX):
        code += _by_argument(_IOCTL[column], 1, _op(_EQUAL, request, 0, 1), errno.EPERM)
    for x86_64, aarch64, place in _MODES:
        chmod = x86_64 if column == 0 else aarch64
        if chmod is not None:
            code += _by_argument(chmod, place, _op(_ANY_BIT, _SETID, 0, 1), errno.EPERM)
    return b"".join([*code, _op(_RETURN, _ALLOW)])


def _by_argument(number: int, place: int, test: bytes, error: int) -> list[bytes]:
    """Refuse the call when ``test`` of the lower half of an argument falls through to the next instruction."""
    low = _ARGUMENTS + 8 * place  # both machines are little-endian
    return [_op(_EQUAL, number, 0, 4), _op(_LOAD, low), test, _refuse(error), _op(_LOAD, _NUMBER)]


def _unless_null(number: int, place: int, error: int) -> list[bytes]:
    """Refuse the call unless an argument is a null pointer: both halves of it count."""
    low = _ARGUMENTS + 8 * place
    tests = [_op(_LOAD, low), _op(_EQUAL, 0, 0, 2), _op(_LOAD, low + 4), _op(_EQUAL, 0, 1, 0)]
    return [_op(_EQUAL, number, 0, 6), *tests, _refuse(error), _op(_LOAD, _NUMBER)]


def _refuse(error: int) -> bytes:
    return _op(_RETURN, _ERRNO | error)


def _op(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    """One ``struct sock_filter``; the jumps count instructions."""
    return struct.pack("<HBBI", code, if_true, if_false, value)
