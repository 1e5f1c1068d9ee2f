"""Process 1 of a sandbox: runs one command at a time and leaves nothing of it behind.

A program of its own, standard library only: the app hands its text to the sandbox's Python (``python3 -I -c``) and
speaks with it in frames (``kind`` byte, length, payload) over stdin and stdout. Namespaces around it make the sandbox;
where there are none (``"namespaces": false``), it stays outside, runs nothing foreign itself, and every child locks
itself in before it executes anything. The app believes nothing that it says: a command that got at it gains nothing.

In: C settings, R run, P run Python, W write a file (then D... E), G give a file, S stop. Out: O bytes, X result.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import resource
import select
import signal
import struct
import sys
import time
from typing import Any

from fathom.tools.sandbox.inside.files import MAX_FILE, Refused, create_beneath, open_regular, remove_beneath
from fathom.tools.sandbox.inside.frames import CHUNK, Channel, write_all
from fathom.tools.sandbox.inside.lock import lock_in
from fathom.tools.sandbox.inside.processes import Descendants, Namespace, cpu_s
from fathom.tools.sandbox.inside.usage import Usage

FLOOD_BYTES = 64 * 2**20
WATCH_S = 0.05
YIELD_S = 1.0  # what runs longer gives way to the supervisor and the window; what is short is not to wait
SWEEP_S = 10.0


class Interpreter:
    """The Python process that keeps its variables from call to call."""

    def __init__(self, pid: int, code: int, status: int, output: int) -> None:
        self.pid, self.code, self.status, self.output = pid, code, status, output

    def send(self, data: bytes) -> None:
        """Hand it a block of code; an empty one asks it to collect its dead children."""
        write_all(self.code, struct.pack(">I", len(data)) + data)

    def close(self) -> None:
        """Let go of its pipes."""
        for descriptor in (self.code, self.status, self.output):
            os.close(descriptor)


class Supervisor:
    """See the module."""

    def __init__(self, channel: Channel, settings: dict[str, Any]) -> None:
        self._channel = channel
        self._settings = settings
        self._interpreter: Interpreter | None = None
        self._exits: dict[int, int] = {}
        self._wake, wake_in = os.pipe()
        os.set_blocking(self._wake, False)
        os.set_blocking(wake_in, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake_in, warn_on_full_buffer=False)
        self._processes = Namespace() if settings["namespaces"] else Descendants()
        self._usage = Usage(settings)

    def serve(self) -> None:
        """Answer requests until the app is gone."""
        self._channel.result(ready=True)
        while True:
            kind, data = self._channel.receive()
            if kind == b"R":
                request = json.loads(data)
                self._run(request["argv"], request["stdin"].encode())
            elif kind == b"P":
                self._python(data)
            elif kind == b"W":
                self._write(json.loads(data)["parts"])
            elif kind == b"G":
                self._give(json.loads(data)["parts"])
            # S: the stop of a request that had ended already

    def end(self) -> None:
        """Leave nobody behind."""
        self._kill_all_but(0)

    # --- commands -----------------------------------------------------------------------------------------------

    def _run(self, argv: list[str], stdin: bytes) -> None:
        feed, feeding = os.pipe()
        reading, output = os.pipe()
        try:
            pid = self._spawn(argv, {0: feed, 1: output, 2: output})
        finally:
            os.close(feed)
            os.close(output)
        python = self._interpreter
        try:
            reason = self._watch(pid, reading, feeding=feeding, feed=stdin)
            lost = self._sweep()
            self._drain(reading)
        finally:
            os.close(reading)
        if python is not None and self._interpreter is None:
            python.close()
        self._channel.result(exit=self._exits.pop(pid, None), reason=reason, lost=lost)
        self._exits.clear()

    def _python(self, code: bytes) -> None:
        self._reap()
        lost = ""
        if self._interpreter is not None and self._interpreter.pid in self._exits:
            self._forget_interpreter()
            lost = "died"
        if self._interpreter is None:
            self._interpreter = self._start_interpreter()
        python = self._interpreter
        exit_code: int | None = None
        reason = ""
        with contextlib.suppress(OSError):  # it closed its pipes, or stopped reading them
            os.kill(python.pid, signal.SIGCONT)
            python.send(code)
            reason = self._watch(python.pid, python.output, status=python.status)
            if not reason:
                exit_code = _said(python.status)
        if exit_code is None:
            lost = "stopped" if reason else "died"
            self._interpreter = None  # from here on a sweep does not spare it
            self._sweep()
            exit_code = self._exits.get(python.pid)
        else:
            lost = self._sweep() or lost
        self._drain(python.output)
        if self._interpreter is None:
            python.close()
        self._channel.result(exit=exit_code, reason=reason, lost=lost)
        self._exits.clear()

    def _forget_interpreter(self) -> None:
        if self._interpreter is not None:
            self._interpreter.close()
            self._interpreter = None

    def _start_interpreter(self) -> Interpreter:
        code_out, code_in = os.pipe()
        status_out, status_in = os.pipe()
        output_out, output_in = os.pipe()
        nothing = os.open("/dev/null", os.O_RDONLY)
        argv = [
            self._settings["python"],
            "-I",
            "-u",
            "-c",
            self._settings["interpreter"],
            *self._settings["python_path"],
        ]
        theirs = {0: nothing, 1: output_in, 2: output_in, 3: code_out, 4: status_in}
        try:
            pid = self._spawn(argv, theirs, cpu_limit=False)
        finally:
            for descriptor in (code_out, status_in, output_in, nothing):
                os.close(descriptor)
        os.set_blocking(code_in, False)
        return Interpreter(pid, code_in, status_out, output_out)

    def _spawn(self, argv: list[str], descriptors: dict[int, int], *, cpu_limit: bool = True) -> int:
        pid = os.fork()
        if pid:
            return pid
        try:
            os.setsid()
            signal.set_wakeup_fd(-1)
            for ignored in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGCHLD):  # would be inherited
                signal.signal(ignored, signal.SIG_DFL)
            # Out of the way first: one of them may have a number that another one is to get
            moved = {number: os.dup(source) for number, source in descriptors.items()}
            moved = {number: _above(source, 16) for number, source in moved.items()}
            for number, source in moved.items():
                os.dup2(source, number)
            os.closerange(max(descriptors) + 1, 256)
            if cpu_limit:
                _limit(resource.RLIMIT_CPU, self._settings["cpu_s"])
            if sys.platform == "linux":
                libc = ctypes.CDLL(None)
                libc.prctl(1, signal.SIGKILL, 0, 0, 0)  # it does not outlive the supervisor
                libc.prctl(4, 1, 0, 0, 0)  # dumpable, for the next line; so it is after the start anyway
            with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
                file.write("1000")
            os.chdir(self._settings["workspace"])
            if self._settings["landlock"] is not None:
                lock_in(self._settings["landlock"], bytes.fromhex(self._settings["seccomp"]))
            argv = [*self._settings["wrap"], *argv]
            os.execve(argv[0], argv, self._settings["environment"])
        except BaseException as error:
            with contextlib.suppress(OSError):
                os.write(2, f"{argv[0]} could not be started: {error}\n".encode())
        finally:
            os._exit(127)

    # --- while one runs -----------------------------------------------------------------------------------------

    def _watch(self, pid: int, output: int, *, status: int = -1, feeding: int = -1, feed: bytes = b"") -> str:
        """Pass its output on until it ends (or says so), and tell why it has to be stopped ("" when it has not)."""
        self._usage.begin()
        poller = select.poll()
        poller.register(self._channel.source, select.POLLIN)
        poller.register(self._wake, select.POLLIN)
        poller.register(output, select.POLLIN)
        if status >= 0:
            poller.register(status, select.POLLIN)
        if feeding >= 0:
            os.set_blocking(feeding, False)
            poller.register(feeding, select.POLLOUT)
        total = 0
        looked = started = time.monotonic()
        yields = False
        cpu_before = cpu_s(pid) if status >= 0 else 0.0
        try:
            while True:
                ready = dict(poller.poll(1000 * WATCH_S))
                if self._channel.source in ready:
                    kind, _ = self._channel.receive()
                    if kind == b"S":
                        return "stopped"
                if feeding in ready:
                    feed = _fed(feeding, feed)
                    if not feed:
                        poller.unregister(feeding)
                        os.close(feeding)
                        feeding = -1
                if output in ready:
                    chunk = os.read(output, CHUNK)
                    if chunk:
                        total += len(chunk)
                        self._channel.send(b"O", chunk)
                        if total > FLOOD_BYTES:
                            return "flood"
                    else:
                        poller.unregister(output)
                if self._wake in ready:
                    _drained(self._wake)
                    self._reap()
                if status in ready or pid in self._exits:  # what it wrote is in the pipe; it is drained later
                    return ""
                if time.monotonic() - looked >= WATCH_S:
                    reason = self._usage.exceeded(self._processes.running(0))
                    if not reason and status >= 0 and cpu_s(pid) - cpu_before > self._settings["cpu_s"]:
                        reason = "cpu"
                    if reason:
                        return reason
                    looked = time.monotonic()
                    if not yields and looked - started > YIELD_S:
                        yields = True
                        with contextlib.suppress(OSError):
                            os.setpriority(os.PRIO_PGRP, pid, 10)
        finally:
            if feeding >= 0:
                os.close(feeding)

    def _reap(self) -> None:
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return
                self._exits[pid] = os.waitstatus_to_exitcode(status)

    def _sweep(self) -> str:
        """Kill all but the interpreter, which is left standing still. Tells whether it was lost all the same."""
        spared = self._interpreter.pid if self._interpreter is not None else 0
        self._kill_all_but(spared)
        if spared and (spared in self._exits or self._processes.zombies_of(spared)):
            return self._settle_interpreter()
        return ""

    def _kill_all_but(self, spared: int) -> None:
        deadline = time.monotonic() + SWEEP_S
        self._processes.freeze()  # what stands still cannot fork: nobody slips through the loop below
        while True:
            for pid in (left := self._processes.running(spared)):
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
            self._reap()
            if not left and not self._processes.running(spared):
                return
            if time.monotonic() > deadline:
                os._exit(70)  # and with process 1 the kernel kills the rest
            time.sleep(0.0005)

    def _settle_interpreter(self) -> str:
        """Its dead children count as processes until it has collected them."""
        python = self._interpreter
        assert python is not None
        if python.pid not in self._exits:
            with contextlib.suppress(OSError):
                python.send(b"")
                os.kill(python.pid, signal.SIGCONT)
                if select.select([python.status], [], [], 1.0)[0]:
                    _said(python.status)
                self._kill_all_but(python.pid)
            if python.pid not in self._exits and not self._processes.zombies_of(python.pid):
                return ""
        self._interpreter = None
        self._kill_all_but(0)
        return "died"

    def _drain(self, output: int) -> None:
        """What is still in the pipe; nobody writes any more, and a pipe holds at most 1 MiB."""
        os.set_blocking(output, False)
        with contextlib.suppress(BlockingIOError):
            for _ in range(32):
                chunk = os.read(output, CHUNK)
                if not chunk:
                    break
                self._channel.send(b"O", chunk)
        os.set_blocking(output, True)

    # --- files --------------------------------------------------------------------------------------------------

    def _write(self, parts: list[str]) -> None:
        problem, target, size = "", -1, 0
        try:
            target = create_beneath(self._settings["workspace"], parts)
        except (OSError, Refused) as error:
            problem = _words(error)
        while True:  # also after a problem: the frames are under way
            kind, data = self._channel.receive()
            if kind != b"D":
                break
            if not problem:
                try:
                    write_all(target, data)
                    size += len(data)
                except OSError as error:
                    problem = _words(error)
        if target >= 0:
            os.close(target)
        if target >= 0 and (problem or kind == b"S"):
            remove_beneath(self._settings["workspace"], parts)
        self._channel.result(problem=problem, size=size)

    def _give(self, parts: list[str]) -> None:
        problem, size = "", 0
        try:
            source = open_regular(self._settings["workspace"], parts)
            try:
                while chunk := os.read(source, CHUNK):
                    size += len(chunk)
                    if size > MAX_FILE:
                        raise Refused(f"is larger than {MAX_FILE // 2**20} MiB")
                    self._channel.send(b"O", chunk)
            finally:
                os.close(source)
        except (OSError, Refused) as error:
            problem = _words(error)
        self._channel.result(problem=problem, size=size)


def _fed(descriptor: int, data: bytes) -> bytes:
    """Write what the pipe takes; gives the rest, nothing when nobody reads."""
    try:
        return data[os.write(descriptor, data[:CHUNK]) :] if data else b""
    except BlockingIOError:
        return data
    except OSError:
        return b""


def _drained(descriptor: int) -> None:
    with contextlib.suppress(BlockingIOError):
        while os.read(descriptor, 4096):
            pass


def _said(status: int) -> int | None:
    """The exit code in a status message; None when what came is none."""
    try:
        (code,) = struct.unpack(">i", os.read(status, 4))
    except (OSError, struct.error):
        return None
    return int(code)


def _above(descriptor: int, least: int) -> int:
    return int(fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, least))


def _words(error: Exception) -> str:
    if isinstance(error, FileExistsError):
        return "exists"
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)


def _limit(which: int, value: int) -> None:
    hard = resource.getrlimit(which)[1]
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(which, (value, value))


def main() -> None:
    """Take the settings, close the doors, serve."""
    channel = Channel(os.dup(0), os.dup(1))
    nothing = os.open("/dev/null", os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    os.close(nothing)
    kind, data = channel.receive()
    if kind != b"C":
        raise ValueError(f"the first frame was {kind!r}")
    settings = json.loads(data)
    if sys.platform == "linux":
        # Not dumpable: a command has the same user id, and could otherwise open /proc/1/mem and /proc/1/fd
        ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the only one that Python would act on when a command sends it
    os.umask(0o022)
    for name, value in settings["limits"].items():
        _limit(getattr(resource, name), value)
    os.chdir("/")
    supervisor = Supervisor(channel, settings)
    try:
        with contextlib.suppress(EOFError, BrokenPipeError):
            supervisor.serve()
    finally:
        supervisor.end()
