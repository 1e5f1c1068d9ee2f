"""The engine's process: loads a backend, then serves one request after the other.

Knows the wire and the backends' registry; no agent and no tool. Reading goes on in a thread of its own, so that a
cancel arrives while the model computes.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from fathom.core import registry
from fathom.core.errors import EngineError, EngineMissing, FathomError
from fathom.core.events import EngineEvent, RowFinished, TokenDelta
from fathom.core.protocols import Backend
from fathom.engines import BACKENDS
from fathom.workers import wire
from fathom.workers.host import Channel

log = logging.getLogger(__name__)

ALIVE_S = 1.0  # between two signs of life of a batch
GATHER_S = 0.05  # a reader sees no difference, and each line costs the parent a wake that computing threads wait for

_BUILD = "Run `make setup`; it builds it for this computer."
_LIBRARIES = {
    "llamacpp": ("llama_cpp", "llama-cpp-python", _BUILD),
    "mlx": ("mlx_lm", "mlx-lm", "Run `make setup`, or use llama.cpp for this model."),
}
"""Backend -> (module, Python package, what to do without it)."""


class _Inbox:
    """Requests in order; cancels pass by on the side."""

    def __init__(self, channel: Channel) -> None:
        self.requests: queue.SimpleQueue[wire.Request] = queue.SimpleQueue()
        self._cancelled: set[int] = set()
        threading.Thread(target=self._read, args=(channel,), name="requests", daemon=True).start()

    def _read(self, channel: Channel) -> None:
        for line in channel.lines():
            message = wire.decode_request(line)
            if isinstance(message, wire.Close):
                break
            if isinstance(message, wire.Cancel):
                self._cancelled.add(message.id)
            else:
                self.requests.put(message)
        # The parent closed the pipe or died: there is nothing to save, and native code may not be interruptible.
        os._exit(0)

    def cancelled(self, request_id: int) -> Callable[[], bool]:
        """A question for the backend: is this request not wanted any more?"""
        return lambda: request_id in self._cancelled

    def done(self, request_id: int) -> None:
        """The request is over: a late cancel of it stays without effect, since ids are never used again."""
        self._cancelled.discard(request_id)


def serve(channel: Channel, argv: list[str]) -> int:
    """Load the model that the first message names, then answer until the parent goes away."""
    inbox = _Inbox(channel)
    load = inbox.requests.get()
    if not isinstance(load, wire.Load):
        raise TypeError(f"the first message must be Load, not {type(load).__name__}")
    told = -1.0

    def on_progress(done: float) -> None:
        nonlocal told
        if done - told >= 0.02 or done >= 1:
            told = done
            channel.send(wire.encode(wire.Loading(done=done)))

    try:
        backend = open_backend(load, on_progress)
    except FathomError as error:
        channel.send(wire.encode(wire.Failed.of(error)))
        return 1
    channel.send(wire.encode(wire.Ready(info=backend.info)))
    while True:
        message = inbox.requests.get()
        try:
            _answer(channel, inbox, backend, message)
        except FathomError as error:
            channel.send(wire.encode(wire.Failed.of(error, id=message.id)))
        finally:
            inbox.done(message.id)


def open_backend(load: wire.Load, on_progress: Callable[[float], None]) -> Backend:
    """The backend that ``load`` names, loaded. Raises EngineMissing when its library is not installed."""
    module, package, remedy = _LIBRARIES.get(load.spec.backend, ("", "", ""))
    if module and importlib.util.find_spec(module) is None:
        raise EngineMissing(
            "The inference library is not installed.",
            needs=package,
            has="no such Python package",
            do=remedy,
        )
    factory = registry.load(BACKENDS, load.spec.backend, "backend")
    backend: Backend = factory(load.spec, threads=load.threads, on_progress=on_progress)
    return backend


def gathered(events: Iterator[EngineEvent], interval_s: float = GATHER_S) -> Iterator[EngineEvent]:
    """``events``, with deltas that follow each other within ``interval_s`` made one: each line wakes the parent."""
    held: list[TokenDelta] = []
    sent = 0.0
    for event in events:
        now = time.monotonic()
        if isinstance(event, TokenDelta):
            held.append(event)
            if now - sent < interval_s:
                continue
        if held:
            yield held[0] if len(held) == 1 else _joined(held)
            held.clear()
            sent = now
        if not isinstance(event, TokenDelta):
            yield event


def _joined(deltas: list[TokenDelta]) -> TokenDelta:
    return TokenDelta(
        text="".join(delta.text for delta in deltas),
        ids=tuple(token for delta in deltas for token in delta.ids),
        logprobs=tuple(value for delta in deltas for value in delta.logprobs),
    )


def _answer(channel: Channel, inbox: _Inbox, backend: Backend, message: wire.Request) -> None:
    if isinstance(message, wire.CountTokens):
        tokens = backend.count_tokens(message.messages)
        channel.send(wire.encode(wire.Counted(id=message.id, tokens=tokens)))
    elif isinstance(message, wire.Generate):
        for event in gathered(backend.generate(message.request, inbox.cancelled(message.id))):
            channel.send(wire.encode(wire.Generated(id=message.id, event=event)))
    elif isinstance(message, wire.GenerateBatch):
        _generate_batch(channel, backend, message, inbox.cancelled(message.id))
        channel.send(wire.encode(wire.Done(id=message.id)))
    elif isinstance(message, wire.Score):
        channel.send(wire.encode(_score(backend, message, inbox.cancelled(message.id))))
    elif isinstance(message, wire.UseAdapter):
        _use_adapter(backend, message)
        channel.send(wire.encode(wire.Done(id=message.id)))
    elif isinstance(message, wire.UseThreads):
        _able(backend, "use_threads", "change its threads")(message.threads)
        channel.send(wire.encode(wire.Done(id=message.id)))
    else:
        raise TypeError(f"unexpected message {type(message).__name__}")


def _able(backend: Any, method: str, what: str) -> Any:
    """What only some backends can; raises EngineError where this one cannot."""
    found = getattr(backend, method, None)
    if found is None:
        raise EngineError(f"the backend {backend.info.backend} cannot {what}")
    return found


def _generate_batch(channel: Channel, backend: Any, message: wire.GenerateBatch, cancelled: Callable[[], bool]) -> None:
    told = time.monotonic()

    def on_step() -> None:
        nonlocal told
        if (now := time.monotonic()) - told >= ALIVE_S:
            told = now
            channel.send(wire.encode(wire.Alive(id=message.id)))

    rows = _able(backend, "generate_batch", "run many generations at once")
    for place, ended in rows(message.requests, cancelled, width=message.width, on_step=on_step):
        row = RowFinished(
            place=place,
            text=ended.text,
            ids=ended.ids,
            logprobs=ended.logprobs,
            reason=ended.reason,
            usage=ended.usage,
        )
        channel.send(wire.encode(wire.RowEnded(id=message.id, row=row)))


def _score(backend: Any, message: wire.Score, cancelled: Callable[[], bool]) -> wire.Scored:
    score = _able(backend, "score", "tell the log-probabilities of a text")
    prompt = backend.vocabulary.prompt(message.messages, message.prefill)
    ids = message.ids or tuple(backend.vocabulary.tokenize(message.text, special=True))
    if any(not 0 <= token < backend.vocabulary.size for token in ids):
        raise EngineError("the text has ids that are no tokens of this model")
    logprobs = score([*prompt, *ids], len(prompt), exact=message.exact, cancelled=cancelled)
    return wire.Scored(id=message.id, ids=ids, logprobs=tuple(logprobs))


def _use_adapter(backend: Any, message: wire.UseAdapter) -> None:
    """Load the new one before the old one is given up: a bad adapter changes nothing."""
    adapters = _able(backend, "adapters", "take an adapter")
    before = adapters.active
    name = str(message.id) if message.path else None
    if name is not None:
        adapters.load(name, Path(message.path))
    backend.use_adapter(name)
    if before is not None:
        adapters.remove(before)
