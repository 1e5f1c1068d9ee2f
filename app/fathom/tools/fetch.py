"""Gets a public page: the only way in which a tool reaches an address that the model chose.

http and https, ports 80 and 443, public addresses only (checked after resolution and then pinned, at every redirect),
no cookies, bounded in time and size. Knows nothing of what is in the page.
"""

from __future__ import annotations

import asyncio
import re
import zlib
from collections.abc import AsyncIterator, Callable
from typing import NamedTuple

import httpx

from fathom import __version__
from fathom.core.errors import ToolError
from fathom.core.protocols import FileKind
from fathom.tools.addresses import FetchPolicy, checked_addresses
from fathom.tools.extract.kinds import kind_of

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_HEADERS = {
    "User-Agent": f"Fathom/{__version__} (research reader)",
    "Accept": "text/html,application/xhtml+xml,application/pdf,text/*;q=0.9,*/*;q=0.5",
    "Accept-Encoding": "gzip, deflate",
}
_ERROR_BODY = 300
_HOST = re.compile(r"[\w.:-]{1,253}")


class Page(NamedTuple):
    """Bytes of a page. ``url`` is where the redirects ended; ``charset`` is the header's, "" when it says none."""

    url: str
    data: bytes
    kind: FileKind
    charset: str = ""


async def fetch(url: str, policy: FetchPolicy, *, any_kind: bool = False) -> Page:
    """Get ``url``. Raises ToolError for everything that can go wrong, in words that the model can use.

    ``any_kind``: whatever it is, also what cannot be read as text; its ``kind`` says nothing then.
    """
    started = asyncio.get_running_loop().time()
    try:
        async with asyncio.timeout_at(started + policy.total_s) as deadline:
            return await _follow(url, policy, any_kind, deadline, started)
    except TimeoutError:
        within = (deadline.when() or started) - started
        said = "its redirects did not end" if within < policy.total_s - 1e-3 else "it did not answer"
        raise ToolError(f"{url} was given up: {said} within {within:g} s") from None


async def _follow(url: str, policy: FetchPolicy, any_kind: bool, deadline: asyncio.Timeout, started: float) -> Page:
    timeout = httpx.Timeout(policy.total_s, connect=policy.connect_s)
    # trust_env: a proxy or a .netrc from the environment would go around the address check
    async with httpx.AsyncClient(timeout=timeout, trust_env=False, follow_redirects=False) as client:
        for _hop in range(policy.max_hops + 1):
            outcome = await _one_hop(
                client, url, policy, any_kind, lambda: deadline.reschedule(started + policy.total_s)
            )
            if isinstance(outcome, Page):
                return outcome
            deadline.reschedule(started + min(policy.redirects_s, policy.total_s))
            client.cookies.clear()
            try:
                url = str(_parsed(url).join(outcome))
            except httpx.InvalidURL:
                raise ToolError(f"{url} leads to an address that is not valid") from None
    raise ToolError(f"more than {policy.max_hops} redirects; the last one led to {url}")


async def _one_hop(
    client: httpx.AsyncClient, url: str, policy: FetchPolicy, any_kind: bool, arrived: Callable[[], None]
) -> Page | str:
    """The page, or the address it redirects to. ``arrived`` is called when a page's head has come."""
    host, port = _target(url, policy)
    addresses = await checked_addresses(host, port, policy.resolver, policy.allow_loopback)
    failure: httpx.TransportError | None = None
    for address in addresses[:2]:
        request = _pinned(client, url, address)
        try:
            response = await client.send(request, stream=True)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            failure = error
            continue
        except httpx.HTTPError as error:
            raise ToolError(f"{url} could not be read: {type(error).__name__} {error}".rstrip()) from None
        try:
            return await _received(response, url, policy, any_kind, arrived)
        except httpx.HTTPError as error:
            raise ToolError(f"{url} broke off: {type(error).__name__} {error}".rstrip()) from None
        finally:
            await response.aclose()
    raise ToolError(f"{host} could not be reached: {type(failure).__name__} {failure}".rstrip())


def _target(url: str, policy: FetchPolicy) -> tuple[str, int]:
    parts = _parsed(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    if parts.scheme not in ("http", "https"):
        raise ToolError(f"{url} was not opened: only http and https are")
    if not _HOST.fullmatch(parts.host):
        raise ToolError(f"{url} names no host that there can be")
    if parts.userinfo:
        raise ToolError(f"{url} was not opened: it carries a user name or password")
    if port not in policy.ports:
        raise ToolError(f"{url} was not opened: port {port} is not one of {sorted(policy.ports)}")
    return parts.host, port


def _parsed(url: str) -> httpx.URL:
    try:
        return httpx.URL(url)
    except httpx.InvalidURL as error:
        raise ToolError(f"{url[:200]} is not a valid address: {error}") from None


def _pinned(client: httpx.AsyncClient, url: str, address: str) -> httpx.Request:
    """A request that goes to ``address`` while certificate check and Host header keep the name."""
    original = _parsed(url)
    return client.build_request(
        "GET",
        original.copy_with(host=address),
        headers=_HEADERS | {"Host": original.netloc.decode("ascii")},
        extensions={"sni_hostname": original.raw_host.decode("ascii")},
    )


async def _received(
    response: httpx.Response, url: str, policy: FetchPolicy, any_kind: bool, arrived: Callable[[], None]
) -> Page | str:
    if response.status_code in _REDIRECTS and "location" in response.headers:
        return str(response.headers["location"])
    arrived()
    body = bytearray()
    limit = policy.max_bytes if response.is_success else 4096
    too_large = f"{url} is larger than {policy.max_bytes // 2**20} MB and was not read"
    said = response.headers.get("content-length", "")
    if response.is_success and said.isascii() and said.isdigit() and int(said[:20]) > limit:
        raise ToolError(too_large)
    async for chunk in _decoded(response, url, limit):
        body += chunk
        if len(body) > limit:
            if response.is_success:
                raise ToolError(too_large)
            break
    data = bytes(body)
    if not response.is_success:
        told = " ".join(data[:_ERROR_BODY].decode("utf-8", "replace").split())
        raise ToolError(f"{url} answered {response.status_code} {response.reason_phrase}: {told}".rstrip(": "))
    if any_kind:
        return Page(url, data, "text", response.charset_encoding or "")
    try:
        kind = kind_of(data, response.headers.get("content-type", ""), response.url.path)
    except ToolError as error:
        raise ToolError(f"{url} was not read: {error}") from None
    return Page(url, data, kind, response.charset_encoding or "")


async def _decoded(response: httpx.Response, url: str, limit: int) -> AsyncIterator[bytes]:
    """The body, decompressed in bounded pieces: a small body may unpack to gigabytes."""
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding in ("", "identity"):
        async for chunk in response.aiter_raw(65536):
            yield chunk
        return
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise ToolError(f"{url} is packed in a way that was not asked for: {encoding}")
    unpack = zlib.decompressobj(wbits=47 if "gzip" in encoding else 15)
    received = 0
    try:
        async for chunk in response.aiter_raw(65536):
            received += len(chunk)
            if received > limit:
                yield bytes(limit + 1)
                return
            while chunk:
                yield unpack.decompress(chunk, 65536)
                chunk = unpack.unconsumed_tail
        yield unpack.flush()
    except zlib.error as error:
        raise ToolError(f"{url} could not be unpacked: {error}") from None
