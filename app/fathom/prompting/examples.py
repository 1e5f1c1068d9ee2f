"""Worked examples for small models, as finished conversations in front of the question.

The people and works in them do not exist, so that nothing of them can pass for knowledge. Knows no engine and no tool
but the names of the two that it shows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fathom.core.types import Message, Observation, Step, Struct, Task, ToolCall, ToolSpec
from fathom.prompting.formats.base import CallFormat

SEARCH, READ = "google_search", "scrape_and_extract_info"


class Example(Struct, frozen=True):
    """A question, its steps as (thought, tool, arguments, result), what the last turn says, and the answer."""

    question: str
    steps: tuple[tuple[str, str, dict[str, str], str], ...]
    ready: str
    answer: str


EXAMPLES = (
    Example(
        question="In which city was the painter Ilse Varga born?",
        steps=(
            (
                "I search for the painter Ilse Varga.",
                SEARCH,
                {"q": "painter Ilse Varga born"},
                'Results for "painter Ilse Varga born":\n'
                "1. Ilse Varga\n   link: library://example/k31\n   Ilse Varga was a painter of the ...\n"
                "2. Varga (surname)\n   link: library://example/k74\n   Varga is a surname.",
            ),
            (
                "The page Ilse Varga can tell me. I open it.",
                READ,
                {"url": "library://example/k31", "info_to_extract": "city where Ilse Varga was born"},
                "Page: Ilse Varga\nURL: library://example/k31\n\n"
                "Ilse Varga was a painter of the open air. She was born in Szeged in 1911.",
            ),
        ),
        ready="The page says that Ilse Varga was born in Szeged. I am ready to answer.",
        answer="Ilse Varga was born in Szeged in 1911. \\boxed{Szeged}",
    ),
    Example(
        question="What is the profession of the director of the film Harbour Lights of Odda?",
        steps=(
            (
                "I search for the film Harbour Lights of Odda.",
                SEARCH,
                {"q": "Harbour Lights of Odda film director"},
                'Results for "Harbour Lights of Odda film director":\n'
                "1. Harbour Lights of Odda\n   link: library://example/m08\n   Harbour Lights of Odda is a film ...\n"
                "2. Odda\n   link: library://example/m52\n   Odda is a town.",
            ),
            (
                "The page Harbour Lights of Odda can tell me. I open it.",
                READ,
                {"url": "library://example/m08", "info_to_extract": "director of Harbour Lights of Odda"},
                "Page: Harbour Lights of Odda\nURL: library://example/m08\n\n"
                "Harbour Lights of Odda is a film by Tove Brandal.",
            ),
            (
                "The director is Tove Brandal. I search for Tove Brandal.",
                SEARCH,
                {"q": "Tove Brandal"},
                'Results for "Tove Brandal":\n'
                "1. Tove Brandal\n   link: library://example/m90\n   Tove Brandal is a ...",
            ),
            (
                "The page Tove Brandal can tell me. I open it.",
                READ,
                {"url": "library://example/m90", "info_to_extract": "profession of Tove Brandal"},
                "Page: Tove Brandal\nURL: library://example/m90\n\nTove Brandal is a dentist who makes films.",
            ),
        ),
        ready="The page says that Tove Brandal is a dentist. I am ready to answer.",
        answer="The director of Harbour Lights of Odda is Tove Brandal, who is a dentist. \\boxed{dentist}",
    ),
)


def example_messages(
    call_format: CallFormat, specs: Sequence[ToolSpec], request: Callable[[str], str], count: int
) -> tuple[Message, ...]:
    """The first ``count`` examples as messages; none when a tool that they use is not there.

    ``request`` makes the message that asks for the final answer to a question.
    """
    if not {SEARCH, READ} <= {spec.name for spec in specs}:
        return ()
    messages: list[Message] = []
    for example in EXAMPLES[:count]:
        messages.append(call_format.question(Task(question=example.question)))
        for number, (thought, tool, arguments, result) in enumerate(example.steps, 1):
            call = ToolCall(id=f"{number}.0", name=tool, arguments=dict(arguments))
            observation = Observation(call_id=call.id, tool=tool, text=result)
            messages.append(call_format.action(Step(index=number, thought=thought, calls=(call,))))
            messages.append(call_format.result(observation))
        messages.append(Message(role="assistant", content=example.ready))
        messages.append(Message(role="user", content=request(example.question)))
        messages.append(Message(role="assistant", content=example.answer))
    return tuple(messages)
