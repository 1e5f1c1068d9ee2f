"""The ten attacks of the self-test, as the Python code that tries them inside a sandbox.

Each is harmless when it succeeds. A trial's canaries are on this side: a file, a listening port, a socket, a process.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

NAMES: dict[str, str] = {
    "environment": "The app’s variables are not visible",
    "descriptors": "No open file of the app is handed down",
    "home": "Your files cannot be read",
    "system": "The system cannot be written to",
    "network": "There is no network",
    "sockets": "The desktop’s services cannot be reached",
    "processes": "Your programs can be neither seen nor ended",
    "privileges": "No privileges are there or can be gained",
    "kernel": "Dangerous system calls are refused",
    "daemons": "Nothing outlives a command",
}
"""Name of an attack -> what holds when it fails, for people."""

DAEMON = (
    "import os, time\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0: time.sleep(300)\n    os._exit(0)\n"
)

_CODE = r"""
import ctypes, errno, json, os, socket
GIVEN = json.loads(GIVEN)
ALLOWED = {"PATH", "HOME", "LANG", "TERM", "USER", "PYTHONDONTWRITEBYTECODE", "MPLBACKEND", "OMP_NUM_THREADS",
           "OPENBLAS_NUM_THREADS", "TMPDIR", "PWD", "SHLVL", "OLDPWD", "_", "LC_CTYPE"}
libc = ctypes.CDLL(None, use_errno=True)
held = {}

def pids():
    try: return [int(name) for name in os.listdir("/proc") if name.isdigit()]
    except OSError: return []

def fails(action):
    try: action()
    except OSError: return True
    return False

def names_of(pid):
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return {entry.partition(b"=")[0].decode() for entry in file.read().split(b"\0") if entry}
    except OSError: return set()

def dialled(family, address):
    def attempt():
        with socket.socket(family) as one:
            one.settimeout(2); one.connect(address)
    return fails(attempt)

def refused(number, *arguments):
    return libc.syscall(number, *arguments) == -1 and ctypes.get_errno() in (errno.EPERM, errno.ENOSYS, errno.EACCES)

def write(path):
    return lambda: os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))

seen = set(os.environ).union(*map(names_of, pids()))
held["environment"] = seen <= ALLOWED
def others(fd):
    try: target = os.readlink(f"/proc/self/fd/{fd}")
    except OSError: return False
    return not target.startswith(("pipe:", "/dev/null", "/proc/"))
def readable(fd):
    try: return GIVEN["canary"].encode() in os.pread(fd, 4096, 0)
    except OSError: return False
held["descriptors"] = not any(others(fd) or readable(fd) for fd in range(64))
homes = [GIVEN["file"], "/root/.profile", "/etc/shadow"]
held["home"] = all(fails(lambda path=path: open(path).read()) for path in homes)
held["home"] = held["home"] and fails(lambda: os.listdir(GIVEN["folder"]))
places = ["/usr/fathom-trial", "/fathom-trial", "/dev/fathom-trial", "/etc/fathom-trial"]
held["system"] = all(fails(write(path)) for path in places)
held["network"] = dialled(socket.AF_INET, ("127.0.0.1", GIVEN["port"]))
held["network"] = held["network"] and fails(lambda: socket.getaddrinfo("example.com", 80))
services = [GIVEN["socket"], GIVEN["abstract"], "/run/dbus/system_bus_socket"]
held["sockets"] = all(dialled(socket.AF_UNIX, path) for path in services)
def reached(pid):
    return not fails(lambda: os.kill(pid, 0)) and pid not in GIVEN["small"]
held["processes"] = not reached(GIVEN["process"]) and len(pids()) < 12
held["privileges"] = fails(lambda: os.setuid(0)) and os.geteuid() != 0
if GIVEN["linux"]:
    bounded = not GIVEN["namespaces"] or not any(libc.prctl(23, number, 0, 0, 0) == 1 for number in range(41))
    held["privileges"] = held["privileges"] and libc.prctl(39, 0, 0, 0, 0) == 1 and bounded
held["kernel"] = all(refused(*call) for call in GIVEN["calls"])
print(json.dumps(held))
"""
# mount, bpf, ptrace, keyctl, io_uring_setup, userfaultfd, unshare of a user namespace
_CALLS: dict[str, list[list[int]]] = {
    "x86_64": [[165] + [0] * 5, [321, 0, 0, 0], [101] + [0] * 4, [250, 0, 0], [425, 1, 0], [323, 0], [272, 1 << 28]],
    "aarch64": [[40] + [0] * 5, [280, 0, 0, 0], [117] + [0] * 4, [219, 0, 0], [425, 1, 0], [282, 0], [97, 1 << 28]],
}


@contextmanager
def canaries() -> Iterator[dict[str, object]]:
    """What the attacks look for, on this side, while they run."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fathom-canary-")))
        folder.chmod(0o755)  # what keeps it from being read is to be the sandbox
        file = folder / "secret"
        file.write_text("fathom-canary")
        file.chmod(0o644)
        handed = os.open(file, os.O_RDONLY)
        stack.callback(os.close, handed)
        os.set_inheritable(handed, True)
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        addresses = {"socket": str(folder / "socket"), "abstract": f"\0fathom-canary-{os.getpid()}"}
        for name, address in addresses.items():
            if hasattr(socket, "AF_UNIX") and (name == "socket" or os.uname().sysname == "Linux"):
                one = stack.enter_context(socket.socket(socket.AF_UNIX))
                one.bind(address)
                one.listen()
        (folder / "socket").chmod(0o777)
        process = subprocess.Popen(["/bin/sleep", "60"], stdin=subprocess.DEVNULL)
        stack.callback(process.wait)
        stack.callback(process.kill)
        yield {
            "canary": "fathom-canary",
            "file": str(file),
            "folder": str(folder),
            "port": server.getsockname()[1],
            "process": process.pid,
            **addresses,
        }


def code(found: dict[str, object], machine: str, *, namespaces: bool) -> str:
    """The code to run inside; it prints one JSON object, name -> whether it held."""
    given = found | {
        "calls": _CALLS.get(machine, []),
        "small": list(range(32)) if namespaces else [],  # a number that the sandbox's own processes may have
        "namespaces": namespaces,
        "linux": sys.platform == "linux",
    }
    return f"GIVEN = {msgspec.json.encode(given).decode()!r}\n{_CODE}"
