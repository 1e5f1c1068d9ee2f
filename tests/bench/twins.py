"""Fathom's engine process with the raw library's own loop in it: both compute with the same weights and memory.

Two processes that load the same model differ by up to a tenth in speed, whatever runs in them: it depends on where
their memory came to lie. So the raw loop runs in the engine's process, on the engine's own model and context, without
anything of Fathom's in between: no pipe, no events, no stop flag. Usage: ``EngineClient.start(spec, command=COMMAND)``;
a request with :func:`raw` goes to the raw loop.
"""

from __future__ import annotations

import math
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

from fathom.core.events import EngineEvent, GenerationFinished, TokenDelta
from fathom.core.protocols import GenerateRequest
from fathom.core.types import Message, Sampling, Usage
from fathom.engines import BACKENDS
from fathom.workers.client import EngineClient

GREEDY = Sampling(temperature=0, repeat_penalty=1.0)
COMMAND = (sys.executable, str(Path(__file__)))
RAW = "\0raw"
LEAST_PAIRS, MOST_SECONDS, ERROR = 9, 150.0, 0.01
Run = Callable[[], Awaitable[float]]


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


async def by_turns(raw_run: Run, engine_run: Run) -> list[tuple[float, float]]:
    """Speeds of the raw loop and of the engine in pairs; the one that goes first changes from pair to pair.

    There are at least LEAST_PAIRS. Where the computer's own speed moves, more follow until the median of their ratios
    is known to ERROR, or MOST_SECONDS have passed.
    """
    pairs: list[tuple[float, float]] = []
    started = time.perf_counter()
    while len(pairs) < LEAST_PAIRS or (error_of_median(pairs) > ERROR and time.perf_counter() - started < MOST_SECONDS):
        if len(pairs) % 2:
            engine_speed, raw_speed = await engine_run(), await raw_run()
        else:
            raw_speed, engine_speed = await raw_run(), await engine_run()
        pairs.append((raw_speed, engine_speed))
    return pairs


def error_of_median(pairs: Sequence[tuple[float, float]]) -> float:
    """The standard error of the median ratio: 1.2533 sigma / sqrt(n), sigma from the median absolute deviation."""
    ratios = [engine / raw for raw, engine in pairs]
    middle = statistics.median(ratios)
    sigma = 1.4826 * statistics.median(abs(ratio - middle) for ratio in ratios)
    return 1.2533 * sigma / math.sqrt(len(ratios))


def told(pairs: Sequence[tuple[float, float]], name: str) -> dict[str, float]:
    """``NAME_ratio`` (the median of engine / raw), its standard error, and of how many pairs."""
    return {
        f"{name}_ratio": round(statistics.median(engine / raw for raw, engine in pairs), 4),
        f"{name}_ratio_error": round(error_of_median(pairs), 4),
        f"{name}_pairs": len(pairs),
    }


async def decode(engine: EngineClient, messages: tuple[Message, ...], tokens: int, name: str) -> dict[str, float]:
    """The ratio of decode speeds, the engine's as a reader at the pipe's end sees it, and the tokens per second.

    ``tokens`` are at most as many as the greedy text has. ``NAME_same_text`` is the share of the engine's runs that
    made the raw loop's text.
    """
    await _written(engine, messages, tokens)  # warms both up, and tells how far the text goes
    _speed, _text, made = await _written(engine, messages, tokens)
    tokens = min(tokens, made - 1)
    _usage, expected = await finished(engine.generate(raw(messages, tokens)))
    same: list[bool] = []

    async def raw_run() -> float:
        usage, _text = await finished(engine.generate(raw(messages, tokens)))
        return tokens / usage.decode_seconds

    async def engine_run() -> float:
        speed, text, count = await _written(engine, messages, tokens)
        same.append(text == expected and count == tokens)
        return speed

    pairs = await by_turns(raw_run, engine_run)
    return told(pairs, f"{name}_decode") | {
        f"{name}_tokens_per_s": round(statistics.median(engine for _raw, engine in pairs), 1),
        f"{name}_raw_tokens_per_s": round(statistics.median(raw for raw, _engine in pairs), 1),
        f"{name}_same_text": statistics.mean(same),
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
