"""The rows of the threat table that the sandbox answers, 1 to 4 and 7 to 23; each test is named by its row.

Every attack runs inside the sandbox. Where the same attack is harmless outside, it runs there as well: that shows that
the defence stops it, and not a mistake in the attack. ``test_sandbox_defences.py`` takes defences away one by one.
"""

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
from attacked_box import CALLS, CANARY, X86_64

import fathom
from fathom.tools.sandbox import packages
from fathom.tools.sandbox.inside.processes import descendants
from fathom.tools.sandbox.output import BoundedOutput, printable
from fathom.tools.sandbox.settings import Limits
from fathom.tools.sandbox.tree import remove_tree

APP = str(Path(fathom.__file__).parent.parent)


def test_01_environment_of_the_app_is_absent(make_box, monkeypatch):
    monkeypatch.setenv("FATHOM_SECRET_KEY", CANARY)
    assert CANARY in subprocess.run(["/usr/bin/env"], capture_output=True, text=True, check=True).stdout
    box = make_box()
    for result in (box.sh("env; cat /proc/*/environ"), box.py("import os; print(dict(os.environ)); os.system('env')")):
        assert "/workspace" in result.output
        assert CANARY not in result.output and "FATHOM" not in result.output


def test_01_process_1_can_be_neither_read_nor_changed(py):
    result = py(
        "import os\n"
        "for name in ('environ', 'mem', 'fd', 'maps', 'root', 'cwd'):\n"
        "    try:\n"
        "        path = f'/proc/1/{name}'\n"
        "        if name in ('fd', 'root', 'cwd'): os.listdir(path)\n"
        "        else: open(path, 'r+b' if name == 'mem' else 'rb').read(1)\n"
        "        print('REACHED', name)\n"
        "    except PermissionError: pass\n"
        "print('end')\n"
    )
    assert result.output == "end\n"


def test_02_inherited_descriptors_are_absent(make_box, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text(CANARY)
    descriptor = os.open(secret, os.O_RDONLY)
    os.set_inheritable(descriptor, True)
    attack = (
        "import os\n"
        "for n in range(5, 256):\n"
        "    try: print(os.readlink(f'/proc/self/fd/{n}'), os.pread(n, 99, 0))\n"
        "    except OSError: pass\n"
    )
    try:
        python = ["/usr/bin/python3", "-I", "-c", attack]
        outside = subprocess.run(python, close_fds=False, capture_output=True, text=True, check=False)
        assert CANARY in outside.stdout
        box = make_box()
        results = [box.sh("ls -l /proc/self/fd"), box.sh(f'/usr/bin/python3 -I -c "{attack}"'), box.py(attack)]
    finally:
        os.close(descriptor)
    for result in results:
        assert "secret" not in result.output and CANARY not in result.output and "memfd" not in result.output


def test_03_no_bus_or_keyring_socket_can_be_reached(box, tmp_path):
    path = tmp_path / "bus"
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind(str(path))
        server.listen()
        client.connect(str(path))  # outside it is there
        assert "No such file" in box.sh("ls /run /var/run").output
        result = box.py(
            "import socket\n"
            f"for path in ['/run/dbus/system_bus_socket', '/run/user/0/bus', '/run/user/1000/bus', {str(path)!r}]:\n"
            "    s = socket.socket(socket.AF_UNIX)\n"
            "    try: s.connect(path); print('CONNECTED')\n"
            "    except OSError as e: print(type(e).__name__)\n"
        )
    assert result.output.split() == ["FileNotFoundError"] * 4


def test_07_home_and_accounts_of_the_host_are_absent(sh, tmp_path):
    secret = tmp_path / "id_rsa"
    secret.write_text(CANARY)
    secret.chmod(0o644)
    result = sh(
        f"cat {secret} ~root/.bashrc ~/.ssh/* /home/*/.ssh/* /root/.profile /etc/shadow; cat /etc/passwd; ls -A /"
    )
    assert CANARY not in result.output
    assert "root" not in [line.split(":")[0] for line in result.output.splitlines()]
    assert "user:x:1000" in result.output
    assert {"home", "root", "var", "opt/app", "srv", "mnt", "run"}.isdisjoint(result.output.split())


def test_08_no_host_path_shows_in_command_lines(box):
    words = ["Process 1 of a sandbox", "--bind", "--ro-bind", "--args", str(Path.cwd()), str(Path.home()), sys.prefix]
    result = box.py(
        "import glob\n"
        "shown = ''.join(open(path).read() for path in glob.glob('/proc/[0-9]*/cmdline'))\n"
        f"print([word for word in {words!r} if word in shown])\n"
    )
    assert result.output == "['Process 1 of a sandbox']\n"
    outside = Path(f"/proc/{box.session.pid}/cmdline").read_text()
    assert "--args" in outside and str(packages.place()) not in outside


def test_08_nothing_of_the_workspace_is_on_the_host_and_no_mount_tells_the_home(sh):
    result = sh("cat /proc/self/mountinfo")
    mounts = {line.split()[4]: line.split()[3] for line in result.output.splitlines()}
    assert mounts["/workspace"] == "/"  # a tmpfs of its own
    shown = [root for point, root in mounts.items() if point != "/opt/python"]
    assert not [root for root in shown if root.startswith(("/home", "/root", "/tmp"))]


def test_09_the_system_is_read_only(sh):
    places = "/usr/x /x /dev/x /etc/x /usr/bin/python3 /opt/python/x /etc/passwd"
    result = sh(f"for f in {places}; do echo y >>$f || echo refused; done 2>&1")
    assert result.output.count("refused") == 7
    assert result.output.count("Read-only file system") >= 5


@X86_64
@pytest.mark.parametrize(
    ("name", "arguments", "errno"),
    [
        ("04 add_key", (248, 0, 0, 0, 0, 0), "EPERM"),
        ("04 request_key", (249, 0, 0, 0, 0), "EPERM"),
        ("04 keyctl", (250, 0, 0), "EPERM"),
        ("10 mount", (165, 0, 0, 0, 0, 0), "EPERM"),
        ("10 fsopen", (430, 0, 0), "EPERM"),
        ("10 bpf", (321, 0, 0, 0), "EPERM"),
        ("10 io_uring_setup", (425, 1, 0), "EPERM"),
        ("10 userfaultfd", (323, 0), "EPERM"),
        ("10 perf_event_open", (298, 0, 0, 0, 0, 0), "EPERM"),
        ("10 ptrace", (101, 0, 0, 0, 0), "EPERM"),
        ("10 kexec_load", (246, 0, 0, 0, 0), "EPERM"),
        ("10 init_module", (175, 0, 0, 0), "EPERM"),
        ("12 unshare", (272, 0x10000000), "EPERM"),
        ("12 clone with a new user namespace", (56, 0x10000011, 0, 0, 0, 0), "EPERM"),
        ("12 clone3", (435, 0, 0), "ENOSYS"),
        ("13 chmod to setuid", (90, b"/workspace", 0o4755), "EPERM"),
        ("13 fchmodat to setgid", (268, -100, b"/workspace", 0o2755), "EPERM"),
        ("13 fchmodat2 to setuid", (452, -100, b"/workspace", 0o4755, 0), "EPERM"),
        ("14 limits of process 1", (302, 1, 7, b"\0" * 16, 0), "EPERM"),
        ("15 ioctl TIOCSTI", (16, 0, 0x5412, 0), "EPERM"),
        ("16 internet socket", (41, 2, 1, 0), "EAFNOSUPPORT"),
        ("16 internet socket of version 6", (41, 10, 2, 0), "EAFNOSUPPORT"),
        ("16 vsock", (41, 40, 1, 0), "EAFNOSUPPORT"),
        ("16 packet socket", (41, 17, 3, 0), "EAFNOSUPPORT"),
        ("16 netlink socket", (41, 16, 3, 0), "EAFNOSUPPORT"),
        ("19 memfd_create", (319, b"x", 0), "EPERM"),
        ("19 shmget", (29, 0, 4096, 0o1600), "EPERM"),
    ],
)
def test_04_10_12_13_14_15_16_19_system_call_is_refused(py, name, arguments, errno):
    assert py(f"{CALLS}print(call(*{arguments!r}))").output == f"{errno}\n"


def test_harmless_system_calls_work(py):
    result = py(
        "import os, resource, socket, subprocess, threading\n"
        "os.chmod('.', 0o755); a, b = socket.socketpair(); a.send(b'x')\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (512, 512)); os.nice(1)\n"
        "thread = threading.Thread(target=b.recv, args=(1,)); thread.start(); thread.join()\n"
        "print(subprocess.run(['echo', 'hi'], capture_output=True).stdout)\n"
    )
    assert result.output == "b'hi\\n'\n"


@X86_64
def test_11_the_x32_and_int80_ways_around_the_filter_are_killed(py):
    x32 = py(f"{CALLS}call(0x40000000 + 39); print('LIVED')")
    assert "LIVED" not in x32.output and x32.exit_code == -31  # SIGSYS
    int80 = py(
        "import ctypes, mmap\n"
        "code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)\n"
        "code.write(bytes.fromhex('b814000000cd80c3'))  # mov eax, 20; int 0x80; ret\n"
        "ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(code)))(); print('LIVED')\n"
    )
    assert "LIVED" not in int80.output and int80.exit_code is not None and int80.exit_code < 0


def test_12_no_further_user_namespace_can_be_made(sh):
    assert sh("unshare --user --map-root-user true").exit_code != 0


def test_13_privileges_cannot_be_gained(box):
    status = box.sh("cat /proc/self/status").output
    assert "NoNewPrivs:\t1" in status
    assert "CapEff:\t0000000000000000" in status and "CapBnd:\t0000000000000000" in status
    assert "Uid:\t1000\t1000\t1000\t1000" in status
    planted = box.sh(
        "cp /bin/sh planted; chmod 4755 planted; ls -l planted; ./planted -p -c 'id -u'; su -c 'id -u' root"
    )
    assert "rws" not in planted.output and "0" not in planted.output.split()
    assert "1000" in planted.output.split()


def test_14_processes_of_the_host_can_be_neither_seen_nor_ended(sh):
    victim = subprocess.Popen(["/bin/sleep", "60"])
    try:
        os.kill(victim.pid, 0)  # outside it can be reached
        result = sh(f"kill -9 {victim.pid}; echo seen $(ls -d /proc/[0-9]* | wc -l); kill -9 -1")
        assert victim.poll() is None
        assert "no such process" in result.output.lower()
        assert int(result.output.partition("seen ")[2].split()[0]) < 8
    finally:
        victim.kill()
        victim.wait()


def test_14_process_1_does_not_die_by_a_signal_from_inside(box):
    pid = box.session.pid
    box.sh("for n in 1 2 3 9 15 19; do kill -$n 1; done")
    assert box.sh("echo alive").output == "alive\n"
    assert box.session.pid == pid and box.session.alive


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
        socket.create_connection(("127.0.0.1", port)).close()  # outside it can be reached
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


def test_16_there_is_no_network_device_but_an_idle_loopback(sh):
    devices = [line.split(":")[0].strip() for line in sh("cat /proc/net/dev").output.splitlines()[2:]]
    assert devices in (["lo"], [])


def test_17_abstract_sockets_of_the_host_are_refused(py):
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind(f"\0{CANARY}")
        server.listen()
        client.connect(f"\0{CANARY}")  # outside it can be reached
        result = py(
            "import socket\n"
            f"try: socket.socket(socket.AF_UNIX).connect('\\0{CANARY}'); print('REACHED')\n"
            "except OSError as e: print('refused')\n"
        )
    assert result.output == "refused\n"


def test_18_a_fork_bomb_is_bounded_and_the_next_command_works(box):
    result = box.py(
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
    assert box.sh("echo alive").output == "alive\n"
    assert box.py("made > 50").output == "True\n"  # the interpreter was spared, its children were not
    assert box.processes() == 1


def test_18_a_bomb_that_never_ends_is_gone_after_its_time(box):
    result = box.sh("bomb() { bomb | bomb & }; bomb; sleep 30", 1.0)
    assert result.timed_out or result.exit_code is not None
    assert box.sh("echo alive").output == "alive\n"
    assert box.processes() == 1


def test_19_one_process_cannot_take_all_memory(py):
    assert "MemoryError" in py("x = bytearray(3 * 2**30)").output


def test_19_many_processes_together_cannot_either(make_box):
    box = make_box(limits=Limits(memory_bytes=200 * 2**20))
    result = box.py(
        "import os, time\n"
        "for n in range(8):\n"
        "    if os.fork() == 0: held = os.urandom(60 * 2**20); time.sleep(30)\n"
        "time.sleep(30)\n"
    )
    assert "took more than 200 MiB together" in result.output and not result.timed_out
    assert result.notes  # the interpreter was one of them
    assert box.sh("echo alive").output == "alive\n"


def test_19_shared_anonymous_memory_counts(make_box):
    box = make_box(limits=Limits(memory_bytes=200 * 2**20))
    result = box.py(
        "import mmap, os, time\n"
        "for n in range(4):\n"
        "    if os.fork() == 0:\n"
        "        held = mmap.mmap(-1, 100 * 2**20); held.write(b'x' * len(held)); time.sleep(30)\n"
        "time.sleep(30)\n"
    )
    assert "together" in result.output and not result.timed_out


def test_19_memory_that_forked_children_share_counts_once(make_box):
    box = make_box(limits=Limits(memory_bytes=400 * 2**20))
    result = box.py(
        "import os, time\n"
        "held = os.urandom(150 * 2**20)\n"
        "for n in range(6):\n"
        "    if os.fork() == 0: time.sleep(0.3); os._exit(0)\n"
        "for n in range(6): os.wait()\n"
        "print('done')\n"
    )
    assert result.output == "done\n"


def test_19_shared_memory_and_tmp_are_sized(sh):
    result = sh("head -c 80000000 /dev/zero >/dev/shm/x; head -c 300000000 /dev/zero >/tmp/x; du -sm /dev/shm /tmp")
    sizes = [int(line.split()[0]) for line in result.output.splitlines() if line.split()[0].isdigit()]
    assert len(sizes) == 2 and 60 <= sizes[0] <= 64 and 250 <= sizes[1] <= 256


def test_20_a_file_cannot_grow_without_bound(sh):
    result = sh("head -c 300000000 /dev/zero >big; stat -c %s big")
    assert int(result.output.split()[-1]) == 256 * 2**20


def test_20_files_together_cannot_either_and_there_is_room_again_once_they_are_deleted(make_box):
    box = make_box()
    size = box.py("import os; s = os.statvfs('/workspace'); print(s.f_blocks * s.f_frsize)")
    assert int(size.output) == 2**30
    free = "import os; s = os.statvfs('.'); print(s.f_bavail)"
    before = box.py(free).output
    box.sh("for n in 1 2 3; do head -c 30000000 /dev/zero >$n; done; ln 1 name; : >4; exec 5>gone; rm gone")
    assert int(box.py(free).output) < int(before) - 20_000
    box.sh("rm *")
    assert box.py(free).output == before


def test_20_the_number_of_files_is_bounded_and_cleaning_up_is_possible(make_box):
    box = make_box(limits=Limits(files=3000))
    result = box.py("import os\nos.mkdir('d')\nn = 0\nwhile True:\n    open(f'd/{n}', 'w').close(); n += 1\n", 50)
    assert "[stopped: it made too many files]" in result.output and not result.timed_out
    assert box.sh("rm -r d; ls | wc -l").output == "0\n"


def test_21_an_output_flood_is_cut_in_the_middle_and_memory_stays(py):
    py("1")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    result = py("import sys\nn = sys.stdout.write('start' + 'x' * 30_000_000 + 'end'); del n")
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


def test_22_nothing_outlives_a_time_out_and_the_partial_output_is_kept(box):
    result = box.sh("echo before; (setsid sh -c 'while :; do sleep 0.05; echo tick >>ticks; done' &) ; sleep 60", 1.0)
    assert result.timed_out and result.exit_code is None and result.output == "before\n"
    assert box.processes() == 1
    size = box.sh("wc -c <ticks").output
    assert box.sh("sleep 0.3; wc -c <ticks").output == size


def test_22_a_daemon_does_not_outlive_its_command(box):
    box.py("kept = 1")
    result = box.sh("setsid nohup sleep 300 >/dev/null 2>&1 & echo started")
    assert result.output == "started\n" and result.seconds < 30
    assert box.processes() == 1
    result = box.py("import os, time\nif os.fork() == 0:\n    os.setsid()\n    time.sleep(300)\nprint(kept)")
    assert result.output == "1\n"
    assert box.processes() == 1


def test_22_a_thread_of_the_interpreter_stands_still_between_calls(box):
    box.py(
        "import threading, time\n"
        "def tick():\n"
        "    while True: open('ticks', 'a').write('x'); time.sleep(0.01)\n"
        "threading.Thread(target=tick, daemon=True).start()\n"
        "time.sleep(0.1)\n"
    )
    size = box.sh("wc -c <ticks").output
    assert int(size) > 0
    assert box.sh("sleep 0.3; wc -c <ticks").output == size


def test_22_processes_that_fork_as_fast_as_they_can_do_not_get_away(box):
    code = (
        "import os, time\n"
        "def hop():\n"
        "    while True:\n"
        "        if os.fork(): os._exit(0)\n"
        "for n in range(4):\n"
        "    if os.fork() == 0: os.setsid(); hop()\n"
        "time.sleep(0.2)\n"
    )
    for _ in range(3):
        assert box.py(code).exit_code == 0
        assert box.processes() == 1


def test_22_cancelling_a_run_ends_its_processes_and_keeps_the_files(box):
    async def cancelled():
        task = asyncio.create_task(box.session.run(["/bin/sh", "-c", "touch up; sleep 300"]))
        await asyncio.sleep(0)
        while not descendants(box.session.pid)[1:]:
            assert not task.done(), await task
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    box.wait(cancelled())
    assert box.processes() == 1
    assert box.session.alive


@pytest.mark.parametrize("name", ["bubblewrap", "landlock"])
def test_22_when_the_app_is_killed_its_sandbox_goes_too(name):
    script = (
        "import asyncio\n"
        "from fathom.tools.sandbox.probe import trial_workspace, tried\n"
        "from fathom.tools.sandbox.session import SandboxSession\n"
        "from fathom.tools.sandbox.settings import Limits\n"
        f"state = tried({name!r})\n"
        "async def main():\n"
        "    box = await SandboxSession.start(state.launch(trial_workspace, Limits()))\n"
        "    print(box.pid, flush=True)\n"
        "    await box.run(['/bin/sh', '-c', 'setsid sleep 300 & sleep 300'])\n"
        "asyncio.run(main())\n"
    )
    environment = os.environ | {"PYTHONPATH": APP}
    with subprocess.Popen([sys.executable, "-c", script], env=environment, stdout=subprocess.PIPE, text=True) as app:
        try:
            pid = int(app.stdout.readline())
            _until(lambda: len(descendants(pid)) >= 3)
            inside = [pid, *descendants(pid)]
        finally:
            app.kill()
    _until(lambda: not any(_alive(pid) for pid in inside))


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


DEEP = (
    "import os\n"
    "top = os.getcwd()\n"
    "for n in range(1500): os.mkdir('d'); os.chdir('d')\n"
    "os.chdir(top); os.mkdir('locked'); open('locked/f', 'w').close(); os.chmod('locked', 0o500)\n"
    "os.symlink('/etc', 'link'); os.mkfifo('fifo'); print('made')"
)


def test_23_a_tree_made_inside_goes_with_the_sandbox(make_box):
    box = make_box()
    assert box.py(DEEP).output == "made\n"
    box.wait(box.session.close())
    assert Path("/etc").is_dir() and not _alive(box.session.pid)


def test_23_a_tree_made_in_a_folder_of_the_host_goes_with_the_sandbox(make_box):
    box = make_box("landlock")
    assert box.py(DEEP.replace("; os.chmod('locked', 0o500)", "")).output == "made\n"
    workspace = Path(box.launch.settings["workspace"])
    assert (workspace / "d" / "d").is_dir()
    box.wait(box.session.close())
    assert not workspace.parent.exists() and Path("/etc").is_dir()


def test_23_removing_follows_no_link_out_of_the_tree(tmp_path):
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


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _until(condition, limit_s=30.0):
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        os.sched_yield()
