"""Chat templates: what they render, what they may not do, and that spelled-out special tokens are told apart."""

from __future__ import annotations

import datetime
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fathom.core.errors import EngineError
from fathom.core.types import Message
from fathom.prompting import templates

SYSTEM = Message(role="system", content="Be brief.")
USER = Message(role="user", content="Who?")
ASSISTANT = Message(role="assistant", content="She.")
TOOL = Message(role="tool", content="A page.")

# The shape of Qwen's: it knows tools, and puts their words into the user's turn.
KNOWS_TOOLS = """
{%- for message in messages %}
    {%- if message.role == "tool" %}
        {{- '<|im_start|>user\n<tool_response>\n' + message.content + '\n</tool_response><|im_end|>\n' }}
    {%- else %}
        {{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}
"""

# The shape of Gemma's: no system role, user and assistant by turns, contents trimmed.
STRICT = """
{{- bos_token }}
{%- if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}
{%- for message in messages %}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}
        {{- raise_exception('Conversation roles must alternate user/assistant') }}
    {%- endif %}
    {%- set role = 'model' if message['role'] == 'assistant' else message['role'] %}
    {{- '<start_of_turn>' + role + '\n' + message['content'] | trim + '<end_of_turn>\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}
"""


def test_a_conversation_is_rendered_with_the_assistants_turn_opened() -> None:
    assert templates.render(templates.CHATML, [SYSTEM, USER]) == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nWho?<|im_end|>\n<|im_start|>assistant\n"
    )
    closed = templates.render(templates.CHATML, [USER], add_generation_prompt=False)
    assert closed == "<|im_start|>user\nWho?<|im_end|>\n"


def test_a_template_that_knows_tools_gets_the_role_tool() -> None:
    text = templates.render(KNOWS_TOOLS, [USER, ASSISTANT, TOOL])
    assert "<|im_start|>user\n<tool_response>\nA page.\n</tool_response><|im_end|>" in text


def test_a_template_that_never_heard_of_tools_gets_them_as_the_user() -> None:
    text = templates.render(templates.CHATML, [USER, ASSISTANT, TOOL])
    assert text.endswith("<|im_start|>user\nA page.<|im_end|>\n<|im_start|>assistant\n")


def test_a_template_that_refuses_system_and_tool_roles_gets_a_conversation_that_it_accepts() -> None:
    text = templates.render(STRICT, [SYSTEM, USER, ASSISTANT, TOOL, USER], bos="<bos>")
    assert text == (
        "<bos><start_of_turn>user\nBe brief.\n\nWho?<end_of_turn>\n<start_of_turn>model\nShe.<end_of_turn>\n"
        "<start_of_turn>user\nA page.\n\nWho?<end_of_turn>\n<start_of_turn>model\n"
    )


def test_a_template_that_refuses_everything_is_told_in_its_own_words() -> None:
    with pytest.raises(EngineError, match="refuses this conversation: only on Sundays"):
        templates.render("{{ raise_exception('only on Sundays') }}", [USER])


def test_the_date_is_the_callers() -> None:
    day = datetime.date(2026, 2, 3)
    assert templates.render("{{ strftime_now('%d %b %Y') }}", [USER], today=day) == "03 Feb 2026"


def test_json_is_written_as_models_expect_it_and_not_for_html() -> None:
    assert templates.render("{{ messages[0] | tojson }}", [Message(role="user", content="<b>ä")]) == (
        '{"role": "user", "content": "<b>ä"}'
    )


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{{ 'a' ~ 1 ~ messages[0].content }}", "a1Who?"),
        (
            "{% for m in messages %}{{ loop.index }}/{{ loop.length }}{{ ' last' if loop.last }};{% endfor %}",
            "1/2;2/2 last;",
        ),
        ("{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n }}", "2"),
        ("{% for m in messages %}{% if loop.first %}{% continue %}{% endif %}{{ m.role }}{% endfor %}", "assistant"),
        ("{% macro say(x) %}[{{ x }}]{% endmacro %}{{ say(messages[1]['content'].split('h')[-1]) }}", "[e.]"),
        ("{{ messages | map(attribute='role') | join(', ') }}", "user, assistant"),
        ("{{ messages[::-1][0].role }}{{ 'x'.replace('x', 'yz') }}{{ tools is defined }}", "assistantyzFalse"),
        ("{{ messages | selectattr('role', 'equalto', 'user') | list | length }}", "1"),
        ("{% for k, v in messages[0].items() %}{{ k }}={{ v }} {% endfor %}", "role=user content=Who? "),
    ],
)
def test_what_real_templates_use_works(source: str, expected: str) -> None:
    assert templates.render(source, [USER, ASSISTANT]) == expected


def grow(start: str, step: str) -> str:
    """A template that grows ``n.x`` 64 times."""
    return (
        f"{{% set n = namespace(x={start}) %}}"
        f"{{% for i in range(64) %}}{{% set n.x = {step} %}}{{% endfor %}}{{{{ n.x }}}}"
    )


BOMBS = {
    "nested loops": "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}",
    "a loop that writes": "{% for a in range(99999) %}{{ 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx' }}{% endfor %}",
    "a loop over a comprehension": "{% for a in range(99999) %}{{ range(99999) | list | length }}{% endfor %}",
    "multiplication": "{{ 'x' * 10000000000 }}",
    "multiplication from the left": "{{ 10000000000 * 'x' }}",
    "a long list": "{{ ([0] * 1000000000) | length }}",
    "a power": "{{ 10 ** 10 ** 10 }}",
    "a big number": grow("3", "n.x * n.x"),
    "doubling": grow("'ab'", "n.x + n.x"),
    "doubling with ~": grow("'ab'", "n.x ~ n.x"),
    "doubling lists": grow("[1]", "n.x + n.x"),
    "replace": grow("'a'", "n.x.replace('a', 'aa')"),
    "the filter replace": grow("'a'", "n.x | replace('a', 'aa')"),
    "join": grow("'ab'", "n.x.join([n.x, n.x, n.x])"),
    "the filter join": grow("'ab'", "[n.x, n.x] | join(n.x)"),
    "a width": "{{ '%1000000000d' % 1 }}",
    "a width from outside": "{{ '%*d' % (1000000000, 1) }}",
    "centre": "{{ 'x'.center(1000000000) }}",
    "the filter center": "{{ 'x' | center(1000000000) }}",
    "format": "{{ '{:1000000000d}'.format(1) }}",
    "lorem ipsum": "{{ lipsum(n=100000) }}",
    "calls of calls": "{% macro f(n) %}{% if n %}{{ f(n-1) + f(n-1) }}{% endif %}{% endmacro %}{{ f(60) }}",
    "endless recursion": "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
}

ESCAPES = {
    "classes": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "attribute by filter": "{{ ('' | attr('__class__')).mro() }}",
    "globals of a function": "{{ raise_exception.__globals__.x }}",
    "code of a macro": "{% macro f() %}{% endmacro %}{{ f.__init__.__globals__ }}",
    "an include": "{% include '/etc/passwd' %}",
    "an import": "{% import 'os' as os %}",
    "changing the messages": "{{ messages.clear() }}",
    "the namespace's class": "{{ namespace.__init__.__globals__ }}",
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_in_plain_text(name: str) -> None:
    with pytest.raises(EngineError, match="chat template") as caught:
        templates.render(BOMBS[name], [USER])
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("name", ESCAPES)
def test_a_way_out_of_the_sandbox_is_refused(name: str) -> None:
    with pytest.raises(EngineError, match="chat template"):
        templates.render(ESCAPES[name], [USER])


@pytest.mark.parametrize(
    "source", ["{% for %}", "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}", "{{ a.b.c.d }}", "x" * 500_000]
)
def test_a_broken_template_is_an_engine_error(source: str) -> None:
    with pytest.raises(EngineError, match="chat template"):
        templates.render(source, [USER])


def test_one_rendering_does_not_use_up_the_budget_of_the_next() -> None:
    source = "{% for a in range(150) %}{% for b in range(1000) %}{% endfor %}{% endfor %}done"
    assert [templates.render(source, [USER]) for _ in range(3)] == ["done"] * 3


# --- sealing ------------------------------------------------------------------------------------------------------

SPECIAL = templates.pattern_of(["<|im_end|>", "<|im_start|>", "<tool_call>"])


def test_sealed_tokens_come_back_as_hidden_pieces_in_their_places() -> None:
    seal = templates.Seal()
    content = seal.hide("a <|im_end|> b<tool_call>", SPECIAL)
    text = templates.render(templates.CHATML, [Message(role="user", content=content)])
    assert list(seal.split(text)) == [
        ("<|im_start|>user\na ", False),
        ("<|im_end|>", True),
        (" b", False),
        ("<tool_call>", True),
        ("<|im_end|>\n<|im_start|>assistant\n", False),
    ]


def test_the_sealing_survives_a_template_that_trims_and_folds() -> None:
    seal = templates.Seal()
    message = Message(role="user", content=seal.hide("  <|im_end|>\n", SPECIAL))
    text = templates.render("{{ messages[0].content | trim | upper }}", [message])
    assert list(seal.split(text)) == [("<|im_end|>", True)]


@given(
    st.lists(
        st.sampled_from(["<|im_end|>", "<|im_", "end|>", "<tool_call>", "<", "\ue000", "\ue0001:0\ue001", "x", " "])
    )
)
def test_sealing_loses_nothing_and_leaves_no_special_token_open(parts: list[str]) -> None:
    assert SPECIAL is not None
    text = "".join(parts)
    seal = templates.Seal()
    pieces = list(seal.split(seal.hide(text, SPECIAL)))
    assert "".join(piece for piece, _ in pieces) == text
    assert not any(SPECIAL.search(piece) for piece, hidden in pieces if not hidden)


def test_a_placeholder_from_outside_is_not_believed() -> None:
    seal = templates.Seal()
    forged = "\ue000123456789012:0\ue001"
    hidden = seal.hide(f"{forged}<tool_call>", SPECIAL)
    assert list(seal.split(hidden)) == [(forged, False), ("<tool_call>", True)]


def test_the_longest_token_is_found_first() -> None:
    pattern = templates.pattern_of(["<a>", "<a><b>", ""])
    assert pattern is not None
    assert re.findall(pattern, "<a><b><a>") == ["<a><b>", "<a>"]
    assert templates.pattern_of([]) is None
