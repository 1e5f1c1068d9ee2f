"""What may be contacted without asking, and the asking: the gate between a run's tools and the network.

A page that a result, a page or the question showed is opened unasked; any other address may carry a secret out in its
path, so a person is asked first. Where the session says "ask", that holds for every host. Each host is noted before it
is contacted. Opens no connection.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import httpx

from fathom.core.errors import ToolError
from fathom.core.protocols import Supervisor, Wanted
from fathom.core.types import PermissionAnswer, PermissionKind, Scope
from fathom.tools.addresses import FetchPolicy
from fathom.tools.search.merge import is_on
from fathom.tools.search.panel import Refused

LONGEST_ADDRESS = 2000
_HOST = re.compile(r"[a-z0-9.:_-]{1,253}")


class Unattended:
    """A Supervisor where there is nobody: refuses what would be asked, and notes nothing."""

    async def ask(self, wanted: Wanted) -> PermissionAnswer:
        """Always no."""
        return "refuse"

    def tell(self, text: str) -> None:
        """Nobody hears it; the observation says the same."""

    def contacted(self, host: str, kind: PermissionKind) -> None:
        """Nobody keeps a list."""


class Gate:
    """One run's gate. ``blocked`` are rules for sites (see ``search.merge``)."""

    def __init__(self, scope: Scope, supervisor: Supervisor | None = None, blocked: Sequence[str] = ()) -> None:
        self._scope = scope
        self._supervisor: Supervisor = supervisor or Unattended()
        self._blocked = tuple(blocked)
        self._always: set[str] = set()
        self._going: set[str] = set()  # hosts of the pages that are being fetched, with leave

    def tell(self, text: str) -> None:
        """A note for the person."""
        self._supervisor.tell(text)

    async def page(self, address: str, *, was_shown: bool, why: str = "") -> str:
        """Leave to open a web page; returns the address. Raises ToolError when it may not be opened.

        ``was_shown``: a result, a page or the question named the address.
        """
        host = host_of(address)
        if not self._scope.web:
            raise ToolError(f"{address} is a web page, and the web is switched off")
        self.check_site(address)
        if not was_shown or self._scope.ask:
            said = " ".join(why.split())[:300]
            await self._leave(Wanted(kind="page", host=host, address=address, why=said, was_shown=was_shown))
        self._going.add(family(host))
        return address

    def check_site(self, address: str) -> None:
        """Raises ToolError when the site of the address is blocked."""
        if is_on(address, self._blocked):
            raise ToolError(f"{host_of(address)} was not opened: the site is blocked in the settings")

    async def search(self, host: str, query: str) -> None:
        """Leave to send search words to a host. Raises Refused."""
        if self._scope.ask:
            await self._leave(Wanted(kind="search", host=host, address=query))
        self._supervisor.contacted(host, "search")

    async def tool(self, server: str, tool: str, arguments: str) -> None:
        """Leave to call a tool of another program. Raises Refused."""
        name = f"{server}: {tool}"
        if name in self._always:
            return
        answer = await self._supervisor.ask(Wanted(kind="tool", host=server, address=f"{tool} {arguments}".strip()))
        if answer == "always":
            self._always.add(name)
        elif answer != "once":
            raise Refused(f"there is no leave to use {tool} of {server}. Go on with what is there.")

    def contacted(self, host: str, kind: PermissionKind) -> None:
        """Note a host that is about to be contacted."""
        self._supervisor.contacted(host, kind)

    def policy(self, policy: FetchPolicy) -> FetchPolicy:
        """``policy`` with every hop of a fetch noted, and where a person is asked, held to the hosts with leave."""
        resolver = policy.resolver

        async def noted(host: str, port: int) -> list[str]:
            self._hop(host)
            return await resolver(host, port)

        return policy._replace(resolver=noted)

    def _hop(self, host: str) -> None:
        if is_on(f"http://{host}/", self._blocked):
            raise ToolError(f"{host} was not opened: the site is blocked in the settings")
        if self._scope.ask and family(host) not in self._going | self._always:
            raise ToolError(f"the address leads to {host}, which needs leave of its own; give its address instead")
        self._supervisor.contacted(host, "page")

    async def _leave(self, wanted: Wanted) -> None:
        if family(wanted.host) in self._always:
            return
        answer = await self._supervisor.ask(wanted)
        if answer == "always":
            self._always.add(family(wanted.host))
        elif answer != "once":
            what = "search with" if wanted.kind == "search" else "open a page of"
            raise Refused(f"there is no leave to {what} {wanted.host}. Go on with what is there.")


def family(host: str) -> str:
    """A host without its "www."."""
    return host.lower().rstrip(".").removeprefix("www.")


def host_of(address: str) -> str:
    """The host as it will be contacted, letters of other scripts spelled out ("xn--..."), so that none deceives.

    Raises ToolError for anything but a plain http or https address.
    """
    try:
        parts = httpx.URL(address.strip())
        host = parts.raw_host.decode("ascii")
    except (httpx.InvalidURL, UnicodeError, TypeError):
        raise ToolError(f"{address[:200]} is not a valid address") from None
    if parts.scheme not in ("http", "https") or not _HOST.fullmatch(host):
        raise ToolError(f"{address[:200]} was not opened: only http and https addresses are")
    if parts.userinfo:
        raise ToolError(f"{address[:200]} was not opened: it carries a user name or password")
    if len(address) > LONGEST_ADDRESS:
        raise ToolError(f"the address is longer than {LONGEST_ADDRESS} characters and was not opened")
    return host
