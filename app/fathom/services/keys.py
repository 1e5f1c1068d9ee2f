"""Keys of search services: in the system's keyring, or in this process's memory, and nowhere else.

A keyring backend counts only when it is known to encrypt (the desktops' own); a plaintext, null or missing one is
refused, the key is kept for this run, and the caller is told so. Whatever key passes through here is known to
``core.redaction`` from then on. Calls may wait for the person to unlock the keyring: make them off the event loop.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Sequence

import keyring
import keyring.backend
import keyring.errors

from fathom.core.errors import UserError
from fathom.core.redaction import SHORTEST, remember
from fathom.core.types import Struct

SERVICE = "fathom"
ENCRYPTED = (
    "keyring.backends.SecretService",
    "keyring.backends.kwallet",
    "keyring.backends.libsecret",
    "keyring.backends.macOS",
    "keyring.backends.Windows",
)
"""Modules of backends that keep keys encrypted, by the desktop that the person is logged in to."""

_NO_KEYRING = ("keyring.backends.fail", "keyring.backends.null", "keyring.backends.chainer")
LONGEST = 512


class KeyStoreState(Struct, frozen=True):
    """``lasting``: keys outlive this run. ``name`` is the keyring's; ``reason`` says why it is not used."""

    lasting: bool
    name: str = ""
    reason: str = ""


class Keys:
    """Safe from any thread."""

    def __init__(
        self, backend: keyring.backend.KeyringBackend | None = None, encrypted: Sequence[str] = ENCRYPTED
    ) -> None:
        """``backend``: the system's own when None. ``encrypted``: modules whose backends may be used."""
        self._given = backend
        self._encrypted = tuple(encrypted)
        self._lock = threading.RLock()
        self._memory: dict[str, str] = {}
        self._backend: keyring.backend.KeyringBackend | None = None
        self._state: KeyStoreState | None = None

    def state(self) -> KeyStoreState:
        """Where keys are kept."""
        with self._lock:
            if self._state is None:
                self._state = self._look()
            return self._state

    def get(self, provider: str) -> str:
        """The key, "" when there is none. A keyring that stays locked counts as none."""
        with self._lock:
            key = self._memory.get(provider)
            if key is None and self.state().lasting:
                assert self._backend is not None
                with contextlib.suppress(keyring.errors.KeyringError):
                    key = self._backend.get_password(SERVICE, provider)
                if key:
                    self._memory[provider] = key
            if key:
                remember(key)
            return key or ""

    def set(self, provider: str, key: str) -> KeyStoreState:
        """Keep a key; the state says for how long. Raises UserError when it cannot be one."""
        key = key.strip()
        if not SHORTEST <= len(key) <= LONGEST or not key.isascii() or not key.isprintable() or " " in key:
            raise UserError(
                "This cannot be a key.",
                needs=f"{SHORTEST} to {LONGEST} letters, digits and signs without a space",
                has=f"{len(key)} characters" if key else "nothing",
                do="Copy the whole key from the service’s page.",
            )
        remember(key)
        with self._lock:
            self._memory[provider] = key
            state = self.state()
            if state.lasting:
                assert self._backend is not None
                try:
                    self._backend.set_password(SERVICE, provider, key)
                except keyring.errors.KeyringError as error:
                    return KeyStoreState(lasting=False, name=state.name, reason=f"the keyring refused it ({error})")
            return state

    def remove(self, provider: str) -> bool:
        """Forget a key, in the keyring too; False when there was none. Raises UserError when it cannot be removed."""
        with self._lock:
            had = self._memory.pop(provider, None) is not None
            if self.state().lasting:
                assert self._backend is not None
                try:
                    if self._backend.get_password(SERVICE, provider) is not None:
                        self._backend.delete_password(SERVICE, provider)
                        had = True
                except keyring.errors.KeyringError as error:
                    raise UserError(
                        "The key could not be taken out of the keyring.",
                        has=str(error),
                        do="Unlock the keyring and try again, or remove it there.",
                    ) from error
            return had

    def _look(self) -> KeyStoreState:
        try:
            backend = self._given if self._given is not None else keyring.get_keyring()
        except Exception as error:  # a broken plug-in must not take the app with it
            return KeyStoreState(lasting=False, reason=f"the system's keyring cannot be used ({type(error).__name__})")
        refused = ""
        for candidate in getattr(backend, "backends", None) or [backend]:  # the "chainer" holds several
            module, name = type(candidate).__module__, str(getattr(candidate, "name", type(candidate).__name__))
            if module.startswith(self._encrypted):
                self._backend = candidate
                return KeyStoreState(lasting=True, name=name)
            if not module.startswith(_NO_KEYRING):
                refused = refused or name
        if refused:
            return KeyStoreState(
                lasting=False, name=refused, reason=f"the keyring at hand, {refused}, is not known to encrypt"
            )
        return KeyStoreState(lasting=False, reason="there is no keyring on this computer")
