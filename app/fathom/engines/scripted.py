"""An engine that says what it was told to say: for tests and demonstrations. Loads nothing and thinks nothing.

Its ``info.scripted`` is True, and the window says so.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import AsyncGenerator, Sequence

from fathom.core.errors import EngineError
from fathom.core.events import EngineEvent, GenerationFinished, PrefillProgress, TokenDelta
from fathom.core.protocols import GenerateRequest
from fathom.core.types import EngineInfo, Message, Usage


class ScriptedEngine:
    """core.protocols.Engine in this process: each generation streams the next of ``replies``, a word a token.

    ``requests`` keeps what was asked, ``cancelled`` counts the generations that were closed early.
    """

    def __init__(self, replies: Sequence[str], *, delay_s: float = 0.0, context_tokens: int = 8192) -> None:
        """``delay_s`` is the pause before each token."""
        self._replies = deque(replies)
        self._delay_s = delay_s
        self.requests: list[GenerateRequest] = []
        self.cancelled = 0
        self.info = EngineInfo(
            backend="scripted",
            model="Scripted replies",
            context_tokens=context_tokens,
            train_context_tokens=context_tokens,
            scripted=True,
        )

    @property
    def remaining(self) -> int:
        """How many replies are left."""
        return len(self._replies)

    def enqueue(self, *replies: str) -> None:
        """Say these too, after those that are left."""
        self._replies.extend(replies)

    async def generate(self, request: GenerateRequest) -> AsyncGenerator[EngineEvent, None]:
        """Stream the next reply, cut at a stop string or at ``max_tokens``. Raises EngineError when none is left."""
        self.requests.append(request)
        if not self._replies:
            raise EngineError(f"the script has no reply for generation {len(self.requests)}")
        reply = self._replies.popleft()
        cuts = [at for at in (reply.find(stop) for stop in request.stop if stop) if at >= 0]
        tokens = re.findall(r"\s*\S+|\s+$", reply[: min(cuts)] if cuts else reply)
        prompt = await self.count_tokens(request.messages)
        finished = False
        try:
            yield PrefillProgress(done=prompt, total=prompt)
            for number, token in enumerate(tokens[: request.max_tokens]):
                await asyncio.sleep(self._delay_s)
                if request.logprobs:
                    yield TokenDelta(text=token, ids=(number,), logprobs=(0.0,))
                else:
                    yield TokenDelta(text=token)
            usage = Usage(
                prompt_tokens=prompt,
                completion_tokens=min(len(tokens), request.max_tokens),
                decode_seconds=self._delay_s * len(tokens),
            )
            finished = True
            yield GenerationFinished(reason="length" if len(tokens) > request.max_tokens else "stop", usage=usage)
        finally:
            self.cancelled += not finished

    async def count_tokens(self, messages: Sequence[Message]) -> int:
        """A quarter of the characters."""
        return sum(len(message.content) // 4 + 1 for message in messages)

    async def close(self) -> None:
        """Nothing to free."""
