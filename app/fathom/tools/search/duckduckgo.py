"""DuckDuckGo without a key, by the ddgs package: its request, its browser's face, its reading of the result page.

ddgs runs in a process of its own, which has no key, no environment and little memory, and is killed at the deadline:
it reads a hostile page with native code, and cannot be interrupted. What ddgs tells as "no results" may be a refusal,
so the status is looked at here, and a page that neither holds results nor says that there are none is an error.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import msgspec

from fathom.core.errors import ToolError
from fathom.core.protocols import Hit, SearchOptions
from fathom.tools.search.provider import WebProvider, country, language, time_range
from fathom.tools.search.transport import MAX_BODY, Answer

_MEMORY_BYTES = 1024 * 2**20
_NEEDED = ("PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT", "SSL_CERT_FILE")
_REPLY_LIMIT = 8 * 2**20
_NOTHING = ("no-results", "No results.")


class _Ask(msgspec.Struct, frozen=True):
    base_url: str
    query: str
    region: str
    time_limit: str
    page: int
    timeout_s: float


class _Result(msgspec.Struct, frozen=True):
    title: str
    href: str
    body: str


class _Reply(msgspec.Struct, frozen=True):
    """``status`` 0: the service could not be reached, ``error`` says why."""

    status: int = 0
    error: str = ""
    excerpt: str = ""
    asked: str = ""
    nothing: bool = False
    results: tuple[_Result, ...] = ()


class DuckDuckGo(WebProvider):
    """See the module."""

    name = "duckduckgo"
    label = "DuckDuckGo"
    site = "https://html.duckduckgo.com"
    about = "The web, without a key. It may refuse when it is asked often."

    async def fetch(self, query: str, limit: int, options: SearchOptions) -> bytes:
        region = f"{country(options.gl) or 'us'}-{language(options.hl).partition('-')[0] or 'en'}"
        ask = _Ask(
            base_url=self.base(options),
            query=query,
            region=region if options.gl or options.hl else "wt-wt",
            time_limit=time_range(options.tbs)[:1],
            page=options.page,
            timeout_s=self._deadline_s,
        )
        return await self._transport.tries(lambda: self._once(ask))

    def hits(self, body: bytes, options: SearchOptions) -> Sequence[Hit]:
        reply = self.decoded(body, _Reply)
        if not reply.results and not reply.nothing:
            raise self.nonsense(reply.excerpt.encode())
        return [self.hit(result.href, result.title, result.body) for result in reply.results]

    async def _once(self, ask: _Ask) -> Answer:
        line = await _in_child(msgspec.json.encode(ask) + b"\n")
        if not line:
            raise ToolError(f"{self.label} ended the process that asked it; its answer is broken or hostile")
        reply = msgspec.json.decode(line, type=_Reply)
        if not reply.status:
            raise ToolError(f"{self.label} could not be reached: {reply.error[:300]}")
        return Answer(reply.status, line if reply.status == 200 else reply.excerpt.encode(), reply.asked)


async def _in_child(line: bytes) -> bytes:
    """The child's reply, b"" when it died. The child is gone when this returns or is cancelled."""
    module = [] if getattr(sys, "frozen", False) else ["-m", "fathom"]
    options: dict[str, Any] = (
        {"creationflags": 0x08000000} if sys.platform == "win32" else {"start_new_session": True}
    )  # CREATE_NO_WINDOW; Ctrl-C in a terminal is the parent's
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *module, "worker", "duckduckgo"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={name: os.environ[name] for name in _NEEDED if name in os.environ} | {"PYTHONUTF8": "1"},
        close_fds=True,
        limit=_REPLY_LIMIT,
        **options,
    )
    assert process.stdin is not None and process.stdout is not None
    try:
        with contextlib.suppress(ConnectionError):
            process.stdin.write(line)
            await process.stdin.drain()
        return await process.stdout.readline()
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        process.stdin.close()
        await asyncio.shield(_gone(process))


async def _gone(process: asyncio.subprocess.Process) -> None:
    assert process.stdout is not None
    await process.stdout.read()
    await process.wait()


# --- in the child -------------------------------------------------------------------------------------------------


class _Channel(Protocol):
    def lines(self) -> Iterator[bytes]: ...

    def send(self, line: bytes) -> None: ...


def serve(channel: _Channel, argv: list[str]) -> int:
    """A worker's role: ask once, reply, end."""
    if sys.platform != "win32":
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for line in channel.lines():
        ask = msgspec.json.decode(line, type=_Ask)
        try:
            reply = _asked(ask)
        except Exception as error:  # hostile pages find the bugs of what reads them
            reply = _Reply(error=f"{type(error).__name__}: {error}")
        channel.send(msgspec.json.encode(reply))
        return 0
    return 0


def _asked(ask: _Ask) -> _Reply:
    from ddgs.engines.duckduckgo import Duckduckgo

    engine = Duckduckgo(timeout=max(1, int(ask.timeout_s)))
    client = engine.http_client.client
    client.follow_redirects = False
    payload = engine.build_payload(
        query=ask.query, region=ask.region, safesearch="off", timelimit=ask.time_limit or None, page=ask.page
    )
    response = client.request(engine.search_method, f"{ask.base_url}/html/", data=payload, stream=True)
    body = b""
    for chunk in response.iter_bytes(65536):
        body += chunk
        if len(body) > MAX_BODY:
            return _Reply(error=f"it answered more than {MAX_BODY // 2**20} MB")
    text = body.decode("utf-8", "replace")
    status = int(response.status_code)
    shown = " ".join(text[:400].split())
    if status != 200 or not text.strip():
        return _Reply(status=status, excerpt=shown, asked=response.headers.get("retry-after", ""))
    found = engine.post_extract_results(engine.extract_results(text))
    return _Reply(
        status=status,
        excerpt=shown,
        nothing=any(mark in text for mark in _NOTHING),
        results=tuple(_Result(title=one.title, href=one.href, body=one.body) for one in found),
    )
