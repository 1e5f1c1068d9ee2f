"""A keyring backend that counts as encrypted for the tests, and backends that must be refused."""

from __future__ import annotations

import keyring.backend
import keyring.errors


class Vault(keyring.backend.KeyringBackend):
    """Keeps passwords in memory. ``locked`` makes it refuse, as a desktop's keyring does that nobody unlocks."""

    priority = 1
    name = "Vault of the tests"

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[tuple[str, str], str] = {}
        self.locked = False

    def _open(self) -> None:
        if self.locked:
            raise keyring.errors.KeyringLocked("it is locked")

    def get_password(self, service: str, username: str) -> str | None:
        self._open()
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self._open()
        self.kept[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        self._open()
        if self.kept.pop((service, username), None) is None:
            raise keyring.errors.PasswordDeleteError("not there")


ENCRYPTED = (Vault.__module__,)


class Plaintext(Vault):
    """Writes in the clear; it calls itself what the known one is called."""

    name = "plaintext"


Plaintext.__module__ = "keyrings.alt.file"
