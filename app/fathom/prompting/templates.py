"""Chat templates: a list of messages becomes the text that the model was trained on.

A template comes out of a model file, so it is foreign code: it runs in Jinja's immutable sandbox, with a small set of
filters and string methods, and within budgets for loops and sizes. Contents are sealed before and unsealed after the
rendering, so that a special token spelled out in a web page stays text. Knows no tokenizer, no file and no process.
"""

from __future__ import annotations

import datetime
import functools
import itertools
import json
import re
import secrets
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.exceptions import SecurityError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from fathom.core.errors import EngineError
from fathom.core.types import Message

CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
"""The template for a model file that brings none."""

MAX_TEMPLATE_CHARS = 400_000
MAX_STEPS = 400_000  # turns of loops, and calls
MAX_SECONDS = 5.0
_ROOM_CHARS = 400_000  # what a template may add to the messages' own length

_WORD = re.compile(r"\w+")
_STRING_METHODS = frozenset(
    _WORD.findall("""
    capitalize casefold count endswith find index isalnum isalpha isdigit islower isspace isupper join lower lstrip
    partition removeprefix removesuffix replace rfind rindex rpartition rsplit rstrip split splitlines startswith
    strip swapcase title upper
    """)
)
_FILTERS = _WORD.findall("""
    abs attr batch bool capitalize count d default dictsort e escape first float groupby int items last length
    list lower map max min reject rejectattr reverse round safe select selectattr sort string title
    trim unique upper
    """)


class _Budget:
    """What one rendering may still spend."""

    def __init__(self, max_chars: int) -> None:
        self.steps = MAX_STEPS
        self.max_chars = max_chars
        self.deadline = time.monotonic() + MAX_SECONDS

    def step(self, steps: int = 1) -> None:
        self.steps -= steps
        if self.steps < 0:
            raise SecurityError(f"the template takes more than {MAX_STEPS} steps")
        if time.monotonic() > self.deadline:
            raise SecurityError(f"the template takes longer than {MAX_SECONDS} s")

    def each(self, items: Iterable[Any]) -> Iterator[Any]:
        for item in items:
            self.step()
            yield item

    def fits(self, size: float) -> None:
        if size > self.max_chars:
            raise SecurityError(f"the template makes a text of more than {self.max_chars} characters")


def _size(value: object) -> int:
    return len(value) if isinstance(value, (str, list, tuple, dict)) else 0


class _TemplateEnvironment(ImmutableSandboxedEnvironment):
    """The sandbox, with every loop and call counted, and every operation that can blow a value up measured first."""

    intercepted_binops = frozenset(["+", "*", "**", "%", "//", "/"])

    def __init__(self) -> None:
        super().__init__(
            trim_blocks=True, lstrip_blocks=True, optimized=False, extensions=["jinja2.ext.loopcontrols"], cache_size=0
        )
        self.budget = _Budget(_ROOM_CHARS)
        known = self.filters
        self.filters = {name: known[name] for name in _FILTERS if name in known}
        self.filters |= {
            "tojson": _to_json,
            "replace": lambda text, old, new, count=-1: self._replace(str(text), str(old), str(new), count),
            "join": lambda items, separator="", attribute=None: self._join(
                str(separator), [getattr(item, attribute, "") if attribute else item for item in items]
            ),
            "_each": lambda items: self.budget.each(items),
            "_concat": lambda items: self._join("", items),
        }
        self.globals = {"range": self._range, "dict": dict, "namespace": self.globals["namespace"]}

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree = super()._parse(source, name, filename)
        for loop in list(tree.find_all(nodes.For)):
            loop.iter = nodes.Filter(loop.iter, "_each", [], [], None, None, lineno=loop.lineno)
        return _bounded_concatenations(tree)

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        if operator == "*":
            for text, count in ((left, right), (right, left)):
                if isinstance(text, (str, list, tuple)) and isinstance(count, int):
                    self.budget.fits(len(text) * count)
        elif operator == "**":
            raise SecurityError("the template computes a power")
        elif operator == "%" and isinstance(left, str) and re.search(r"%[^a-zA-Z%]*[\d*]", left):
            raise SecurityError("the template formats to a width")
        elif operator == "+":
            self.budget.fits(_size(left) + _size(right))
        result = super().call_binop(context, operator, left, right)
        if isinstance(result, int) and result.bit_length() > 256:
            raise SecurityError("the template computes a number of more than 256 bits")
        return result

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        if isinstance(obj, (str, bytes)) and attr not in _STRING_METHODS:
            return False
        return super().is_safe_attribute(obj, attr, value)

    def call(self, context: Any, function: Any, *args: Any, **kwargs: Any) -> Any:
        self.budget.step()
        owner = getattr(function, "__self__", None)
        if isinstance(owner, str) and getattr(function, "__name__", "") in ("replace", "join"):
            return (self._replace if function.__name__ == "replace" else self._join)(owner, *args, **kwargs)
        return super().call(context, function, *args, **kwargs)

    def wrap_str_format(self, value: Any) -> None:
        """No str.format at all: it pads to any width."""

    def _range(self, *bounds: int) -> range:
        found = range(*bounds)
        self.budget.step(len(found))
        return found

    def _replace(self, text: str, old: str, new: str, count: int | None = -1) -> str:
        found = len(text) + 1 if not old else text.count(old)
        self.budget.fits(len(text) + found * len(new))
        return text.replace(old, new, -1 if count is None else count)

    def _join(self, separator: str, items: Iterable[Any]) -> str:
        parts, size = [], 0
        for item in items:
            parts.append(str(item))
            size += len(parts[-1]) + len(separator)
            self.budget.fits(size)
        return separator.join(parts)


def _bounded_concatenations(tree: nodes.Template) -> nodes.Template:
    """``a ~ b`` through a filter that measures: the operator itself cannot be intercepted."""

    def rewrite(node: nodes.Node) -> nodes.Node:
        for field, value in node.iter_fields():
            if isinstance(value, nodes.Node):
                setattr(node, field, rewrite(value))
            elif isinstance(value, list):
                setattr(node, field, [rewrite(item) if isinstance(item, nodes.Node) else item for item in value])
        if isinstance(node, nodes.Concat):
            parts = nodes.List(node.nodes, lineno=node.lineno)
            return nodes.Filter(parts, "_concat", [], [], None, None, lineno=node.lineno)
        return node

    rewrite(tree)
    if tree.environment is not None:
        tree.set_environment(tree.environment)  # for the nodes that are new
    return tree


def _to_json(value: Any, ensure_ascii: bool = False, indent: int | None = None, **_: Any) -> str:
    """As chat templates expect it (not Jinja's own, which escapes for HTML)."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=min(indent, 8) if indent else None)


class _Refused(Exception):
    """The template itself called raise_exception."""


def _raise(message: object) -> None:
    raise _Refused(str(message)[:300])


@functools.lru_cache(maxsize=8)
def _compiled(source: str) -> tuple[_TemplateEnvironment, jinja2.Template]:
    if len(source) > MAX_TEMPLATE_CHARS:
        raise EngineError(
            f"the model's chat template has {len(source)} characters; at most {MAX_TEMPLATE_CHARS} are read"
        )
    environment = _TemplateEnvironment()
    try:
        return environment, environment.from_string(source)
    except (jinja2.TemplateError, RecursionError, MemoryError, SyntaxError, OverflowError) as error:
        raise EngineError(f"the model's chat template cannot be read: {_plain(error)}") from error


def _plain(error: BaseException) -> str:
    return str(error).strip() or type(error).__name__


def _render_once(
    source: str,
    messages: Sequence[Mapping[str, str]],
    add_generation_prompt: bool,
    bos: str,
    eos: str,
    today: datetime.date,
) -> str:
    environment, template = _compiled(source)
    budget = _Budget(_ROOM_CHARS + 4 * sum(len(message["content"]) for message in messages))
    environment.budget = budget
    pieces: list[str] = []
    try:
        for piece in template.generate(
            messages=[dict(message) for message in messages],
            add_generation_prompt=add_generation_prompt,
            bos_token=bos,
            eos_token=eos,
            raise_exception=_raise,
            strftime_now=today.strftime,
        ):
            pieces.append(piece)
            budget.max_chars -= len(piece)
            budget.fits(0)
    except _Refused:
        raise
    except Exception as error:  # whatever a foreign template does wrong is the template's error, told in plain text
        raise EngineError(f"the model's chat template failed: {_plain(error)[:300]}") from error
    return "".join(pieces)


def render(
    template: str,
    messages: Sequence[Message],
    *,
    add_generation_prompt: bool = True,
    bos: str = "",
    eos: str = "",
    today: datetime.date | None = None,
) -> str:
    """The prompt of ``messages``, with the assistant's turn opened when ``add_generation_prompt``.

    A template that never heard of the role "tool" gets those messages as the user's. One that refuses a role, or two
    turns of one role in a row, gets them merged and the system's words put in front of the first user's. Raises
    EngineError in plain text when the template is broken, refuses every form, or spends more than its budget.
    """
    date = today or datetime.datetime.now(datetime.UTC).date()
    plain = [{"role": message.role, "content": message.content} for message in messages]
    knows_tool = "tool" in re.sub(r"tools|tool_call", "", template)
    refusal = ""
    for mapped in _forms(plain, knows_tool):
        try:
            return _render_once(template, mapped, add_generation_prompt, bos, eos, date)
        except _Refused as error:
            refusal = refusal or str(error)
    raise EngineError(f"the model's chat template refuses this conversation: {refusal}")


def _forms(messages: list[dict[str, str]], knows_tool: bool) -> Iterator[list[dict[str, str]]]:
    as_user = [message | {"role": "user"} if message["role"] == "tool" else message for message in messages]
    yield messages if knows_tool else as_user
    merged = _merge(as_user)
    yield merged
    if merged and merged[0]["role"] == "system":
        yield _merge([merged[0] | {"role": "user"}, *merged[1:]])


def _merge(messages: Iterable[Mapping[str, str]]) -> list[dict[str, str]]:
    """Turns of the same role in a row become one, an empty line between them."""
    merged = []
    for role, group in itertools.groupby(messages, key=lambda message: message["role"]):
        merged.append({"role": role, "content": "\n\n".join(message["content"] for message in group)})
    return merged


# --- sealing: special tokens in contents stay text ----------------------------------------------------------------


class Seal:
    """Hides special tokens that stand in contents from the tokenizer's eye while a template is rendered.

    Each becomes a placeholder of private-use characters around a number that nobody outside can guess (digits, so that
    a template's trim or upper leaves it whole); :meth:`split` tells them from the template's own text afterwards.
    """

    def __init__(self) -> None:
        self._nonce = str(10**11 + secrets.randbelow(9 * 10**11))
        self._hidden: list[str] = []
        self._mark = re.compile(f"\ue000{self._nonce}:(\\d+)\ue001")

    def hide(self, text: str, special: re.Pattern[str] | None) -> str:
        """``text`` with every match of ``special`` replaced by a placeholder."""
        return special.sub(self._placeholder, text) if special else text

    def _placeholder(self, match: re.Match[str]) -> str:
        self._hidden.append(match[0])
        return f"\ue000{self._nonce}:{len(self._hidden) - 1}\ue001"

    def split(self, text: str) -> Iterator[tuple[str, bool]]:
        """(piece, hidden) in order; a hidden piece is to be tokenised as plain text."""
        end = 0
        for match in self._mark.finditer(text):
            if match.start() > end:
                yield text[end : match.start()], False
            yield self._hidden[int(match[1])], True
            end = match.end()
        if end < len(text):
            yield text[end:], False


def pattern_of(tokens: Iterable[str]) -> re.Pattern[str] | None:
    """A pattern that finds any of ``tokens``, the longest first; None when there are none."""
    found = sorted({token for token in tokens if token}, key=len, reverse=True)
    return re.compile("|".join(map(re.escape, found))) if found else None
