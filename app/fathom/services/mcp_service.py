"""The MCP servers as a person arranged them: on or off, what each tool may do, how they are; and a run's tools.

Composes settings, keys and connections: one connection a server for the whole app. Changes are saved at once; what is
switched off ends. Knows no window.
"""

from __future__ import annotations

import asyncio
import itertools
import math
from collections.abc import Callable

import msgspec

from fathom.core.errors import ToolError, UserError
from fathom.core.settings import McpPermission, McpServer, Settings
from fathom.core.types import Scope, Struct
from fathom.services.keys import LONGEST, Keys, KeyStoreState
from fathom.services.mcp_config import from_json, from_line, host_of, server_name, split_secrets, with_secrets
from fathom.tools.context import OfferedTool, ToolContext, ToolMaker
from fathom.tools.mcp.connection import FIRST_WAIT_S, Connection, ConnectionState, RemoteTool
from fathom.tools.mcp.tool import McpTool

MAX_PIECES = 8
"""A secret is kept in so many pieces at most, since a keyring takes short ones only."""


class McpServerState(Struct, frozen=True):
    """One server as the settings show it.

    ``where`` is its command or address, ``secrets`` names what is kept in the keyring.
    """

    name: str
    where: str
    on: bool
    host: str
    state: ConnectionState
    permissions: dict[str, McpPermission]
    allowed_as: dict[str, str]
    secrets: tuple[str, ...] = ()

    def changed(self, tool: RemoteTool) -> bool:
        """Whether the server describes a tool otherwise than when the person allowed it."""
        return self.allowed_as.get(tool.remote, tool.fingerprint) != tool.fingerprint

    def permission(self, tool: RemoteTool) -> McpPermission:
        """What the person said of a tool; asked when nothing, or when it has changed since."""
        said = self.permissions.get(tool.remote, "ask")
        return "ask" if said == "allow" and self.changed(tool) else said


class McpOffer(Struct, frozen=True):
    """What a run gets."""

    tools: tuple[ToolMaker, ...] = ()
    notices: tuple[str, ...] = ()


class McpService:
    """Belongs to one event loop. ``first_wait_s``: before a server that failed once is started again."""

    def __init__(self, settings: Settings, keys: Keys, *, first_wait_s: float = FIRST_WAIT_S) -> None:
        self._settings = settings
        self._keys = keys
        self._first_wait_s = first_wait_s
        self._connections: dict[str, Connection] = {}
        self._wanting: dict[str, ConnectionState] = {}  # servers whose secrets are not there
        self._callbacks: list[Callable[[], None]] = []

    def servers(self) -> list[McpServerState]:
        """All servers by name."""
        return [self._state(name, server) for name, server in sorted(self._settings.mcp_servers.items())]

    def subscribe(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call ``callback()`` when anything changed; returns the way to end it."""
        self._callbacks.append(callback)
        return lambda: self._callbacks.remove(callback)

    # --- changing -------------------------------------------------------------------------------------------------

    async def add(self, name: str, line: str, values: str = "") -> str:
        """Add a server from a command line or an address, switched on; returns its name. Raises UserError.

        ``values``: see ``mcp_config.from_line``.
        """
        return await self._put(server_name(name), from_line(line, values))

    async def import_json(self, text: str) -> list[str]:
        """Add the servers of the usual JSON; returns their names.

        All are switched off: a program of somebody else's starts when a person says so. Raises UserError.
        """
        found = from_json(text)
        taken = [name for name in found if name in self._settings.mcp_servers]
        if taken:
            raise UserError(
                f"There is a server {taken[0]} already.",
                has=", ".join(taken),
                do="Remove it first, or rename the new one.",
            )
        return [await self._put(name, server) for name, server in found.items()]

    async def remove(self, name: str) -> None:
        """End a server and forget it, its secrets too. Raises UserError when the keyring keeps one."""
        server = self._known(name)
        await self._end(name)
        for place in server.secrets:
            await asyncio.to_thread(self._forget_secret, name, place)
        self._save({one: kept for one, kept in self._settings.mcp_servers.items() if one != name})

    async def switch(self, name: str, on: bool) -> None:
        """Offer a server's tools from the next run on, or end it."""
        self._change(name, on=on)
        if not on:
            await self._end(name)

    def permit(self, name: str, tool: str, permission: McpPermission) -> None:
        """What a tool (by the server's name for it) may do, from the next run on."""
        server = self._known(name)
        allowed = {one: fingerprint for one, fingerprint in server.allowed_as.items() if one != tool}
        if permission == "allow":
            connection = self._connections.get(name)
            tools = connection.state.tools if connection is not None else ()
            allowed |= {one.remote: one.fingerprint for one in tools if one.remote == tool}
        self._change(name, permissions=server.permissions | {tool: permission}, allowed_as=allowed)

    async def start(self, name: str) -> ConnectionState:
        """Start a server now, however often it failed, and list its tools. What goes wrong is in the state."""
        try:
            connection = await self._connection(name)
            connection.forgive()
            await connection.tools()
        except ToolError:
            self._changed()
        return self._state(name, self._known(name)).state

    async def secret_store(self) -> KeyStoreState:
        """Where secrets are kept."""
        return await asyncio.to_thread(self._keys.state)

    # --- for a run ------------------------------------------------------------------------------------------------

    async def offer(self, scope: Scope, room_chars: int = 20_000) -> McpOffer:
        """The tools of the servers that are on, as many as can be described in ``room_chars`` characters.

        A server elsewhere is left out while the web is off.
        """
        wanted = [state for state in self.servers() if state.on]
        notices = [
            f"The tools of {one.name} are off: it is at {one.host}, and the web is off."
            for one in wanted
            if one.host and not scope.web
        ]
        asked = [one for one in wanted if scope.web or not one.host]
        found = await asyncio.gather(*(self._offered(one) for one in asked))
        makers: list[ToolMaker] = []
        for state, (connection, tools, notice) in zip(asked, found, strict=True):
            notices += [notice] if notice else []
            if connection is None:
                continue
            state = self._state(state.name, self._known(state.name))
            left_out = 0
            for tool in tools:
                size = len(tool.description) + len(msgspec.json.encode(tool.schema.parameters))
                if size > room_chars:
                    left_out += 1
                    continue
                room_chars -= size
                makers.append(_maker(connection, tool, state))
                if state.permissions.get(tool.remote) == "allow" and state.changed(tool):
                    notices.append(f"{tool.name} has changed since you allowed it, so it asks again.")
            if left_out:
                notices.append(
                    f"{left_out} of the {len(tools)} tools of {state.name} were left out: the model has no room to "
                    "read of them. In Settings, set the tools that you do not need to Never."
                )
        return McpOffer(tools=tuple(makers), notices=tuple(notices))

    async def close(self) -> None:
        """End all servers."""
        await asyncio.gather(*(self._end(name) for name in list(self._connections)))

    # --- inside ---------------------------------------------------------------------------------------------------

    async def _offered(self, state: McpServerState) -> tuple[Connection | None, list[RemoteTool], str]:
        try:
            connection = await self._connection(state.name)
            tools = await connection.tools()
        except ToolError as error:
            return None, [], f"The tools of {state.name} are off: {error}"
        return connection, [tool for tool in tools if not tool.problem and state.permission(tool) != "never"], ""

    async def _connection(self, name: str) -> Connection:
        server = self._known(name)
        if name not in self._connections:
            places = {place: await asyncio.to_thread(self._secret, name, place) for place in server.secrets}
            lost = [place.partition(":")[2] or "its address" for place, secret in places.items() if not secret]
            if lost:
                message = f"needs {', '.join(lost)} again, which the keyring does not have. Remove it and add it again."
                self._wanting[name] = ConnectionState(kind="failed", message=message)
                raise ToolError(f"{name} {message}")
            self._wanting.pop(name, None)
            self._connections.setdefault(
                name,
                Connection(
                    name, with_secrets(server, places), on_change=self._changed, first_wait_s=self._first_wait_s
                ),
            )
        return self._connections[name]

    async def _put(self, name: str, server: McpServer) -> str:
        if name in self._settings.mcp_servers:
            raise UserError(f"There is a server {name} already.", do="Remove it first, or choose another name.")
        plain, secrets = split_secrets(server)
        try:
            for place, secret in secrets.items():
                await asyncio.to_thread(self._keep_secret, name, place, secret)
        except UserError:
            for place in secrets:  # all or none
                await asyncio.to_thread(self._forget_secret, name, place)
            raise
        self._save(self._settings.mcp_servers | {name: plain})
        return name

    def _keep_secret(self, name: str, place: str, secret: str) -> None:
        """In pieces that the keyring takes: signed tokens are long."""
        count = max(1, math.ceil(len(secret) / LONGEST))
        if count > MAX_PIECES:
            raise UserError("This cannot be a key.", needs=f"{MAX_PIECES * LONGEST:,} characters at most")
        size = math.ceil(len(secret) / count)
        for number in range(count):
            self._keys.set(_key_name(name, place, number), secret[number * size : (number + 1) * size])

    def _secret(self, name: str, place: str) -> str:
        pieces = (self._keys.get(_key_name(name, place, number)) for number in range(MAX_PIECES))
        return "".join(itertools.takewhile(bool, pieces))

    def _forget_secret(self, name: str, place: str) -> None:
        for number in range(MAX_PIECES):
            if not self._keys.remove(_key_name(name, place, number)):
                break

    async def _end(self, name: str) -> None:
        self._wanting.pop(name, None)
        connection = self._connections.pop(name, None)
        if connection is not None:
            await connection.close()

    def _state(self, name: str, server: McpServer) -> McpServerState:
        connection = self._connections.get(name)
        return McpServerState(
            name=name,
            where=server.url or " ".join((server.command, *server.args)),
            on=server.on,
            host=host_of(server),
            state=connection.state if connection is not None else self._wanting.get(name, ConnectionState()),
            permissions=server.permissions,
            allowed_as=server.allowed_as,
            secrets=tuple(place.partition(":")[2] or "address" for place in server.secrets),
        )

    def _known(self, name: str) -> McpServer:
        server = self._settings.mcp_servers.get(name)
        if server is None:
            raise UserError(f"There is no server {name!r}.", has=", ".join(self._settings.mcp_servers))
        return server

    def _change(self, name: str, **fields: object) -> None:
        changed = msgspec.structs.replace(self._known(name), **fields)
        self._save(self._settings.mcp_servers | {name: changed})

    def _save(self, servers: dict[str, McpServer]) -> None:
        self._settings.mcp_servers = servers
        self._settings.save()
        self._changed()

    def _changed(self) -> None:
        for callback in list(self._callbacks):
            callback()


def _maker(connection: Connection, tool: RemoteTool, state: McpServerState) -> ToolMaker:
    def make(context: ToolContext) -> OfferedTool:
        return McpTool(context, connection, tool, state.permission(tool), state.host)

    return make


def _key_name(server: str, place: str, number: int) -> str:
    return f"mcp:{server}:{place}" + (f"#{number}" if number else "")
