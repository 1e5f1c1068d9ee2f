"""What the tools of one run share: where to look, which addresses were shown, the sandbox, the folders.

Knows no single tool, and not the agent.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol

import msgspec

from fathom.core.errors import ToolError
from fathom.core.protocols import Extractor, LibraryIndex, PageCache, Parser, Supervisor, ToolResult
from fathom.core.types import Observation, Scope, Step, Task, ToolSpec
from fathom.tools.addresses import FetchPolicy
from fathom.tools.pages import PageReader
from fathom.tools.permission import Gate
from fathom.tools.sandbox.holder import SandboxHolder
from fathom.tools.sandbox.settings import COMMAND_S
from fathom.tools.schema import description, flat_schema
from fathom.tools.search.panel import SearchPanel
from fathom.tools.seen import SeenAddresses, addresses_in

LINK = "   link: "
"""How a search result's line with its address begins; the model cannot write such a line itself."""


class ToolContext:
    """Made by ``open``; ``close`` removes the sandbox and its files."""

    def __init__(
        self,
        *,
        scope: Scope,
        question: str = "",
        library: LibraryIndex,
        parser: Parser,
        sandbox: SandboxHolder,
        attachments: Sequence[str] = (),
        downloads_dir: Path,
        compact: bool = False,
        observation_chars: int = 6000,
        results: int = 5,
        fetch_policy: FetchPolicy | None = None,
        search: SearchPanel | None = None,
        supervisor: Supervisor | None = None,
        pages: PageCache | None = None,
        extractor: Extractor | None = None,
    ) -> None:
        self.scope = scope
        self.question = question
        self.library = library
        self.parser = parser
        self.sandbox = sandbox
        self.attachments = tuple(Path(path) for path in attachments)
        self.downloads_dir = downloads_dir
        self.compact = compact
        self.observation_chars = observation_chars
        self.results = results
        self.search = search or SearchPanel(())
        self.gate = Gate(scope, supervisor, self.search.blocked)
        self.fetch_policy = self.gate.policy(fetch_policy or FetchPolicy())
        self.extractor = extractor
        self.pages = PageReader(parser, self.fetch_policy, pages)
        self.seen = SeenAddresses()

    @classmethod
    async def open(
        cls,
        task: Task,
        *,
        library: LibraryIndex,
        parser: Parser,
        downloads_dir: Path,
        session_dir: Path,
        compact: bool = False,
        observation_chars: int = 6000,
        results: int = 5,
        history: Sequence[Step] = (),
        fetch_policy: FetchPolicy | None = None,
        search: SearchPanel | None = None,
        supervisor: Supervisor | None = None,
        pages: PageCache | None = None,
        extractor: Extractor | None = None,
        command_s: int = COMMAND_S,
    ) -> ToolContext:
        """Try out the sandbox, and note the addresses that the question and the steps so far have shown."""
        context = cls(
            scope=task.scope,
            question=task.question,
            library=library,
            parser=parser,
            sandbox=await SandboxHolder.open(session_dir, command_s=command_s),
            attachments=task.attachments,
            downloads_dir=downloads_dir,
            compact=compact,
            observation_chars=observation_chars,
            results=results,
            fetch_policy=fetch_policy,
            search=search,
            supervisor=supervisor,
            pages=pages,
            extractor=extractor,
        )
        context.seen.show((address, "") for address in addresses_in(task.question))
        for step in history:
            for observation in step.observations:
                context._remember(observation)
        return context

    def _remember(self, observation: Observation) -> None:
        """What an earlier observation showed. Not whatever stands in its text: the model's own words are in there."""
        for passage in observation.passages:
            self.seen.note(addresses_in(passage.text))
        titles = {passage.uri: passage.title for passage in observation.passages}
        if observation.tool == "google_search":
            links = [line.removeprefix(LINK) for line in observation.text.splitlines() if line.startswith(LINK)]
            titles = {link: titles.get(link, "") for link in links}
        self.seen.show(titles.items())

    async def close(self) -> None:
        """Remove the sandbox and its files."""
        await self.sandbox.close()


class SessionTool:
    """Base of the tools: on, always offered, and with the schema that its ``Arguments`` give.

    Satisfies ``core.protocols.Tool``.
    """

    name: ClassVar[str]
    server: ClassVar[str]
    Arguments: ClassVar[type[msgspec.Struct]]
    aliases: ClassVar[dict[str, str]] = {}  # what models write instead of an argument's name

    def __init__(self, context: ToolContext) -> None:
        self.context = context

    def unavailable(self) -> str:
        """Why the tool is off for the whole run, "" when it is on."""
        return ""

    def off_by_choice(self) -> bool:
        """Whether it is off because the person wanted it so: then nobody needs to be told."""
        return False

    def offered(self) -> bool:
        """Whether the model may call it in this turn."""
        return True

    def mended(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """The arguments with near-miss names put right."""
        return {self.aliases.get(name, name): value for name, value in arguments.items()}

    def narrow(self, schema: dict[str, Any]) -> dict[str, Any]:
        """The schema for this turn, for instance with the values that make sense now."""
        return schema

    def spec(self, *, now: bool) -> ToolSpec:
        """What the model is told of the tool: with the values that make sense ``now``, or in full."""
        schema = flat_schema(self.Arguments, compact=self.context.compact)
        return ToolSpec(
            name=self.name,
            description=description(self.Arguments),
            parameters=self.narrow(schema) if now else schema,
            server=self.server,
        )

    async def call(self, arguments: dict[str, Any]) -> ToolResult:
        """Check the arguments and run. Raises ToolError that says what it takes when they are not right."""
        try:
            checked = msgspec.convert(self.mended(arguments), self.Arguments, strict=False)
        except msgspec.ValidationError as error:
            wanted = ", ".join(field.name for field in msgspec.structs.fields(self.Arguments))
            raise ToolError(f"the arguments of {self.name} are not right: {error}. It takes: {wanted}.") from None
        return await self.run(checked)

    async def run(self, arguments: msgspec.Struct) -> ToolResult:
        """Do it. Raises ToolError for whatever the model can mend."""
        raise NotImplementedError


class OfferedTool(Protocol):
    """What the toolbox needs of a tool, whether Fathom's own or another program's."""

    def unavailable(self) -> str:
        """Why it is off for the whole run, "" when it is on."""
        ...

    def off_by_choice(self) -> bool:
        """Whether the person switched it off."""
        ...

    def offered(self) -> bool:
        """Whether the model may call it in this turn."""
        ...

    def spec(self, *, now: bool) -> ToolSpec:
        """What the model is told of it: with the values that make sense ``now``, or in full."""
        ...

    async def call(self, arguments: dict[str, Any]) -> ToolResult:
        """Raises ToolError for whatever the model can mend."""
        ...


ToolMaker = Callable[[ToolContext], OfferedTool]
"""Makes a tool of another program for one run."""
