"""A server at an address: the SDK's streamable HTTP over a client that reads no answer without end."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping

import httpx2
from mcp.client._transport import TransportStreams
from mcp.client.streamable_http import streamable_http_client

MAX_ANSWER_BYTES = 16 << 20
_CONNECT_S, _READ_S = 10.0, 300.0


class _Bounded(httpx2.AsyncByteStream):
    def __init__(self, inner: httpx2.AsyncByteStream, request: httpx2.Request) -> None:
        self._inner, self._request = inner, request

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for chunk in self._inner:
            size += len(chunk)
            if size > MAX_ANSWER_BYTES:
                raise httpx2.ReadError(f"the answer is longer than {MAX_ANSWER_BYTES >> 20} MB", request=self._request)
            yield chunk

    async def aclose(self) -> None:
        await self._inner.aclose()


class _BoundedTransport(httpx2.AsyncHTTPTransport):
    """An event stream may run for days, its events are bounded by the SDK; any other answer is bounded here."""

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        response = await super().handle_async_request(request)
        if not response.headers.get("content-type", "").startswith("text/event-stream"):
            assert isinstance(response.stream, httpx2.AsyncByteStream)
            response.stream = _Bounded(response.stream, request)
        return response


@contextlib.asynccontextmanager
async def web_server(url: str, headers: Mapping[str, str]) -> AsyncIterator[TransportStreams]:
    """The streams of a server at ``url``. Follows no redirect to another host."""
    timeout = httpx2.Timeout(_CONNECT_S, read=_READ_S)
    request_headers = {"Accept-Encoding": "identity"} | dict(headers)  # the bound counts what is read
    async with (
        httpx2.AsyncClient(
            headers=request_headers, timeout=timeout, transport=_BoundedTransport(), trust_env=False
        ) as client,
        streamable_http_client(url, http_client=client, max_sse_event_size=MAX_ANSWER_BYTES) as streams,
    ):
        yield streams
