"""Fathom's llama.cpp engine, through its process and pipe, against llama.cpp's own loop; grammars; cancels.

Engine and raw loop get the same prompt ids, threads, batch, context and cache types, and are measured by turns, never
at the same time; the median of the pairs' ratios is told, with its standard error. A grammar is measured on a text that
the model writes by itself, too: thought free, call as JSON; so both make the same tokens. A cancel is measured from its
sending to the answer to the next question, in the middle of a long prompt.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import statistics
import time
from pathlib import Path

from bench_engine import CONTEXT, MESSAGES, TOKENS
from options import Options
from twins import COMMAND, GREEDY, by_turns, decode, finished, raw, told

from fathom.core.events import GenerationFinished, PrefillProgress, TokenDelta
from fathom.core.protocols import GenerateRequest
from fathom.core.types import EngineSpec, Message
from fathom.workers.client import EngineClient

TARGETS = {
    "llamacpp_decode_ratio": ("at least", 0.97),
    "llamacpp_prefill_ratio": ("at least", 0.97),
    "constrained_overhead_pct": ("at most", 10.0),
    "constrained_against_its_will_pct": ("at most", 10.0),
    "cancel_prefill_ms": ("at most", 300.0),
}
SENTENCE = "The quick brown fox jumps over the lazy dog and runs along the river to the old stone bridge. "
PREFILL_REPEATS = 50  # some 1,000 tokens: more than one batch
GRAMMAR_PAIRS = 9
CANCELS = 5

_SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"enum": ["google_search", "scrape_and_extract_info"]},
        "arguments": {
            "type": "object",
            "properties": {"q": {"type": "string", "maxLength": 200}, "num": {"type": "integer"}},
            "required": ["q", "num"],
            "additionalProperties": False,
        },
    },
    "required": ["name", "arguments"],
    "additionalProperties": False,
}
GRAMMAR = (
    'start: THOUGHT "<tool_call>\\n" body "\\n</tool_call>"\nTHOUGHT: /[^<]*/\n' + f"body: %json {json.dumps(_SCHEMA)}"
)

# What the model wants to write is nearly never allowed: a mask is made for almost every token.
CONTRARY = "start: /[A-Z ]{600}/"


def _examples(question: str) -> tuple[Message, ...]:
    """A conversation whose pattern even a small model goes on with."""
    messages = []
    for place, thing in (("France", "capital"), ("Kenya", "highest mountain"), ("Chile", "longest river")):
        call = {"name": "google_search", "arguments": {"q": f"{thing} of {place}", "num": 10}}
        thought = f"I have to find the {thing} of {place}. A search will tell it, so I search for it now."
        messages += [
            Message(role="user", content=f"What is the {thing} of {place}?"),
            Message(role="assistant", content=f"{thought}\n<tool_call>\n{json.dumps(call)}\n</tool_call>"),
        ]
    return (*messages, Message(role="user", content=question))


async def _prefill(engine: EngineClient) -> dict[str, float]:
    """The ratio of prefill speeds, in tokens evaluated a second; the engine's as its progress comes out of the pipe."""
    numbers = itertools.count()

    def prompt() -> tuple[Message, ...]:
        return (Message(role="user", content=f"{next(numbers)}. {SENTENCE * PREFILL_REPEATS}"),)  # new to the cache

    async def raw_run() -> float:
        usage, _text = await finished(engine.generate(raw(prompt(), 0)))
        return usage.prompt_tokens / usage.prefill_seconds

    async def engine_run() -> float:
        progress = []
        async for event in engine.generate(GenerateRequest(messages=prompt(), max_tokens=1, sampling=GREEDY)):
            if isinstance(event, PrefillProgress):
                progress.append((event.done, time.perf_counter()))
        (reused, started), (done, ended) = progress[0], progress[-1]
        return (done - reused) / (ended - started)

    for run in (raw_run, engine_run):
        await run()  # warms up
    return told(await by_turns(raw_run, engine_run), "llamacpp_prefill")


async def _write(engine: EngineClient, request: GenerateRequest) -> tuple[float, str, int]:
    """(seconds of decoding, text, tokens)."""
    text = ""
    async for event in engine.generate(request):
        if isinstance(event, TokenDelta):
            text += event.text
        elif isinstance(event, GenerationFinished):
            return event.usage.decode_seconds, text, event.usage.completion_tokens
    raise AssertionError("a generation always ends with its event")


async def _constrained(engine: EngineClient) -> dict[str, float]:
    messages = _examples("What is the largest lake of Canada?")
    free = GenerateRequest(messages=messages, max_tokens=200, sampling=GREEDY, stop=("</tool_call>",))
    held = GenerateRequest(messages=messages, max_tokens=200, sampling=GREEDY, grammar=GRAMMAR, stop=("</tool_call>",))
    contrary = GenerateRequest(messages=MESSAGES, max_tokens=100, sampling=GREEDY, grammar=CONTRARY)
    willing = GenerateRequest(messages=MESSAGES, max_tokens=100, sampling=GREEDY)
    for request in (free, held, contrary, willing):
        await _write(engine, request)
    overheads, against, same = [], [], []
    for _ in range(GRAMMAR_PAIRS):
        free_s, free_text, free_tokens = await _write(engine, free)
        held_s, held_text, held_tokens = await _write(engine, held)
        overheads.append(100 * (held_s / held_tokens / (free_s / free_tokens) - 1))
        same.append(held_text == free_text)
        willing_s, _text, willing_tokens = await _write(engine, willing)
        contrary_s, _text, contrary_tokens = await _write(engine, contrary)
        against.append(100 * (contrary_s / contrary_tokens / (willing_s / willing_tokens) - 1))
    return {
        "constrained_overhead_pct": round(statistics.median(overheads), 2),
        "constrained_against_its_will_pct": round(statistics.median(against), 2),
        "constrained_tokens": held_tokens,
        "constrained_same_text": statistics.mean(same),
    }


async def _cancel(engine: EngineClient) -> float:
    """Milliseconds from closing a generation in its prompt to the answer to a count."""
    times = []
    for number in range(CANCELS):
        words = Message(role="user", content=f"{number}. {SENTENCE * 80}")
        reading = engine.generate(GenerateRequest(messages=(words,), max_tokens=1, sampling=GREEDY))
        async for event in reading:
            if isinstance(event, PrefillProgress) and event.done >= 256:
                break
        await asyncio.sleep(0.05)  # into the middle of a native call
        started = time.perf_counter()
        await reading.aclose()
        await engine.count_tokens(MESSAGES)
        times.append((time.perf_counter() - started) * 1000)
    return round(statistics.median(times), 1)


async def _measure(path: Path) -> dict[str, float]:
    spec = EngineSpec(model=str(path), context_tokens=CONTEXT)
    engine = await EngineClient.start(spec, threads=os.cpu_count() or 1, command=COMMAND)
    try:
        figures = await decode(engine, MESSAGES, TOKENS, "llamacpp")
        figures |= await _prefill(engine)
        figures |= await _constrained(engine)
        figures["cancel_prefill_ms"] = await _cancel(engine)
        return figures
    finally:
        await engine.close()


def measure(options: Options) -> dict[str, float]:
    """The figures of TARGETS and what they were made of; takes one or two minutes on the embedded model."""
    return asyncio.run(_measure(options.model))
