"""Pages that were read, by address and time: a run that is repeated, forked or offline reads them without the network.

Holds what the parser made of a page, not its bytes. Lives in a database of its own, so that it can be removed at any
time. Knows nothing of the network.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import msgspec
import sqlite_utils

from fathom.core.protocols import Document, SavedPage
from fathom.store.database import Database, Migration

_TRIM_TO = 0.8  # of the allowed size, so that not every page that is saved removes another one
_decode = msgspec.msgpack.Decoder(Document).decode


def create_pages(tables: sqlite_utils.Database) -> None:
    """One row a version of a page; ``document`` is msgpack, compressed."""
    tables.execute(
        """CREATE TABLE pages (
            url TEXT NOT NULL,
            fetched TEXT NOT NULL,
            final_url TEXT NOT NULL,
            document BLOB NOT NULL,
            size INTEGER NOT NULL,
            PRIMARY KEY (url, fetched)
        ) WITHOUT ROWID"""
    )
    tables.execute("CREATE INDEX pages_by_time ON pages (fetched, size)")


MIGRATIONS: Sequence[Migration] = (create_pages,)


class PageStore:
    """Implements core.protocols.PageCache. ``max_age_s`` is how old a copy may be while the web can be reached."""

    def __init__(
        self,
        database: Database,
        *,
        max_age_s: float,
        max_bytes: int,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        database.migrate("pages", MIGRATIONS)
        self.database = database
        self._max_age_s = max_age_s
        self._max_bytes = max_bytes
        self._now = now

    def find(self, url: str, *, any_age: bool = False) -> SavedPage | None:
        """The newest copy; unless ``any_age``, only one that is young enough. Raises DatabaseError."""
        oldest = "" if any_age else _stamp(self._now() - timedelta(seconds=self._max_age_s))
        rows = self.database.rows(
            "SELECT fetched, final_url, document FROM pages WHERE url = ? AND fetched > ?"
            " ORDER BY fetched DESC LIMIT 1",
            (url, oldest),
        )
        for fetched, final_url, packed in rows:
            try:
                document = _decode(zlib.decompress(packed))
            except (zlib.error, msgspec.MsgspecError):  # a damaged row: the page is read again
                return None
            return SavedPage(document=document, final_url=final_url, fetched=fetched)
        return None

    def known(self, urls: Sequence[str]) -> set[str]:
        """Those of ``urls`` that there is a copy of. Raises DatabaseError."""
        marks = ", ".join("?" * len(urls))
        return {url for (url,) in self.database.rows(f"SELECT DISTINCT url FROM pages WHERE url IN ({marks})", urls)}

    def save(self, url: str, final_url: str, document: Document) -> None:
        """Keep a copy, and remove the oldest ones when there is no room left. Raises DatabaseError."""
        packed = zlib.compress(msgspec.msgpack.encode(document), 6)
        if len(packed) > self._max_bytes:
            return
        with self.database.transaction() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO pages VALUES (?, ?, ?, ?, ?)",
                (url, _stamp(self._now()), final_url, packed, len(packed) + len(url)),
            )
            (total,) = connection.execute("SELECT sum(size) FROM pages").fetchone()
            if total > self._max_bytes:
                self._trim(total)

    def clear(self) -> None:
        """Remove every copy. Raises DatabaseError."""
        with self.database.transaction() as connection:
            connection.execute("DELETE FROM pages")

    def _trim(self, total: int) -> None:
        with self.database.transaction() as connection:
            for url, fetched, size in connection.execute(
                "SELECT url, fetched, size FROM pages ORDER BY fetched"
            ).fetchall():
                if total <= self._max_bytes * _TRIM_TO:
                    return
                connection.execute("DELETE FROM pages WHERE url = ? AND fetched = ?", (url, fetched))
                total -= size


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
