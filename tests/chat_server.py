"""A small server with OpenAI's protocol on loopback, for what a well-behaved one does not do."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple


class Asked(NamedTuple):
    """One request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any


class Peer:
    """The server's side of one request."""

    def __init__(self, asked: Asked, writer: asyncio.StreamWriter, gone: asyncio.Event) -> None:
        self.asked, self._writer, self.gone = asked, writer, gone

    async def raw(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def answer(self, status: int, body: bytes | object = b"", **headers: str) -> None:
        """A whole response."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        named = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
        await self.raw(f"HTTP/1.1 {status} X\r\n{named}Content-Length: {len(data)}\r\n\r\n".encode() + data)

    async def begin(self) -> None:
        """The head of a stream."""
        await self.raw(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")

    async def event(self, value: object) -> None:
        await self.raw(b"data: " + json.dumps(value).encode() + b"\n\n")

    async def say(self, *texts: str, finish: str = "", **delta: object) -> None:
        """Deltas of the answer."""
        for text in texts:
            await self.event({"choices": [{"index": 0, "delta": {"content": text}}]})
        if delta:
            await self.event({"choices": [{"index": 0, "delta": delta}]})
        if finish:
            await self.event({"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})

    async def end(self) -> None:
        await self.raw(b"data: [DONE]\n\n")

    async def hang(self) -> None:
        """Say nothing more until the other side hangs up."""
        await self.gone.wait()


Chat = Callable[[Peer], Awaitable[None]]


class ChatServer:
    """``chat`` answers /v1/chat/completions; ``routes`` whatever else; ``asked`` is all that came."""

    def __init__(self, owner: str = "someone", models: tuple[str, ...] = ("qwen3-8b",), **of_model: object) -> None:
        self.models = {"data": [{"id": name, "owned_by": owner, **of_model} for name in models]}
        self.asked: list[Asked] = []
        self.routes: dict[str, Chat] = {}
        self.chat: Chat = good
        self.hung_up = asyncio.Event()
        self.second = asyncio.Event()
        """The second request for an answer has come."""
        self.base = ""
        self._serving: set[asyncio.Task[None]] = set()

    @property
    def chats(self) -> list[Asked]:
        """The requests for an answer."""
        return [each for each in self.asked if each.path == "/v1/chat/completions"]

    def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._serving.add(asyncio.create_task(self._serve(reader, writer)))

    async def end(self) -> None:
        """End what is still being answered."""
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request a connection."""
        gone = asyncio.Event()
        watch: asyncio.Task[None] | None = None
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            method, path, _ = head[0].split(" ")
            headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in head[1:] if line)}
            data = await reader.readexactly(int(headers.get("content-length", "0")))
            asked = Asked(method, path, headers, json.loads(data) if data else None)
            self.asked.append(asked)
            if len(self.chats) == 2:
                self.second.set()
            watch = asyncio.create_task(self._watch(reader, gone))
            peer = Peer(asked, writer, gone)
            if path == "/v1/models" and path not in self.routes:
                await peer.answer(200, self.models)
            elif path == "/v1/chat/completions":
                await self.chat(peer)
            else:
                await self.routes.get(path, lambda peer: peer.answer(404, b"not here"))(peer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
            if watch is not None:
                watch.cancel()
                await asyncio.gather(watch, return_exceptions=True)

    async def _watch(self, reader: asyncio.StreamReader, gone: asyncio.Event) -> None:
        with contextlib.suppress(ConnectionError):
            await reader.read()
        gone.set()
        self.hung_up.set()


async def good(peer: Peer) -> None:
    """A short answer with its usage."""
    await peer.begin()
    await peer.say("Hello", " there", finish="stop")
    await peer.event({"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 2}})
    await peer.end()


@asynccontextmanager
async def serving(server: ChatServer) -> AsyncIterator[ChatServer]:
    """The server on a port of its own."""
    listening = await asyncio.start_server(server.connected, "127.0.0.1", 0, limit=1 << 24)
    server.base = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    try:
        yield server
    finally:
        listening.close()
        await server.end()
