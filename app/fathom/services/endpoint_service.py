"""A server of the person's own: its address, model and key, a test, and the engine that talks to it.

Composes settings, keys and the remote engine. A key belongs to one host and port: another address does not get it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec

from fathom.core.errors import FathomError
from fathom.core.settings import EndpointSettings, Settings
from fathom.core.types import Struct

if TYPE_CHECKING:
    from fathom.engines.remote import RemoteEngine
    from fathom.services.keys import Keys, KeyStoreState


class EndpointTest(Struct, frozen=True):
    """How a test went: one sentence, or what was needed, what there is and what to do; and the server's models."""

    ok: bool
    message: str
    models: tuple[str, ...] = ()


class EndpointService:
    """Belongs to the event loop's thread. Changes of the settings are saved at once."""

    def __init__(self, settings: Settings, keys: Keys | None = None) -> None:
        self._settings = settings
        self._keys = keys
        self.changes = 0
        """Grows with every change: an engine that was opened before one is to be opened anew."""

    @property
    def settings(self) -> EndpointSettings:
        """The server as it is chosen."""
        return self._settings.endpoint

    @property
    def keys(self) -> Keys:
        """Where keys are kept."""
        if self._keys is None:
            from fathom.services.keys import Keys

            self._keys = Keys()
        return self._keys

    @property
    def where(self) -> str:
        """Host and port for people, "" while there is no address."""
        from fathom.engines.remote_address import read_address

        try:
            return read_address(self.settings.base_url).where
        except FathomError:
            return ""

    @property
    def leaves_for(self) -> str:
        """Where text goes that leaves this computer; "" for a server on this computer."""
        from fathom.engines.remote_address import read_address

        try:
            address = read_address(self.settings.base_url)
        except FathomError:
            return ""
        return "" if address.loopback else address.where

    # --- changing -------------------------------------------------------------------------------------------------

    def set_address(self, text: str) -> None:
        """Another server; the model and the leave to send text there are forgotten. Raises UserError."""
        from fathom.engines.remote_address import read_address

        root = read_address(text).root
        if root != self.settings.base_url:
            self.change(base_url=root, model="", allow_remote=False)

    def change(self, **changes: object) -> None:
        """Change fields of the settings."""
        self._settings.endpoint = msgspec.structs.replace(self.settings, **changes)
        self._settings.save()
        self.changes += 1

    async def has_key(self) -> bool:
        """Whether this server's key is kept. May wait for the keyring to be unlocked."""
        return bool(await asyncio.to_thread(self.keys.get, self._key_name()))

    async def set_key(self, key: str) -> KeyStoreState:
        """Keep this server's key. Raises UserError when it cannot be one, or when there is no address yet."""
        from fathom.engines.remote_address import read_address

        read_address(self.settings.base_url)
        self.changes += 1
        return await asyncio.to_thread(self.keys.set, self._key_name(), key)

    async def remove_key(self) -> bool:
        """Forget this server's key."""
        self.changes += 1
        return await asyncio.to_thread(self.keys.remove, self._key_name())

    # --- using ----------------------------------------------------------------------------------------------------

    async def open(self) -> RemoteEngine:
        """The engine. Raises UserError or EndpointError."""
        from fathom.engines.remote import RemoteEngine

        key = await asyncio.to_thread(self.keys.get, self._key_name()) if self.where else ""
        return await RemoteEngine.open(self.settings, key)

    async def test(self) -> EndpointTest:
        """Ask for the list of models; nothing of the person's own is sent but the key."""
        try:
            engine = await self.open()
        except FathomError as error:
            return EndpointTest(ok=False, message=" ".join(str(error).split("\n")))
        try:
            told, info = engine.server, engine.info
            return EndpointTest(
                ok=True,
                message=f"{self.where} answers: {info.model}, a context of {info.context_tokens:,} tokens"
                f"{'' if told.context_tokens or self.settings.context_tokens else ' (assumed)'}.",
                models=told.models,
            )
        finally:
            await engine.close()

    def _key_name(self) -> str:
        return f"endpoint {self.where}"
