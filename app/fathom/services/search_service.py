"""The search services as a person arranged them: their order, keys and health, a test for each, and a run's panel.

Composes settings, keys and providers. Knows no window.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from fathom.core import registry
from fathom.core.errors import ToolError, UserError
from fathom.core.protocols import SearchOptions
from fathom.core.settings import SearchSettings, Settings
from fathom.core.types import Struct
from fathom.services.keys import Keys, KeyStoreState
from fathom.tools.search import PROVIDERS
from fathom.tools.search.panel import Health, HealthBook, SearchPanel
from fathom.tools.search.provider import WebProvider

TEST_QUERY = "lighthouse"
TEST_DEADLINE_S = 15.0


class ProviderState(Struct, frozen=True):
    """One provider as the settings show it."""

    name: str
    label: str
    about: str
    on: bool
    host: str
    takes_key: bool
    needs_key: bool
    key_page: str
    takes_address: bool
    address: str = ""
    health: Health = Health()


class TestResult(Struct, frozen=True):
    """How a test search went, in one sentence."""

    __test__ = False  # not a test class of pytest's

    ok: bool
    message: str


class SearchService:
    """Changes of the settings are saved at once and count from the next run on."""

    def __init__(self, settings: Settings, keys: Keys | None = None) -> None:
        self._settings = settings
        self.keys = keys or Keys()
        self.health = HealthBook()

    @property
    def settings(self) -> SearchSettings:
        """How the web is searched."""
        return self._settings.search

    def order(self) -> list[str]:
        """All providers in the person's order."""
        chosen = [name for name in dict.fromkeys(self.settings.order) if name in PROVIDERS]
        return [*chosen, *(name for name in PROVIDERS if name not in chosen)]

    def providers(self) -> list[ProviderState]:
        """All providers in order. Reads no key."""
        return [self._state(name) for name in self.order()]

    def labels_on(self) -> list[str]:
        """The names, for people, of those that are asked."""
        return [self._class(name).label for name in self.order() if name in self.settings.on]

    # --- changing -------------------------------------------------------------------------------------------------

    def switch(self, name: str, on: bool) -> None:
        """Ask this provider from now on, or no longer."""
        _known(name)
        chosen = [one for one in self.settings.on if one != name]
        self._change(on=tuple([*chosen, name] if on else chosen))

    def move(self, name: str, places: int) -> None:
        """Up (-1) or down (1) in the order."""
        order = self.order()
        at = order.index(_known(name))
        order.insert(min(max(0, at + places), len(order) - 1), order.pop(at))
        self._change(order=tuple(order))

    def set_address(self, name: str, address: str) -> None:
        """A provider's own server, "" for none. Raises UserError when it is no address."""
        _known(name)
        address = address.strip().rstrip("/")
        if address and not address.startswith(("http://", "https://")):
            raise UserError(
                "This is no address of a server.", needs="an address like http://localhost:8888", has=address[:80]
            )
        addresses = {one: value for one, value in self.settings.addresses.items() if one != name}
        self._change(addresses=addresses | ({name: address} if address else {}))

    def set_together(self, together: bool) -> None:
        """Ask all at once and merge, or one after the other."""
        self._change(together=together)

    def set_sites(self, *, blocked: Sequence[str] | None = None, pinned: Sequence[str] | None = None) -> None:
        """Sites to leave out, and sites to put first."""
        if blocked is not None:
            self._change(blocked=tuple(dict.fromkeys(site.strip() for site in blocked if site.strip())))
        if pinned is not None:
            self._change(pinned=tuple(dict.fromkeys(site.strip() for site in pinned if site.strip())))

    async def set_key(self, name: str, key: str) -> KeyStoreState:
        """Keep a key and switch the provider on. Raises UserError when it cannot be one."""
        state = await asyncio.to_thread(self.keys.set, _keyed(name), key)
        if name not in self.settings.on:
            self.switch(name, True)
        return state

    async def remove_key(self, name: str) -> bool:
        """Forget a key; False when there was none. Raises UserError when the keyring keeps it."""
        return await asyncio.to_thread(self.keys.remove, _keyed(name))

    async def has_key(self, name: str) -> bool:
        """Whether there is a key. May wait for the keyring to be unlocked."""
        return bool(await asyncio.to_thread(self.keys.get, _known(name)))

    # --- searching ------------------------------------------------------------------------------------------------

    async def panel(self) -> SearchPanel:
        """The providers that are on, with their keys, for one run."""
        names = [name for name in self.order() if name in self.settings.on]
        return SearchPanel([await self._provider(name) for name in names], self.settings, self.health)

    async def test(self, name: str) -> TestResult:
        """Search for one word and say how it went. The word and the key leave this computer."""
        provider = await self._provider(_known(name), deadline_s=TEST_DEADLINE_S)
        try:
            hits = await provider.search(TEST_QUERY, 3, SearchOptions())
        except ToolError as error:
            self.health.note(name, str(error))
            return TestResult(ok=False, message=str(error))
        self.health.note(name)
        found = "1 result" if len(hits) == 1 else f"{len(hits)} results"
        return TestResult(ok=True, message=f"{provider.label} works: {found} for “{TEST_QUERY}”")

    async def _provider(self, name: str, **options: float) -> WebProvider:
        made = self._class(name)
        key = await asyncio.to_thread(self.keys.get, name) if made.takes_key else ""
        return made(base_url=self.settings.addresses.get(name, ""), key=key, **options)

    def _class(self, name: str) -> type[WebProvider]:
        found: type[WebProvider] = registry.load(PROVIDERS, name, "search provider")
        return found

    def _state(self, name: str) -> ProviderState:
        made = self._class(name)
        address = self.settings.addresses.get(name, "")
        return ProviderState(
            name=name,
            label=made.label,
            about=made.about,
            on=name in self.settings.on,
            host=made(base_url=address).host(SearchOptions()) if address or made.site else "",
            takes_key=made.takes_key,
            needs_key=made.needs_key,
            key_page=made.key_page,
            takes_address=not made.site,
            address=address,
            health=self.health.of(name),
        )

    def _change(self, **fields: object) -> None:
        self._settings.search = msgspec.structs.replace(self.settings, **fields)
        self._settings.save()


def _known(name: str) -> str:
    if name not in PROVIDERS:
        raise UserError(f"There is no search service {name!r}.", has=", ".join(PROVIDERS), do="Name one of these.")
    return name


def _keyed(name: str) -> str:
    provider: type[WebProvider] = registry.load(PROVIDERS, _known(name))
    if not provider.takes_key:
        raise UserError(f"{provider.label} takes no key.", do="It works without one.")
    return name
