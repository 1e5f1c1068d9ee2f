"""The library's tables: an append-only list of migrations, and the rebuilding of the index.

``documents_fts`` is contentless: it holds what terms.index_form made of a document, and ``documents`` the original.
Its ``places`` are the document's folders as words of their own ("qx12xq"), so that a search in a part of the library
costs no look-up per match; they weigh nothing.
"""

from __future__ import annotations

import hashlib
import sqlite3

import sqlite_utils

from fathom.store import terms
from fathom.store.database import Database


def m001_collections_files_documents(db: sqlite_utils.Database) -> None:
    """The first form."""
    for statement in (
        """CREATE TABLE collections (
            id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, label TEXT NOT NULL, kind TEXT NOT NULL,
            path TEXT NOT NULL, documents INTEGER NOT NULL DEFAULT 0, indexed TEXT NOT NULL)""",
        """CREATE TABLE files (
            id INTEGER PRIMARY KEY, collection_id INTEGER NOT NULL REFERENCES collections ON DELETE CASCADE,
            path TEXT NOT NULL, size INTEGER NOT NULL DEFAULT -1, mtime_ns INTEGER NOT NULL DEFAULT -1,
            failed TEXT NOT NULL DEFAULT '[]', complete INTEGER NOT NULL DEFAULT 0, UNIQUE (collection_id, path))""",
        # the text comes last, so that reading the other columns does not walk through a long document's pages
        """CREATE TABLE documents (
            id INTEGER PRIMARY KEY, collection_id INTEGER NOT NULL REFERENCES collections ON DELETE CASCADE,
            file_id INTEGER NOT NULL REFERENCES files ON DELETE CASCADE, seen INTEGER NOT NULL DEFAULT 1,
            document_id TEXT NOT NULL, title TEXT NOT NULL, digest BLOB NOT NULL, text TEXT NOT NULL,
            UNIQUE (collection_id, document_id))""",
        "CREATE INDEX documents_of_file ON documents (file_id)",
        """CREATE VIRTUAL TABLE documents_fts USING fts5 (
            title, text, content='', tokenize='porter unicode61 remove_diacritics 2')""",
        "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL)",
        f"INSERT INTO meta VALUES ('terms', '{terms.VERSION}')",
    ):
        db.execute(statement)


def m002_folders_details_twins(db: sqlite_utils.Database) -> None:
    """Folders that can be searched, pinned and blocked; what a document tells of itself; equal texts.

    Every file is read again at the next look, for its folder and its details; until then it is found as before.
    """
    db.conn.create_function("content_digest", 1, content_digest, deterministic=True)
    for statement in (
        "ALTER TABLE collections ADD COLUMN removed INTEGER NOT NULL DEFAULT 0",
        """CREATE TABLE folders (
            id INTEGER PRIMARY KEY, collection_id INTEGER NOT NULL REFERENCES collections ON DELETE CASCADE,
            path TEXT NOT NULL, preference TEXT NOT NULL DEFAULT 'normal', places TEXT NOT NULL DEFAULT '',
            UNIQUE (collection_id, path))""",
        "INSERT INTO folders (collection_id, path) SELECT id, '' FROM collections",
        "UPDATE folders SET places = 'qx' || id || 'xq'",
        "ALTER TABLE files ADD COLUMN folder_id INTEGER REFERENCES folders",
        "UPDATE files SET size = -1, folder_id = (SELECT f.id FROM folders f WHERE f.collection_id = "
        "files.collection_id)",
        "CREATE INDEX files_failed ON files (collection_id) WHERE failed != '[]'",
        """CREATE TABLE documents_new (
            id INTEGER PRIMARY KEY, collection_id INTEGER NOT NULL REFERENCES collections ON DELETE CASCADE,
            file_id INTEGER NOT NULL REFERENCES files ON DELETE CASCADE, seen INTEGER NOT NULL DEFAULT 1,
            document_id TEXT NOT NULL, title TEXT NOT NULL, digest BLOB NOT NULL, content BLOB NOT NULL,
            text TEXT NOT NULL, UNIQUE (collection_id, document_id))""",
        "INSERT INTO documents_new SELECT id, collection_id, file_id, seen, document_id, title, digest, "
        "content_digest(text), text FROM documents",
        "DROP TABLE documents",
        "ALTER TABLE documents_new RENAME TO documents",
        "CREATE INDEX documents_of_file ON documents (file_id)",
        "CREATE INDEX documents_by_content ON documents (content)",
        """CREATE TABLE details (
            document INTEGER PRIMARY KEY REFERENCES documents ON DELETE CASCADE,
            author TEXT NOT NULL, date TEXT NOT NULL, doi TEXT NOT NULL, pages TEXT NOT NULL)""",
        "DROP TABLE documents_fts",
        """CREATE VIRTUAL TABLE documents_fts USING fts5 (
            title, text, places, content='', tokenize='porter unicode61 remove_diacritics 2')""",
        "UPDATE meta SET value = 'to be rebuilt' WHERE key = 'terms'",
    ):
        db.execute(statement)


MIGRATIONS = (m001_collections_files_documents, m002_folders_details_twins)


def content_digest(text: str) -> bytes:
    """Equal for equal texts, whatever their titles are."""
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


def place(folder_id: int) -> str:
    """The word that stands for a folder in the index."""
    return f"qx{folder_id}xq"


def folder_id(connection: sqlite3.Connection, collection_id: int, path: str) -> int:
    """The folder's row, made with those of the folders around it when it is not there."""
    row = connection.execute(
        "SELECT id FROM folders WHERE collection_id = ? AND path = ?", (collection_id, path)
    ).fetchone()
    if row is not None:
        return int(row[0])
    outer = ""
    if path:
        above = folder_id(connection, collection_id, path.rpartition("/")[0])
        (outer,) = connection.execute("SELECT places FROM folders WHERE id = ?", (above,)).fetchone()
    made = connection.execute(
        "INSERT INTO folders (collection_id, path) VALUES (?, ?)", (collection_id, path)
    ).lastrowid
    assert made is not None
    connection.execute("UPDATE folders SET places = ? WHERE id = ?", (f"{outer} {place(made)}".strip(), made))
    return made


def rebuild_index(database: Database) -> bool:
    """Index every document again when the index was built by another version of the terms; True when it was."""
    if database.rows("SELECT value FROM meta WHERE key = 'terms'") == [(str(terms.VERSION),)]:
        return False
    with database.transaction() as connection:
        connection.execute("INSERT INTO documents_fts (documents_fts) VALUES ('delete-all')")
        connection.create_function("index_form", 1, terms.index_form, deterministic=True)
        connection.execute(
            "INSERT INTO documents_fts (rowid, title, text, places) "
            "SELECT d.id, index_form(d.title), index_form(d.text), g.places FROM documents d "
            "JOIN files f ON f.id = d.file_id JOIN folders g ON g.id = f.folder_id"
        )
        connection.execute("INSERT OR REPLACE INTO meta VALUES ('terms', ?)", (str(terms.VERSION),))
    return True
