"""The rows of the threat table under Landlock, the second best sandbox: the same attacks, without any namespace."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path

import pytest
from attacked_box import CALLS, CANARY, X86_64

from fathom.tools.sandbox import landlock, seccomp
from fathom.tools.sandbox.inside.processes import descendants
from fathom.tools.sandbox.probe import trial_workspace
from fathom.tools.sandbox.settings import Limits

pytestmark = pytest.mark.skipif(
    landlock.abi() < landlock.OLDEST_ABI, reason=f"this kernel's Landlock has version {landlock.abi()}"
)


@pytest.fixture
def locked(make_box):
    """A sandbox of Landlock."""
    return make_box("landlock")


def test_01_02_the_environment_and_the_descriptors_of_the_app_are_absent(make_box, monkeypatch, tmp_path):
    monkeypatch.setenv("FATHOM_SECRET_KEY", CANARY)
    secret = tmp_path / "secret"
    secret.write_text(CANARY)
    descriptor = os.open(secret, os.O_RDONLY)
    os.set_inheritable(descriptor, True)
    try:
        box = make_box("landlock")
        result = box.py(
            "import os\n"
            "print(dict(os.environ))\n"
            f"for path in ['/proc/1/environ', '/proc/{os.getpid()}/environ', '/proc/self/environ']:\n"
            "    try: print(open(path).read())\n"
            "    except OSError: print('refused')\n"
            "for n in range(5, 256):\n"
            "    try: print(os.pread(n, 99, 0))\n"
            "    except OSError: pass\n"
        )
    finally:
        os.close(descriptor)
    assert CANARY not in result.output and "FATHOM" not in result.output
    assert result.output.count("refused") == 3


@X86_64
@pytest.mark.parametrize(
    ("name", "arguments", "errno"),
    [
        ("04 keyctl", (250, 0, 0), "EPERM"),
        ("10 mount", (165, 0, 0, 0, 0, 0), "EPERM"),
        ("10 bpf", (321, 0, 0, 0), "EPERM"),
        ("12 unshare", (272, 0x10000000), "EPERM"),
        ("14 ptrace", (101, 16, os.getpid(), 0, 0), "EPERM"),
        ("14 limits of another process", (302, os.getpid(), 7, b"\0" * 16, 0), "EPERM"),
        ("14 priority of another process", (141, 0, os.getpid(), 19), "EPERM"),
        ("14 scheduler of another process", (144, os.getpid(), 5, b"\0" * 8), "EPERM"),
        ("15 TIOCSTI", (16, 0, 0x5412, 0), "EPERM"),
        ("16 internet socket", (41, 2, 1, 0), "EPERM"),
        ("17 Unix socket", (41, 1, 1, 0), "EPERM"),
        ("09 chmod", (90, b"/tmp", 0o700), "EPERM"),
        ("09 chown", (92, b"/tmp", -1, -1), "EPERM"),
        ("09 utimensat by name", (280, -100, b"/tmp", 0, 0), "EPERM"),
        ("09 setxattr", (188, b"/tmp", b"user.x", b"y", 1, 0), "EPERM"),
        ("07 inotify", (294, 0), "EPERM"),
    ],
)
def test_04_07_09_10_12_14_15_16_17_system_call_is_refused(locked, name, arguments, errno):
    assert locked.py(f"{CALLS}print(call(*{arguments!r}))").output == f"{errno}\n"


@X86_64
def test_09_a_name_hidden_in_the_upper_half_of_a_pointer_is_seen(locked):
    """A filter that looks at the lower half of a pointer only takes this one for null."""
    result = locked.py(
        f"{CALLS}"
        "import mmap\n"
        "libc.mmap.restype = ctypes.c_void_p\n"
        "number, size = ctypes.c_int, ctypes.c_size_t\n"
        "libc.mmap.argtypes = [ctypes.c_void_p, size, number, number, number, ctypes.c_long]\n"
        "at = libc.mmap(0x500000000000, 4096, 3, 0x100022, -1, 0)\n"
        "assert at == 0x500000000000\n"
        "ctypes.memmove(at, b'/tmp\\0', 5)\n"
        "print(call(280, -100, ctypes.c_void_p(at), 0, 0))\n"
    )
    assert result.output == "EPERM\n"


def test_03_16_17_no_socket_of_the_host_can_be_reached(locked, tmp_path):
    path = str(tmp_path / "bus")
    with socket.socket(socket.AF_UNIX) as bus, socket.create_server(("127.0.0.1", 0)) as server:
        bus.bind(path)
        bus.listen()
        result = locked.py(
            "import socket\n"
            "def attempt(what):\n"
            "    try: what(); print('REACHED')\n"
            "    except OSError: print('refused')\n"
            f"attempt(lambda: socket.socket(socket.AF_UNIX).connect({path!r}))\n"
            f"attempt(lambda: socket.create_connection(('127.0.0.1', {server.getsockname()[1]}), 2))\n"
            "attempt(lambda: socket.getaddrinfo('example.com', 80))\n"
        )
    assert result.output.split() == ["refused"] * 3


def test_07_08_files_of_the_host_cannot_be_read_and_the_workspace_tells_no_name(locked, tmp_path):
    secret = tmp_path / "id_rsa"
    secret.write_text(CANARY)
    tmp_path.chmod(0o755)
    secret.chmod(0o644)
    result = locked.sh(f"cat {secret} /etc/passwd /etc/hosts /proc/version; ls {tmp_path} /home / /tmp; pwd")
    assert CANARY not in result.output and "root:" not in result.output
    assert result.output.count("Permission denied") >= 7
    assert not result.output.splitlines()[-1].startswith((str(Path.home()), "/home"))


def test_09_the_system_cannot_be_written_to(locked):
    name = f"fathom-test-{os.getpid()}"
    places = [f"{folder}/{name}" for folder in ("/usr", "", "/dev", "/etc", "/tmp", "/var/tmp", "/dev/shm")]
    result = locked.sh(f"for f in {' '.join(places)}; do echo y >>$f || echo refused; done")
    assert result.output.count("refused") == 7
    assert not any(Path(place).exists() for place in places)
    assert locked.sh("echo y >x && cat x && rm x").output == "y\n"


def test_13_there_are_no_privileges(locked):
    result = locked.sh("cp /bin/sh planted; chmod 4755 planted; su -c 'id -u' root; id -u")
    assert "0" not in result.output.split()
    assert (Path(locked.launch.settings["workspace"]) / "planted").stat().st_mode & 0o6000 == 0


@pytest.mark.parametrize("signals", [True, False], ids=["kept inside by Landlock", "refused altogether"])
def test_14_processes_of_the_host_cannot_be_signalled(make_box, monkeypatch, signals):
    if signals and landlock.abi() < 6:
        pytest.skip(f"Landlock keeps signals inside from version 6; this is {landlock.abi()}")
    if not signals:  # as on a kernel before 6.12
        monkeypatch.setattr(landlock, "abi", lambda: 5)
    box = make_box("landlock")
    uid = box.launch.uid
    victim = subprocess.Popen(
        ["/bin/sleep", "60"], **({} if uid is None else {"user": uid, "group": uid, "extra_groups": []})
    )
    try:
        result = box.py(
            "import os, signal, fcntl\n"
            f"for pid in ({victim.pid}, os.getppid(), {os.getpid()}):\n"
            "    try: os.kill(pid, 9); print('REACHED')\n"
            "    except OSError: print('refused')\n"
            "r, w = os.pipe()\n"
            f"try: fcntl.fcntl(r, fcntl.F_SETOWN, {victim.pid}); fcntl.fcntl(r, fcntl.F_SETSIG, 9)\n"
            "except OSError: pass\n"
            "fcntl.fcntl(r, fcntl.F_SETFL, os.O_ASYNC); os.write(w, b'x'); print('end')\n"
        )
        assert result.output.split() == ["refused"] * 3 + ["end"]
        assert victim.poll() is None and box.session.alive
    finally:
        victim.kill()
        victim.wait()


def test_18_a_fork_bomb_is_bounded_and_the_next_command_works(locked):
    result = locked.py(
        "import os, time\n"
        "made = 0\n"
        "try:\n"
        "    while made < 1000:\n"
        "        if os.fork() == 0: time.sleep(30); os._exit(0)\n"
        "        made += 1\n"
        "except BlockingIOError: pass\n"
        "print(made)\n"
    )
    assert 50 < int(result.output) < 140
    assert locked.sh("echo alive").output == "alive\n"
    assert len(descendants(locked.session.pid)) == 1


def test_19_memory_is_counted(make_box):
    box = make_box("landlock", Limits(memory_bytes=200 * 2**20))
    result = box.py(
        "import os, time\n"
        "for n in range(8):\n"
        "    if os.fork() == 0: held = os.urandom(60 * 2**20); time.sleep(30)\n"
        "time.sleep(30)\n"
    )
    assert "together" in result.output and not result.timed_out


def test_20_the_workspace_is_counted_and_can_be_cleaned_up(make_box):
    box = make_box("landlock", Limits(workspace_bytes=100 * 2**20))
    result = box.sh("for n in 1 2 3 4 5 6; do head -c 60000000 /dev/zero >$n; sleep 0.2; done; echo LIVED; sleep 30")
    assert "the workspace holds more than 100 MiB" in result.output and not result.timed_out
    assert "LIVED" not in result.output
    assert box.sh("rm *; ls | wc -l").output == "0\n"


def test_22_daemons_do_not_outlive_their_command(locked):
    locked.py("kept = 1")
    for _ in range(3):
        result = locked.py(
            "import os, time\n"
            "def hop():\n"
            "    while True:\n"
            "        if os.fork(): os._exit(0)\n"
            "for n in range(3):\n"
            "    if os.fork() == 0: os.setsid(); hop()\n"
            "time.sleep(0.1); print(kept)\n"
        )
        assert result.output == "1\n"
        assert len(descendants(locked.session.pid)) == 1
    result = locked.sh("setsid sleep 300 & echo started; sleep 300", 0.5)
    assert result.timed_out and result.output == "started\n"
    assert len(descendants(locked.session.pid)) == 1


def test_the_filter_of_older_kernels_sends_no_signal_at_all():
    assert seccomp.program("x86_64", alone=True, signals=False) != seccomp.program("x86_64", alone=True)
    assert seccomp.program("riscv64", alone=True) is None


def test_a_workspace_is_made_for_the_id_that_root_steps_down_to():
    launch = landlock.launch(trial_workspace, Limits())
    workspace = Path(launch.settings["workspace"])
    owner = launch.uid if launch.uid is not None else os.getuid()
    assert workspace.stat().st_uid == owner and list(workspace.iterdir()) == []
    workspace.rmdir()
    workspace.parent.rmdir()
