"""The self-test: ten attacks, what is said when one gets through, and what is said where there is no sandbox."""

from __future__ import annotations

import asyncio
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

import fathom
from fathom.core import registry
from fathom.tools.sandbox import BACKENDS, BY_PLATFORM, attacks, bubblewrap, landlock, probe, seatbelt, self_test, wsl
from fathom.tools.sandbox.launch import Backend, Obstacle
from fathom.tools.sandbox.settings import Limits

APP = str(Path(fathom.__file__).parent.parent)


@pytest.mark.parametrize("name", ["bubblewrap", "landlock"])
def test_ten_attacks_fail_and_nothing_is_left(name):
    folders = set(Path("/tmp").glob(f"{probe.PREFIX}*"))
    state = probe.tried(name)
    assert state.available and list(state.checks) == list(attacks.NAMES) and len(state.checks) == 10, state
    assert all(state.checks.values()), state
    assert set(Path("/tmp").glob(f"{probe.PREFIX}*")) <= folders


def test_the_result_is_kept_until_it_is_asked_for_again():
    async def main():
        first = await self_test()
        started = time.monotonic()
        return first, await self_test(), time.monotonic() - started, await self_test(again=True)

    first, second, seconds, third = asyncio.run(main())
    assert second is first and seconds < 1
    assert third is not first and third.available


WEAK = [
    ("network", ("--unshare-net",), False),
    ("sockets", ("--unshare-net",), False),
    ("kernel", (), False),
    ("privileges", ("--cap-drop", "ALL"), True),
]


@pytest.mark.parametrize(("attack", "without", "filtered"), WEAK, ids=[row[0] for row in WEAK])
def test_an_attack_that_gets_through_switches_the_sandbox_off(monkeypatch, attack, without, filtered):
    whole = bubblewrap.options
    kept = {"--cap-drop": "--cap-add"} if "--cap-drop" in without else {}
    monkeypatch.setattr(
        bubblewrap,
        "options",
        lambda **given: [kept.get(word, word) for word in whole(**given) if word not in without or kept],
    )
    if not filtered:
        rules = bubblewrap.seccomp.program
        monkeypatch.setattr(bubblewrap.seccomp, "program", lambda: _allow_all() if rules() else None)
    state = probe.tried("bubblewrap")
    assert not state.available and state.checks[attack] is False
    assert attacks.NAMES[attack] in state.reason and "no code is run" in state.remedy


def _allow_all() -> bytes:
    """A filter that lets everything through."""
    return bytes.fromhex("060000000000ff7f")


def test_a_home_that_can_be_read_switches_the_sandbox_off(monkeypatch):
    whole = bubblewrap.options
    monkeypatch.setattr(tempfile, "tempdir", "/var/tmp")  # where the canary lies
    monkeypatch.setattr(bubblewrap, "options", lambda **given: [*whole(**given), "--ro-bind", "/var/tmp", "/var/tmp"])
    state = probe.tried("bubblewrap")
    assert not state.available and state.checks.get("home") is False, state


def test_when_the_first_kind_does_not_work_the_second_is_taken_and_says_what_it_lacks(monkeypatch):
    monkeypatch.setattr(bubblewrap, "system_program", lambda name: None)
    state = probe.best(("bubblewrap", "landlock"))
    assert state.available and state.backend == "landlock" and "Landlock" in state.remark


def test_when_none_works_the_first_one_says_why_and_what_to_do(monkeypatch):
    monkeypatch.setattr(bubblewrap, "system_program", lambda name: None)
    monkeypatch.setattr(landlock, "abi", lambda: 0)
    state = probe.best(BY_PLATFORM["linux"])
    assert not state.available and state.reason == "bubblewrap is not installed"
    assert "apt install bubblewrap" in state.remedy


def test_on_an_unknown_system_there_is_none():
    state = probe.best(())
    assert not state.available and platform.system() in state.reason


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"kernel/apparmor_restrict_unprivileged_userns": "1"}, "AppArmor forbids"),
        ({"kernel/unprivileged_userns_clone": "0"}, "user namespaces are switched off"),
        ({"user/max_user_namespaces": "0"}, "user namespaces are switched off"),
        ({}, "bubblewrap does not work here: No permissions"),
    ],
)
def test_the_reason_behind_a_failed_start_is_found(monkeypatch, settings, reason):
    monkeypatch.setattr(bubblewrap, "system_setting", lambda name: settings.get(name, ""))
    found = bubblewrap.explained("bwrap: setting up uid map\nNo permissions")
    assert reason in found.reason and found.remedy


@pytest.mark.skipif(os.geteuid() != 0, reason="only root steps down to another user")
def test_a_folder_that_only_root_may_enter_is_named(monkeypatch):
    packages = bubblewrap.packages.place()
    with tempfile.TemporaryDirectory() as closed:
        monkeypatch.setattr(bubblewrap.packages, "place", lambda: Path(closed, "sandbox"))
        Path(closed, "sandbox").mkdir()
        shutil.copy(packages / bubblewrap.packages.MANIFEST, Path(closed, "sandbox"))
        state = probe.tried("bubblewrap")
        assert not state.available
        assert state.reason.startswith(f"root alone may enter {closed}, ") and f"chmod o+x '{closed}'" in state.remedy
        Path(closed).chmod(0o711)
        assert probe.tried("bubblewrap").available


@pytest.mark.skipif(
    bubblewrap.system_setting("kernel/apparmor_restrict_unprivileged_userns") != "1",
    reason="this kernel has no AppArmor limit on user namespaces (Ubuntu 23.10 and newer have)",
)
def test_where_apparmor_forbids_namespaces_it_is_named():
    state = probe.tried("bubblewrap")
    assert state.available or "AppArmor" in state.reason


@pytest.mark.skipif(sys.platform != "darwin", reason="Seatbelt is macOS's; not tested yet")
def test_the_sandbox_of_macos_holds():
    assert all(probe.tried("seatbelt").checks.values())


@pytest.mark.skipif(sys.platform != "win32", reason="WSL2 is Windows's; not tested yet")
def test_the_sandbox_of_windows_holds():
    assert all(probe.tried("wsl").checks.values())


@pytest.mark.parametrize("name", BACKENDS)
def test_a_backend_names_itself_and_says_so_where_it_is_not_tested(name):
    backend = registry.load(BACKENDS, name)
    assert isinstance(backend, Backend) and backend.label
    if name in ("seatbelt", "wsl"):
        assert "not been tested" in backend.remark
    obstacle = backend.obstacle()
    assert obstacle is None or isinstance(obstacle, Obstacle)


def test_the_profile_of_macos_denies_by_default_and_quotes_its_path():
    profile = seatbelt.profile(Path('/private/var/a"b/workspace'))
    assert profile.startswith("(version 1)\n(deny default)\n") and "(deny network*)" in profile
    assert r'(subpath "/private/var/a\"b/workspace")' in profile
    assert profile.count("(") == profile.count(")")


def test_the_starter_of_windows_hands_bubblewrap_its_options():
    """``wsl.exe`` is the one part that is not here: what it starts is plain Linux."""
    options = [word for word in wsl.preface().split(b"\n") if word]
    assert len(options) == 1 and b"/mnt" not in options[0]
    if os.geteuid() == 0:
        pytest.skip("as root bubblewrap keeps root outside of the namespace; the other user's tests run it")
    done = subprocess.run(
        ["/usr/bin/python3", "-I", "-c", wsl._STARTER], input=wsl.preface(), capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="the other tests show it when they are not run as root")
@pytest.mark.parametrize("name", ["bubblewrap", "landlock"])
def test_the_sandbox_works_for_an_ordinary_user(name):
    script = (
        "import asyncio, os\n"
        "from fathom.tools.sandbox.probe import trial_workspace, tried\n"
        "from fathom.tools.sandbox.session import SandboxSession\n"
        "from fathom.tools.sandbox.settings import Limits\n"
        "from fathom.core import registry\n"
        "from fathom.tools.sandbox import BACKENDS, text\n"
        f"registry.load(BACKENDS, {name!r}); text.interpreter(); text.supervisor()  # files that are read late\n"
        "import concurrent.futures.thread, encodings.idna, asyncio.subprocess\n"
        "os.setgroups([]); os.setresgid(1234, 1234, 1234); os.setresuid(1234, 1234, 1234)\n"
        f"state = tried({name!r})\n"
        "assert state.available and all(state.checks.values()), state\n"
        "async def main():\n"
        "    box = await SandboxSession.start(state.launch(trial_workspace, Limits()))\n"
        "    print((await box.run(['/bin/sh', '-c', 'id -u; echo hi >f; cat f'])).output)\n"
        "    print((await box.python('6 * 7')).output)\n"
        "    await box.close()\n"
        "asyncio.run(main())\n"
    )
    environment = os.environ | {"PYTHONPATH": APP}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
    inner = "1000" if name == "bubblewrap" else "1234"
    assert (done.stdout.split(), done.returncode) == ([inner, "hi", "42"], 0), done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root steps down to another id")
@pytest.mark.parametrize("name", ["bubblewrap", "landlock"])
def test_root_does_not_stay_root_outside_of_the_namespace(make_box, name):
    box = make_box(name)
    box.py("1")
    for pid in (box.session.pid, *probe.descendants(box.session.pid)):
        assert Path(f"/proc/{pid}/stat").stat().st_uid in (61184 + os.getpid() % 4096, 0)
        status = Path(f"/proc/{pid}/status").read_text()
        assert f"Uid:\t{61184 + os.getpid() % 4096}" in status


def test_the_limits_are_those_of_the_reference():
    limits = Limits()
    given = limits.settings(python="/usr/bin/python3", python_path=[])
    assert given["limits"] == {
        "RLIMIT_NPROC": 128,
        "RLIMIT_NOFILE": 1024,
        "RLIMIT_FSIZE": 256 * 2**20,
        "RLIMIT_AS": 2**31,
        "RLIMIT_CORE": 0,
    }
    assert given["cpu_s"] == 60 and given["memory_bytes"] == 2**31
    assert given["tmpfs"] == ["/tmp", "/dev/shm", "/workspace"]
