"""The library's tables: an append-only list of migrations, and the rebuilding of the index.

``documents_fts`` is contentless: it holds what terms.index_form made of a document, and ``documents`` the original.
"""

from __future__ import annotations

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


MIGRATIONS = (m001_collections_files_documents,)


def rebuild_index(database: Database) -> bool:
    """Index every document again when the index was built by another version of the terms; True when it was."""
    if database.rows("SELECT value FROM meta WHERE key = 'terms'") == [(str(terms.VERSION),)]:
        return False
    with database.transaction() as connection:
        connection.execute("INSERT INTO documents_fts (documents_fts) VALUES ('delete-all')")
        connection.create_function("index_form", 1, terms.index_form, deterministic=True)
        connection.execute(
            "INSERT INTO documents_fts (rowid, title, text) "
            "SELECT id, index_form(title), index_form(text) FROM documents"
        )
        connection.execute("INSERT OR REPLACE INTO meta VALUES ('terms', ?)", (str(terms.VERSION),))
    return True
