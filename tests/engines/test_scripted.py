"""The scripted engine keeps the contract of an Engine: it streams, stops, counts, and honours an early close."""

from __future__ import annotations

import asyncio

import pytest

from fathom.core.errors import EngineError
from fathom.core.events import EngineEvent, GenerationFinished, PrefillProgress, TokenDelta
from fathom.core.protocols import Engine, GenerateRequest
from fathom.core.types import Message
from fathom.engines.scripted import ScriptedEngine

QUESTION = (Message(role="user", content="Who wrote it?"),)


def ask(engine: Engine, **options: object) -> list[EngineEvent]:
    async def main() -> list[EngineEvent]:
        request = GenerateRequest(messages=QUESTION, **({"max_tokens": 100} | options))  # type: ignore[arg-type]
        return [event async for event in engine.generate(request)]

    return asyncio.run(main())


def text_of(events: list[EngineEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TokenDelta))


def test_replies_come_in_order_word_by_word_to_the_letter() -> None:
    engine = ScriptedEngine(["One  two\nthree. ", "Next"])
    events = ask(engine)
    assert isinstance(events[0], PrefillProgress)
    assert [event.text for event in events if isinstance(event, TokenDelta)] == ["One", "  two", "\nthree.", " "]
    last = events[-1]
    assert isinstance(last, GenerationFinished)
    assert (last.reason, last.usage.completion_tokens) == ("stop", 4)
    assert text_of(ask(engine)) == "Next"
    assert [request.messages for request in engine.requests] == [QUESTION, QUESTION]


def test_it_says_that_it_is_scripted() -> None:
    assert ScriptedEngine([]).info.scripted


def test_the_length_limit_and_stop_strings_cut() -> None:
    events = ask(ScriptedEngine(["a b c d"]), max_tokens=2)
    assert text_of(events) == "a b"
    assert isinstance(events[-1], GenerationFinished) and events[-1].reason == "length"
    events = ask(ScriptedEngine(["a b</call> c"]), stop=("</call>",))
    assert text_of(events) == "a b"
    assert isinstance(events[-1], GenerationFinished) and events[-1].reason == "stop"


def test_log_probabilities_come_when_asked_for() -> None:
    deltas = [event for event in ask(ScriptedEngine(["a b"]), logprobs=True) if isinstance(event, TokenDelta)]
    assert all(len(delta.ids) == len(delta.logprobs) == 1 for delta in deltas)


def test_closing_early_is_counted_and_the_next_reply_is_the_next() -> None:
    async def main() -> None:
        engine = ScriptedEngine(["a b c", "d"])
        generation = engine.generate(GenerateRequest(messages=QUESTION, max_tokens=9))
        async for event in generation:
            if isinstance(event, TokenDelta):
                break
        await generation.aclose()
        assert engine.cancelled == 1
        rest = [event async for event in engine.generate(GenerateRequest(messages=QUESTION, max_tokens=9))]
        assert text_of(rest) == "d"
        assert engine.cancelled == 1
        await engine.close()

    asyncio.run(main())


def test_a_used_up_script_is_an_engine_error() -> None:
    with pytest.raises(EngineError, match="no reply for generation 1"):
        ask(ScriptedEngine([]))
