"""``make bench`` and its sisters: one suite in one run, a table and, as the last line, one JSON object.

Usage: run.py [SUITE] [--model GGUF] [--data FOLDER] [--only NAME]...
A suite is a list of ``bench_NAME.py`` files. Each has ``measure(options) -> dict[str, float]`` and ``TARGETS``: figure
-> (at most | at least, bound). What needs a folder of data and has none raises NoData: it is left out, and that is
said. Figures are medians. Targets are printed beside them, not asserted: a busy machine is no defect of the code.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from pathlib import Path

from options import NoData, Options

SUITES: dict[str, tuple[str, ...]] = {
    "main": ("first_paint", "store", "ui", "engine"),
    "extract": ("extract",),
    "tools": ("sandbox", "library"),
    "engines": ("llamacpp", "mlx"),
    "context": ("context",),
}
"""Suite -> its files, without ``bench_`` and ``.py``. A new measurement is one file and its name here."""


def verdict(value: float, target: tuple[str, float] | None) -> str:
    """``at most 10: met``; "" without a target."""
    if target is None:
        return ""
    kind, bound = target
    met = value <= bound if kind == "at most" else value >= bound
    return f"{kind} {bound:g}: {'met' if met else 'NOT met'}"


def main() -> int:
    """Measure and print."""
    from fathom.weights import embedded

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suite", nargs="?", choices=sorted(SUITES), default="main")
    parser.add_argument("--model", type=Path, help="a GGUF instead of the embedded model")
    parser.add_argument("--data", type=Path, help="a folder of question sets, for the measurements that need one")
    parser.add_argument("--only", action="append", default=[], help="one measurement of the suite; may be repeated")
    arguments = parser.parse_args()
    names = SUITES[arguments.suite]
    if unknown := set(arguments.only) - set(names):
        parser.error(f"not in {arguments.suite}: {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    model = arguments.model or embedded.locate()
    if model is None:
        print("the embedded model is missing: run `make setup`", file=sys.stderr)
        return 1
    options = Options(model=model, data=arguments.data)
    figures: dict[str, float] = {}
    targets: dict[str, tuple[str, float]] = {}
    for name in arguments.only or names:
        module = importlib.import_module(f"bench_{name}")
        print(f"measuring {name} …", file=sys.stderr, flush=True)
        try:
            figures |= module.measure(options)
        except NoData as error:
            print(f"{name}: not measured: {error}", file=sys.stderr, flush=True)
        targets |= module.TARGETS
    print(f"{'figure':<32} {'value':>12}  target")
    for key, value in figures.items():
        print(f"{key:<32} {value:>12.3f}  {verdict(value, targets.get(key))}".rstrip())
    print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
