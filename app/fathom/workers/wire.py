"""The messages between an engine's client and its process: tagged structs, one JSON line each.

Knows no pipe and no process.
"""

from __future__ import annotations

import msgspec

from fathom.core.errors import EngineError, EngineMissing, FathomError, ModelFileError
from fathom.core.events import GenerationFinished, PrefillProgress, RowFinished, TokenDelta
from fathom.core.protocols import GenerateRequest
from fathom.core.types import EngineInfo, EngineSpec, Message


class WireMessage(msgspec.Struct, frozen=True, kw_only=True, tag=True, omit_defaults=True):
    """Base of the messages. ``id`` is the request's number, 0 for what belongs to none."""

    id: int = 0


# --- to the engine ------------------------------------------------------------------------------------------------


class Load(WireMessage, frozen=True):
    """The first message: load this model. ``threads`` 0 means one per core."""

    spec: EngineSpec
    threads: int = 0


class Generate(WireMessage, frozen=True):
    request: GenerateRequest


class GenerateBatch(WireMessage, frozen=True):
    """Run ``requests`` together, at most ``width`` of them in the same step."""

    requests: tuple[GenerateRequest, ...]
    width: int


class CountTokens(WireMessage, frozen=True):
    messages: tuple[Message, ...]


class Score(WireMessage, frozen=True):
    """The log-probabilities of ``ids`` as the assistant's next words after ``messages`` and ``prefill``.

    Without ``ids`` of ``text``, tokenised. ``exact``: token by token, as a generation computes.
    """

    messages: tuple[Message, ...]
    prefill: str = ""
    text: str = ""
    ids: tuple[int, ...] = ()
    exact: bool = False


class UseAdapter(WireMessage, frozen=True):
    """Compute with the LoRA adapter at ``path`` (a GGUF; a folder for MLX) from now on; "" for none."""

    path: str = ""


class UseThreads(WireMessage, frozen=True):
    """Compute with so many threads from now on; 0 for the backend's own choice."""

    threads: int = 0


class Cancel(WireMessage, frozen=True):
    """Stop the generation, the batch or the scoring ``id``; unknown or finished ids are ignored."""


class Close(WireMessage, frozen=True):
    """End the process."""


Request = Load | Generate | GenerateBatch | CountTokens | Score | UseAdapter | UseThreads | Cancel | Close


# --- from the engine ----------------------------------------------------------------------------------------------


class Loading(WireMessage, frozen=True):
    """``done`` is between 0 and 1."""

    done: float


class Ready(WireMessage, frozen=True):
    info: EngineInfo


class Generated(WireMessage, frozen=True):
    event: PrefillProgress | TokenDelta | GenerationFinished


class RowEnded(WireMessage, frozen=True):
    row: RowFinished


class Alive(WireMessage, frozen=True):
    """A batch is being computed: at most one a second."""


class Counted(WireMessage, frozen=True):
    tokens: int


class Scored(WireMessage, frozen=True):
    """Nats; one for each of ``ids``."""

    ids: tuple[int, ...]
    logprobs: tuple[float, ...]


class Done(WireMessage, frozen=True):
    """What was asked for is done."""


class Failed(WireMessage, frozen=True):
    """The request (or, with id 0, the loading) failed. ``kind`` names the class of the error."""

    kind: str
    message: str
    needs: str = ""
    has: str = ""
    do: str = ""
    remedy: str = ""

    @classmethod
    def of(cls, error: FathomError, id: int = 0) -> Failed:  # noqa: A002
        """The message for ``error``."""
        if isinstance(error, (ModelFileError, EngineMissing)):
            return cls(
                id=id,
                kind=type(error).__name__,
                message=error.message,
                needs=error.needs,
                has=error.has,
                do=error.do,
                remedy=error.remedy,
            )
        return cls(id=id, kind="EngineError", message=str(error))

    def error(self) -> FathomError:
        """The error to raise on the parent's side."""
        for known in (ModelFileError, EngineMissing):
            if self.kind == known.__name__:
                return known(self.message, needs=self.needs, has=self.has, do=self.do, remedy=self.remedy)
        return EngineError(self.message)


Reply = Loading | Ready | Generated | RowEnded | Alive | Counted | Scored | Done | Failed

encode = msgspec.json.encode
decode_request = msgspec.json.Decoder(Request).decode
decode_reply = msgspec.json.Decoder(Reply).decode
