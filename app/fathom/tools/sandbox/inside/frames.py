"""Frames between the app and the supervisor: a kind (one byte), a length, a payload."""

from __future__ import annotations

import json
import os
import struct

HEADER = struct.Struct(">cI")
MAX_FRAME = 2**20
CHUNK = 65536


class Channel:
    """Frames from and to the app."""

    def __init__(self, source: int, target: int) -> None:
        self.source = source
        self._target = target

    def receive(self) -> tuple[bytes, bytes]:
        """The next frame. Raises EOFError when the app is gone."""
        kind, size = HEADER.unpack(exactly(self.source, HEADER.size))
        return kind, exactly(self.source, size)

    def send(self, kind: bytes, data: bytes) -> None:
        """Send one frame of at most ``MAX_FRAME`` bytes."""
        write_all(self._target, HEADER.pack(kind, len(data)) + data)

    def result(self, **fields: object) -> None:
        """The end of a request."""
        self.send(b"X", json.dumps(fields).encode())


def exactly(descriptor: int, size: int) -> bytes:
    """So many bytes. Raises EOFError when there are fewer."""
    data = b""
    while len(data) < size:
        chunk = os.read(descriptor, size - len(data))
        if not chunk:
            raise EOFError
        data += chunk
    return data


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of it. Raises OSError."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
