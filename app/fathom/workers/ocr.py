"""Reading scanned PDFs with tesseract, where it is installed: a child draws page after page, tesseract reads each.

The child has no variables of the environment beyond those that Python needs, and limited memory; a page that takes
too long is left out and told. Knows nothing of the library.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import msgspec

from fathom.core.errors import ToolError
from fathom.core.protocols import Document
from fathom.workers.client import worker_command
from fathom.workers.host import Channel
from fathom.workers.parser import limit_memory

PAGE_TIMEOUT_S = 60.0
MAX_PAGES = 500
DPI = 200
MAX_PIXELS = 25_000_000
HOW_TO_GET_IT = "Install tesseract (Debian, Ubuntu: apt install tesseract-ocr tesseract-ocr-kor), then try again."
_LINE_LIMIT = 96 * 2**20
_MOST_LANGUAGES = 4
_NEEDED = ("PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT", "TESSDATA_PREFIX")


class OcrRequest(msgspec.Struct, frozen=True):
    """One PDF, and the program with the languages to read it in ("eng+kor")."""

    data: bytes
    tesseract: str
    languages: str
    page_timeout_s: float = PAGE_TIMEOUT_S


class OcrPage(msgspec.Struct, frozen=True, omit_defaults=True):
    """A page that was read, or why it was not; ``number`` 0 is the file itself, and then the last word on it."""

    number: int
    pages: int
    text: str = ""
    error: str = ""


# --- in the child -------------------------------------------------------------------------------------------------


def serve(channel: Channel, argv: list[str]) -> int:
    """Read one PDF and end."""
    limit_memory()
    for line in channel.lines():
        request = msgspec.json.decode(line, type=OcrRequest)
        try:
            _read(channel, request)
            channel.send(msgspec.json.encode(OcrPage(0, 0)))
        except Exception as error:  # hostile input finds the bugs of native libraries; the file is unreadable, no more
            channel.send(msgspec.json.encode(OcrPage(0, 0, error=f"{type(error).__name__}: {str(error)[:200]}")))
        break
    return 0


def _read(channel: Channel, request: OcrRequest) -> None:
    import pypdfium2

    pdf = pypdfium2.PdfDocument(request.data)
    pages = min(len(pdf), MAX_PAGES)
    for number in range(pages):
        text = error = ""
        try:
            text = _tesseract(_drawn(pdf, number), request)
        except subprocess.TimeoutExpired:
            error = f"it took longer than {request.page_timeout_s:g} s"
        except (pypdfium2.PdfiumError, OSError, MemoryError, subprocess.CalledProcessError) as problem:
            error = f"{type(problem).__name__}: {str(problem)[:200]}"
        channel.send(msgspec.json.encode(OcrPage(number + 1, pages, text, error)))


def _drawn(pdf: Any, number: int) -> bytes:
    """A page as a PGM, grey, one byte a pixel."""
    page = pdf[number]
    width, height = page.get_size()
    scale = min(DPI / 72, (MAX_PIXELS / max(1.0, width * height)) ** 0.5)
    bitmap = page.render(scale=scale, grayscale=True)
    rows = memoryview(bitmap.buffer).cast("B")
    lines = [bytes(rows[y * bitmap.stride : y * bitmap.stride + bitmap.width]) for y in range(bitmap.height)]
    picture = b"P5 %d %d 255\n" % (bitmap.width, bitmap.height) + b"".join(lines)
    bitmap.close()
    page.close()
    return picture


def _tesseract(picture: bytes, request: OcrRequest) -> str:
    done = subprocess.run(
        [request.tesseract, "stdin", "stdout", "-l", request.languages, "--dpi", str(DPI)],
        input=picture,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        timeout=request.page_timeout_s,
        check=True,
        env={name: os.environ[name] for name in _NEEDED if name in os.environ} | {"OMP_THREAD_LIMIT": "1"},
    )
    return done.stdout.decode("utf-8", "replace")


# --- in the parent ------------------------------------------------------------------------------------------------


class OcrReader:
    """Reads scanned PDFs, each in a child of its own. ``program`` is tesseract's path, found when it is asked for."""

    def __init__(self, program: str | None = None, page_timeout_s: float = PAGE_TIMEOUT_S) -> None:
        self._program = program
        self._page_timeout_s = page_timeout_s

    def available(self) -> bool:
        """Whether tesseract is installed."""
        return bool(self._program or shutil.which("tesseract"))

    async def read(self, data: bytes, told: Callable[[int, int], None] | None = None) -> Document:
        """The text of a scanned PDF with its pages; ``told(page, pages)`` after each. Cancelling ends the child.

        Raises ToolError when no page could be read.
        """
        program = self._program or shutil.which("tesseract")
        if program is None:
            raise ToolError(f"tesseract is not installed. {HOW_TO_GET_IT}")
        request = OcrRequest(data, program, await _languages(program), self._page_timeout_s)
        process = await _start()
        try:
            return await self._collect(process, request, told)
        finally:
            await _end(process)

    async def _collect(
        self, process: asyncio.subprocess.Process, request: OcrRequest, told: Callable[[int, int], None] | None
    ) -> Document:
        assert process.stdin is not None and process.stdout is not None
        with contextlib.suppress(ConnectionError):
            process.stdin.write(msgspec.json.encode(request) + b"\n")
            await process.stdin.drain()
        texts: list[str] = []
        error = "tesseract found no words in it"
        while True:
            try:
                async with asyncio.timeout(2 * self._page_timeout_s):  # the child keeps the page's own limit
                    line = await process.stdout.readline()
            except TimeoutError:
                error = f"a page took longer than {2 * self._page_timeout_s:g} s to be drawn"
                break
            if not line:
                error = "the file ended the process that read it; it is broken or hostile"
                break
            page = msgspec.json.decode(line, type=OcrPage)
            error = page.error or error
            if page.number == 0:
                break
            texts.append(page.text.replace("\x0c", "").strip())
            if told is not None:
                told(page.number, page.pages)
        if not any(texts):
            raise ToolError(f"it is scanned, and OCR could not read it: {error}")
        starts, text = [], ""
        for one in texts:
            text += "\n\n" if text and one else ""
            starts.append(len(text))
            text += one
        return Document(uri="", title="", text=text, pages=tuple(starts))


async def _languages(program: str) -> str:
    """The installed languages, joined with "+"; English when they cannot be listed."""
    process = await asyncio.create_subprocess_exec(
        program, "--list-langs", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    output, _ = await process.communicate()
    listed = [line.strip() for line in output.decode("utf-8", "replace").splitlines()[1:]]
    languages = [one for one in listed if one and one not in ("osd", "equ") and "/" not in one]
    return "+".join(languages[:_MOST_LANGUAGES]) or "eng"


async def _start() -> asyncio.subprocess.Process:
    options: dict[str, Any] = {"creationflags": 0x08000000} if sys.platform == "win32" else {"start_new_session": True}
    return await asyncio.create_subprocess_exec(
        *worker_command("ocr"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={name: os.environ[name] for name in _NEEDED if name in os.environ} | {"PYTHONUTF8": "1"},
        close_fds=True,
        limit=_LINE_LIMIT,
        **options,
    )


async def _end(process: asyncio.subprocess.Process) -> None:
    """The child and the tesseract that it may have started."""
    assert process.stdin is not None and process.stdout is not None
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if sys.platform == "win32":
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)
    process.stdin.close()
    await process.stdout.read()
    await process.wait()
