"""The providers of one run: in the person's order, one after the other or all at once, each fall-back said aloud.

A failing provider is never "no results": its error is a note when another one answered, and the search's own error
when none did. Knows no single provider.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from fathom.core.errors import ToolError
from fathom.core.protocols import Hit, SearchOptions, SearchProvider
from fathom.core.redaction import redact
from fathom.core.settings import SearchSettings
from fathom.core.types import Struct
from fathom.tools.search.merge import is_on, merged

Leave = Callable[[str, str], Awaitable[None]]
"""Called with host and query before a provider is asked; raises ToolError when it may not be."""


class Refused(ToolError):
    """A person said no."""


class Health(Struct, frozen=True):
    """How a provider did lately; times are ISO 8601, UTC, "" for never."""

    last_success: str = ""
    last_error: str = ""
    last_error_at: str = ""

    @property
    def is_well(self) -> bool:
        """Whether its last answer was a good one."""
        return bool(self.last_success) and self.last_success >= self.last_error_at


class HealthBook:
    """The health of all providers since the start."""

    def __init__(self) -> None:
        self._health: dict[str, Health] = {}

    def of(self, name: str) -> Health:
        """One provider's health."""
        return self._health.get(name, Health())

    def note(self, name: str, error: str = "") -> None:
        """It answered, or failed with ``error``."""
        old, now = self.of(name), datetime.now(UTC).isoformat(timespec="milliseconds")
        self._health[name] = (
            Health(last_success=old.last_success, last_error=redact(error)[:400], last_error_at=now)
            if error
            else Health(last_success=now, last_error=old.last_error, last_error_at=old.last_error_at)
        )


class Found(NamedTuple):
    """``notes`` are for the model; ``told``, those of them that are for the person too: failures and fall-backs."""

    hits: list[Hit]
    notes: list[str]
    told: list[str]


class SearchPanel:
    """Made anew for each run from the settings."""

    def __init__(
        self,
        providers: Sequence[SearchProvider],
        settings: SearchSettings = SearchSettings(),  # noqa: B008 - frozen
        health: HealthBook | None = None,
    ) -> None:
        self.providers = tuple(providers)
        self.blocked = settings.blocked
        self._settings = settings
        self._health = health or HealthBook()

    @property
    def label(self) -> str:
        """The providers' names for people."""
        return ", ".join(provider.label for provider in self.providers) or "no search service"

    async def search(self, query: str, limit: int, options: SearchOptions, leave: Leave) -> Found:
        """Search. Raises ToolError when every provider that was asked failed, Refused when a person said no."""
        if not self.providers:
            raise ToolError("no search service is switched on; choose one in Settings")
        one = _Search(self, query, limit, options, leave)
        return await (one.together() if self._settings.together else one.in_turn())


class _Search:
    """One search: what the providers brought, and what is left of its time. Waiting for a person costs none."""

    def __init__(self, panel: SearchPanel, query: str, limit: int, options: SearchOptions, leave: Leave) -> None:
        self._panel, self._settings, self._health = panel, panel._settings, panel._health
        self._query, self._limit, self._options, self._leave = query, limit, options, leave
        self._left_s = self._settings.deadline_s
        self._found: dict[str, Sequence[Hit]] = {}  # by provider
        self._errors: dict[str, str] = {}
        self._notes: list[str] = []
        self._told: list[str] = []
        self._blocked = 0

    async def in_turn(self) -> Found:
        """The first provider that finds something."""
        before = ""
        for provider in self._panel.providers:
            if await self._may_ask(provider):
                if before:
                    self._say(f"{before}. {provider.label} was asked instead.")
                before = ""
                started = asyncio.get_running_loop().time()
                await self._ask(provider, self._left_s)
                self._left_s -= asyncio.get_running_loop().time() - started
            if self._found.get(provider.name) or not self._settings.fall_back or self._left_s <= 0:
                break
            failed = self._errors.get(provider.name) or f"{provider.label} found nothing"
            before = f"{before}; {failed}" if before else failed
        return self._result()

    async def together(self) -> Found:
        """All providers at once, merged."""
        asked = [provider for provider in self._panel.providers if await self._may_ask(provider)]
        await asyncio.gather(*(self._ask(provider, self._left_s) for provider in asked))
        return self._result()

    async def _may_ask(self, provider: SearchProvider) -> bool:
        """Whether it lacks nothing and nobody objects. Raises Refused when it is the only one."""
        if lacking := provider.unready():
            self._fail(provider, lacking)
            return False
        try:
            await self._leave(provider.host(self._options), self._query)
        except Refused as refusal:
            if len(self._panel.providers) == 1:
                raise
            self._errors[provider.name] = f"{provider.label} was not asked: {refusal}".rstrip(".")
            return False
        return True

    def _say(self, text: str) -> None:
        self._notes.append(text)
        self._told.append(text)

    async def _ask(self, provider: SearchProvider, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                hits = await provider.search(self._query, self._limit, self._options)
                if not hits and '"' in self._query:
                    hits = await provider.search(self._query.replace('"', " "), self._limit, self._options)
                    if hits:
                        self._notes.append(
                            f"{provider.label} found nothing with the quotation marks; searched without them."
                        )
        except TimeoutError:
            self._fail(provider, f"{provider.label} did not answer before the search's time was up")
        except ToolError as error:
            self._fail(provider, str(error))
        else:
            self._health.note(provider.name)
            kept = [hit for hit in hits if not is_on(hit.uri, self._settings.blocked)]
            self._blocked += len(hits) - len(kept)
            self._found[provider.name] = kept

    def _fail(self, provider: SearchProvider, error: str) -> None:
        self._health.note(provider.name, error)
        self._errors[provider.name] = error

    def _result(self) -> Found:
        # In the person's order, whichever came first
        answered = [provider for provider in self._panel.providers if provider.name in self._found]
        errors = [self._errors[one.name] for one in self._panel.providers if one.name in self._errors]
        if not answered:
            raise ToolError("; ".join(dict.fromkeys(errors)))
        for error in errors:
            if not any(error in told for told in self._told):
                self._say(f"{error}. These results are from {', '.join(one.label for one in answered)} only.")
        if self._blocked:
            what = "1 result is" if self._blocked == 1 else f"{self._blocked} results are"
            self._notes.append(f"{what} left out: their sites are blocked in the settings.")
        hits = merged([self._found[provider.name] for provider in answered], self._settings.pinned)
        return Found(hits[: self._limit], self._notes, self._told)
