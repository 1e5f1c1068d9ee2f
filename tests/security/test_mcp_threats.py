"""Threat 5 for other programs: their secrets are in the keyring, in no file, and go with them."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest
from encrypted_keyring import ENCRYPTED, Vault

from fathom.core.errors import UserError
from fathom.core.settings import Settings
from fathom.services.keys import Keys
from fathom.services.mcp_service import McpService

SECRET = "canary-0123456789"


def test_secrets_are_in_the_keyring_and_go_with_the_server(fathom_home: Path) -> None:
    async def main() -> None:
        vault = Vault()
        service = McpService(Settings(), Keys(vault, ENCRYPTED))
        await service.add("notes", f"{sys.executable} -c pass", f"NOTES_TOKEN={SECRET}")
        assert SECRET not in (fathom_home / "settings.json").read_text()
        assert vault.get_password("fathom", "mcp:notes:env:NOTES_TOKEN") == SECRET
        with pytest.raises(UserError, match="already"):
            await service.add("notes", "x")
        await service.remove("notes")
        assert vault.get_password("fathom", "mcp:notes:env:NOTES_TOKEN") is None
        with pytest.raises(UserError, match="cannot be a key"):  # all secrets are kept, or none
            await service.add("two", "x", f"A_TOKEN={SECRET} B_TOKEN={'x' * 5000}")
        assert vault.kept == {}
        assert service.servers() == []
        token = "".join(chr(97 + number % 26) for number in range(1300))  # as long as a signed one
        await service.add("long", "x", f"NOTES_TOKEN={token}")
        assert token[:200] not in (fathom_home / "settings.json").read_text()
        later = McpService(Settings.load(), Keys(vault, ENCRYPTED))
        assert (await later._connection("long")).server.env == {"NOTES_TOKEN": token}
        await later.remove("long")
        assert vault.kept == {}
        await service.close()

    asyncio.run(main())
