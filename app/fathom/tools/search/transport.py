"""How a search service is asked: one deadline over all tries, a bounded body, Retry-After, errors that say everything.

An error is a ToolError with provider, status and the beginning of the body; it is never an empty result, and it never
holds a key. Knows no provider.
"""

from __future__ import annotations

import asyncio
import random
import ssl
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from typing import Any, Literal, NamedTuple

import httpx
import msgspec

from fathom import __version__
from fathom.core.errors import ToolError
from fathom.core.redaction import redact

TRIES = 3
MAX_BODY = 2 * 2**20
_AGAIN = frozenset({429, 500, 502, 503, 504})
_EXCERPT = 200


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One request. ``path`` follows the provider's address; ``json`` is the body of a POST."""

    method: Literal["GET", "POST"] = "GET"
    path: str = "/"
    params: dict[str, str] = {}
    json: dict[str, Any] | None = None
    headers: dict[str, str] = {}


class Answer(NamedTuple):
    """What one try brought; ``asked`` is its Retry-After."""

    status: int
    body: bytes
    asked: str = ""


class Transport:
    """Sends calls of one provider. Follows no redirect: a key is sent to its own service only."""

    def __init__(self, label: str, deadline_s: float = 20.0, pause_s: float = 0.5) -> None:
        """``deadline_s`` is for a call with all its tries; ``pause_s`` is the first pause between them."""
        self._label = label
        self._deadline_s = deadline_s
        self._pause_s = pause_s

    async def send(self, base_url: str, call: Call) -> bytes:
        """The body of a good answer. Raises ToolError."""
        async with self._client() as client:
            return await self.tries(lambda: self._once(client, base_url + call.path, call))

    async def tries(self, once: Callable[[], Awaitable[Answer]]) -> bytes:
        """The body of the first good answer that ``once`` brings, in at most three tries. Raises ToolError."""
        now = asyncio.get_running_loop().time
        ends = now() + self._deadline_s
        said = ""
        try:
            async with asyncio.timeout_at(ends):
                for attempt in range(1, TRIES + 1):
                    status, body, asked = await once()
                    if status == 200:
                        return body
                    said = f"{self._label} answered {status}: {excerpt(body)}"
                    if status not in _AGAIN or attempt == TRIES:
                        raise ToolError(said)
                    wait = self._wait(asked, attempt)
                    if now() + wait >= ends:
                        raise ToolError(f"{said} (it asks to wait {wait:.0f} s, which is too long)")
                    await asyncio.sleep(wait)
        except TimeoutError:
            before = f"; before that, {said}" if said else ""
            raise ToolError(f"{self._label} did not answer within {self._deadline_s:g} s{before}") from None
        raise AssertionError("unreachable: the last try returns or raises")

    def _client(self) -> httpx.AsyncClient:
        agent = {"User-Agent": f"Fathom/{__version__} (research reader)", "Accept-Encoding": "gzip, deflate"}
        timeout = httpx.Timeout(self._deadline_s, connect=5.0)
        return httpx.AsyncClient(timeout=timeout, headers=agent, verify=_certificates())

    async def _once(self, client: httpx.AsyncClient, url: str, call: Call) -> Answer:
        try:
            async with client.stream(
                call.method, url, params=call.params or None, json=call.json, headers=call.headers
            ) as response:
                body = b""
                async for chunk in _unpacked(response):
                    body += chunk
                    if len(body) > MAX_BODY:
                        raise ToolError(f"{self._label} answered more than {MAX_BODY // 2**20} MB")
                return Answer(response.status_code, body, response.headers.get("retry-after", ""))
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError, zlib.error) as error:
            raise ToolError(
                redact(f"{self._label} could not be reached: {type(error).__name__} {error}".rstrip())
            ) from None

    def _wait(self, asked: str, attempt: int) -> float:
        """Seconds until the next try: what the service asked for, else longer each time, with jitter."""
        told = retry_after(asked)
        return told if told is not None else self._pause_s * (1 << (attempt - 1)) * random.uniform(0.8, 1.2)


@cache
def _certificates() -> ssl.SSLContext:
    """Read once: it takes 20 ms."""
    return httpx.create_ssl_context()


def retry_after(value: str) -> float | None:
    """The seconds of a Retry-After header, a number or a date; None when it says nothing that can be read."""
    if value.strip().isdigit():
        return float(value)
    try:
        until = parsedate_to_datetime(value)
    except (ValueError, TypeError):
        return None
    if until.tzinfo is None:
        until = until.replace(tzinfo=UTC)
    return max(0.0, (until - datetime.now(UTC)).total_seconds())


def excerpt(body: bytes) -> str:
    """The beginning of a body on one line, without control characters and keys."""
    text = redact(body[: 2 * _EXCERPT].decode("utf-8", "replace"))
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:_EXCERPT] or "nothing"


async def _unpacked(response: httpx.Response) -> AsyncIterator[bytes]:
    """The body in bounded pieces: a small one may unpack to gigabytes."""
    encoding = response.headers.get("content-encoding", "").strip().lower()
    if encoding not in ("gzip", "x-gzip", "deflate"):
        async for chunk in response.aiter_raw(65536):
            yield chunk
        return
    unpack = zlib.decompressobj(wbits=47 if "gzip" in encoding else 15)
    async for chunk in response.aiter_raw(65536):
        while chunk:
            yield unpack.decompress(chunk, 65536)
            chunk = unpack.unconsumed_tail
    yield unpack.flush()
