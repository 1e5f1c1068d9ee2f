"""HTTP with one server: JSON in and out, and a stream of JSON events, all of it bounded. Knows no model and no prompt.

Follows no redirect and uses no proxy: text and key go to the host that the person named and to no other.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import msgspec

from fathom import __version__
from fathom.core.watchdog import watched, within
from fathom.engines import remote_refusals as refusals
from fathom.engines.remote_address import Address
from fathom.engines.remote_refusals import ServerRefused

MAX_LINE = 1 << 20
MAX_BODY = 4 << 20
MAX_STREAM = 64 << 20
CONNECT_S = 10.0
ASK_S = 20.0
_ERROR_BODY = 8 << 10


class Transport:
    """A connection pool to one server. ``key`` is sent as a bearer token and kept nowhere else."""

    def __init__(self, address: Address, key: str = "") -> None:
        self.where = address.where
        headers = {"User-Agent": f"Fathom/{__version__}"} | ({"Authorization": f"Bearer {key}"} if key else {})
        self._client = httpx.AsyncClient(
            base_url=address.root,
            headers=headers,
            timeout=httpx.Timeout(None, connect=CONNECT_S, write=60.0, pool=CONNECT_S),
            follow_redirects=False,
            trust_env=False,
            verify=ssl.create_default_context() if address.encrypted else False,
        )

    async def close(self) -> None:
        """Close every connection."""
        await self._client.aclose()

    async def ask(self, method: str, path: str, body: Any = None, *, model: str = "", timeout_s: float = ASK_S) -> Any:
        """The JSON of a good answer. Raises ServerRefused."""
        async with self._opened(method, path, body, model, timeout_s) as response:
            data = await self._body(response, timeout_s)
        return self._json(data)

    async def stream(
        self, path: str, body: Any, *, model: str, first_s: float, between_s: float
    ) -> AsyncGenerator[dict[str, Any], None]:
        """The objects of a server-sent stream; of a server that does not stream, its one answer.

        ``first_s`` is the patience for the first object, ``between_s`` for each one after it. Closing this closes the
        connection. Raises ServerRefused, also when the stream ends without the mark of its end.
        """
        async with self._opened("POST", path, body, model, first_s) as response:
            if not response.headers.get("content-type", "").startswith("text/event-stream"):
                value = self._json(await self._body(response, first_s))
                if not isinstance(value, dict):
                    raise refusals.not_json(self.where, msgspec.json.encode(value))
                yield value
                return
            events = _events(response.aiter_bytes(), self.where)
            begun = ended = hung = False
            reading: asyncio.Future[bytes | None] | None = None

            def patience() -> float:
                return between_s if begun else first_s

            def bark() -> None:
                nonlocal hung
                hung = True
                if reading is not None:
                    reading.cancel()

            # While nobody waits for the next event, whoever reads is taking their time.
            with watched(patience, lambda: reading or object(), bark):
                try:
                    while not ended:
                        reading = asyncio.ensure_future(_next(events))
                        try:
                            data = await reading
                        except asyncio.CancelledError:
                            if hung:
                                raise refusals.silent(self.where, patience(), begun) from None
                            raise
                        except (httpx.HTTPError, OSError) as error:
                            raise refusals.broken_off(self.where, refusals.clean(str(error), 200)) from error
                        finally:
                            reading = None
                        if data is None:
                            raise refusals.broken_off(self.where, "it ended without the mark of its end")
                        ended = data == b"[DONE]"
                        if not ended:
                            value = self._json(data)
                            if not isinstance(value, dict):
                                raise refusals.not_json(self.where, data)
                            yield value
                            begun = True
                finally:
                    await events.aclose()

    @asynccontextmanager
    async def _opened(
        self, method: str, path: str, body: Any, model: str, timeout_s: float
    ) -> AsyncIterator[httpx.Response]:
        """A response with status 200."""
        content = None if body is None else msgspec.json.encode(body)
        request = self._client.build_request(
            method, path, content=content, headers={"Content-Type": "application/json"} if content else None
        )
        response: httpx.Response | None = None

        async def send() -> httpx.Response:
            nonlocal response  # whoever is cancelled in the moment of the answer must close it all the same
            response = await self._client.send(request, stream=True)
            return response

        try:
            try:
                found = await within(send(), timeout_s)
            except TimeoutError:
                raise refusals.silent(self.where, timeout_s, False) from None
            except (httpx.HTTPError, OSError) as error:
                raise refusals.unreachable(self.where, error) from error
            if found.status_code != 200:
                said = await self._body(found, ASK_S, _ERROR_BODY)
                raise refusals.refusal(self.where, model, found.status_code, said, found.headers)
            yield found
        finally:
            if response is not None:
                await response.aclose()

    async def _body(self, response: httpx.Response, timeout_s: float, limit: int = 0) -> bytes:
        """The body; of an error (``limit``) as much of it as there is, of an answer all or ServerRefused."""
        data = bytearray()

        async def read() -> None:
            async for chunk in response.aiter_bytes():
                data.extend(chunk)
                if len(data) > (limit or MAX_BODY):
                    return

        try:
            await within(read(), timeout_s, lambda: len(data))
        except TimeoutError:
            if not limit:
                raise refusals.silent(self.where, timeout_s, bool(data)) from None
        except (httpx.HTTPError, OSError) as error:
            if not limit:
                raise refusals.broken_off(self.where, refusals.clean(str(error), 200)) from error
        if not limit and len(data) > MAX_BODY:
            raise _too_much(self.where, MAX_BODY)
        return bytes(data)

    def _json(self, data: bytes) -> Any:
        try:
            return msgspec.json.decode(data)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            raise refusals.not_json(self.where, data[:_ERROR_BODY]) from None


async def _next(events: AsyncGenerator[bytes, None]) -> bytes | None:
    return await anext(events, None)


async def _events(chunks: AsyncIterator[bytes], where: str) -> AsyncGenerator[bytes, None]:
    """The data of each server-sent event; comments and other fields are passed over."""
    held, data, total = bytearray(), b"", 0
    async for chunk in chunks:
        total += len(chunk)
        if total > MAX_STREAM:
            raise _too_much(where, MAX_STREAM)
        start = len(held)
        held += chunk
        while (end := held.find(b"\n", start)) >= 0:
            line = bytes(held[:end]).rstrip(b"\r")
            del held[: end + 1]
            start = 0
            if line.startswith(b"data:"):
                data += (b"\n" if data else b"") + line[5:].strip()
            elif not line and data:
                yield data
                data = b""
        if len(held) > MAX_LINE or len(data) > MAX_LINE:
            raise _too_much(where, MAX_LINE)
    if data:
        yield data


def _too_much(where: str, limit: int) -> ServerRefused:
    return ServerRefused(
        f"{where} sent more than can be an answer.",
        needs=f"at most {limit >> 20} MB in one piece",
        has="more than that",
        do="Look into the server’s own log.",
    )
