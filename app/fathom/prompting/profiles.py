"""Profiles: the format, sampling and context of a model family, read from ``models/profiles/*.toml``.

A profile is found by its name, or from what a loaded engine says of itself. Knows no engine and no tool.
"""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import PurePath
from typing import Literal

import msgspec

from fathom.core.registry import UnknownNameError
from fathom.core.settings import models_path
from fathom.core.types import EngineInfo, Sampling, Struct, ToolChoice
from fathom.prompting.context import Budget

DEFAULT = "default"


class Fractions(Struct, frozen=True):
    """Shares of the context: kept free, for one turn's output, for one observation."""

    reserve: float = 0.02
    output: float = 0.12
    observation: float = 0.06


class Match(Struct, frozen=True):
    """Which models a profile is for: parts of the model's name or file name (any case), or architectures."""

    names: tuple[str, ...] = ()
    architectures: tuple[str, ...] = ()


class Profile(Struct, frozen=True):
    """How to run one family of models."""

    name: str
    label: str = ""
    format: str = "hermes"
    context_tokens: int = 8192  # what to load it with when nobody says otherwise
    sampling: Sampling = Sampling()
    answer_sampling: Sampling | None = None  # for the final answer; None: as ``sampling``
    fractions: Fractions = Fractions()
    thought_tokens: int = 512  # at most, of a turn
    answer_tokens: int = 1024  # at most, of the final answer
    required_calls: int = 0  # a call is required until so many have brought something; the step shows it
    constrained: bool = True  # hold calls to their schemas while they are written
    compact: bool = False  # the short system prompt and the short schemas, for small models
    one_line_thoughts: bool = False  # a thought is one line, for small models that ramble
    nudges: dict[ToolChoice, str] = msgspec.field(default_factory=dict)  # a sentence under the newest message of a turn
    examples: int = 0  # worked examples in front of the question
    boxed: bool = False  # hold the final answer to prose that ends in \boxed{...}
    answer_from: Literal["conversation", "passages"] = "conversation"  # what the final answer is written from
    withhold_repeated: bool = False  # leave out the tool whose call was just repeated, for models that get stuck
    tools: tuple[str, ...] = ()  # offer only these; empty: all
    observation_chars: int = 6000  # what a result should fit into, in characters
    results: int = 5  # hits of a search
    match: Match = Match()

    def budget(self, context_tokens: int) -> Budget:
        """The context's shares in tokens."""
        return Budget(
            context=context_tokens,
            reserve=int(context_tokens * self.fractions.reserve),
            output=int(context_tokens * self.fractions.output),
            observation=int(context_tokens * self.fractions.observation),
        )

    def nudge(self, choice: ToolChoice, question: str) -> str:
        """The sentence under the newest message of a turn with this choice, for small models that forget the task.

        ``{question}`` in it stands for the question.
        """
        return self.nudges.get(choice, "").replace("{question}", question)

    def tool_choice(self, useful_calls: int) -> ToolChoice:
        """Whether the next turn must call a tool, when ``useful_calls`` have brought something so far."""
        return "required" if useful_calls < self.required_calls else "auto"


@cache
def profiles() -> dict[str, Profile]:
    """All profiles by name. Raises msgspec.ValidationError with the file's name when one is malformed."""
    found = {}
    for path in sorted(models_path("profiles").glob("*.toml")):
        try:
            found[path.stem] = msgspec.convert(tomllib.loads(path.read_text("utf-8")) | {"name": path.stem}, Profile)
        except (msgspec.ValidationError, tomllib.TOMLDecodeError) as error:
            raise msgspec.ValidationError(f"{path.name}: {error}") from error
    return found


def load_profile(model: EngineInfo | str) -> Profile:
    """The profile called so, or the one for a loaded engine: as it says, by its name, by its architecture, default.

    Raises UnknownNameError that lists the known ones.
    """
    known = profiles()
    if isinstance(model, str) or model.profile:
        name = model if isinstance(model, str) else model.profile
        if name not in known:
            raise UnknownNameError(f"unknown profile {name!r}; known: {', '.join(known)}")
        return known[name]
    called = f"{model.model} {PurePath(model.path).name}".casefold()
    matches = [(len(part), p) for p in known.values() for part in p.match.names if part.casefold() in called]
    if matches:  # the longest name says the most
        return max(matches, key=lambda match: match[0])[1]
    for profile in known.values():
        if model.architecture in profile.match.architectures:
            return profile
    return known[DEFAULT]
