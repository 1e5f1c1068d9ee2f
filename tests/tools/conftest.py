"""A small real library, a toolbox over it, and a local web server."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from fathom.core.protocols import LibraryIndex
from fathom.core.types import Scope, Task
from fathom.store.database import open_database
from fathom.store.library import FileState, LibraryStore, NewDocument
from fathom.tools import open_toolbox
from fathom.tools.toolbox import SessionToolbox
from fathom.workers.parser import ParserClient

DOCUMENTS = (
    NewDocument(
        id="kiss",
        title="Kiss and Tell (1945 film)",
        text="Kiss and Tell is a 1945 American comedy film starring then 17-year-old Shirley Temple as Corliss Archer.",
    ),
    NewDocument(
        id="temple",
        title="Shirley Temple",
        text="Shirley Temple Black was an American actress. As an adult, she was named United States ambassador to "
        "Ghana and to Czechoslovakia, and also served as Chief of Protocol of the United States.",
    ),
    NewDocument(
        id="long",
        title="A long history of lighthouses",
        text="\n\n".join(
            f"## Part {part}\n\n" + " ".join(f"Keeper {part * 100 + n} lit the lamp in the evening." for n in range(30))
            for part in range(12)
        ).replace("Keeper 715 lit the lamp", "Keeper 715 married the ambassador of Ghana near the lamp"),
    ),
)


@pytest.fixture
def library(tmp_path: Path) -> Iterator[LibraryIndex]:
    """Three documents in a collection of the person's own."""
    database = open_database(tmp_path / "library.db")
    store = LibraryStore(database)
    store.add_collection("films", "Films", "documents", "")
    store.put("films", "films.jsonl", DOCUMENTS, state=FileState(size=1, mtime_ns=1))
    yield store
    database.close()


@pytest.fixture
def toolbox_of(library: LibraryIndex, tmp_path: Path) -> Callable[..., object]:
    """``await toolbox_of(question=..., scope=..., attachments=..., **options)`` opens a toolbox."""

    async def make(
        question: str = "Who?",
        scope: Scope = Scope(),  # noqa: B008 - frozen
        attachments: tuple[str, ...] = (),
        **options: object,
    ) -> SessionToolbox:
        return await open_toolbox(
            Task(question=question, scope=scope, attachments=attachments),
            library=library,
            parser=ParserClient(),
            downloads_dir=tmp_path / "downloads",
            session_dir=tmp_path / "session",
            **options,  # type: ignore[arg-type]
        )

    return make


class Handler(BaseHTTPRequestHandler):
    """Answers GET and POST by the server's ``answer`` function; ``body`` is what was posted."""

    body = b""

    def do_GET(self) -> None:
        self.server.answer(self)  # type: ignore[attr-defined]

    def do_POST(self) -> None:
        self.body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self.do_GET()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Tests read the answers, not a log."""

    def reply(self, status: int, body: bytes, content_type: str = "text/html", **headers: str) -> None:
        """Send a whole answer."""
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def serving() -> Callable[..., object]:
    """``with serving(answer) as base_url``: a server on loopback; ``answer(handler)`` answers each GET."""

    @contextmanager
    def run(answer: Callable[[Handler], None]) -> Iterator[str]:
        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        server.answer = answer  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
            server.server_close()

    return run
