"""Which server it is, what it can do, its models, and how it counts tokens.

The kind is told by what ``/v1/models`` says of its owner and by what else answers; an unknown one gets only what
OpenAI's own protocol has.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Literal

from fathom.core.errors import EndpointError
from fathom.core.types import Message, Sampling, Struct
from fathom.engines import remote_refusals as refusals
from fathom.engines.remote_refusals import ServerRefused
from fathom.engines.remote_text import estimate
from fathom.engines.remote_transport import Transport

Kind = Literal["vllm", "sglang", "llama-server", "llama-cpp-python", "ollama", "lm-studio", "openai"]
MAX_MODELS = 500
PER_MESSAGE = 8  # tokens of a chat template around one message, at most, and once more for the opened answer
OLLAMA_CONTEXT = 4096  # what Ollama loads a model with when nobody tells it otherwise; beyond it cuts silently
_KEPT = 4096

_OWNERS: dict[str, Kind] = {
    "vllm": "vllm",
    "sglang": "sglang",
    "llamacpp": "llama-server",
    "library": "ollama",
    "me": "llama-cpp-python",
    "organization_owner": "lm-studio",
}
_CONTINUES: dict[Kind, dict[str, Any]] = {
    "vllm": {"continue_final_message": True, "add_generation_prompt": False},
    "sglang": {"continue_final_message": True},
}
_COUNTS: dict[Kind, tuple[str, str, str]] = {
    "vllm": ("/tokenize", "prompt", "count"),
    "llama-server": ("/tokenize", "content", "tokens"),
    "llama-cpp-python": ("/extras/tokenize/count", "input", "count"),
}
"""Kind -> (path, the field that takes the text, the field of the answer: a number or a list)."""


class Server(Struct, frozen=True):
    """``context_tokens`` 0: it does not say."""

    kind: Kind
    model: str
    models: tuple[str, ...]
    context_tokens: int = 0

    @property
    def takes_schemas(self) -> bool:
        """Whether it is known to hold an answer to a JSON schema."""
        return self.kind != "openai"

    def response_format(self, schema: dict[str, Any]) -> dict[str, Any]:
        """How it is asked to."""
        if self.kind == "llama-cpp-python":
            return {"type": "json_object", "schema": schema}
        return {"type": "json_schema", "json_schema": {"name": "call", "schema": schema}}

    @property
    def continues(self) -> dict[str, Any]:
        """What asks it to continue an assistant's message; empty when it cannot."""
        return _CONTINUES.get(self.kind, {})

    def sampling(self, wanted: Sampling) -> dict[str, Any]:
        """The settings that OpenAI's protocol does not have, by the names that this kind gives them."""
        if self.kind in ("openai", "lm-studio", "ollama"):
            return {}
        penalty = "repetition_penalty" if self.kind in ("vllm", "sglang") else "repeat_penalty"
        extra: dict[str, Any] = {"min_p": wanted.min_p, penalty: wanted.repeat_penalty}
        if wanted.top_k > 0:
            extra["top_k"] = wanted.top_k
        return extra


async def look(transport: Transport, model: str = "") -> Server:
    """Ask the server for its models; ``model`` "" takes the first. Raises ServerRefused."""
    value = await transport.ask("GET", "/v1/models")
    listed = value.get("data") if isinstance(value, dict) else None
    entries = [each for each in (listed if isinstance(listed, list) else ()) if isinstance(each, dict) and _name(each)][
        :MAX_MODELS
    ]
    names = tuple(_name(each) for each in entries)
    if not names:
        raise ServerRefused(
            f"{transport.where} has no model to offer.",
            needs="a model that is loaded, in the list at /v1/models",
            has="an empty list",
            do="Load a model on the server.",
        )
    if model and model not in names:
        raise ServerRefused(
            f"{transport.where} has no model named {refusals.clean(model, 100)}.",
            needs="one of the server’s models",
            has=refusals.clean(", ".join(names), 300),
            do="Choose one of them in the settings.",
            status=404,
        )
    entry = entries[names.index(model)] if model else entries[0]
    kind = _OWNERS.get(str(entry.get("owned_by", "")), "openai")
    return Server(
        kind=kind,
        model=_name(entry),
        models=names,
        context_tokens=await _context(transport, kind, entry),
    )


def _name(entry: dict[str, Any]) -> str:
    name = entry.get("id")
    return name if isinstance(name, str) and 0 < len(name) <= 300 and name.isprintable() else ""


async def _context(transport: Transport, kind: Kind, entry: dict[str, Any]) -> int:
    """The context that the model is loaded with, in tokens; 0 when the server does not say."""
    found: Any = entry.get("max_model_len") or entry.get("context_length") or 0
    try:
        if kind == "llama-server":
            props = await transport.ask("GET", "/props")
            found = props["default_generation_settings"]["n_ctx"]
        elif kind == "ollama":
            running = await transport.ask("GET", "/api/ps")
            loaded = {each.get("model"): each.get("context_length") for each in running["models"]}
            found = loaded.get(_name(entry)) or OLLAMA_CONTEXT
        elif kind == "lm-studio":
            told = await transport.ask("GET", f"/api/v0/models/{_name(entry)}")
            found = told.get("loaded_context_length") or told.get("max_context_length") or 0
    except (EndpointError, KeyError, TypeError, AttributeError):
        found = OLLAMA_CONTEXT if kind == "ollama" else found
    return found if isinstance(found, int) and 0 < found < 1 << 26 else 0


class Counter:
    """Counts tokens: by the server where it can, else by the estimate. Each text is asked for once."""

    def __init__(self, transport: Transport, server: Server) -> None:
        self._transport, self._server = transport, server
        self._way = _COUNTS.get(server.kind)
        self._known: dict[str, int] = {}

    async def count(self, messages: Sequence[Message]) -> int:
        """As Engine.count_tokens; the template's part is taken at its largest."""
        if len(messages) == 1 and messages[0].role == "tool":
            return await self._text(messages[0].content)
        sizes = await asyncio.gather(*(self._text(message.content) for message in messages))
        return sum(sizes) + PER_MESSAGE * (len(messages) + 1)

    async def _text(self, text: str) -> int:
        if not text:
            return 0
        found = self._known.pop(text, None)
        if found is None:
            found = await self._asked(text)
        self._known[text] = found  # the newest last
        while len(self._known) > _KEPT:
            del self._known[next(iter(self._known))]
        return found

    async def _asked(self, text: str) -> int:
        if self._way is not None:
            path, field, answer = self._way
            try:
                body = {"model": self._server.model, field: text, "add_special_tokens": False}
                value = await self._transport.ask("POST", path, body, model=self._server.model)
                found = value[answer]
                return len(found) if isinstance(found, list) else int(found)
            except (EndpointError, KeyError, TypeError, ValueError):
                self._way = None  # it is not there, or says something else: estimate from now on
        return estimate(text)
