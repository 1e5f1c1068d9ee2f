"""Writing documents into the library's tables and its index, inside a transaction that the caller holds.

A document is written again only when its title, text or details changed. Knows no files and no searching.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable

import msgspec

from fathom.store import terms
from fathom.store.library_schema import content_digest, folder_id
from fathom.store.library_values import FileState, NewDocument, NewFile


class FileWriter:
    """One file's documents. A long file comes in several calls of ``put``; ``finish`` removes what it no longer holds.

    Until ``finish`` the file counts as not indexed. ``change`` is by how many documents the collection grew.
    """

    def __init__(self, connection: sqlite3.Connection, collection_id: int, path: str, folder: str = "") -> None:
        self._connection = connection
        self._collection_id = collection_id
        self.change = 0
        folder_row = folder_id(connection, collection_id, folder)
        connection.execute(
            "INSERT INTO files (collection_id, path, folder_id) VALUES (?, ?, ?) "
            "ON CONFLICT (collection_id, path) DO NOTHING",
            (collection_id, path, folder_row),
        )
        self._file_id, old_folder = connection.execute(
            "SELECT id, folder_id FROM files WHERE collection_id = ? AND path = ?", (collection_id, path)
        ).fetchone()
        if old_folder != folder_row:
            self._remove(connection.execute("SELECT id FROM documents WHERE file_id = ?", (self._file_id,)).fetchall())
            connection.execute("UPDATE files SET folder_id = ? WHERE id = ?", (folder_row, self._file_id))
        (self._places,) = connection.execute("SELECT places FROM folders WHERE id = ?", (folder_row,)).fetchone()

    def begin(self) -> None:
        """From here on ``put`` says what the file holds."""
        self._connection.execute("UPDATE files SET complete = 0 WHERE id = ?", (self._file_id,))
        self._connection.execute("UPDATE documents SET seen = 0 WHERE file_id = ?", (self._file_id,))

    def put(self, documents: Iterable[NewDocument]) -> None:
        """Index these; what is unchanged is not written again."""
        for document in documents:
            self._put(document)

    def finish(self, state: FileState) -> None:
        """That was all."""
        unseen = self._connection.execute(
            "SELECT id FROM documents WHERE file_id = ? AND NOT seen", (self._file_id,)
        ).fetchall()
        self._remove(unseen)
        self._connection.execute(
            "UPDATE files SET complete = 1, size = ?, mtime_ns = ?, failed = ? WHERE id = ?",
            (state.size, state.mtime_ns, msgspec.json.encode(state.failed).decode(), self._file_id),
        )

    def _put(self, document: NewDocument) -> None:
        connection = self._connection
        pages = msgspec.json.encode(document.pages).decode()
        details = (document.author, document.date, document.doi, pages)
        told = "\0".join(details) if any(details[:3]) or document.pages else ""
        digest = hashlib.blake2b(f"{document.title}\0{document.text}{told}".encode(), digest_size=16).digest()
        known = connection.execute(
            "SELECT id, file_id, digest FROM documents WHERE collection_id = ? AND document_id = ?",
            (self._collection_id, document.id),
        ).fetchone()
        if known is not None and known[1:] == (self._file_id, digest):
            connection.execute("UPDATE documents SET seen = 1 WHERE id = ?", known[:1])
            return
        if known is not None:
            self._remove([known[:1]])
        row = connection.execute(
            "INSERT INTO documents (collection_id, file_id, document_id, title, digest, content, text) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                self._collection_id,
                self._file_id,
                document.id,
                document.title,
                digest,
                content_digest(document.text),
                document.text,
            ),
        ).lastrowid
        if told:
            connection.execute("INSERT INTO details VALUES (?, ?, ?, ?, ?)", (row, *details))
        connection.execute(
            "INSERT INTO documents_fts (rowid, title, text, places) VALUES (?, ?, ?, ?)",
            (row, terms.index_form(document.title), terms.index_form(document.text), self._places),
        )
        self.change += 1

    def _remove(self, rows: list[tuple[int]]) -> None:
        remove_documents(self._connection, rows)
        self.change -= len(rows)


def put_file(connection: sqlite3.Connection, collection_id: int, file: NewFile) -> int:
    """Index a whole file; by how many documents the collection grew."""
    writer = FileWriter(connection, collection_id, file.path, file.folder)
    writer.begin()
    writer.put(file.documents)
    writer.finish(file.state)
    return writer.change


def remove_documents(connection: sqlite3.Connection, rows: Iterable[tuple[int]]) -> None:
    """Delete documents; a contentless index has to be told what it had been given."""
    for (row,) in rows:
        title, text, places = connection.execute(
            "SELECT d.title, d.text, g.places FROM documents d JOIN files f ON f.id = d.file_id "
            "JOIN folders g ON g.id = f.folder_id WHERE d.id = ?",
            (row,),
        ).fetchone()
        connection.execute(
            "INSERT INTO documents_fts (documents_fts, rowid, title, text, places) VALUES ('delete', ?, ?, ?, ?)",
            (row, terms.index_form(title), terms.index_form(text), places),
        )
        connection.execute("DELETE FROM documents WHERE id = ?", (row,))
