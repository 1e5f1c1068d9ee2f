"""Imports every module of Fathom and prints those that cannot be. Run by test_before_the_engine.py."""

from __future__ import annotations

import importlib
import pkgutil
import sys

import fathom

for module in pkgutil.walk_packages(fathom.__path__, "fathom."):
    if not module.name.endswith("__main__"):
        try:
            importlib.import_module(module.name)
        except ModuleNotFoundError:
            sys.stdout.write(f"{module.name}\n")
