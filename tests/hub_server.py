"""A model hub on 127.0.0.1 that speaks the endpoints huggingface_hub uses: HEAD and GET of a file with Range and ETag,
and a repository's list of files. Faults are set per file before a request comes."""

from __future__ import annotations

import hashlib
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class HubFile:
    """A file and what goes wrong with it. ``cut_after`` drops the connection after so many bytes, ``cuts`` times."""

    data: bytes
    lfs: bool = True
    etag: str = ""
    cut_after: int = 0
    cuts: int = 0
    refuse: int = 0  # a status to answer with, ``refusals`` times
    refusals: int = 0
    on: str = "GET"  # which request is refused
    hold: threading.Event | None = None  # a body stands still after ``cut_after`` bytes until it is set
    ranges: bool = True

    def checksum(self) -> str:
        """As the hub gives it: SHA-256 of what is in LFS, git's blob name of the rest."""
        if self.etag:
            return self.etag
        if self.lfs:
            return hashlib.sha256(self.data).hexdigest()
        return hashlib.sha1(b"blob %d\0" % len(self.data) + self.data).hexdigest()


@dataclass
class Hub:
    """``files["owner/name"]["file"]``; ``requests`` holds "METHOD path range" of each one that came."""

    files: dict[str, dict[str, HubFile]] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    standing: threading.Event = field(default_factory=threading.Event)  # a held body stands still
    endpoint: str = ""

    def __enter__(self) -> Hub:
        hub = self

        class Handler(_Handler):
            pass

        Handler.hub = hub
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for repo in self.files.values():
            for file in repo.values():
                if file.hold is not None:
                    file.hold.set()
        self._server.shutdown()
        self._server.server_close()

    def ranges(self) -> list[str]:
        """The ranges that GETs of files asked for, "" for a whole file."""
        return [line.split(" ", 2)[2] for line in self.requests if line.startswith("GET") and "/resolve/" in line]


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass

    def end_headers(self) -> None:
        self.send_header("Connection", "close")  # no thread is left waiting for a further request
        self.close_connection = True
        super().end_headers()

    def do_HEAD(self) -> None:
        self._answer("HEAD")

    def do_GET(self) -> None:
        self._answer("GET")

    def _answer(self, method: str) -> None:
        wanted = self.headers.get("Range", "")
        path = unquote(urlsplit(self.path).path)
        self.hub.requests.append(f"{method} {path} {wanted}")
        parts = path.strip("/").split("/")
        if parts[:2] == ["api", "models"]:
            self._listing("/".join(parts[2:4]))
            return
        repo, name = "/".join(parts[:2]), "/".join(parts[4:])
        file = self.hub.files.get(repo, {}).get(name)
        if file is None:
            code = "EntryNotFound" if repo in self.hub.files else "RepoNotFound"
            self._plain(404, {"X-Error-Code": code})
            return
        if file.refusals and file.on == method:
            file.refusals -= 1
            self._plain(file.refuse, {"Retry-After": "1"})
            return
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and file.ranges else 0
        body = file.data[start:]
        self.send_response(206 if start else 200)
        self.send_header("ETag", f'"{file.checksum()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Accept-Ranges", "bytes")
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(file.data) - 1}/{len(file.data)}")
        self.end_headers()
        if method == "HEAD":
            return
        if file.hold is not None:
            self.wfile.write(body[: file.cut_after])
            self.wfile.flush()
            self.hub.standing.set()
            file.hold.wait(300)
            self.close_connection = True
        elif file.cuts:
            file.cuts -= 1
            self.wfile.write(body[: file.cut_after])
            self.wfile.flush()
            self.close_connection = True
            self.connection.shutdown(2)
        else:
            self.wfile.write(body)

    def _plain(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _listing(self, repo: str) -> None:
        files = self.hub.files.get(repo)
        if files is None:
            self._plain(404, {"X-Error-Code": "RepoNotFound"})
            return
        siblings = [
            {
                "rfilename": name,
                "size": len(one.data),
                "lfs": {"sha256": one.checksum(), "size": len(one.data), "pointerSize": 134},
            }
            if one.lfs
            else {"rfilename": name, "size": len(one.data)}
            for name, one in files.items()
        ]
        body = json.dumps({"id": repo, "modelId": repo, "sha": COMMIT, "siblings": siblings}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
