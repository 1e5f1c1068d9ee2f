"""A real sandbox, and a real web server on loopback."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from fathom.core.protocols import SandboxResult
from fathom.tools.sandbox import self_test
from fathom.tools.sandbox.bubblewrap import BubblewrapSandbox


@pytest.fixture
def sandbox() -> Iterator[BubblewrapSandbox]:
    """A sandbox with an empty workspace. Its absence fails the tests: they are what shows that it holds."""
    state = asyncio.run(self_test())
    assert state.available, f"{state.reason}. {state.remedy}"
    folder = Path(tempfile.mkdtemp(prefix="fathom-test-"))
    folder.chmod(0o711)  # as root the sandbox runs under another id
    made = BubblewrapSandbox(folder / "workspace", disable_userns=state.disable_userns)
    yield made
    asyncio.run(made.close())
    shutil.rmtree(folder)


@pytest.fixture
def sh(sandbox: BubblewrapSandbox) -> Callable[..., SandboxResult]:
    """``sh("command", timeout_s=60)`` in the sandbox."""

    def run(command: str, timeout_s: float = 60.0) -> SandboxResult:
        return asyncio.run(sandbox.run(["/bin/sh", "-c", command], timeout_s=timeout_s))

    return run


@pytest.fixture
def py(sandbox: BubblewrapSandbox) -> Callable[..., SandboxResult]:
    """``py("code", timeout_s=60)`` in the sandbox."""

    def run(code: str, timeout_s: float = 60.0) -> SandboxResult:
        return asyncio.run(sandbox.run(["/usr/bin/python3", "-"], stdin=code, timeout_s=timeout_s))

    return run


class Handler(BaseHTTPRequestHandler):
    """Answers GET and POST by the server's ``answer`` function."""

    def do_GET(self) -> None:
        self.server.answer(self)  # type: ignore[attr-defined]

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self.do_GET()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Tests read the answers, not a log."""

    def reply(self, status: int, body: bytes = b"", **headers: str) -> None:
        """Send a whole answer; ``headers`` take _ for -."""
        self.send_response(status)
        given = {"Content-Type": "text/html", "Content-Length": str(len(body))}
        for name, value in (given | {name.replace("_", "-"): value for name, value in headers.items()}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def serving() -> Callable[..., object]:
    """``with serving(answer) as port``: a server on loopback; ``answer(handler)`` answers each GET."""

    @contextmanager
    def run(answer: Callable[[Handler], None]) -> Iterator[int]:
        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        server.answer = answer  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()
            server.server_close()

    return run
