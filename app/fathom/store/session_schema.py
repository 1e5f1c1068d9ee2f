"""The sessions' tables: an append-only list of migrations.

``events`` is a log: one row per event that is not a delta, in the order in which they happened.
"""

from __future__ import annotations

import sqlite_utils


def m001_sessions_events_sources(db: sqlite_utils.Database) -> None:
    """The first form."""
    for statement in (
        """CREATE TABLE sessions (
            number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, created TEXT NOT NULL,
            state TEXT NOT NULL, seconds REAL NOT NULL, model_name TEXT NOT NULL, owner TEXT NOT NULL DEFAULT '',
            sample INTEGER NOT NULL, parent_id TEXT NOT NULL, parent_step INTEGER NOT NULL, title TEXT NOT NULL,
            engine TEXT NOT NULL, task TEXT NOT NULL)""",
        # payload is NULL when the row's content is in the StepFinished of its step (see sessions.py)
        """CREATE TABLE events (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            session INTEGER NOT NULL REFERENCES sessions ON DELETE CASCADE, step INTEGER NOT NULL, type TEXT NOT NULL,
            part TEXT NOT NULL DEFAULT '', checksum BLOB NOT NULL, payload BLOB)""",
        "CREATE INDEX events_of_session ON events (session, type, step)",
        """CREATE TABLE sources (
            session INTEGER NOT NULL REFERENCES sessions ON DELETE CASCADE, uri TEXT NOT NULL,
            PRIMARY KEY (session, uri)) WITHOUT ROWID""",
        # rowid: an event's id, or -number of the session whose title and question it is
        """CREATE VIRTUAL TABLE sessions_fts USING fts5 (
            text, content='', detail='full', tokenize='unicode61 remove_diacritics 2')""",
    ):
        db.execute(statement)


def m002_unbacked(db: sqlite_utils.Database) -> None:
    """Whether the short answer is in no saved passage; not known of the runs before it."""
    db.execute("ALTER TABLE sessions ADD COLUMN unbacked INTEGER NOT NULL DEFAULT 0")


MIGRATIONS = (m001_sessions_events_sources, m002_unbacked)
