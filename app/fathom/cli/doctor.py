"""``fathom doctor``: what works on this computer, and what to do about the rest."""

from __future__ import annotations

import argparse
import asyncio
import sys

import msgspec

from fathom.cli import EXIT_ANSWERED, EXIT_ERROR
from fathom.core.settings import Settings
from fathom.services.doctor import Check, examine
from fathom.services.model_report import model_report

MARKS = {"ok": "ok     ", "warning": "warning", "error": "error  "}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's words."""
    parser.add_argument("--json", action="store_true", help="print JSON")


async def _look() -> tuple[list[Check], dict[str, object]]:
    settings = Settings.load()
    return await examine(settings), await model_report(settings)


def run(arguments: argparse.Namespace) -> int:
    """Print one line a part. Exit 1 when a part that Fathom cannot do without does not work."""
    checks, models = asyncio.run(_look())
    broken = any(check.state == "error" for check in checks)
    if arguments.json:
        report = {"ok": not broken, "checks": {check.name: check for check in checks}} | models
        sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")
    else:
        for check in checks:
            print(f"{MARKS[check.state]}  {check.name:<9} {check.summary}")
            if check.remedy:
                print(f"{'':<19} do: {check.remedy}")
            if check.name == "sandbox":
                for line in check.detail.splitlines():
                    print(f"{'':<19} {line}")
    return EXIT_ERROR if broken else EXIT_ANSWERED
