"""``make bench``: every measurement of this folder in one run, a table and, as the last line, one JSON object.

Usage: run.py [--model GGUF] [--only NAME]...
Each ``bench_*.py`` has ``measure(...) -> dict[str, float]``; figures are medians. Targets are printed beside them, not
asserted: a busy machine is no defect of the code.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

HERE = Path(__file__).parent

TARGETS: dict[str, tuple[Callable[[float], bool], str]] = {
    "first_paint_s": (lambda value: value <= 1.0, "at most 1.0"),
    "store_step_ms_p50": (lambda value: value <= 10, "at most 10"),
    "ui_lag_ms_p95": (lambda value: value <= 16, "at most 16"),
    "engine_decode_ratio": (lambda value: value >= 0.95, "at least 0.95"),
}


def load(name: str) -> ModuleType:
    """Import a sibling file; this folder is no package."""
    spec = importlib.util.spec_from_file_location(name, HERE / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, help="a GGUF instead of the embedded model")
    parser.add_argument("--only", action="append", choices=["first_paint", "store", "ui", "engine"], default=[])
    arguments = parser.parse_args()
    chosen = arguments.only or ["first_paint", "store", "ui", "engine"]
    figures: dict[str, float] = {}
    for name in chosen:
        module = load(f"bench_{name}")
        print(f"measuring {name} …", file=sys.stderr, flush=True)
        if name == "engine":
            from fathom.weights import embedded

            model = arguments.model or embedded.locate()
            if model is None:
                print("the embedded model is missing: run `make setup`", file=sys.stderr)
                return 1
            figures |= module.measure(model)
        else:
            figures |= module.measure()
    print(f"{'figure':<28} {'value':>12}  target")
    for key, value in figures.items():
        test = TARGETS.get(key)
        verdict = "" if test is None else f"{test[1]}: {'met' if test[0](value) else 'NOT met'}"
        print(f"{key:<28} {value:>12.3f}  {verdict}")
    print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
