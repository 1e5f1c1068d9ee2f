r"""The report: short answer, prose and sources with numbered citations, from the trace alone. Pure.

Every number stands for a saved passage and the words in it. A short answer that no passage holds has
``answer_backed`` false: the window and every exporter label it so. They also list the sources, each in its own way.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from fathom.agent.evidence import (
    Backing,
    back_answer,
    back_sentence,
    saved_passages,
    sentences,
    telling_sentences,
)
from fathom.core.types import Citation, Report, Trajectory

NO_ANSWER = "The run ended without an answer. This is what it found."

_BOX = re.compile(r"\\boxed\s*\{")
_PHRASE = re.compile(r'\s*The answer is "([^"\n]{1,200})"\.?\s*', re.I)
_NO_ANSWERS = frozenset({"", "?", "unknown", "none", "n/a", "not found", "unanswerable", "answer", "your answer"})
_TELLING = 5
_MARK = re.compile(r"\s*\[\d{1,3}\]")
_REFUSAL = re.compile(
    r"\b(?:cannot|can't|could not|couldn't|unable|don't know|do not know|not (?:possible|mention|say))", re.I
)


def boxed(text: str) -> str:
    r"""What stands in the last ``\boxed{...}`` that says something, braces nested; "" when there is none.

    "?", "unknown" and "..." say nothing.
    """
    for match in reversed(list(_BOX.finditer(text))):
        inside = _inside(text, match.end())
        if inside is not None and _says_something(inside):
            return _plain(inside)
    return ""


def build_report(trajectory: Trajectory, final_text: str) -> Report:
    """The report on ``trajectory`` with the model's ``final_text``, "" when it did not get to write one."""
    saved = saved_passages(trajectory.steps)
    question = trajectory.task.question
    answer = trajectory.answer or _short_answer(final_text)
    sources = _Sources()
    backing = back_answer(answer, question, saved) if answer else None
    parts: list[str] = []
    if answer:
        mark = sources.mark(backing) if backing else ""
        parts += ["## Short answer", f"**{escape(answer)}**{mark}"]
    else:
        parts.append(f"*{NO_ANSWER}*")
    prose = _without_boxes(final_text)
    if prose and prose.strip(" .") != answer.strip(" ."):
        cited = []
        for start, end in sentences(prose):
            match = back_sentence(prose[start:end], saved)
            cited.append((start, end, sources.mark(match) if match else ""))
        parts.append(_marked(prose, cited))
    telling = telling_sentences(question, saved, _TELLING)
    if telling:
        parts.append("## What the passages say")
        parts.append("\n".join(f"- {escape(_line(each.quote))}{sources.mark(each)}" for each in telling))
    return Report(
        question=question,
        answer=answer,
        answer_backed=backing is not None,
        body="\n\n".join(parts) + "\n",
        citations=tuple(sources.citations),
    )


class _Sources:
    """Numbers the citations in the order in which they are first used."""

    def __init__(self) -> None:
        self.citations: list[Citation] = []
        self._numbers: dict[tuple[str, int, str], int] = {}

    def mark(self, backing: Backing) -> str:
        """`` [n]`` for the backing's words."""
        key = (backing.passage.uri, backing.passage.start + backing.start, backing.quote)
        if key not in self._numbers:
            self._numbers[key] = len(self.citations) + 1
            self.citations.append(
                Citation(number=self._numbers[key], step=backing.step, passage=backing.passage, quote=backing.quote)
            )
        return f" [{self._numbers[key]}]"


def escape(text: str) -> str:
    """``text`` from a page or a model as plain text in Markdown: no links, pictures, HTML, headings or lists."""
    text = re.sub(r"([\\`*_\[\]<>|#~])", r"\\\1", text)
    return re.sub(r"^(\s*)([-+=]|\d+[.)])(?=\s)", r"\1\\\2", text, flags=re.MULTILINE)


def _inside(text: str, start: int) -> str | None:
    depth = 1
    for place in range(start, len(text)):
        if text[place] == "{":
            depth += 1
        elif text[place] == "}":
            depth -= 1
            if depth == 0:
                return text[start:place]
    return None


def _says_something(answer: str) -> bool:
    return _plain(answer).strip(" .…").casefold() not in _NO_ANSWERS


def _plain(answer: str) -> str:
    """An answer without LaTeX's \\text{} and the like around it."""
    answer = answer.strip()
    match = re.fullmatch(r"\\(?:text|textbf|mathrm|mathbf)\s*\{(.*)\}", answer, re.DOTALL)
    return " ".join((match[1] if match else answer).split())


def _short_answer(text: str) -> str:
    """The boxed answer, or the phrase of ``The answer is "..."``; without either, the first sentence when it is one."""
    if _BOX.search(text):
        return boxed(text)
    if phrase := _PHRASE.match(text):
        return _plain(phrase[1]).rstrip(".。 ") if _says_something(phrase[1]) else ""
    first = next((text[start:end] for start, end in sentences(text)), "")
    if not first or len(first) > 200 or _REFUSAL.search(first) or not _says_something(first):
        return ""
    return _line(_MARK.sub("", first))


def _without_boxes(text: str) -> str:
    """The prose with each box replaced by what stands in it; a box alone on its line is left out, and so is the
    sentence of a small model that holds nothing but the answer."""
    result = _MARK.sub("", _PHRASE.sub("", text, count=1) if _PHRASE.match(text) else text)
    while match := _BOX.search(result):
        inside = _inside(result, match.end())
        if inside is None:
            return result[: match.start()].strip()
        end = match.end() + len(inside) + 1
        line_start = result.rfind("\n", 0, match.start()) + 1
        alone = not re.search(r"\w{2,}", result[line_start : match.start()]) or result[
            line_start : match.start()
        ].strip().casefold().rstrip(":* ") in ("answer", "final answer", "the answer is", "short answer")
        tail = result[end:].partition("\n")[0]
        if alone and not re.search(r"\w", tail):
            result = result[:line_start] + result[end + len(tail) :]
        else:
            result = result[: match.start()] + inside + result[end:]
    return result.replace("$$", "").strip()


def _marked(prose: str, cited: Sequence[tuple[int, int, str]]) -> str:
    """The prose with its marks; pictures, links and HTML in it become plain text, other Markdown stays."""
    pieces, last = [], 0
    for _, end, mark in cited:
        pieces += [_tame(prose[last:end]), mark]
        last = end
    return "".join([*pieces, _tame(prose[last:])])


def _tame(text: str) -> str:
    return re.sub(r"([\[\]<])", r"\\\1", text)


def _line(text: str) -> str:
    return " ".join(text.split())
