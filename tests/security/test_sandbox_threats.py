"""The rows of the threat table that the sandbox answers; each test is named by its row."""

from __future__ import annotations

import asyncio
import os
import resource
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

import fathom
from fathom.core.errors import ToolError
from fathom.tools.sandbox import self_test
from fathom.tools.sandbox.bubblewrap import BubblewrapSandbox, workspace_parts
from fathom.tools.sandbox.holder import SandboxHolder
from fathom.tools.sandbox.output import BoundedOutput, printable
from fathom.tools.sandbox.tree import remove_tree

CANARY = "canary-7f3a91"
APP = str(Path(fathom.__file__).parent.parent)


def test_self_test_reports_every_canary_attack_as_held():
    state = asyncio.run(self_test())
    assert state.available and all(state.checks.values()), state
    assert len(state.checks) == 11


def test_01_environment_of_the_app_is_absent(sh, monkeypatch):
    monkeypatch.setenv("FATHOM_SECRET_KEY", CANARY)
    result = sh("env; cat /proc/*/environ")
    assert "HOME=/workspace" in result.output
    assert CANARY not in result.output and "FATHOM" not in result.output


def test_02_inherited_descriptors_are_absent(sh, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text(CANARY)
    descriptor = os.open(secret, os.O_RDONLY)
    os.set_inheritable(descriptor, True)
    try:
        result = sh("ls -l /proc/self/fd; for n in 3 4 5 6 7 8 9 10 11 12 13 14 15 16; do cat <&$n; done 2>/dev/null")
    finally:
        os.close(descriptor)
    assert "secret" not in result.output and CANARY not in result.output
    assert "memfd" not in result.output


def test_03_no_bus_or_keyring_socket_can_be_reached(sh, py):
    assert "No such file" in sh("ls /run /var/run").output
    result = py(
        "import socket, glob\n"
        "for path in ['/run/dbus/system_bus_socket', '/run/user/0/bus', '/run/user/1000/bus']:\n"
        "    s = socket.socket(socket.AF_UNIX)\n"
        "    try: s.connect(path); print('CONNECTED')\n"
        "    except OSError as e: print(type(e).__name__)\n"
    )
    assert result.output.split() == ["FileNotFoundError"] * 3


def test_07_home_and_accounts_of_the_host_are_absent(sh):
    result = sh("cat ~root/.bashrc ~/.ssh/* /home/*/.ssh/* /root/.profile /etc/shadow; cat /etc/passwd; ls -A /")
    assert "root" not in [line.split(":")[0] for line in result.output.splitlines()]
    assert "user:x:1000" in result.output
    assert {"home", "root", "var", "opt", "srv", "mnt"}.isdisjoint(result.output.split())


def test_08_no_host_path_shows_in_command_lines(sh, sandbox):
    result = sh("cat /proc/*/cmdline | tr '\\0' ' '")
    assert str(sandbox.workspace) not in result.output
    assert "--bind" not in result.output and "bwrap" not in result.output


def test_08_the_workspace_is_not_below_the_home_folder_whose_name_its_mount_would_tell(tmp_path):
    async def main():
        session_dir = tmp_path / "home" / "alice" / "session"
        holder = await SandboxHolder.open(session_dir)
        await holder.create()
        shown = await holder.run(["/bin/cat", "/proc/self/mountinfo"])
        await holder.close()
        return shown.output

    output = asyncio.run(main())
    assert "/workspace" in output and "alice" not in output


def test_leftovers_of_a_killed_app_are_removed_when_the_session_is_opened_again(tmp_path):
    async def main():
        killed = await SandboxHolder.open(tmp_path)
        folder = (await killed.create()).workspace
        await SandboxHolder.open(tmp_path)
        return folder

    folder = asyncio.run(main())
    assert not folder.exists() and not folder.parent.exists()


def test_used_up_running_time_is_told_and_can_be_renewed(tmp_path):
    async def main():
        holder = await SandboxHolder.open(tmp_path)
        await holder.create(timeout_s=1)
        first = await holder.run(["/bin/sleep", "30"])
        with pytest.raises(ToolError, match="running time"):
            await holder.run(["/bin/true"])
        await holder.create(timeout_s=5)
        again = await holder.run(["/bin/true"])
        await holder.close()
        return first, again

    first, again = asyncio.run(main())
    assert first.timed_out and again.exit_code == 0


def test_09_the_system_is_read_only(sh):
    result = sh("for f in /usr/x /x /dev/x /etc/x /usr/bin/python3; do echo y >>$f || echo refused; done 2>&1")
    assert result.output.count("refused") == 5
    assert result.output.count("Read-only file system") >= 4


CALLS = """
import ctypes, errno
libc = ctypes.CDLL(None, use_errno=True)
def call(*arguments):
    ctypes.set_errno(0)
    result = libc.syscall(*arguments)
    return errno.errorcode.get(ctypes.get_errno(), "done") if result == -1 else "done"
"""


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the numbers of the calls are x86_64's")
@pytest.mark.parametrize(
    ("name", "arguments", "errno"),
    [
        ("04 add_key", (248, 0, 0, 0, 0, 0), "EPERM"),
        ("04 keyctl", (250, 0, 0), "EPERM"),
        ("10 mount", (165, 0, 0, 0, 0, 0), "EPERM"),
        ("10 bpf", (321, 0, 0, 0), "EPERM"),
        ("10 io_uring_setup", (425, 1, 0), "EPERM"),
        ("10 userfaultfd", (323, 0), "EPERM"),
        ("10 perf_event_open", (298, 0, 0, 0, 0, 0), "EPERM"),
        ("10 ptrace", (101, 0, 0, 0, 0), "EPERM"),
        ("12 unshare", (272, 0x10000000), "EPERM"),
        ("12 clone with a new user namespace", (56, 0x10000011, 0, 0, 0, 0), "EPERM"),
        ("12 clone3", (435, 0, 0), "ENOSYS"),
        ("13 chmod to setuid", (90, b"/workspace", 0o4755), "EPERM"),
        ("13 fchmodat to setgid", (268, -100, b"/workspace", 0o2755), "EPERM"),
        ("15 ioctl TIOCSTI", (16, 0, 0x5412, 0), "EPERM"),
        ("16 internet socket", (41, 2, 1, 0), "EAFNOSUPPORT"),
        ("16 vsock", (41, 40, 1, 0), "EAFNOSUPPORT"),
        ("16 packet socket", (41, 17, 3, 0), "EAFNOSUPPORT"),
    ],
)
def test_04_10_12_13_15_16_system_call_is_refused(py, name, arguments, errno):
    assert py(f"{CALLS}print(call(*{arguments!r}))").output == f"{errno}\n"


def test_harmless_system_calls_work(py):
    result = py(
        "import os, socket, subprocess, threading\n"
        "os.chmod('.', 0o755); a, b = socket.socketpair(); a.send(b'x')\n"
        "thread = threading.Thread(target=b.recv, args=(1,)); thread.start(); thread.join()\n"
        "print(subprocess.run(['echo', 'hi'], capture_output=True).stdout)\n"
    )
    assert result.output == "b'hi\\n'\n"


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="other architectures have no second set of calls")
def test_11_the_x32_and_int80_ways_around_the_filter_are_killed(py):
    x32 = py(f"{CALLS}call(0x40000000 + 39); print('LIVED')")
    assert "LIVED" not in x32.output and x32.exit_code != 0
    int80 = py(
        "import ctypes, mmap\n"
        "code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)\n"
        "code.write(bytes.fromhex('b814000000cd80c3'))  # mov eax, 20; int 0x80; ret\n"
        "ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(code)))(); print('LIVED')\n"
    )
    assert "LIVED" not in int80.output and int80.exit_code != 0


def test_12_no_further_user_namespace_can_be_made(sh):
    assert sh("unshare --user --map-root-user true").exit_code != 0


def test_13_privileges_cannot_be_gained(sh):
    status = sh("cat /proc/self/status").output
    assert "NoNewPrivs:\t1" in status
    assert "CapEff:\t0000000000000000" in status and "CapBnd:\t0000000000000000" in status
    assert "Uid:\t1000" in status


def test_14_processes_of_the_host_can_be_neither_seen_nor_ended(sh):
    victim = subprocess.Popen(["/bin/sleep", "60"])
    try:
        result = sh(f"kill -9 {victim.pid}; kill -9 -1; ls -d /proc/[0-9]* | wc -l")
        assert victim.poll() is None
        assert "no such process" in result.output.lower() or result.exit_code != 0
    finally:
        victim.kill()
        victim.wait()


def test_15_terminal_escapes_are_not_shown(sh):
    result = sh(r"printf 'a\033[31mred\033[0m\033]0;title\007b\033P+q\033\\c\b\rd\n'")
    assert result.output == "d\n"
    assert printable("x\x1b[2Jy\x9b31m\x07\ttab\nline") == "xy31m\ttab\nline"


def test_15_there_is_no_controlling_terminal(py):
    result = py(
        "import fcntl, termios, os\n"
        "try: fcntl.ioctl(os.open('/dev/tty', os.O_RDWR), termios.TIOCSTI, b'x'); print('INJECTED')\n"
        "except OSError as e: print('refused')\n"
    )
    assert result.output == "refused\n"


def test_16_tcp_udp_and_dns_are_refused(py):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        result = py(
            "import socket\n"
            "def attempt(what):\n"
            "    try: what(); print('REACHED')\n"
            "    except OSError: print('refused')\n"
            f"attempt(lambda: socket.create_connection(('127.0.0.1', {port}), 2))\n"
            "attempt(lambda: socket.create_connection(('1.1.1.1', 80), 2))\n"
            "attempt(lambda: socket.socket(type=socket.SOCK_DGRAM).sendto(b'x', ('1.1.1.1', 53)))\n"
            "attempt(lambda: socket.getaddrinfo('example.com', 80))\n"
        )
    assert result.output.split() == ["refused"] * 4


def test_17_abstract_sockets_of_the_host_are_refused(py):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"\0{CANARY}")
        server.listen()
        result = py(
            "import socket\n"
            f"try: socket.socket(socket.AF_UNIX).connect('\\0{CANARY}'); print('REACHED')\n"
            "except OSError as e: print('refused')\n"
        )
    assert result.output == "refused\n"


def test_18_a_fork_bomb_is_bounded_and_the_next_command_works(sh, py):
    result = py(
        "import os, time\n"
        "made = 0\n"
        "try:\n"
        "    while made < 1000:\n"
        "        if os.fork() == 0: time.sleep(30); os._exit(0)\n"
        "        made += 1\n"
        "except BlockingIOError: pass\n"
        "print(made)\n"
    )
    assert 50 < int(result.output) < 129
    assert sh("echo alive").output == "alive\n"


def test_19_one_process_cannot_take_all_memory(py):
    assert "MemoryError" in py("x = bytearray(3 * 2**30)").output


def test_19_shared_memory_and_tmp_are_sized(sh):
    result = sh("head -c 80000000 /dev/zero >/dev/shm/x; head -c 300000000 /dev/zero >/tmp/x; du -sm /dev/shm /tmp")
    sizes = [int(line.split()[0]) for line in result.output.splitlines() if line.split()[0].isdigit()]
    assert len(sizes) == 2 and sizes[0] <= 64 and sizes[1] <= 256


def test_20_a_file_cannot_grow_without_bound(sh):
    result = sh("head -c 300000000 /dev/zero >big; stat -c %s big")
    assert int(result.output.split()[-1]) <= 256 * 2**20


def test_21_an_output_flood_is_cut_in_the_middle_and_memory_stays(py):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    result = py("import sys\nsys.stdout.write('start' + 'x' * 30_000_000 + 'end')")
    grown_mb = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert result.output.startswith("start") and result.output.endswith("end")
    assert "bytes left out" in result.output and len(result.output) < 17_000
    assert grown_mb < 20


def test_21_an_endless_flood_is_stopped(sh):
    result = sh("yes", timeout_s=60)
    assert "[stopped: more than 64 MiB of output]" in result.output
    assert not result.timed_out


def test_21_bounded_output_keeps_head_and_tail_of_small_pieces():
    output = BoundedOutput(keep=10)
    for n in range(1000):
        output.add(b"%03d." % n)
    assert output.text() == "000.001.00\n[... 3,980 bytes left out ...]\n7.998.999."
    assert output.total == 4000


def test_21_output_that_fits_is_whole():
    output = BoundedOutput(keep=10)
    output.add(b"0123456789abcdefghij")
    assert output.text() == "0123456789abcdefghij"


def test_22_nothing_outlives_a_time_out_and_the_partial_output_is_kept(sh, sandbox):
    started = time.monotonic()
    result = sh("echo before; (setsid sh -c 'while :; do sleep 0.05; echo tick >>ticks; done' &) ; sleep 60", 1.0)
    assert result.timed_out and result.exit_code is None and result.output == "before\n"
    assert time.monotonic() - started < 10
    assert _processes_in(sandbox.workspace) == []


def test_22_a_daemon_does_not_outlive_its_command(sh, sandbox):
    result = sh("setsid nohup sleep 300 >/dev/null 2>&1 & echo started")
    assert result.output == "started\n" and result.seconds < 10
    assert _processes_in(sandbox.workspace) == []


def test_22_cancelling_a_run_ends_its_processes(sandbox):
    async def main():
        task = asyncio.create_task(sandbox.run(["/bin/sh", "-c", "touch up; sleep 300"]))
        while not (sandbox.workspace / "up").exists():
            assert not task.done(), await task
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert _processes_in(sandbox.workspace) == []


def test_22_when_the_app_is_killed_its_sandbox_goes_too(tmp_path):
    folder = Path("/tmp") / f"fathom-test-{os.getpid()}"
    script = (
        "import asyncio, pathlib\n"
        "from fathom.tools.sandbox.bubblewrap import BubblewrapSandbox\n"
        f"box = BubblewrapSandbox(pathlib.Path({str(folder / 'workspace')!r}))\n"
        "asyncio.run(box.run(['/bin/sh', '-c', 'touch up; sleep 300']))\n"
    )
    folder.mkdir(mode=0o711)
    try:
        app = subprocess.Popen([sys.executable, "-c", script], env=os.environ | {"PYTHONPATH": APP})
        try:
            _until(lambda: (folder / "workspace" / "up").exists())
            assert len(_processes_in(folder / "workspace")) >= 1
        finally:
            app.kill()
            app.wait()
        _until(lambda: not _processes_in(folder / "workspace"))
    finally:
        remove_tree(folder)


def test_23_a_very_deep_tree_is_removed(tmp_path):
    top = tmp_path / "top"
    top.mkdir()
    folder = os.open(top, os.O_RDONLY)
    for _ in range(1500):  # deeper than Python recurses
        os.mkdir("d", dir_fd=folder)
        inner = os.open("d", os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = inner
    os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=folder))
    os.close(folder)
    remove_tree(top)
    assert not top.exists()


def test_23_a_tree_made_inside_goes_with_the_sandbox(py, sandbox):
    result = py(
        "import os\n"
        "for n in range(3000): os.mkdir('d'); os.chdir('d')\n"
        "os.chdir('/workspace'); os.mkdir('locked'); open('locked/f', 'w').close(); os.chmod('locked', 0)\n"
        "os.symlink('/etc', 'link'); os.mkfifo('fifo'); print('made')"
    )
    assert result.output == "made\n"
    asyncio.run(sandbox.close())
    assert not sandbox.workspace.exists() and Path("/etc").is_dir()
    asyncio.run(sandbox.close())


def test_removing_follows_no_link_out_of_the_tree(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("x")
    top = tmp_path / "top"
    (top / "inner").mkdir(parents=True)
    (top / "link").symlink_to(outside)
    (top / "inner" / "link").symlink_to(outside)
    remove_tree(top)
    assert (outside / "kept").exists() and not top.exists()
    with pytest.raises(OSError, match="link"):
        (tmp_path / "toplink").symlink_to(outside)
        remove_tree(tmp_path / "toplink")


def test_files_last_from_one_command_to_the_next(sh):
    sh("echo kept > note")
    assert sh("cat note; pwd").output == "kept\n/workspace\n"


def test_exit_code_and_input_are_passed_through(sandbox):
    result = asyncio.run(sandbox.run(["/bin/sh", "-c", "cat; exit 3"], stdin="hello"))
    assert (result.output, result.exit_code) == ("hello", 3)


def test_a_command_that_does_not_read_a_large_input_still_ends(sandbox):
    result = asyncio.run(sandbox.run(["/bin/true"], stdin="x" * 5_000_000))
    assert result.exit_code == 0


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "../x", "/workspace/../etc/passwd", "/workspace", "", "a/../../b", "a\0b"]
)
def test_paths_outside_of_the_workspace_are_refused(path):
    with pytest.raises(ToolError):
        workspace_parts(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="the other tests show it when they are not run as root")
def test_the_sandbox_works_for_an_ordinary_user():
    script = (
        "import asyncio, os, pathlib, tempfile\n"
        "from fathom.tools.sandbox import self_test\n"
        "from fathom.tools.sandbox.holder import SandboxHolder\n"
        "asyncio.run(asyncio.to_thread(int))  # what is imported late would not be readable later\n"
        "os.setgroups([]); os.setresgid(1234, 1234, 1234); os.setresuid(1234, 1234, 1234)\n"
        "async def main():\n"
        "    state = await self_test()\n"
        "    assert state.available and all(state.checks.values()), state\n"
        "    with tempfile.TemporaryDirectory() as folder:\n"
        "        holder = await SandboxHolder.open(pathlib.Path(folder))\n"
        "        await holder.create()\n"
        "        print((await holder.run(['/bin/sh', '-c', 'id -u; echo hi >f; cat f'])).output)\n"
        "        await holder.close()\n"
        "asyncio.run(main())\n"
    )
    environment = os.environ | {"PYTHONPATH": APP}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert (done.stdout.split(), done.returncode) == (["1000", "hi"], 0), done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root steps down to another id")
def test_root_does_not_stay_root_outside_of_the_namespace(sandbox, sh):
    sh("touch mine")
    assert (sandbox.workspace / "mine").stat().st_uid == 61184 + os.getpid() % 4096


def test_a_workspace_that_is_there_already_is_not_taken_over(tmp_path):
    (tmp_path / "workspace").mkdir()
    with pytest.raises(FileExistsError):
        BubblewrapSandbox(tmp_path / "workspace")


def _processes_in(workspace: Path) -> list[str]:
    """Processes that have the workspace mounted."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if str(workspace).removeprefix("/tmp") in (process / "mountinfo").read_text():
                found.append((process / "cmdline").read_bytes().decode())
        except OSError:  # it ended meanwhile
            continue
    return found


def _until(condition, limit_s=20.0):
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        os.sched_yield()
