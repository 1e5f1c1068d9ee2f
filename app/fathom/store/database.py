"""Opening a SQLite database safely: pragmas, migrations, backups, and errors that a person can act on.

Knows no table: each store hands in its own append-only list of migrations. A handle may be used from any thread (a lock
guards it); a long job takes a handle of its own, since WAL lets one write while others read.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlite_utils
from sqlite_utils.migrations import Migrations

from fathom.core.errors import DatabaseError

BUSY_TIMEOUT_MS = 5000
KEEP_BACKUPS = 5
FULL_CHECK_BYTES = 64 * 1024 * 1024
"""Files up to this size are checked page by page when they are opened (about 1 ms a MB)."""

Migration = Callable[[sqlite_utils.Database], None]


class Database:
    """An open database. ``loss`` is "" or what was lost when a damaged file had to be replaced: tell the person."""

    def __init__(self, path: Path, connection: sqlite3.Connection, loss: str = "") -> None:
        self.path = path
        self.loss = loss
        self.tables = sqlite_utils.Database(connection, execute_plugins=False)
        self._connection = connection
        self._lock = threading.RLock()

    @contextmanager
    def transaction(self) -> Generator[sqlite3.Connection, None, None]:
        """All or nothing; durable when it returns. Inner transactions join the outer one. Raises DatabaseError."""
        with self._lock, _translated(self.path):
            if self._connection.in_transaction:
                yield self._connection
                return
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:  # SQLite itself rolls back when the disk is full
                    self._connection.execute("ROLLBACK")
                raise

    @contextmanager
    def snapshot(self) -> Generator[None, None, None]:
        """Reads of ``rows`` that belong together: all see one state, whatever another handle writes meanwhile. Inside
        a transaction they are part of it. Only to read, and short: other threads that share the handle wait."""
        with self._lock, _translated(self.path):
            if self._connection.in_transaction:
                yield
                return
            self._connection.execute("BEGIN")
            try:
                yield
            finally:
                if self._connection.in_transaction:
                    self._connection.execute("COMMIT")

    def rows(self, sql: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Run a query and fetch all of it. Raises DatabaseError."""
        with self._lock, _translated(self.path):
            return self._connection.execute(sql, tuple(parameters)).fetchall()

    def version(self) -> tuple[int, int]:
        """Differs from an earlier value whenever the content may have changed, through this handle or another."""
        with self._lock:
            (data_version,) = self._connection.execute("PRAGMA data_version").fetchone()
            return data_version, self._connection.total_changes

    def migrate(self, name: str, migrations: Sequence[Migration]) -> None:
        """Apply what is new of an append-only list, in one transaction, after a backup when there is data.

        Raises DatabaseError when the database was written by a newer Fathom.
        """
        known = Migrations(name)
        for function in migrations:
            known()(function)
        with self._lock, _translated(self.path):
            applied = {migration.name for migration in known.applied(self.tables)}
            newer = applied - {function.__name__ for function in migrations}
            if newer:
                raise DatabaseError(
                    f"{self.path.name} was written by a newer version of Fathom.",
                    needs=f"a Fathom that knows {', '.join(sorted(newer))}",
                    has=f"this version, which knows {len(migrations)} steps of its format",
                    do="Install the newer version again, or set FATHOM_HOME to another folder.",
                )
            if not known.pending(self.tables):
                return
            if applied:
                self.backup()
            with self.transaction():
                known.apply(self.tables)

    def check(self) -> str:
        """Read the whole file and check its structure and references: "" when it is sound, else what is wrong."""
        problems = [problem for (problem,) in self.rows("PRAGMA integrity_check(5)") if problem != "ok"]
        problems += [
            f"{table}: row {row} refers to nothing" for table, row, *_ in self.rows("PRAGMA foreign_key_check")
        ]
        return "\n".join(problems)

    def backup(self) -> Path:
        """Write a consistent copy to ``backups/`` beside the file, keep the newest five, return its path."""
        folder = self.path.parent / "backups"
        folder.mkdir(mode=0o700, exist_ok=True)
        target = _free(folder / f"{self.path.stem}-{_stamp()}.db")
        with self._lock, _translated(self.path):
            self._connection.execute("VACUUM INTO ?", (str(target),))
        target.chmod(0o600)
        for old in _backups(self.path)[KEEP_BACKUPS:]:
            old.unlink(missing_ok=True)
        return target

    def close(self) -> None:
        """Close it; a second call does nothing."""
        with self._lock:
            self._connection.close()


def open_database(path: Path) -> Database:
    """Open or make the database at ``path`` (folder 0700, file 0600; WAL, synchronous=FULL, foreign keys).

    A damaged file is set aside and replaced by the newest good backup, or by an empty database: ``Database.loss`` then
    says so. Raises DatabaseError when it is locked for more than 5 s, cannot be read or written, or the disk is full.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise DatabaseError(
            f"The data folder {path.parent} cannot be made.",
            needs="a folder to keep sessions and the library in",
            has=error.strerror or str(error),
            do="Set FATHOM_HOME to a folder that you may write to.",
        ) from error
    try:
        return Database(path, _connect(path))
    except sqlite3.DatabaseError as error:
        if not _is_damage(error):
            raise _error(path, error) from error
    loss = _replace_damaged(path)
    with _translated(path):
        return Database(path, _connect(path), loss)


def _connect(path: Path) -> sqlite3.Connection:
    with suppress(FileExistsError, PermissionError):  # SQLite would make it readable for others
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    connection = sqlite3.connect(
        path, timeout=BUSY_TIMEOUT_MS / 1000, isolation_level=None, check_same_thread=False, cached_statements=256
    )
    try:
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "fullfsync=ON", "foreign_keys=ON", "secure_delete=FAST"):
            connection.execute(f"PRAGMA {pragma}")
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if path.stat().st_size <= FULL_CHECK_BYTES:
            (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            if verdict != "ok":
                raise _Damaged(verdict)
    except BaseException:
        connection.close()
        raise
    return connection


class _Damaged(sqlite3.DatabaseError):
    """The page check found damage."""


def _is_damage(error: sqlite3.Error) -> bool:
    return isinstance(error, _Damaged) or _code(error) in ("SQLITE_CORRUPT", "SQLITE_NOTADB")


def _code(error: sqlite3.Error) -> str:
    """The primary error code's name: SQLITE_BUSY of SQLITE_BUSY_SNAPSHOT."""
    name = str(getattr(error, "sqlite_errorname", "") or "")
    return "_".join(name.split("_")[:2])


def _replace_damaged(path: Path) -> str:
    aside = _free(path.with_name(f"{path.stem}.damaged-{_stamp()}.db"))
    path.replace(aside)
    for suffix in ("-wal", "-shm"):
        with suppress(FileNotFoundError):
            path.with_name(path.name + suffix).replace(aside.with_name(aside.name + suffix))
    for backup in _backups(path):
        try:
            _connect(backup).close()
        except sqlite3.DatabaseError:
            continue
        shutil.copy2(backup, path)
        made = datetime.fromtimestamp(backup.stat().st_mtime, UTC).strftime("%Y-%m-%d %H:%M UTC")
        return (
            f"{path.name} was damaged. The damaged file is kept as {aside.name}, and the backup of {made} took its "
            f"place: whatever was saved after that is not in it."
        )
    return (
        f"{path.name} was damaged and there is no backup. The damaged file is kept as {aside.name}, and Fathom "
        f"started with an empty one: what was saved in it is not shown."
    )


def _backups(path: Path) -> list[Path]:
    """Newest first."""
    return sorted((path.parent / "backups").glob(f"{path.stem}-[0-9]*.db"), reverse=True)


def _stamp() -> str:
    return datetime.now(UTC).strftime("%Y%m%d-%H%M%S-%f")


def _free(path: Path) -> Path:
    candidate, number = path, 1
    while candidate.exists():
        number += 1
        candidate = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return candidate


@contextmanager
def _translated(path: Path) -> Generator[None, None, None]:
    """SQLite's errors that a person can act on become DatabaseError; the others are bugs and propagate."""
    try:
        yield
    except sqlite3.Error as error:
        raise _error(path, error) from error


def _error(path: Path, error: sqlite3.Error) -> Exception:
    code = _code(error)
    if code in ("SQLITE_BUSY", "SQLITE_LOCKED"):
        return DatabaseError(
            f"{path.name} is locked by another program.",
            needs="to write to it",
            has=f"it stayed locked for {BUSY_TIMEOUT_MS // 1000} seconds",
            do="Close the other Fathom or the program that has the file open, then try again.",
            remedy="retry",
        )
    if code == "SQLITE_FULL":
        free_mb = shutil.disk_usage(path.parent).free // 1_000_000
        return DatabaseError(
            "The disk is full: the last step could not be saved. Everything before it is safe.",
            needs=f"room in {path.parent}",
            has=f"{free_mb} MB free",
            do="Make room on the disk, then go on.",
            remedy="retry",
        )
    if _is_damage(error):
        return DatabaseError(
            f"{path.name} is damaged.",
            needs="a readable database",
            has=str(error),
            do="Restart Fathom: it sets the damaged file aside and takes the newest backup.",
        )
    if code in ("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM", "SQLITE_IOERR"):
        return DatabaseError(
            f"{path.name} cannot be read or written.",
            needs=f"write access to {path.parent}",
            has=str(error),
            do="Check the folder's permissions and the disk, or set FATHOM_HOME to another folder.",
            remedy="retry",
        )
    return error
