"""Where a person's own server is: its address, and whether text that goes there leaves this computer. No network."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from fathom.core.errors import UserError
from fathom.core.types import Struct

EXAMPLE = "http://localhost:8000"


class Address(Struct, frozen=True):
    """``root`` has no ``/v1`` and no slash at its end. ``where`` is for people: the host, and its port when it has one.

    ``loopback`` is said of an address of this computer alone, never of a name that may resolve to one.
    """

    root: str
    host: str
    where: str
    loopback: bool
    encrypted: bool


def read_address(text: str) -> Address:
    """The address that a person wrote, with or without ``http://`` and ``/v1``. Raises UserError when it is none."""
    text = text.strip()
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise _refused(text, "it cannot be read") from None
    if parts.scheme not in ("http", "https"):
        raise _refused(text, f"it begins with {parts.scheme}://")
    if not host or any(letter.isspace() or ord(letter) < 32 for letter in text):
        raise _refused(text, "it names no host")
    if parts.username is not None or parts.password is not None:
        raise UserError(
            "A name or password has no place in the address.",
            needs=f"an address like {EXAMPLE}",
            do="Give it as a key.",
        )
    if parts.query or parts.fragment:
        raise _refused(text, "it holds a ? or a #")
    path = parts.path.rstrip("/")
    path = path.removesuffix("/chat/completions").removesuffix("/v1")
    named = f"[{host}]" if ":" in host else host
    where = f"{named}:{port}" if port is not None else named
    return Address(
        root=f"{parts.scheme}://{where}{path}",
        host=host,
        where=where,
        loopback=_loopback(host),
        encrypted=parts.scheme == "https",
    )


def _loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _refused(text: str, why: str) -> UserError:
    return UserError(
        "This is no address of a server.",
        needs=f"an address like {EXAMPLE}",
        has=f"{text[:80]}: {why}" if text else "nothing",
    )
