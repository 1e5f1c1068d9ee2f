"""The seams between the floors, as Protocols.

``Backend`` is synchronous and lives in the engine's process; ``Engine`` is its asynchronous face, which the agent sees.
``Tool`` is one tool; ``Toolbox`` is what the agent sees of all of them.
"""

from __future__ import annotations

import bisect
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from typing import Any, ClassVar, Literal, Protocol

import msgspec

from fathom.core.events import EngineEvent
from fathom.core.types import (
    EngineInfo,
    Message,
    Observation,
    Passage,
    PermissionAnswer,
    PermissionKind,
    Report,
    Sampling,
    Scope,
    Session,
    ToolCall,
    ToolChoice,
    ToolSpec,
    Trajectory,
)


class GenerateRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One generation.

    The engine renders ``messages`` with the model's own chat template and opens the assistant's turn, then appends
    ``prefill`` (text put in the model's mouth; not echoed in the events). ``grammar`` is a llguidance Lark grammar
    over the generated text, "" for none; with it, the text is a complete word of the grammar unless the generation was
    cancelled or ran into ``max_tokens``. An engine whose ``info.constrained`` is false leaves it out.
    ``json_schema`` is for one whose ``info.schemas`` is true: the whole text is one JSON value of it. ``tools`` and
    ``tool_choice`` are for one whose ``info.native_tools`` is true.
    """

    messages: tuple[Message, ...]
    max_tokens: int
    sampling: Sampling = Sampling()
    prefill: str = ""
    stop: tuple[str, ...] = ()
    grammar: str = ""
    logprobs: bool = False
    json_schema: dict[str, Any] = {}
    tools: tuple[ToolSpec, ...] = ()
    tool_choice: ToolChoice = "auto"


class Backend(Protocol):
    """A model in this process. Not thread-safe: one generation at a time."""

    @property
    def info(self) -> EngineInfo: ...

    def generate(self, request: GenerateRequest, cancelled: Callable[[], bool]) -> Iterator[EngineEvent]:
        """Yield PrefillProgress and TokenDelta, and one GenerationFinished at the end, also after a cancel.

        Raises EngineError when the prompt does not fit or the grammar is refused.
        """
        ...

    def count_tokens(self, messages: Sequence[Message]) -> int:
        """Tokens of the rendered prompt of ``messages`` (of the bare text when it is one message of role "tool")."""
        ...

    def close(self) -> None: ...


class Engine(Protocol):
    """A model somewhere else. Closing the generator (``aclose``) or cancelling the task stops the generation."""

    @property
    def info(self) -> EngineInfo: ...

    def generate(self, request: GenerateRequest) -> AsyncGenerator[EngineEvent, None]:
        """As Backend.generate. Raises EngineDied when the process is gone."""
        ...

    async def count_tokens(self, messages: Sequence[Message]) -> int: ...

    async def close(self) -> None: ...


class Toolbox(Protocol):
    """What the agent sees of the tools of one session."""

    def specs(self) -> tuple[ToolSpec, ...]:
        """The tools that can be called now; it may change between turns."""
        ...

    def all_specs(self) -> tuple[ToolSpec, ...]:
        """Every tool of the run with its full schema, the same through the whole run: for the system prompt."""
        ...

    async def call(self, call: ToolCall) -> Observation:
        """Run a call. A ToolError inside becomes an observation with ``is_error``; bugs propagate."""
        ...


class ToolResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a tool returns: ``text`` for the model; ``title``, ``best`` for people; ``passages`` for citations.

    ``urls`` are the addresses that this result has shown to the model, and that may be opened from now on.
    """

    text: str
    title: str = ""
    best: str = ""
    passages: tuple[Passage, ...] = ()
    urls: tuple[str, ...] = ()


class Tool(Protocol):
    """One tool. Its ``Arguments`` struct is its JSON schema; that struct's docstring is what the model reads of it."""

    name: ClassVar[str]
    server: ClassVar[str]
    Arguments: ClassVar[type[msgspec.Struct]]

    def unavailable(self) -> str:
        """Why the tool is off just now, "" when it is on."""
        ...

    async def run(self, arguments: msgspec.Struct) -> ToolResult:
        """Do it. Raises ToolError for whatever the model can mend."""
        ...


class Hit(msgspec.Struct, frozen=True, kw_only=True):
    """A search result. ``snippet`` is original text around the match; ``score`` is higher for better.

    Of a saved document, ``snippet == document.text[start:end]``; from the web both are 0. ``page`` is the page of
    the match, 0 where there are none; ``path`` is the file, and ``also`` are other files with the same text.
    """

    uri: str
    title: str
    snippet: str
    score: float = 0.0
    collection: str = ""
    start: int = 0
    end: int = 0
    page: int = 0
    path: str = ""
    also: tuple[str, ...] = ()


class Document(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A saved document, as plain text or Markdown.

    ``pages`` are the offsets in ``text`` at which page 1, 2, ... of a PDF (slide of a presentation) begins, () where
    there are none. ``author`` and ``date`` are what the file says of itself, "" when it says nothing; ``doi`` stands in
    its text. ``also`` are other files with the same text.
    """

    uri: str
    title: str
    text: str
    collection: str = ""
    path: str = ""
    author: str = ""
    date: str = ""
    pages: tuple[int, ...] = ()
    doi: str = ""
    also: tuple[str, ...] = ()

    def page_at(self, offset: int) -> int:
        """The number of the page that holds a character, 0 where there are no pages."""
        return bisect.bisect_right(self.pages, offset)

    def passage(self, start: int, end: int) -> Passage:
        """``text[start:end]`` with what the document tells of itself and the page that it begins on."""
        return Passage(
            uri=self.uri,
            title=self.title,
            text=self.text[start:end],
            start=start,
            end=end,
            page=self.page_at(start),
            author=self.author,
            date=self.date,
            doi=self.doi,
        )


class LibraryIndex(Protocol):
    """The local library as the tools see it. Calls are short (milliseconds) and safe from any thread."""

    def search(self, query: str, scope: Scope, limit: int = 10, offset: int = 0) -> Sequence[Hit]: ...

    def document(self, uri: str) -> Document | None: ...


class SearchOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What a search may add to its words; a provider leaves out what its service does not know.

    ``gl`` is a country and ``hl`` a language of two letters, ``tbs`` Google's time filter ("qdr:w": the past week),
    ``page`` counts from 1.
    """

    gl: str = ""
    hl: str = ""
    location: str = ""
    tbs: str = ""
    page: int = 1
    autocorrect: bool = True


class SearchProvider(Protocol):
    """A web search service. Raises ToolError with provider, status and body when it fails: never an empty result."""

    name: ClassVar[str]
    label: ClassVar[str]
    needs_key: ClassVar[bool]

    def unready(self) -> str:
        """What it lacks before it can be asked (a key, an address), "" when nothing."""
        ...

    def host(self, options: SearchOptions) -> str:
        """The host that a search contacts."""
        ...

    async def search(self, query: str, limit: int, options: SearchOptions = ...) -> Sequence[Hit]: ...


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What a tool wants a person's leave for: ``address`` is a page's address, the words of a search, or a call.

    ``why`` is the model's own word on it, "" when it gave none; ``was_shown``: a result, a page or the question named
    the address.
    """

    kind: PermissionKind
    host: str
    address: str
    why: str = ""
    was_shown: bool = False


class Supervisor(Protocol):
    """Who watches over the tools of one run: is asked for leave, is told of fall-backs, lists the hosts contacted."""

    async def ask(self, wanted: Wanted) -> PermissionAnswer:
        """ "refuse" when nobody answers in time, or when there is nobody to ask."""
        ...

    def tell(self, text: str) -> None:
        """A note for the person, beside the observation."""
        ...

    def contacted(self, host: str, kind: PermissionKind) -> None:
        """``host`` is about to be contacted. May be called any number of times for the same one."""
        ...


class Exporter(Protocol):
    """Writes a finished or partial trajectory in one format. ``suffix`` holds the dot."""

    name: ClassVar[str]
    label: ClassVar[str]
    suffix: ClassVar[str]

    def render(self, session: Session, trajectory: Trajectory, report: Report) -> bytes: ...


FileKind = Literal["html", "pdf", "docx", "xlsx", "pptx", "hwpx", "csv", "json", "feed", "text"]
"""What a parser can be given; a feed is RSS or Atom, text is also Markdown, source code and other XML."""


class Parser(Protocol):
    """Turns the bytes of a hostile file into text, in a process that can be killed."""

    async def parse(self, data: bytes, kind: FileKind, url: str = "", charset: str = "") -> Document:
        """``charset`` is what the server said, "" when it said nothing.

        Raises ToolError when the file is broken, encrypted, without text, or took too long.
        """
        ...


class SavedPage(msgspec.Struct, frozen=True, kw_only=True):
    """A copy of a web page as the parser made it. ``fetched`` is ISO 8601 in UTC; ``final_url`` after redirects."""

    document: Document
    final_url: str
    fetched: str


class PageCache(Protocol):
    """Copies of web pages by address and time. Safe from any thread; raises DatabaseError."""

    def find(self, url: str, *, any_age: bool = False) -> SavedPage | None:
        """The newest copy; unless ``any_age``, only one that is young enough to stand for the page."""
        ...

    def known(self, urls: Sequence[str]) -> set[str]:
        """Those of ``urls`` that there is a copy of."""
        ...

    def save(self, url: str, final_url: str, document: Document) -> None: ...


class Extractor(Protocol):
    """A second, smaller model that reads a long page for the main one. Off unless the settings name a model for it."""

    async def pick(self, text: str, request: str, title: str = "") -> str:
        """What it copied from ``text`` for ``request``, a sentence a line; "" when it found nothing.

        Nothing of it is to be believed before it is found in the text. Raises ToolError when it could not be asked.
        """
        ...


class Sandbox(Protocol):
    """A place to run code without network, home or keys. Only its workspace and its Python last between calls."""

    @property
    def id(self) -> str: ...

    async def run(self, argv: Sequence[str], *, stdin: str = "", timeout_s: float = 60.0) -> SandboxResult: ...

    async def python(self, code: str, *, timeout_s: float = 60.0) -> SandboxResult:
        """Run code in the interpreter that keeps its variables."""
        ...

    async def write_file(self, path: str, data: AsyncIterator[bytes]) -> int:
        """Write a new file of the workspace; gives its size. Raises ToolError when the path lies outside of it."""
        ...

    async def read_file(self, path: str, take: Callable[[bytes], object]) -> int:
        """Hand a regular file of the workspace to ``take``; gives its size. Raises ToolError for anything else."""
        ...

    async def close(self) -> None: ...


class SandboxResult(msgspec.Struct, frozen=True, kw_only=True):
    """``output`` is stdout and stderr as they came, cut in the middle; ``exit_code`` is None after a time-out.

    ``notes`` say what was lost on the way: the interpreter's variables, or the whole sandbox.
    """

    output: str
    exit_code: int | None
    seconds: float
    timed_out: bool = False
    notes: tuple[str, ...] = ()
