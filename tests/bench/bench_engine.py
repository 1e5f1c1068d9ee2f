"""Decode speed of Fathom's engine, through its process and pipe, against llama.cpp's own loop in the same run.

Both get the same prompt ids, thread count, context and greedy sampling, and make the same tokens. They are measured by
turns, never at the same time, in one process (see twins.py); the median of the pairs' ratios is told.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from options import Options
from twins import COMMAND, decode

from fathom.core.types import EngineSpec, Message
from fathom.workers.client import EngineClient

TARGETS = {"engine_decode_ratio": ("at least", 0.95)}
TOKENS = 192
CONTEXT = 2048
MESSAGES = (Message(role="user", content="Tell a long story about a lighthouse keeper and the sea."),)


async def _measure(path: Path) -> dict[str, float]:
    spec = EngineSpec(model=str(path), context_tokens=CONTEXT)
    engine = await EngineClient.start(spec, threads=os.cpu_count() or 1, command=COMMAND)
    try:
        return await decode(engine, MESSAGES, TOKENS, "engine")
    finally:
        await engine.close()


def measure(options: Options) -> dict[str, float]:
    """``engine_decode_ratio`` and what it was made of. Takes half a minute to three minutes."""
    return asyncio.run(_measure(options.model))
