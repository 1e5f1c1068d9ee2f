"""Opening a database: pragmas, migrations with a backup, and errors that say what to do."""

from __future__ import annotations

import sqlite3
import stat
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import sqlite_utils

from fathom.core.errors import DatabaseError
from fathom.store import database as module
from fathom.store.database import KEEP_BACKUPS, Database, open_database


def m001_notes(db: sqlite_utils.Database) -> None:
    db["notes"].create({"id": int, "text": str}, pk="id")


def m002_colour(db: sqlite_utils.Database) -> None:
    db["notes"].add_column("colour", str)


def m003_fails(db: sqlite_utils.Database) -> None:
    db["notes"].add_column("size", int)
    raise RuntimeError("half way")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "notes.db"


def with_notes(path: Path, *texts: str) -> Database:
    database = open_database(path)
    database.migrate("notes", (m001_notes,))
    with database.transaction() as connection:
        connection.executemany("INSERT INTO notes (text) VALUES (?)", [(text,) for text in texts])
    return database


def notes(database: Database) -> list[str]:
    return [text for (text,) in database.rows("SELECT text FROM notes ORDER BY id")]


def test_new_database_is_durable_and_private(path: Path) -> None:
    database = open_database(path)
    settings = {name: database.rows(f"PRAGMA {name}")[0][0] for name in ("journal_mode", "synchronous", "busy_timeout")}
    assert settings == {"journal_mode": "wal", "synchronous": 2, "busy_timeout": 5000}
    assert database.rows("PRAGMA foreign_keys") == [(1,)]
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    database.close()


def test_snapshot_sees_one_state_while_another_handle_writes(path: Path) -> None:
    database = with_notes(path, "a")
    other = open_database(path)
    with database.snapshot():
        assert notes(database) == ["a"]
        with other.transaction() as connection:
            connection.execute("DELETE FROM notes")
        with database.snapshot():
            assert notes(database) == ["a"]
        assert notes(other) == []
    assert notes(database) == []
    with database.transaction() as connection:
        connection.execute("INSERT INTO notes (text) VALUES ('b')")
        with database.snapshot():
            assert notes(database) == ["b"]
    with pytest.raises(ZeroDivisionError), database.snapshot():
        raise ZeroDivisionError
    with database.transaction() as connection:
        connection.execute("INSERT INTO notes (text) VALUES ('c')")
    assert notes(other) == ["b", "c"]
    database.close()
    other.close()


def test_migrations_run_once_and_in_order(path: Path) -> None:
    database = with_notes(path, "a")
    database.migrate("notes", (m001_notes, m002_colour))
    database.migrate("notes", (m001_notes, m002_colour))
    assert database.rows("SELECT text, colour FROM notes") == [("a", None)]
    database.close()


def test_data_is_backed_up_before_a_migration(path: Path) -> None:
    database = with_notes(path, "precious")
    assert not (path.parent / "backups").exists()
    database.migrate("notes", (m001_notes, m002_colour))
    (backup,) = (path.parent / "backups").iterdir()
    with closing(sqlite3.connect(backup)) as kept:
        assert kept.execute("SELECT * FROM notes").fetchall() == [(1, "precious")]
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    database.close()


def test_failed_migration_changes_nothing(path: Path) -> None:
    database = with_notes(path, "precious")
    with pytest.raises(RuntimeError, match="half way"):
        database.migrate("notes", (m001_notes, m002_colour, m003_fails))
    assert [column.name for column in database.tables["notes"].columns] == ["id", "text"]
    database.migrate("notes", (m001_notes, m002_colour))
    assert notes(database) == ["precious"]
    database.close()


def test_newer_database_is_left_alone_and_told(path: Path) -> None:
    database = with_notes(path, "a")
    database.migrate("notes", (m001_notes, m002_colour))
    with pytest.raises(DatabaseError, match="newer version") as caught:
        database.migrate("notes", (m001_notes,))
    assert "m002_colour" in caught.value.needs
    assert caught.value.do
    database.close()


def test_only_the_newest_backups_are_kept(path: Path) -> None:
    database = with_notes(path)
    made = [database.backup() for _ in range(KEEP_BACKUPS + 2)]
    assert sorted((path.parent / "backups").iterdir()) == sorted(made)[2:]
    database.close()


def break_header(data: bytearray) -> None:
    data[:16] = b"not a database!!"


def break_pages(data: bytearray) -> None:
    data[4096 + 8 : 8192] = b"\xff" * (4096 - 8)


def cut_in_half(data: bytearray) -> None:
    del data[len(data) // 2 :]


DAMAGES = [break_header, break_pages, cut_in_half]


def damage(path: Path, how: Callable[[bytearray], None]) -> None:
    data = bytearray(path.read_bytes())
    how(data)
    path.write_bytes(data)


@pytest.mark.parametrize("how", DAMAGES)
def test_damaged_database_is_set_aside_and_said(path: Path, how: Callable[[bytearray], None]) -> None:
    with_notes(path, *(f"note {number} " * 50 for number in range(40))).close()
    damage(path, how)
    damaged = path.read_bytes()
    database = open_database(path)
    (aside,) = path.parent.glob("notes.damaged-*.db")
    assert aside.read_bytes() == damaged
    assert "damaged" in database.loss
    assert aside.name in database.loss
    database.migrate("notes", (m001_notes,))
    assert notes(database) == []
    database.close()


@pytest.mark.parametrize("how", DAMAGES)
def test_newest_good_backup_replaces_a_damaged_database(path: Path, how: Callable[[bytearray], None]) -> None:
    texts = [f"note {number} " * 50 for number in range(40)]
    database = with_notes(path, *texts)
    database.backup()
    bad = database.backup()
    database.close()
    damage(bad, break_header)
    damage(path, how)
    database = open_database(path)
    assert notes(database) == texts
    assert "backup of" in database.loss
    database.close()
    database = open_database(path)
    assert database.loss == ""
    database.close()


def test_locked_database_is_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    database = with_notes(path, "a")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    database.tables.conn.execute("PRAGMA busy_timeout=20")
    with pytest.raises(DatabaseError, match="locked") as caught, database.transaction():
        pass
    assert caught.value.remedy == "retry"
    other.execute("PRAGMA locking_mode=EXCLUSIVE")
    other.execute("COMMIT")
    other.close()
    database.close()
    exclusive = sqlite3.connect(path, isolation_level=None)
    exclusive.execute("PRAGMA locking_mode=EXCLUSIVE")
    exclusive.execute("BEGIN EXCLUSIVE")
    monkeypatch.setattr(module, "BUSY_TIMEOUT_MS", 20)
    with pytest.raises(DatabaseError, match="locked"):
        open_database(path)
    exclusive.close()


def test_writer_waits_for_a_short_lock(path: Path) -> None:
    database = with_notes(path, "a")
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    timer = threading.Timer(0.1, lambda: other.execute("COMMIT"))
    timer.start()
    with database.transaction() as connection:
        connection.execute("INSERT INTO notes (text) VALUES ('b')")
    timer.join()
    assert notes(database) == ["a", "b"]
    other.close()
    database.close()


def test_full_disk_keeps_what_was_there_and_goes_on_after_room_is_made(path: Path) -> None:
    database = with_notes(path, "a")
    pages = database.rows("PRAGMA page_count")[0][0]
    database.rows(f"PRAGMA max_page_count={pages}")
    with pytest.raises(DatabaseError, match="disk is full") as caught, database.transaction() as connection:
        connection.execute("INSERT INTO notes (text) VALUES (?)", ("x" * 100_000,))
    assert "free" in caught.value.has
    assert notes(database) == ["a"]
    database.rows("PRAGMA max_page_count=100000")
    with database.transaction() as connection:
        connection.execute("INSERT INTO notes (text) VALUES ('b')")
    assert notes(database) == ["a", "b"]
    database.close()


def test_unusable_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DatabaseError, match="data folder") as caught:
        open_database(tmp_path / "file" / "notes.db")
    assert "FATHOM_HOME" in caught.value.do


def test_folder_in_the_place_of_the_file_is_told(path: Path) -> None:
    path.mkdir(parents=True)
    with pytest.raises(DatabaseError, match="cannot be read or written"):
        open_database(path)


def test_error_inside_a_transaction_undoes_all_of_it(path: Path) -> None:
    database = with_notes(path, "a")

    def write_and_fail() -> None:
        with database.transaction() as connection:
            connection.execute("INSERT INTO notes (text) VALUES ('b')")
            with database.transaction() as inner:
                inner.execute("INSERT INTO notes (text) VALUES ('c')")
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        write_and_fail()
    assert notes(database) == ["a"]
    database.close()


def test_bug_in_sql_is_not_hidden(path: Path) -> None:
    database = with_notes(path)
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        database.rows("SELECT * FROM missing")
    database.close()


def test_version_tells_changes_by_others(path: Path) -> None:
    database = with_notes(path)
    before = database.version()
    assert database.version() == before
    other = open_database(path)
    with other.transaction() as connection:
        connection.execute("INSERT INTO notes (text) VALUES ('b')")
    assert database.version() != before
    other.close()
    database.close()


def test_check_finds_what_opening_does_not(path: Path) -> None:
    database = with_notes(path, "a")
    database.tables.conn.execute("CREATE TABLE tags (note INTEGER REFERENCES notes)")
    assert database.check() == ""
    database.tables.conn.execute("PRAGMA foreign_keys=OFF")
    database.tables.conn.execute("INSERT INTO tags VALUES (99)")
    assert "tags: row 1 refers to nothing" in database.check()
    database.close()
