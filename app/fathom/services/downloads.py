"""The queue of downloads: one at a time, each in a process of its own, kept over a restart.

Nothing is fetched unless a person asked for it: after a restart an unfinished download waits until it is resumed.
All methods belong to the event loop's thread; knows nothing of windows.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import signal
import sys
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from fathom.core.errors import DownloadError
from fathom.core.types import Struct
from fathom.weights.catalog import Entry
from fathom.workers import download as role
from fathom.workers.client import child_environment, worker_command

log = logging.getLogger(__name__)

HUB = "https://huggingface.co"
STALL_S = 90.0  # without a byte; the library itself tries again after 10 s, five times
START_S = 60.0  # more, for the process to start and to hear of the file's size
SPEED_MEMORY_S = 10.0
_PASSED = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE")

State = Literal["waiting", "running", "checking", "paused", "failed", "done"]


class Download(Struct, frozen=True):
    """One download. ``host`` is what it talks to; ``note`` says why it stands still; the last four are an error's."""

    id: str
    model: str  # the catalogue's id, "" when it is from elsewhere
    name: str
    repo: str
    file: str
    target: str
    sha256: str = ""
    host: str = ""
    state: State = "waiting"
    done_bytes: int = 0
    total_bytes: int = 0
    bytes_per_s: float = 0.0
    path: str = ""
    note: str = ""
    message: str = ""
    needs: str = ""
    has: str = ""
    do: str = ""

    @property
    def eta_s(self) -> float | None:
        """Seconds left, None while that is not known."""
        left = self.total_bytes - self.done_bytes
        return left / self.bytes_per_s if self.state == "running" and self.bytes_per_s > 0 and left >= 0 else None

    @property
    def active(self) -> bool:
        """Whether it runs, or waits for its turn."""
        return self.state in ("waiting", "running", "checking")


Callback = Callable[[Download], None]


def endpoint() -> str:
    """The hub's address: ``HF_ENDPOINT``, or Hugging Face's."""
    return os.environ.get("HF_ENDPOINT", "").rstrip("/") or HUB


class Downloads:
    """The queue. ``folder`` is where models are kept; ``downloads.json`` in it remembers what is not done."""

    def __init__(self, folder: Path, *, stall_s: float = STALL_S, command: Sequence[str] = ()) -> None:
        self.folder = folder
        self._stall_s = stall_s
        self._command = tuple(command)
        self._items: dict[str, Download] = {}
        self._callbacks: list[Callback] = []
        self._pump: asyncio.Task[None] | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._running = ""
        self._abandoned = False  # the running process was told to end: what it still says is of no use
        self._remember()

    @property
    def host(self) -> str:
        """The host that a download will talk to."""
        return role.host_of(endpoint())

    def items(self) -> list[Download]:
        """Every download of this run and those left from earlier ones, oldest first."""
        return list(self._items.values())

    def get(self, download_id: str) -> Download:
        """One download. Raises LookupError when there is none."""
        return self._items[download_id]

    def of_model(self, model: str) -> Download | None:
        """The newest download of a catalogue entry that is not over, None when there is none."""
        found = [one for one in self._items.values() if one.model == model and one.state != "done"]
        return found[-1] if found else None

    def subscribe(self, callback: Callback) -> Callable[[], None]:
        """Call ``callback(download)`` at each change; returns the way to end it."""
        self._callbacks.append(callback)
        return lambda: self._callbacks.remove(callback)

    # --- commands -------------------------------------------------------------------------------------------------

    def add(self, entry: Entry) -> Download:
        """Put a model of the catalogue into the queue; a person asked for it. One that is there already is resumed.

        Raises DownloadError for a model that comes with Fathom and has no source.
        """
        if not entry.repo:
            raise DownloadError(f"{entry.name} comes with Fathom.", do="It is here already: use it.")
        known = self.of_model(entry.id)
        if known is not None:
            self.resume(known.id)
            return self._items[known.id]
        item = Download(
            id=uuid.uuid4().hex[:8],
            model=entry.id,
            name=entry.name,
            repo=entry.repo,
            file=entry.file,
            target=entry.target,
            sha256=entry.sha256,
            host=self.host,
            total_bytes=entry.bytes,
        )
        self._set(item)
        self._start()
        return item

    def pause(self, download_id: str) -> None:
        """Stop it; what is here stays and is taken up again by ``resume``."""
        item = self._items[download_id]
        if item.active:
            self._set(msgspec.structs.replace(item, state="paused", bytes_per_s=0.0, note="Paused"))
            self._kill(download_id)

    def resume(self, download_id: str) -> None:
        """Go on with a paused or failed one."""
        item = self._items[download_id]
        if item.state in ("paused", "failed"):
            fresh = msgspec.structs.replace(
                item, state="waiting", note="", message="", needs="", has="", do="", host=self.host
            )
            del self._items[download_id]  # to the end of the queue
            self._set(fresh)
            self._start()

    def cancel(self, download_id: str) -> None:
        """Stop it and remove what was fetched."""
        item = self._items.pop(download_id)
        self._kill(download_id)
        self._forget_files(item)
        self._save()
        self._tell(msgspec.structs.replace(item, state="paused", note="Cancelled", bytes_per_s=0.0))

    def dismiss(self, download_id: str) -> None:
        """Take a finished one out of the list."""
        if self._items[download_id].state == "done":
            del self._items[download_id]

    async def wait(self, download_id: str) -> Download:
        """Wait until it is done, failed or paused; raises LookupError when it was cancelled."""
        changed = asyncio.Event()
        end = self.subscribe(lambda _item: changed.set())
        try:
            while self._items[download_id].active:
                changed.clear()
                await changed.wait()
            return self._items[download_id]
        finally:
            end()

    async def close(self) -> None:
        """End what runs; it can be resumed later."""
        for item in self.items():
            if item.active:
                self._set(msgspec.structs.replace(item, state="paused", bytes_per_s=0.0, note=STOPPED))
        self._abandoned = True
        _end(self._process)
        pump, self._pump = self._pump, None
        if pump is not None:
            await pump  # not cancelled: it sees to the end of its process
        self._save()

    # --- inside ---------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        if self._pump is None or self._pump.done():
            self._pump = asyncio.create_task(self._work(), name="downloads")

    async def _work(self) -> None:
        while (item := next((one for one in self._items.values() if one.state == "waiting"), None)) is not None:
            self._running, self._abandoned = item.id, False
            try:
                await self._fetch(item)
            except OSError as error:  # the folder cannot be made, or no process started
                self._set(
                    msgspec.structs.replace(
                        self._items.get(item.id, item),
                        state="failed",
                        message=f"{item.name} could not be fetched.",
                        has=error.strerror or str(error),
                        do="Make the models folder writable, then resume.",
                    )
                )
            finally:
                self._running = ""

    async def _fetch(self, item: Download) -> None:
        self._set(msgspec.structs.replace(item, state="running"))
        self.folder.mkdir(parents=True, exist_ok=True)
        options: dict[str, Any] = (
            {"creationflags": 0x08000000} if sys.platform == "win32" else {"start_new_session": True}
        )
        process = await asyncio.create_subprocess_exec(
            *(self._command or worker_command("download")),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=environment(),
            close_fds=True,
            **options,
        )
        self._process = process
        assert process.stdin is not None and process.stdout is not None and process.stderr is not None
        errors = asyncio.create_task(process.stderr.read())
        request = role.Fetch(
            repo=item.repo,
            file=item.file,
            target=item.target,
            sha256=item.sha256,
            folder=str(self.folder),
            endpoint=endpoint(),
        )
        try:
            process.stdin.write(msgspec.json.encode(request) + b"\n")
            with contextlib.suppress(ConnectionError):
                await process.stdin.drain()
            await self._follow(item.id, process.stdout)
        finally:
            _end(process)
            process.stdin.close()
            await process.stdout.read()  # to its end, so that the pipe is closed
            await process.wait()
            text = (await errors).decode("utf-8", errors="replace").strip()
            if text:
                log.info("download of %s: %s", item.name, text[-2000:])
            self._process = None

    async def _follow(self, download_id: str, replies: asyncio.StreamReader) -> None:
        speed, heard = _Speed(), False
        while True:
            current = self._items.get(download_id)
            if current is None or self._abandoned:
                return
            limit = None if current.state == "checking" else self._stall_s + (0.0 if heard else START_S)
            try:
                line = await asyncio.wait_for(replies.readline(), limit)
            except TimeoutError:
                self._stalled(current)
                return
            current = self._items.get(download_id)
            if current is None or self._abandoned:
                return
            heard = True
            if not line:
                self._set(
                    msgspec.structs.replace(
                        current,
                        state="failed",
                        bytes_per_s=0.0,
                        message=f"{current.name} could not be fetched.",
                        has="the download’s process ended; what is here is kept",
                        do="Resume.",
                    )
                )
                return
            self._set(after := _after(current, role.decode_reply(line), speed))
            if not after.active:
                return

    def _stalled(self, item: Download) -> None:
        self._set(
            msgspec.structs.replace(
                item,
                state="failed",
                bytes_per_s=0.0,
                message=f"Nothing has come from {item.host} for {self._stall_s:.0f} s.",
                needs=f"a connection to {item.host}",
                has="a connection on which nothing arrives; what is here is kept",
                do="Check the connection, then resume.",
            )
        )

    def _kill(self, download_id: str) -> None:
        if self._running == download_id:
            self._abandoned = True
            _end(self._process)

    def _set(self, item: Download) -> None:
        before = self._items.get(item.id)
        self._items[item.id] = item
        if before is None or before.state != item.state:
            self._save()
        self._tell(item)

    def _tell(self, item: Download) -> None:
        for callback in list(self._callbacks):
            callback(item)

    def _forget_files(self, item: Download) -> None:
        part = self.folder / f"{item.target}.part"
        if part.is_dir() and not part.is_symlink():
            shutil.rmtree(part, ignore_errors=True)
        else:
            part.unlink(missing_ok=True)
        part.with_name(f"{part.name}.json").unlink(missing_ok=True)

    # --- over a restart -------------------------------------------------------------------------------------------

    @property
    def _list(self) -> Path:
        return self.folder / "downloads.json"

    def _save(self) -> None:
        kept = [item for item in self._items.values() if item.state != "done"]
        try:
            if not kept:
                self._list.unlink(missing_ok=True)
                return
            self.folder.mkdir(parents=True, exist_ok=True)
            temporary = self._list.with_suffix(".tmp")
            temporary.write_bytes(msgspec.json.encode(kept))
            temporary.replace(self._list)
        except OSError:
            log.exception("the list of downloads could not be kept")

    def _remember(self) -> None:
        try:
            kept = msgspec.json.decode(self._list.read_bytes(), type=list[Download])
        except (OSError, msgspec.MsgspecError):
            return
        for item in kept:
            if item.active:
                item = msgspec.structs.replace(item, state="paused", bytes_per_s=0.0, note=STOPPED)
            self._items[item.id] = item


def _end(process: asyncio.subprocess.Process | None) -> None:
    if process is None or process.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        if sys.platform == "win32":
            process.kill()
        else:  # asyncio's own kill polls first, and so takes the exit status away from its child watcher
            os.kill(process.pid, signal.SIGKILL)


STOPPED = "Stopped when Fathom was closed"


def environment(source: Mapping[str, str] | None = None) -> dict[str, str]:
    """What a download's process may see: as other workers, and the way out to the network."""
    given = os.environ if source is None else source
    proxies = {name: value for name, value in given.items() if name.upper() in _PASSED}
    return child_environment(given) | proxies


class _Speed:
    """Bytes a second over the last ten seconds or so."""

    def __init__(self) -> None:
        self._points: list[tuple[float, int]] = []

    def see(self, done: int) -> float:
        now = time.monotonic()
        self._points = [(at, count) for at, count in self._points if now - at <= SPEED_MEMORY_S] + [(now, done)]
        (first, before), (last, after) = self._points[0], self._points[-1]
        return (after - before) / (last - first) if last - first >= 0.5 else 0.0


def _after(item: Download, reply: role.Reply, speed: _Speed) -> Download:
    match reply:
        case role.Progress():
            return msgspec.structs.replace(
                item, done_bytes=reply.done, total_bytes=reply.total, bytes_per_s=speed.see(reply.done)
            )
        case role.Checking():
            return msgspec.structs.replace(item, state="checking", bytes_per_s=0.0)
        case role.Finished():
            return msgspec.structs.replace(
                item, state="done", path=reply.path, bytes_per_s=0.0, done_bytes=item.total_bytes
            )
        case role.Failed():
            return msgspec.structs.replace(
                item,
                state="failed",
                bytes_per_s=0.0,
                message=reply.message,
                needs=reply.needs,
                has=reply.has,
                do=reply.do,
            )
