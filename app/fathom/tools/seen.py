"""The addresses that the model has been shown: only these are opened without asking.

An address that nobody showed may carry a secret out in its path or query, so it counts when it stood in a search
result, in a page that was read, or in the person's question. Knows nothing of the network.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_ADDRESS = re.compile(r"(?:https?|library)://[^\s<>\"'`\])}]+")


def addresses_in(text: str) -> list[str]:
    """The http, https and library addresses that stand in ``text``, without the punctuation that ends a sentence."""
    return [match.group().rstrip(".,;:!?") for match in _ADDRESS.finditer(text)]


class SeenAddresses:
    """Addresses with their titles, in the order shown."""

    def __init__(self) -> None:
        self._shown: dict[str, str] = {}  # address -> title, oldest first
        self._noted: dict[str, None] = {}
        self._opened: set[str] = set()

    def __len__(self) -> int:
        return len(self._shown.keys() | self._noted.keys())

    def show(self, addresses: Iterable[tuple[str, str]]) -> None:
        """Note ``(address, title)`` pairs, best first; they become the most recent ones."""
        for address, title in reversed(list(addresses)):
            old = self._shown.pop(address, "")
            self._shown[address] = title or old

    def note(self, addresses: Iterable[str]) -> None:
        """Addresses that stand somewhere in a page: they may be opened, but are not offered before the others."""
        self._noted.update((address, None) for address in addresses if address not in self._shown)

    def opened(self, address: str) -> None:
        """Note that the page was read."""
        self._opened.add(address)

    def find(self, given: str) -> str | None:
        """The shown address that ``given`` means (the address itself, or the title of one), or None."""
        wanted = given.strip().strip("<>\"'`").rstrip(".,;")
        for candidate in (given.strip(), wanted, wanted.rstrip("/"), wanted + "/"):
            if candidate in self._shown or candidate in self._noted:
                return candidate
        folded = wanted.casefold()
        titled = (address for address, title in reversed(self._shown.items()) if title.casefold() == folded)
        return next(titled, None) if folded else None

    def title(self, address: str) -> str:
        """The title with which an address was shown, or ""."""
        return self._shown.get(address, "")

    def recent(self, limit: int = 12) -> list[str]:
        """The last addresses shown, the most recent first, those that were not opened yet before the others."""
        latest = [*reversed(self._shown), *self._noted][:limit]
        return sorted(latest, key=self._opened.__contains__)
