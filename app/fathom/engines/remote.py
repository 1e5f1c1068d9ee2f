"""A server of the person's own as an Engine: vLLM, SGLang, llama-server, LM Studio, Ollama, any OpenAI-compatible one.

Runs in the foreground process, where the key lives. Calls are written in the profile's text format, or as the server's
native tool calls where the person switched them on; these come back as the profile's text, so that the agent's loop is
the same. What a server cannot do is in ``info``: no server is known to take Fathom's grammars (llguidance's Lark with
token limits), so a grammar is never sent, ``info.constrained`` is false and the loop reads calls as they are written.
Where a server holds an answer to a JSON schema, ``info.schemas`` is true, and the loop uses it when a call was missed.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from pathlib import PureWindowsPath
from typing import Any

from fathom.core.events import EngineEvent, GenerationFinished, PrefillProgress, TokenDelta
from fathom.core.protocols import GenerateRequest
from fathom.core.settings import EndpointSettings
from fathom.core.types import EngineInfo, Message, Usage
from fathom.engines import remote_refusals as refusals
from fathom.engines.remote_address import read_address
from fathom.engines.remote_refusals import ServerRefused
from fathom.engines.remote_server import Counter, Server, look
from fathom.engines.remote_text import DeltaText, estimate
from fathom.engines.remote_transport import Transport
from fathom.prompting.formats import load_format
from fathom.prompting.profiles import Profile, load_profile

RETRIES = 3
RETRY_DEADLINE_S = 120.0
PAUSE_S = 0.5
CONTINUE = "Go on exactly where the text above ends. Do not repeat it."
CALL_NOW = 'Now write the call that comes next, as one JSON object: {"name": ..., "arguments": {...}}'
"""Asked of a server that cannot continue an assistant's message."""


class RemoteEngine:
    """core.protocols.Engine over HTTP. Made by :meth:`open`; belongs to one event loop."""

    def __init__(
        self, settings: EndpointSettings, transport: Transport, server: Server, info: EngineInfo, profile: Profile
    ) -> None:
        self._settings, self._transport, self._server, self._info = settings, transport, server, info
        self._profile = profile
        self._counter = Counter(transport, server)
        self._closed = asyncio.Event()
        self.pause_s = PAUSE_S  # before the first retry
        self.retry_deadline_s = RETRY_DEADLINE_S

    @classmethod
    async def open(cls, settings: EndpointSettings, key: str = "") -> RemoteEngine:
        """Ask the server for its models and take the chosen one.

        Raises UserError when the address is none, or is not on this computer and the person has not allowed that;
        EndpointError when the server cannot be used.
        """
        address = read_address(settings.base_url)
        if not address.loopback and not settings.allow_remote:
            raise RemoteNotAllowed(address.where)
        transport = Transport(address, key)
        try:
            server = await look(transport, settings.model)
        except BaseException:
            await transport.close()
            raise
        found = load_profile(EngineInfo(backend="endpoint", model=server.model))
        context = settings.context_tokens or server.context_tokens or found.context_tokens
        notices = [] if address.loopback else [_goes_to(address.where, address.encrypted)]
        if found.constrained:
            notices.append(
                "This server does not hold a call to its schema while it is written: "
                + ("it is asked again where one is missing." if server.takes_schemas else "weak models may miss some.")
            )
        if not (settings.context_tokens or server.context_tokens):
            notices.append(
                f"The server does not say how long its context is: {context:,} tokens are assumed. "
                "Set it in the settings if it is another."
            )
        info = EngineInfo(
            backend="endpoint",
            model=refusals.clean(_short_name(server.model), 100),
            context_tokens=context,
            profile=found.name,
            device=server.kind,
            host="" if address.loopback else address.where,
            constrained=False,
            schemas=server.takes_schemas,
            native_tools=settings.native_tools,
            notices=tuple(notices),
        )
        return cls(settings, transport, server, info, found)

    # --- Engine ---------------------------------------------------------------------------------------------------

    @property
    def info(self) -> EngineInfo:
        """What the server is and can do."""
        return self._info

    @property
    def profile(self) -> Profile:
        """How to talk to its model."""
        return self._profile

    @property
    def server(self) -> Server:
        """What was found out about the server."""
        return self._server

    async def generate(self, request: GenerateRequest) -> AsyncGenerator[EngineEvent, None]:
        """As Engine.generate. Tries again before the first token only; closing it closes the connection at once."""
        prompt = await self.count_tokens(request.messages)
        if prompt > self._info.context_tokens:  # some servers only hang up
            raise refusals.too_long(self._transport.where, str(prompt), str(self._info.context_tokens))
        yield PrefillProgress(done=0, total=prompt)
        ends = time.monotonic() + self.retry_deadline_s
        begun = False
        for attempt in range(RETRIES + 1):
            try:
                async with aclosing(self._once(request, prompt)) as events:
                    async for event in events:
                        begun = True
                        yield event
                return
            except ServerRefused as error:
                if begun or not error.again or attempt == RETRIES:
                    raise
                pause = self.pause_s * 2**attempt * random.uniform(0.5, 1.5)
                wait = pause if error.wait_s is None else error.wait_s + min(pause, 1.0)
                if time.monotonic() + wait >= ends:
                    error.do = f"Try again in {wait:.0f} s, as the server asks." if error.wait_s else error.do
                    raise
            await asyncio.sleep(wait)

    async def count_tokens(self, messages: Sequence[Message]) -> int:
        """By the server's own tokenizer where it can be asked, else an estimate; both err on the high side."""
        return await self._counter.count(messages)

    async def close(self) -> None:
        """Close every connection. Safe to call twice."""
        self._closed.set()
        await self._transport.close()

    async def wait_died(self) -> None:
        """Until it is closed: a server that goes away is noticed when it is asked."""
        await self._closed.wait()

    @property
    def stderr_tail(self) -> str:
        """A server's log is its own."""
        return ""

    # --- one request ----------------------------------------------------------------------------------------------

    async def _once(self, request: GenerateRequest, prompt: int) -> AsyncGenerator[EngineEvent, None]:
        text = DeltaText(load_format(self._profile.format), {spec.name: spec.server for spec in request.tools})
        started = time.monotonic()
        first: float | None = None
        reason, written = "", ""
        usage: dict[str, Any] = {}
        stream = self._transport.stream(
            "/v1/chat/completions",
            self._body(request),
            model=self._server.model,
            first_s=self._settings.first_token_s,
            between_s=self._settings.between_tokens_s,
        )
        async with aclosing(stream) as objects:
            async for value in objects:
                if said := refusals.message_of(value) if "choices" not in value else "":
                    raise self._failed(said)
                usage = value["usage"] if isinstance(value.get("usage"), dict) else usage
                choice = _first_choice(value)
                reason = choice["finish_reason"] if isinstance(choice.get("finish_reason"), str) else reason
                delta = choice.get("delta", choice.get("message"))
                new = text.add(delta) if isinstance(delta, dict) else ""
                ids, logprobs = _logprobs(choice) if request.logprobs else ((), ())
                if not new and not logprobs:
                    continue
                if first is None:
                    first = time.monotonic()
                    yield PrefillProgress(done=prompt, total=prompt)
                written += new
                yield TokenDelta(text=new, ids=ids, logprobs=logprobs)
        if rest := text.end():
            written += rest
            yield TokenDelta(text=rest)
        ended = time.monotonic()
        yield GenerationFinished(
            reason="length" if reason == "length" else "stop",
            usage=_usage(usage, prompt, written, (first or ended) - started, ended - (first or ended)),
        )

    def _body(self, request: GenerateRequest) -> dict[str, Any]:
        sampling = request.sampling
        messages = [
            {"role": "user" if message.role == "tool" else message.role, "content": message.content}
            for message in request.messages
        ]
        body: dict[str, Any] = {
            "model": self._server.model,
            "messages": messages,
            "stream": True,
            "stream_options": {"include_usage": True},
            "max_tokens": request.max_tokens,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
        }
        if sampling.seed is not None:
            body["seed"] = sampling.seed
        body |= self._server.sampling(sampling)
        if request.prefill:
            messages.append({"role": "assistant", "content": request.prefill})
            if self._server.continues:
                body |= self._server.continues
            else:
                messages.append({"role": "user", "content": CALL_NOW if request.json_schema else CONTINUE})
        if request.json_schema:
            body["response_format"] = self._server.response_format(request.json_schema)
        elif request.tools and request.tool_choice != "none":
            body["tools"] = [
                {
                    "type": "function",
                    "function": {"name": spec.name, "description": spec.description, "parameters": spec.parameters},
                }
                for spec in request.tools
            ]
            body["tool_choice"] = request.tool_choice
        elif request.stop:
            body["stop"] = list(request.stop)
        if request.logprobs:
            body["logprobs"] = True
        return body

    def _failed(self, said: str) -> ServerRefused:
        return ServerRefused(
            f"{self._transport.where} gave up.",
            has=f"the server said: {refusals.clean(said, refusals.EXCERPT)}",
            do="Go on from the last finished step.",
        )


class RemoteNotAllowed(ServerRefused):
    """An address that is not this computer's, and nobody said that text may go there."""

    def __init__(self, where: str) -> None:
        super().__init__(
            f"{where} is not this computer, and nothing is sent there unless you say so.",
            needs="your word that questions, and what is read for them, may go to this host",
            has="an address of another computer",
            do=f"Tick “My text may go to {where}” in the settings, or add --allow-remote.",
        )


def _short_name(model: str) -> str:
    """A model's name for people: some servers call one by the path of its file."""
    path = PureWindowsPath(model)  # knows both kinds of slashes
    return path.name.removesuffix(".gguf") if path.root else model


def _goes_to(where: str, encrypted: bool) -> str:
    open_ = "" if encrypted else ", and the connection is not encrypted"
    return f"The question and what is read for it go to {where}{open_}."


def _first_choice(value: dict[str, Any]) -> dict[str, Any]:
    choices = value.get("choices")
    found = choices[0] if isinstance(choices, list) and choices else None
    return found if isinstance(found, dict) else {}


def _logprobs(choice: dict[str, Any]) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Ids, where the server tells them, and log-probabilities in nats."""
    found = choice.get("logprobs")
    content = found.get("content") if isinstance(found, dict) else None
    ids: list[int] = []
    values: list[float] = []
    for one in content if isinstance(content, list) else ():
        if isinstance(one, dict) and isinstance(one.get("logprob"), int | float):
            values.append(float(one["logprob"]))
            token = str(one.get("token", ""))
            if token.startswith("token_id:") and token[9:].isdigit():
                ids.append(int(token[9:]))
    return (tuple(ids) if len(ids) == len(values) else ()), tuple(values)


def _usage(said: dict[str, Any], prompt: int, written: str, prefill_s: float, decode_s: float) -> Usage:
    """The server's numbers, else counted ones."""

    def number(of: dict[str, Any], name: str, otherwise: int) -> int:
        value = of.get(name)
        return value if isinstance(value, int) and value >= 0 else otherwise

    details = said.get("prompt_tokens_details")
    return Usage(
        prompt_tokens=number(said, "prompt_tokens", prompt),
        reused_tokens=number(details if isinstance(details, dict) else {}, "cached_tokens", 0),
        completion_tokens=number(said, "completion_tokens", estimate(written)),
        prefill_seconds=round(prefill_s, 4),
        decode_seconds=round(decode_s, 4),
    )
