"""A real sandbox, and a real web server on loopback."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from attacked_box import Box, working

from fathom.core.protocols import SandboxResult
from fathom.tools.sandbox.probe import trial_workspace
from fathom.tools.sandbox.settings import Limits


@pytest.fixture
def make_box() -> Iterator[Callable[..., Box]]:
    """``make_box("bubblewrap", Limits(...))``; closed at the end of the test."""
    made: list[Box] = []

    def make(name: str = "bubblewrap", limits: Limits | None = None) -> Box:
        made.append(Box(working(name).launch(trial_workspace, limits or Limits())))
        return made[-1]

    yield make
    for box in made:
        box.close()


@pytest.fixture
def box(make_box: Callable[..., Box]) -> Box:
    """A sandbox with an empty workspace."""
    return make_box()


@pytest.fixture
def sh(box: Box) -> Callable[..., SandboxResult]:
    """``sh("command", timeout_s=60)`` in the sandbox."""
    return box.sh


@pytest.fixture
def py(box: Box) -> Callable[..., SandboxResult]:
    """``py("code", timeout_s=60)`` in the sandbox."""
    return box.py


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
