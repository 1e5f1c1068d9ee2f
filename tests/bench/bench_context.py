"""Prompt tokens evaluated a turn under each way to keep results in view, and seconds from a replay on the real engine.

The counts are exact: 600 steps of 800-token results and 80-token calls at K = 5. The seconds come from 30 turns with
200-token results inside 8,192 tokens, played to the engine by turns (naive, strict, block) in one run. What the model
writes is given, not generated, so that all three read the same trace; naive forgets the KV cache before each turn.
The experimental shift is played in this process, beside an exact strict run: how far its next token's distribution is
from the exact one (KL divergence in nats, mean and largest over the turns), and how often the likeliest token differs.
"""

from __future__ import annotations

import asyncio
import random
import statistics
from pathlib import Path
from typing import Any

import numpy as np
from options import Options

from fathom.core.events import GenerationFinished
from fathom.core.protocols import GenerateRequest
from fathom.core.types import EngineSpec, Message, Observation, Sampling, Step, Usage
from fathom.prompting.context import conversation
from fathom.prompting.formats import load_format
from fathom.prompting.schedule import Sizes, choose_block, tokens_evaluated
from fathom.workers.client import EngineClient

KEEP, STEPS, CALL, RESULT, BLANK, PREFIX = 5, 600, 80, 800, 12, 1000
TURNS, CONTEXT, REPLAY_RESULT = 30, 8192, 200
TARGETS = {"block_to_strict_ratio": ("at most", 0.35), "tokens_step600_over_step10": ("at most", 1.2)}
GREEDY = Sampling(temperature=0, repeat_penalty=1.0)


def measure(options: Options) -> dict[str, float]:
    """Tokens and seconds by name; means over turns."""
    return counts() | asyncio.run(_replay(options.model)) | shift(options.model)


def counts() -> dict[str, float]:
    """Tokens evaluated, by arithmetic alone."""
    sizes = Sizes(prefix=PREFIX, calls=(CALL,) * STEPS, observations=(RESULT,) * STEPS, blank=BLANK)
    block = choose_block(KEEP, CALL, RESULT, BLANK, room=262_144 / 4)
    cost = {
        "naive": tokens_evaluated(sizes, "naive", KEEP),
        "strict": tokens_evaluated(sizes, "strict", KEEP),
        "block": tokens_evaluated(sizes, "block", KEEP, block),
        "shift": tokens_evaluated(sizes, "shift", KEEP),
    }
    figures = {f"tokens_per_turn_{name}": statistics.mean(turns) for name, turns in cost.items()}
    figures |= {f"tokens_per_turn_100_{name}": statistics.mean(turns[:100]) for name, turns in cost.items()}
    figures["block"] = block
    figures["block_to_strict_ratio"] = figures["tokens_per_turn_block"] / figures["tokens_per_turn_strict"]
    figures["tokens_step600_over_step10"] = cost["strict"][600] / cost["strict"][10]
    return {name: round(value, 3) for name, value in figures.items()}


def trace() -> list[Step]:
    """Steps of invented words with results of some REPLAY_RESULT tokens, the same at each run."""
    words = random.Random(5)
    pool = [
        "river",
        "stone",
        "paper",
        "light",
        "north",
        "seven",
        "music",
        "garden",
        "window",
        "market",
        "history",
        "letter",
        "bridge",
        "winter",
        "doctor",
    ]

    def text(count: int) -> str:
        return " ".join(words.choice(pool) for _ in range(count))

    return [
        Step(
            index=n,
            thought=f"{text(12)}.",
            observations=(Observation(call_id=f"{n}.0", tool="google_search", text=text(REPLAY_RESULT - 10)),),
        )
        for n in range(1, TURNS + 1)
    ]


async def _replay(model: Path) -> dict[str, float]:
    form, steps = load_format("hermes"), trace()
    opening = (Message(role="system", content="You answer questions."), Message(role="user", content="What is it?"))
    block = choose_block(KEEP, 40, REPLAY_RESULT, BLANK, room=CONTEXT / 4)
    figures: dict[str, float] = {}
    engine = await EngineClient.start(EngineSpec(model=str(model), context_tokens=CONTEXT))
    try:
        for name in ("naive", "strict", "block"):
            seconds, evaluated = [], []
            await _read(engine, (Message(role="user", content="Something else."),))
            for turn in range(1, TURNS + 1):
                if name == "naive":
                    await _read(engine, (Message(role="user", content="Something else."),))
                view = conversation(form, opening, steps[: turn - 1], KEEP, block if name == "block" else 0)
                usage = (await _read(engine, view)).usage
                seconds.append(usage.prefill_seconds)
                evaluated.append(usage.prompt_tokens - usage.reused_tokens)
            figures[f"seconds_per_turn_{name}"] = round(statistics.mean(seconds), 3)
            figures[f"replay_tokens_per_turn_{name}"] = round(statistics.mean(evaluated), 1)
    finally:
        await engine.close()
    return figures


def shift(model: Path, turns: int = TURNS) -> dict[str, float]:
    """Seconds, tokens and error of the experimental shift against exact strict retention."""
    from fathom.engines.llamacpp import LlamaCppBackend

    form, steps = load_format("hermes"), trace()
    opening = (Message(role="system", content="You answer questions."), Message(role="user", content="What is it?"))
    seconds, evaluated, divergences, changed = [], [], [], []
    exact = LlamaCppBackend(EngineSpec(model=str(model), context_tokens=CONTEXT))
    moved = LlamaCppBackend(EngineSpec(model=str(model), context_tokens=CONTEXT, shift_memory=True))
    try:
        for turn in range(1, turns + 1):
            view = conversation(form, opening, steps[: turn - 1], KEEP, 0)
            right, _usage = _next(exact, view)
            found, usage = _next(moved, view)
            divergences.append(float((np.exp(right) * (right - found)).sum()))
            changed.append(float(right.argmax() != found.argmax()))
            seconds.append(usage.prefill_seconds)
            evaluated.append(usage.prompt_tokens - usage.reused_tokens)
    finally:
        exact.close()
        moved.close()
    return {
        "seconds_per_turn_shift": round(statistics.mean(seconds), 3),
        "replay_tokens_per_turn_shift": round(statistics.mean(evaluated), 1),
        "shift_kl_mean": round(statistics.mean(divergences), 5),
        "shift_kl_max": round(max(divergences), 5),
        "shift_top1_changed": round(statistics.mean(changed), 3),
    }


def _next(backend: Any, messages: tuple[Message, ...]) -> tuple[Any, Usage]:
    """(log-probabilities of the token after ``messages``, shape (V,); the cost)."""
    request = GenerateRequest(messages=messages, max_tokens=1, sampling=GREEDY)
    usage = list(backend.generate(request, lambda: False))[-1].usage
    logits = backend.last_logits().astype(np.float64)
    highest = logits.max()
    return logits - highest - np.log(np.exp(logits - highest).sum()), usage


async def _read(engine: EngineClient, messages: tuple[Message, ...]) -> GenerationFinished:
    request = GenerateRequest(messages=messages, max_tokens=1, sampling=GREEDY)
    async for event in engine.generate(request):
        if isinstance(event, GenerationFinished):
            return event
    raise AssertionError("a generation always ends with its event")
