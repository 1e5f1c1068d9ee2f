"""The tools of one run as the agent sees them: what can be called now, and a call that always gives an observation.

Knows the tools by their registry. Bugs propagate; what the model can mend becomes an observation.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from fathom.core import registry
from fathom.core.errors import ToolError
from fathom.core.protocols import ToolResult
from fathom.core.redaction import redacted
from fathom.core.types import Observation, ToolCall, ToolSpec
from fathom.tools import TOOLS
from fathom.tools.context import OfferedTool, ToolContext, ToolMaker


class SessionToolbox:
    """Implements ``core.protocols.Toolbox``."""

    def __init__(
        self,
        context: ToolContext,
        *,
        only: Sequence[str] = (),
        more: Sequence[ToolMaker] = (),
        notices: Sequence[str] = (),
    ) -> None:
        """``more`` are tools of other programs, ``notices`` what there is to say of them.

        Raises UnknownNameError when ``only`` names a tool that there is not.
        """
        self._context = context
        self._tools: dict[str, OfferedTool] = {}
        self._off: dict[str, str] = {}
        self._chosen_off: set[str] = set()
        self._notices = tuple(notices)
        makers: list[ToolMaker] = [registry.load(TOOLS, name, "tool") for name in only or TOOLS]
        for make in (*makers, *more):
            tool = make(context)
            name, reason = tool.spec(now=False).name, tool.unavailable()
            if reason:
                self._off[name] = reason
                if tool.off_by_choice():
                    self._chosen_off.add(name)
            else:
                self._tools.setdefault(name, tool)

    @property
    def context(self) -> ToolContext:
        """What the tools share."""
        return self._context

    def specs(self) -> tuple[ToolSpec, ...]:
        """The tools that can be called now, with the values that make sense now."""
        return tuple(tool.spec(now=True) for tool in self._tools.values() if tool.offered())

    def all_specs(self) -> tuple[ToolSpec, ...]:
        """Every tool that is on, with its full schema: the same through the whole run, so that a prompt's start is."""
        return tuple(tool.spec(now=False) for tool in self._tools.values())

    def notices(self) -> list[str]:
        """Why tools are off that the person did not switch off, and what there is to say of other programs' tools."""
        reasons: dict[str, list[str]] = {}
        for name, reason in self._off.items():
            if name in self._chosen_off:
                continue
            reasons.setdefault(reason, []).append(name)
        off = [f"{', '.join(names)} {'is' if len(names) == 1 else 'are'} off: {why}" for why, names in reasons.items()]
        return [*off, *self._notices]

    async def call(self, call: ToolCall) -> Observation:
        """Run a call and time it. What the model got wrong, or a tool could not do, comes back with ``is_error``.

        An observation holds no key, whatever a service or a page echoes.
        """
        return redacted(await self._observed(call))

    async def _observed(self, call: ToolCall) -> Observation:
        started = time.monotonic()
        try:
            result = await self._run(call)
        except ToolError as error:
            return Observation(
                call_id=call.id,
                tool=call.name,
                text=f"Error: {error}",
                title="This did not work",
                best=str(error).splitlines()[0] if str(error) else "",
                is_error=True,
                seconds=time.monotonic() - started,
            )
        self._context.seen.show((address, _title(result, address)) for address in result.urls)
        return Observation(
            call_id=call.id,
            tool=call.name,
            text=result.text,
            title=result.title,
            best=result.best,
            passages=result.passages,
            seconds=time.monotonic() - started,
        )

    async def close(self) -> None:
        """Remove the sandbox and its files. May be called twice."""
        await asyncio.shield(self._context.close())

    async def _run(self, call: ToolCall) -> ToolResult:
        tool = self._tools.get(call.name)
        if tool is None:
            if call.name in self._off:
                raise ToolError(f"{call.name} is off: {self._off[call.name]}")
            raise ToolError(f"there is no tool {call.name!r}. The tools are: {', '.join(self._tools)}.")
        return await tool.call(call.arguments)


def _title(result: ToolResult, address: str) -> str:
    return next((passage.title for passage in result.passages if passage.uri == address), "")
