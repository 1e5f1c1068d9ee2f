"""Which saved passage backs a sentence or a short answer. Pure; compares words, judges no meaning.

A short answer is backed only where a passage holds it to the letter, but for case, width, spaces and punctuation. Works
on any script: words where there are spaces, overlapping character pairs for Chinese, Japanese and Korean.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from fathom.core.types import Passage, Step, Struct

_STOP_WORDS = (
    "a an and are as at be been but by can did do does for from had has have he her him his how i in into "
    "is it its of on or our she so than that the their them then there these they this those to was we "
    "were what when where which who whom whose why will with would you your not no yes also "
)
_STOP = frozenset(_STOP_WORDS.split())
_UNTESTABLE = frozenset({"yes", "no", "true", "false", "both", "neither", "none"}) | _STOP
_CJK = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff]")
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff]+|[^\W_]+(?:\.\d+)?")
_SENTENCE_END = re.compile(r"(?<=[.!?])[\"')\]]*\s+(?=[\"'(\[]?[^\sa-z])|(?<=[。！？])|\n+")
_ABBREVIATION = re.compile(r"(?:\b[A-Z]|\b(?:Mr|Mrs|Ms|Dr|St|Jr|Sr|vs|No|Prof|Gen|Col|Lt|etc|e\.g|i\.e|c))\.$")
_MIN_SHARE, _MIN_TERMS = 0.6, 3


class Saved(NamedTuple):
    """A passage of the trace. ``read``: from a page that was opened, not from a list of results."""

    step: int
    passage: Passage
    read: bool


class Backing(Struct, frozen=True):
    """A passage and the words of it that back something: ``quote == passage.text[start:end]``."""

    step: int
    passage: Passage
    start: int
    end: int

    @property
    def quote(self) -> str:
        """The words."""
        return self.passage.text[self.start : self.end]


def saved_passages(steps: Iterable[Step]) -> list[Saved]:
    """The passages of all steps, each once, at the step that read it; those of opened pages first."""
    found: dict[tuple[str, int, str], Saved] = {}
    for step in steps:
        for observation in step.observations:
            if observation.is_error:
                continue
            read = observation.tool != "google_search"
            for passage in observation.passages:
                key = (passage.uri, passage.start, passage.text)
                if passage.text.strip() and (key not in found or (read and not found[key].read)):
                    found[key] = Saved(step.index, passage, read)
    return sorted(found.values(), key=lambda saved: (not saved.read, saved.step))


def sentences(text: str) -> Iterator[tuple[int, int]]:
    """(start, end) of each sentence or line of ``text``, without the white space around it."""
    start = 0
    for match in [*_SENTENCE_END.finditer(text), None]:
        end = match.start() if match else len(text)
        if match and not match[0].startswith("\n") and _ABBREVIATION.search(text[max(0, end - 8) : end]):
            continue
        piece = text[start:end]
        if piece.strip():
            yield start + len(piece) - len(piece.lstrip()), start + len(piece.rstrip())
        start = match.end() if match else end


@lru_cache(maxsize=4096)
def terms(text: str) -> frozenset[str]:
    """The telling words of ``text``: lower case, without stop words and plain endings; character pairs for CJK."""
    found: set[str] = set()
    for match in _WORD.finditer(unicodedata.normalize("NFKC", text).casefold()):
        word = match[0]
        if _CJK.match(word):
            found.update(word[at : at + 2] for at in range(max(1, len(word) - 1)))
        elif word not in _STOP:
            found.add(_stem(word))
    return frozenset(found)


def _stem(word: str) -> str:
    for ending in ("ing", "ed", "es", "s"):
        if len(word) > len(ending) + 3 and word.endswith(ending) and word.isascii():
            return word.removesuffix(ending)
    return word


def find(needle: str, text: str) -> tuple[int, int] | None:
    """Where ``text`` holds ``needle`` as whole words, but for case, width, spaces and punctuation; (start, end)."""
    wanted, _ = _normal(needle)
    wanted = wanted.strip()
    if not wanted:
        return None
    hay, places = _normal(text)
    at = hay.find(wanted)
    while at >= 0:
        end = at + len(wanted)
        if _edge(hay, at) and _edge(hay, end):
            return places[at], places[end - 1] + 1
        at = hay.find(wanted, at + 1)
    return None


def _normal(text: str) -> tuple[str, list[int]]:
    """Letters and digits of ``text`` in lower case, one space for whatever is between; and where each came from."""
    letters: list[str] = []
    places: list[int] = []
    for place, character in enumerate(text):
        for folded in unicodedata.normalize("NFKC", character).casefold():
            inside = 0 < place < len(text) - 1 and text[place - 1].isdigit() and text[place + 1].isdigit()
            if folded.isalnum() or unicodedata.category(folded).startswith("M"):
                kept = folded
            elif inside and folded in ".,":
                if folded == ",":
                    continue  # 1,234 is 1234
                kept = "."
            else:
                if letters and letters[-1] == " ":
                    continue
                kept = " "
            letters.append(kept)
            places.append(place)
    return "".join(letters), places


def _edge(text: str, at: int) -> bool:
    """Whether a word may begin or end between ``text[at - 1]`` and ``text[at]``."""
    if at == 0 or at == len(text):
        return True
    before, after = text[at - 1], text[at]
    if before == " " or after == " ":
        return True
    return bool(_CJK.match(before) or _CJK.match(after))


def back_answer(answer: str, question: str, saved: Sequence[Saved]) -> Backing | None:
    """The passage that holds the short ``answer`` to the letter; of several, where the question's words are near.

    None for what a passage cannot hold as such (yes, no), and for a bare number unless its sentence, with the page's
    title, is about the question.
    """
    words = terms(answer)
    plain = " ".join(answer.casefold().split()).strip(" .!?。")
    if not plain or plain in _UNTESTABLE or not words:
        return None
    number = bool(re.fullmatch(r"[\W\d_]+", answer))
    asked = terms(question) - words
    best: tuple[tuple[float, bool], Backing] | None = None
    for item in saved:
        text = item.passage.text
        for start, end in sentences(text):
            place = find(answer, text[start:end])
            if place is None:
                continue
            shared = len(asked & (terms(text[start:end]) | terms(item.passage.title)))
            if number and shared < min(2, len(asked)):
                continue
            score = (float(shared), item.read)
            if best is None or score > best[0]:
                best = score, Backing(step=item.step, passage=item.passage, start=start, end=end)
    if best is None and not number:
        best = _across_sentences(answer, saved)
    return best[1] if best else None


def _across_sentences(answer: str, saved: Sequence[Saved]) -> tuple[tuple[float, bool], Backing] | None:
    """For an answer that the splitting into sentences has torn apart."""
    for item in saved:
        if place := find(answer, item.passage.text):
            backing = Backing(step=item.step, passage=item.passage, start=place[0], end=place[1])
            return (0.0, item.read), backing
    return None


def back_sentence(sentence: str, saved: Sequence[Saved]) -> Backing | None:
    """The passage sentence that says what ``sentence`` says: most of its telling words, and all of its numbers."""
    wanted = terms(sentence)
    if len(wanted) < _MIN_TERMS:
        return None
    numbers = {term for term in wanted if any(character.isdigit() for character in term)}
    best: tuple[float, Backing] | None = None
    for item in saved:
        text = item.passage.text
        around = terms(item.passage.title)
        for start, end in sentences(text):
            here = terms(text[start:end])
            if not numbers <= here:
                continue
            share = (len(wanted & here) + 0.5 * len(wanted & (around - here))) / len(wanted)
            if share >= _MIN_SHARE and len(wanted & here) >= _MIN_TERMS and (best is None or share > best[0]):
                best = share, Backing(step=item.step, passage=item.passage, start=start, end=end)
    return best[1] if best else None


def telling_sentences(question: str, saved: Sequence[Saved], limit: int) -> list[Backing]:
    """The sentences of opened pages that share most with ``question``, best first, at most two of one passage."""
    wanted = terms(question)
    ranked: list[tuple[float, int, Backing]] = []
    for order, item in enumerate(saved):
        if not item.read:
            continue
        title = terms(item.passage.title)
        for start, end in sentences(item.passage.text):
            here = terms(item.passage.text[start:end])
            score = len(wanted & here) + 0.5 * len(wanted & (title - here))
            if score > 0 and len(here) >= 3:
                ranked.append((score, -order, Backing(step=item.step, passage=item.passage, start=start, end=end)))
    ranked.sort(key=lambda entry: entry[:2], reverse=True)
    chosen: list[Backing] = []
    for _, _, backing in ranked:
        if sum(other.passage.uri == backing.passage.uri for other in chosen) < 2:
            chosen.append(backing)
        if len(chosen) == limit:
            break
    return chosen
