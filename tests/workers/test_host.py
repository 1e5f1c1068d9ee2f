"""A worker process: a clean channel whatever a library prints, an environment without keys, an end with its parent."""

from __future__ import annotations

import os
import select
import subprocess
import sys

import pytest

from fathom.workers.client import child_environment

ECHO = """
import os, subprocess, sys
from fathom.workers import ROLES, host
ROLES["echo"] = "__main__:serve"
def serve(channel, argv):
    print("printed by a library")
    subprocess.run([sys.executable, "-c", "print('printed by a grandchild')"])
    os.write(1, b"written to descriptor 1\\n")
    for line in channel.lines():
        channel.send(line.upper() + b" " + str(argv).encode())
    return 7
sys.exit(host.main("echo", ["x"]))
"""


def test_only_the_protocol_reaches_the_parent_and_the_rest_goes_to_stderr() -> None:
    done = subprocess.run([sys.executable, "-c", ECHO], input=b"one\ntwo\n", capture_output=True, timeout=60)
    assert done.stdout == b"ONE ['x']\nTWO ['x']\n"
    assert b"printed by a library" in done.stderr
    assert b"printed by a grandchild" in done.stderr
    assert b"written to descriptor 1" in done.stderr
    assert done.returncode == 7


def test_an_unknown_role_is_refused_with_the_known_ones() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "fathom", "worker", "gardener"], input="", capture_output=True, text=True, timeout=60
    )
    assert done.returncode != 0
    assert "engine" in done.stderr and "parser" in done.stderr


def test_no_key_and_no_token_reaches_a_child() -> None:
    source = {
        "PATH": "/bin",
        "HOME": "/home/a",
        "LC_ALL": "C.UTF-8",
        "FATHOM_HOME": "/data",
        "OPENAI_API_KEY": "secret",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "GITHUB_TOKEN": "secret",
        "HTTPS_PROXY": "http://user:secret@proxy",
        "SSH_AUTH_SOCK": "/run/agent",
        "DBUS_SESSION_BUS_ADDRESS": "unix:path=/run/bus",
    }
    child = child_environment(source)
    assert {"PATH", "HOME", "LC_ALL", "FATHOM_HOME"} <= child.keys()
    assert "secret" not in " ".join(child.values())
    assert "SSH_AUTH_SOCK" not in child and "DBUS_SESSION_BUS_ADDRESS" not in child


PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", sys.argv[1]], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
child.stdin.write(b"ready\\n"); child.stdin.flush()
assert child.stdout.readline().startswith(b"READY")
print(child.pid, flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="pidfd is Linux's")
def test_a_worker_dies_with_its_parent() -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, ECHO], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert parent.stdin is not None and parent.stdout is not None
    with parent.stdin, parent.stdout:
        child = int(parent.stdout.readline())
        watched = os.pidfd_open(child)
        try:
            assert not select.select([watched], [], [], 0)[0]
            parent.kill()
            parent.wait(timeout=10)
            assert select.select([watched], [], [], 10)[0], "the child outlived its parent"
        finally:
            os.close(watched)


def test_a_worker_without_a_parent_on_the_other_end_ends_instead_of_raising() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-c", ECHO], input=b"one\n", stdout=writer, stderr=subprocess.PIPE, timeout=60
    )
    os.close(writer)
    assert done.returncode == 0
    assert b"Traceback" not in done.stderr
