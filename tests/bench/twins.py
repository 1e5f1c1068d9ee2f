"""Fathom's engine process with the raw library's own loop in it: both compute with the same weights and memory.

Two processes that load the same model differ by up to a tenth in speed, whatever runs in them: it depends on where
their memory came to lie. So the raw loop runs in the engine's process, on the engine's own model and context, without
anything of Fathom's in between: no pipe, no events, no stop flag. Usage: ``EngineClient.start(spec, command=COMMAND)``;
a request with :func:`raw` goes to the raw loop.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

from fathom.core.events import EngineEvent, GenerationFinished, TokenDelta
from fathom.core.protocols import GenerateRequest
from fathom.core.types import Message, Sampling, Usage
from fathom.engines import BACKENDS
from fathom.workers.client import EngineClient

GREEDY = Sampling(temperature=0, repeat_penalty=1.0)
COMMAND = (sys.executable, str(Path(__file__)))
RAW = "\0raw"


def raw(messages: tuple[Message, ...], max_tokens: int) -> GenerateRequest:
    """Let the raw loop write ``max_tokens`` tokens; with 0 it only reads the prompt, from an empty cache.

    Its usage tells the seconds: of reading as ``prefill_seconds``, of writing as ``decode_seconds``.
    """
    return GenerateRequest(messages=messages, max_tokens=max_tokens, sampling=GREEDY, stop=(RAW,))


async def finished(events: AsyncIterator[EngineEvent]) -> tuple[Usage, str]:
    """(the usage, the text) of a generation."""
    text = ""
    async for event in events:
        if isinstance(event, TokenDelta):
            text += event.text
        elif isinstance(event, GenerationFinished):
            return event.usage, text
    raise AssertionError("a generation always ends with its event")


async def decode_pairs(
    engine: EngineClient, messages: tuple[Message, ...], tokens: int, pairs: int
) -> list[dict[str, float]]:
    """Of each pair the tokens per second of the raw loop, and of the engine as a reader at the pipe's end sees them.

    The one that goes first changes from pair to pair. ``tokens`` are at most as many as the greedy text has.
    """
    await _written(engine, messages, tokens)  # warms both up, and tells how far the text goes
    await finished(engine.generate(raw(messages, tokens)))
    _speed, _text, made = await _written(engine, messages, tokens)
    tokens = min(tokens, made - 1)
    rows = []
    for number in range(pairs):
        if number % 2:
            speed, text, made = await _written(engine, messages, tokens)
        usage, expected = await finished(engine.generate(raw(messages, tokens)))
        if not number % 2:
            speed, text, made = await _written(engine, messages, tokens)
        raw_speed = tokens / usage.decode_seconds
        same = float(made == tokens and text == expected)
        rows.append({"raw": raw_speed, "engine": speed, "ratio": speed / raw_speed, "same": same})
    return rows


def medians(rows: list[dict[str, float]], name: str) -> dict[str, float]:
    """The medians by name; ``NAME_same_text`` is the share of pairs in which both made the same text."""
    return {
        f"{name}_decode_ratio": round(statistics.median(row["ratio"] for row in rows), 4),
        f"{name}_tokens_per_s": round(statistics.median(row["engine"] for row in rows), 1),
        f"{name}_raw_tokens_per_s": round(statistics.median(row["raw"] for row in rows), 1),
        f"{name}_same_text": statistics.mean(row["same"] for row in rows),
    }


async def _written(engine: EngineClient, messages: tuple[Message, ...], count: int) -> tuple[float, str, int]:
    """(tokens per second between the first and the last as they arrive, the text, the number of tokens)."""
    first = last = 0.0
    text, made = "", 0
    async for event in engine.generate(GenerateRequest(messages=messages, max_tokens=count, sampling=GREEDY)):
        last = time.perf_counter()
        if isinstance(event, TokenDelta):
            first = first or last
            text += event.text
        elif isinstance(event, GenerationFinished):
            made = event.usage.completion_tokens
    return (made - 1) / (last - first), text, made


if __name__ == "__main__":
    from fathom.workers.host import main

    BACKENDS["llamacpp"], BACKENDS["mlx"] = "twin_llamacpp:Twin", "twin_mlx:Twin"
    sys.exit(main("engine", []))
