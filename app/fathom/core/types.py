"""The values of a run: frozen msgspec structs, no behaviour beyond what their own fields tell.

Everything here can be stored and sent as JSON by msgspec. Offsets are in characters, durations in seconds.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

Role = Literal["system", "user", "assistant", "tool"]
ToolChoice = Literal["auto", "required", "none"]
FinishReason = Literal[
    "answered",  # a turn without a call: the model was ready to answer
    "max_calls",  # the call budget is used up
    "max_time",  # the time budget is used up
    "context_full",  # the context check before a turn said that no further turn fits
    "finish_now",  # the person asked for the report from what there is
    "repetition",  # the model only repeated itself
    "stopped",  # the person stopped the run: no report
    "failed",  # the engine died or an error ended the run
]


PermissionKind = Literal["search", "page", "tool"]  # tool: of another program, over MCP
PermissionAnswer = Literal["once", "always", "refuse"]  # always: this host or tool, for the rest of the session


class Struct(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base of Fathom's values."""


class Message(Struct, frozen=True):
    """One turn of a chat, as a chat template takes it."""

    role: Role
    content: str


class ToolSpec(Struct, frozen=True):
    """What the model is told of a tool. ``parameters`` is a JSON schema of type object."""

    name: str
    description: str
    parameters: dict[str, Any]
    server: str = "fathom"


class ToolCall(Struct, frozen=True):
    """An action. ``id`` is unique in its trajectory ("3.0": step 3, first call)."""

    id: str
    name: str
    arguments: dict[str, Any]


class Passage(Struct, frozen=True):
    """A saved piece of a document: ``text == document[start:end]`` at the time of reading.

    ``page``, ``author``, ``date`` and ``doi`` are what the document tells; 0 and "" where it does not.
    """

    uri: str
    title: str
    text: str
    start: int = 0
    end: int = 0
    page: int = 0
    author: str = ""
    date: str = ""
    doi: str = ""


class Observation(Struct, frozen=True):
    """What came back from a call.

    ``text`` is what the model reads (already cut to the observation cap, ``cut_chars`` of it left out). ``title`` and
    ``best`` are for people: the source's title and its best sentence. ``passages`` are what citations rest on.
    """

    call_id: str
    tool: str
    text: str
    title: str = ""
    best: str = ""
    passages: tuple[Passage, ...] = ()
    is_error: bool = False
    interrupted: bool = False
    cut_chars: int = 0
    seconds: float = 0.0


class Usage(Struct, frozen=True):
    """Cost of one generation. ``prompt_tokens`` includes the ``reused_tokens`` found in the KV cache."""

    prompt_tokens: int = 0
    reused_tokens: int = 0
    completion_tokens: int = 0
    prefill_seconds: float = 0.0
    decode_seconds: float = 0.0

    @property
    def tokens_per_second(self) -> float:
        """Decode speed, 0.0 when nothing was decoded."""
        return self.completion_tokens / self.decode_seconds if self.decode_seconds > 0 else 0.0


class Sampling(Struct, frozen=True):
    """Sampling settings; the defaults are the paper's."""

    temperature: float = 1.0
    top_p: float = 0.95
    top_k: int = 0
    min_p: float = 0.0
    repeat_penalty: float = 1.05
    seed: int | None = None


class Step(Struct, frozen=True):
    """One think-act-observe turn. ``raw`` is the model's text to the letter, ``thought`` what people read of it."""

    index: int
    thought: str
    calls: tuple[ToolCall, ...] = ()
    observations: tuple[Observation, ...] = ()
    raw: str = ""
    tool_choice: ToolChoice = "auto"
    usage: Usage = Usage()
    token_ids: tuple[int, ...] = ()
    logprobs: tuple[float, ...] = ()


class Scope(Struct, frozen=True):
    """Where a run may look.

    ``collections`` narrows the documents to these collections ("papers") and folders ("papers/2024"); empty means all.
    With ``web`` and ``ask`` a person is asked before each contact with a host.
    """

    sample: bool = True
    documents: bool = True
    web: bool = False
    ask: bool = False
    collections: tuple[str, ...] = ()


class Task(Struct, frozen=True):
    """What was asked. ``attachments`` are absolute paths that the person attached, the only files a tool may upload."""

    question: str
    scope: Scope = Scope()
    attachments: tuple[str, ...] = ()
    today: str = ""  # YYYY-MM-DD, fixed when the task is made so that a replay sees the same prompt


class Citation(Struct, frozen=True):
    """[number] in a report: the saved passage that it opens, and the words in it that the claim rests on."""

    number: int
    step: int
    passage: Passage
    quote: str = ""


class Report(Struct, frozen=True):
    """The result for people.

    ``answer`` is the short answer ("" when there is none); ``answer_backed`` says whether a saved passage contains it.
    ``body`` is Markdown with [n] marks, one per entry of ``citations``.
    """

    question: str
    answer: str
    answer_backed: bool
    body: str
    citations: tuple[Citation, ...] = ()

    @property
    def unbacked(self) -> bool:
        """Whether there is a short answer that no saved passage contains."""
        return bool(self.answer) and not self.answer_backed


class Trajectory(Struct, frozen=True):
    """A pure value: the task, the steps taken so far, and how it ended (``finish_reason`` is None while it runs)."""

    task: Task
    steps: tuple[Step, ...] = ()
    answer: str = ""
    report: Report | None = None
    finish_reason: FinishReason | None = None

    @property
    def calls_made(self) -> int:
        """Tool calls so far."""
        return sum(len(step.calls) for step in self.steps)


class EngineSpec(Struct, frozen=True):
    """Which model a session runs on, as plain data. ``model`` is a path of a GGUF or of an MLX folder.

    In a session's choice "" is the small model that comes with Fathom, and ``backend`` may be "" (what suits this
    computer) or "endpoint" (``model`` is then the server's).
    From ``gpu_layers`` on the fields are llama.cpp's; other backends do not look at them.
    """

    backend: str = "llamacpp"
    model: str = ""
    context_tokens: int = 0  # 0: the profile decides
    profile: str = ""  # "": found from the model's metadata
    gpu_layers: int = -1  # on the graphics card; -1: all
    kv_type: Literal["f16", "q8_0"] = "f16"  # q8_0: half the memory, slower on a processor
    flash_attention: bool = True
    batch_tokens: int = 0  # of a prompt computed at once; 0: 512
    shift_memory: bool = False  # experimental: cut old results out of the KV cache instead of computing again


COMPUTES = {"llamacpp": "llama.cpp", "mlx": "MLX", "endpoint": "a server"}
"""Backend -> what people call it."""


class EngineInfo(Struct, frozen=True):
    """What a loaded engine says of itself, and what it can do."""

    backend: str
    model: str  # a name for people
    path: str = ""
    architecture: str = ""
    context_tokens: int = 0
    train_context_tokens: int = 0
    profile: str = ""
    device: str = "cpu"
    host: str = ""  # where the text goes, "" while it stays on this computer
    constrained: bool = True  # whether a grammar is held to; without, the loop reads calls as the model writes them
    schemas: bool = False  # whether a whole answer can be held to ``GenerateRequest.json_schema``
    native_tools: bool = False  # wants ``GenerateRequest.tools``, and writes calls back as the profile's text
    notices: tuple[str, ...] = ()  # what a person should know of it at a run's start
    scripted: bool = False  # True for the demonstration engine: the window says so


SessionState = Literal["waiting", "running", "paused", "done", "partial", "stopped", "failed", "interrupted"]


class Session(Struct, frozen=True):
    """Identity of a run. A fork has a parent session and step. ``seconds`` is the time spent running.

    ``unbacked``: it has a short answer that no saved passage contains.
    """

    id: str
    title: str
    created: str  # ISO 8601, UTC
    task: Task
    state: SessionState = "waiting"
    engine: EngineSpec = EngineSpec()
    model_name: str = ""
    seconds: float = 0.0
    sources: int = 0
    steps: int = 0
    sample: bool = False  # a recording that comes with Fathom
    parent_id: str = ""
    parent_step: int = 0
    unbacked: bool = False

    @property
    def answered_by(self) -> str:
        """The model and what computed it, for people: "Qwen3 8B on llama.cpp"; "" before it began."""
        if not self.model_name or self.sample:
            return self.model_name
        computes = COMPUTES.get(self.engine.backend, "")
        return f"{self.model_name} on {computes}" if computes else self.model_name
