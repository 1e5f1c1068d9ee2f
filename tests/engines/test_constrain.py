"""Constrained decoding on the real model: whatever the seed and the temperature, the text is a word of the grammar."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fathom.core.errors import EngineError
from fathom.core.events import GenerationFinished, TokenDelta
from fathom.core.protocols import GenerateRequest
from fathom.core.types import EngineSpec, Message, Sampling

pytestmark = pytest.mark.engine

QUESTION = (Message(role="user", content="Where was the author of the book born? Search for it."),)
SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"enum": ["google_search", "run_command"]},
        "arguments": {
            "type": "object",
            "properties": {
                "q": {"type": "string", "maxLength": 60, "minLength": 1},
                "num": {"type": "integer", "minimum": 1, "maximum": 10},
            },
            "required": ["q", "num"],
            "additionalProperties": False,
        },
    },
    "required": ["name", "arguments"],
    "additionalProperties": False,
    "x-guidance": {"whitespace_flexible": False},
}
CALL = f'start: "<call>" body "</call>"\nbody: %json {json.dumps(SCHEMA)}'


@pytest.fixture(scope="module")
def backend(embedded_model: Path) -> Iterator[Any]:
    from fathom.engines.llamacpp import LlamaCppBackend

    backend = LlamaCppBackend(EngineSpec(model=str(embedded_model), context_tokens=2048))
    yield backend
    backend.close()


def run(backend: Any, grammar: str, **options: Any) -> tuple[str, GenerationFinished, list[TokenDelta]]:
    request = GenerateRequest(messages=QUESTION, grammar=grammar, **({"max_tokens": 200} | options))
    events = list(backend.generate(request, lambda: False))
    deltas = [event for event in events if isinstance(event, TokenDelta)]
    assert isinstance(events[-1], GenerationFinished)
    return "".join(delta.text for delta in deltas), events[-1], deltas


@pytest.mark.parametrize("seed", range(8))
def test_a_hot_small_model_always_writes_a_valid_call(backend: Any, seed: int) -> None:
    text, end, _ = run(backend, CALL, sampling=Sampling(temperature=1.5, top_p=1.0, seed=seed))
    assert end.reason == "stop"
    call = json.loads(text.removeprefix("<call>").removesuffix("</call>"))
    assert call["name"] in ("google_search", "run_command")
    assert 1 <= len(call["arguments"]["q"]) <= 60
    assert 1 <= call["arguments"]["num"] <= 10


def test_asking_for_log_probabilities_changes_neither_validity_nor_greedy_text(backend: Any) -> None:
    greedy = Sampling(temperature=0, repeat_penalty=1.0)
    plain, _, _ = run(backend, CALL, sampling=greedy)
    text, end, deltas = run(backend, CALL, sampling=greedy, logprobs=True)
    assert json.loads(text[6:-7]).keys() == json.loads(plain[6:-7]).keys()
    assert sum(len(delta.ids) for delta in deltas) == end.usage.completion_tokens


def test_the_thought_before_a_call_stays_free(backend: Any) -> None:
    grammar = CALL.replace('start: "<call>"', 'start: thought "<call>"') + "\nthought[max_tokens=30]: /[^<]*/"
    texts = {run(backend, grammar, sampling=Sampling(temperature=1.0, seed=seed))[0] for seed in range(3)}
    assert len(texts) == 3
    for text in texts:
        assert re.fullmatch(r"[^<]*<call>.*</call>", text, re.DOTALL)


def test_running_into_the_limit_inside_of_a_grammar_is_told_as_length(backend: Any) -> None:
    _, end, _ = run(backend, CALL, max_tokens=7)
    assert (end.reason, end.usage.completion_tokens) == ("length", 7)


def test_the_turn_ends_only_where_the_grammar_is_complete(backend: Any) -> None:
    text, end, _ = run(backend, r"start: /[a-z ]{40,60}/", sampling=Sampling(temperature=1.5, seed=2))
    assert re.fullmatch(r"[a-z ]{40,60}", text)
    assert end.reason == "stop"


def test_a_special_token_of_the_vocabulary_is_one_token_and_another_is_spelled_out(backend: Any) -> None:
    text, _, deltas = run(backend, 'start: <issue_closed> "x" <tool_call>', logprobs=True)
    assert text == "<issue_closed>x<tool_call>"
    ids = [token for delta in deltas for token in delta.ids]
    spellings = [backend.vocabulary.text_of(token) for token in ids]
    assert spellings[0] == "<issue_closed>"
    assert "<tool_call>" not in spellings


def test_a_broken_grammar_is_an_engine_error_and_the_engine_goes_on(backend: Any) -> None:
    with pytest.raises(EngineError, match="the grammar is refused"):
        run(backend, "start: nothing_defined")
    assert run(backend, 'start: "yes"')[0] == "yes"


def test_spelling_out_leaves_strings_expressions_and_comments_alone() -> None:
    from fathom.engines.constrain import spell_out

    grammar = 'start: <a> "<b>" /<c>[^<]/ <[12]> // <d>\nx: <e>'
    assert spell_out(grammar, frozenset({"<a>"})) == 'start: <a> "<b>" /<c>[^<]/ <[12]> // <d>\nx: "<e>"'
    assert spell_out(r'x: "a\"<b>" <b>', frozenset()) == r'x: "a\"<b>" "<b>"'
