"""The same attacks with a defence taken away: they get through. So it is the defence that stops them elsewhere.

Only defences whose absence is harmless here are taken away, one at a time, and the attack still runs in what is left of
the sandbox.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from attacked_box import CALLS, CANARY, X86_64, Box

from fathom.core.errors import ToolError
from fathom.tools.sandbox import bubblewrap, seccomp
from fathom.tools.sandbox.inside.processes import descendants
from fathom.tools.sandbox.launch import readable
from fathom.tools.sandbox.settings import Limits


@pytest.fixture
def weakened(monkeypatch) -> Callable[..., Box]:
    """``weakened(without=[...], filtered=False, limits=Limits(...))``: a sandbox that lacks some options."""
    made: list[Box] = []

    def make(
        without: tuple[str, ...] = (),
        filtered: bool = True,
        limits: Limits | None = None,
        environment: dict[str, str] | None = None,
    ) -> Box:
        whole = bubblewrap.options
        monkeypatch.setattr(
            bubblewrap, "options", lambda **given: [word for word in whole(**given) if word not in without]
        )
        if not filtered:
            monkeypatch.setattr(seccomp, "program", lambda: None)
        launch = bubblewrap.launch(lambda: pytest.fail("no folder is needed"), limits or Limits())
        launch.environment |= environment or {}
        made.append(Box(launch))
        return made[-1]

    yield make
    for box in made:
        box.close()


def test_01_variables_that_the_process_was_started_with_stay_with_process_1(weakened):
    """It is started with none, and they are cleared: two walls, both taken away here. The third one holds."""
    box = weakened(without=("--clearenv",), environment={"FATHOM_SECRET_KEY": CANARY})
    assert (
        CANARY in Path(f"/proc/{descendants(box.session.pid)[0]}/environ").read_text()
    )  # it is there, seen from outside
    assert CANARY not in box.sh("env; cat /proc/*/environ").output
    assert "PermissionError" in box.py("open('/proc/1/environ').read()").output


@X86_64
@pytest.mark.parametrize(
    "arguments",
    [
        (250, 0, -3, 0),
        (319, b"x", 0),
        (29, 0, 4096, 0o1600),
        (41, 2, 1, 0),
        (41, 16, 3, 0),
        (90, b"/workspace", 0o2755),
    ],
    ids=["04 keyctl", "19 memfd_create", "19 shmget", "16 internet socket", "16 netlink", "13 setgid"],
)
def test_04_13_16_19_without_the_filter_the_call_goes_through(weakened, arguments):
    box = weakened(filtered=False)
    assert box.py(f"{CALLS}print(call(*{arguments!r}))").output != "EPERM\n"


@X86_64
def test_11_without_the_filter_the_other_calls_go_through(weakened):
    box = weakened(filtered=False)
    assert "LIVED" in box.py(f"{CALLS}call(0x40000000 + 39); print('LIVED')").output


def test_12_without_both_walls_a_namespace_can_be_made(weakened):
    box = weakened(without=("--disable-userns",), filtered=False)
    assert box.sh("unshare --user true").exit_code == 0


def test_16_without_the_filter_only_the_namespace_stops_the_network(weakened):
    with socket.create_server(("127.0.0.1", 0)) as server:
        attack = (
            "import socket\n"
            f"try: socket.create_connection(('127.0.0.1', {server.getsockname()[1]}), 2); print('REACHED')\n"
            "except OSError: print('refused')\n"
        )
        assert weakened(filtered=False).py(attack).output == "refused\n"


def test_16_17_without_the_network_namespace_the_hosts_sockets_are_reached(weakened):
    name = f"\0fathom-test-{os.getpid()}"
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(socket.AF_UNIX) as abstract:
        abstract.bind(name)
        abstract.listen()
        box = weakened(without=("--unshare-net",), filtered=False)
        result = box.py(
            "import socket\n"
            f"socket.create_connection(('127.0.0.1', {server.getsockname()[1]}), 2)\n"
            f"socket.socket(socket.AF_UNIX).connect({name!r})\n"
            "print('REACHED')\n"
        )
    assert result.output == "REACHED\n"


def test_18_without_its_limit_a_bomb_is_not_bounded(weakened):
    box = weakened(limits=Limits(processes=400))
    code = (
        "import os, time\n"
        "made = 0\n"
        "while made < 200:\n"
        "    if os.fork() == 0: time.sleep(30); os._exit(0)\n"
        "    made += 1\n"
        "print(made)\n"
    )
    assert box.py(code).output == "200\n"
    assert box.processes() == 1  # and all of them are gone again


def test_19_20_without_their_limits_memory_and_files_grow(weakened):
    box = weakened(limits=Limits(file_bytes=400 * 2**20, memory_bytes=2**33, address_bytes=2**33))
    assert "MemoryError" not in box.py("import mmap; x = mmap.mmap(-1, 3 * 2**30); x.close()").output
    assert box.sh("head -c 300000000 /dev/zero >big; stat -c %s big").output == "300000000\n"


def test_a_sandbox_that_cannot_start_says_what_bubblewrap_said(monkeypatch):
    monkeypatch.setattr(bubblewrap, "options", lambda **_given: ["--no-such-option"])
    with pytest.raises(ToolError, match="Unknown option --no-such-option"):
        Box(bubblewrap.launch(lambda: pytest.fail("no folder is needed"), Limits()))


def test_descriptors_that_were_not_used_are_closed():
    before = len(list(Path("/proc/self/fd").iterdir()))
    launch = bubblewrap.launch(lambda: pytest.fail("no folder is needed"), Limits())
    launch.descriptors.append(readable(b"x"))
    launch.close()
    assert len(list(Path("/proc/self/fd").iterdir())) == before
