"""Wire messages come back as they were, and errors keep their class and their words."""

from __future__ import annotations

import pytest

from fathom.core.errors import EngineError, EngineMissing, FathomError, ModelFileError
from fathom.core.events import GenerationFinished, PrefillProgress, TokenDelta
from fathom.core.protocols import GenerateRequest
from fathom.core.types import EngineInfo, EngineSpec, Message, Sampling, Usage
from fathom.workers import wire

REQUESTS: list[wire.Request] = [
    wire.Load(spec=EngineSpec(model="a b.gguf", context_tokens=512), threads=2),
    wire.Generate(
        id=3,
        request=GenerateRequest(
            messages=(Message(role="tool", content="line\nline\u2028\x00"),),
            max_tokens=5,
            sampling=Sampling(seed=1),
            stop=("\n\n",),
            grammar="start: /x/",
            logprobs=True,
        ),
    ),
    wire.CountTokens(id=4, messages=(Message(role="user", content="ü"),)),
    wire.Score(id=5, messages=(Message(role="user", content="a"),), ids=(1, 2), exact=True),
    wire.UseAdapter(id=6, path="a b.gguf"),
    wire.UseThreads(id=7, threads=1),
    wire.Cancel(id=3),
    wire.Close(),
]
REPLIES: list[wire.Reply] = [
    wire.Loading(done=0.5),
    wire.Ready(info=EngineInfo(backend="llamacpp", model="m")),
    wire.Generated(id=3, event=PrefillProgress(done=1, total=2, reused=1)),
    wire.Generated(id=3, event=TokenDelta(text="\n", ids=(1,), logprobs=(-0.25,))),
    wire.Generated(id=3, event=GenerationFinished(reason="cancelled", usage=Usage(prompt_tokens=2))),
    wire.Counted(id=4, tokens=7),
    wire.Scored(id=5, ids=(1, 2), logprobs=(-0.5, -1.0)),
    wire.Done(id=6),
    wire.Failed(id=3, kind="EngineError", message="no"),
]


@pytest.mark.parametrize("message", REQUESTS, ids=lambda message: type(message).__name__)
def test_requests_are_one_line_and_come_back_as_they_were(message: wire.Request) -> None:
    line = wire.encode(message)
    assert b"\n" not in line
    assert wire.decode_request(line) == message


@pytest.mark.parametrize("message", REPLIES, ids=lambda message: type(message).__name__)
def test_replies_are_one_line_and_come_back_as_they_were(message: wire.Reply) -> None:
    line = wire.encode(message)
    assert b"\n" not in line
    assert wire.decode_reply(line) == message


@pytest.mark.parametrize(
    "error",
    [
        ModelFileError("m", needs="n", has="h", do="d", remedy="choose_model"),
        EngineMissing("m", needs="n", has="h", do="d"),
        EngineError("plain"),
    ],
)
def test_errors_keep_their_class_and_their_words(error: FathomError) -> None:
    arrived = wire.decode_reply(wire.encode(wire.Failed.of(error, id=2)))
    assert isinstance(arrived, wire.Failed) and arrived.id == 2
    assert type(arrived.error()) is type(error)
    assert str(arrived.error()) == str(error)
    assert getattr(arrived.error(), "remedy", "") == getattr(error, "remedy", "")
