"""The Python in a sandbox that keeps its variables from call to call.

A program of its own, standard library only; the supervisor hands its text to ``python3 -I -c``. Code comes in over
descriptor 3 (length, text), the exit code goes out over descriptor 4. It runs hostile code, so nothing relies on it.
"""

from __future__ import annotations

import ast
import contextlib
import linecache
import os
import struct
import sys
import traceback
from typing import Any

CODE, STATUS = 3, 4


def main() -> None:
    """Run blocks of code until the pipe ends."""
    sys.path[:0] = ["/workspace" if os.path.isdir("/workspace") else os.getcwd(), *sys.argv[1:]]  # noqa: PTH
    sys.argv = ["code_block"]
    own = os.getpid()
    names: dict[str, Any] = {"__name__": "__main__", "__builtins__": __builtins__}
    number = 0
    while True:
        header = _exactly(4)
        if header is None:
            return
        source = _exactly(struct.unpack(">I", header)[0])
        if source is None:
            return
        code = 0
        if source:
            number += 1
            code = execute(
                source.decode("utf-8", "replace"), f"code_block_{number}" if number > 1 else "code_block", names
            )
            if os.getpid() != own:  # a child that the code forked, at the end of the code
                os._exit(code & 255)
        _collect_children()
        os.write(STATUS, struct.pack(">i", code))


def execute(source: str, name: str, names: dict[str, Any]) -> int:
    """Like a notebook cell: the value of the last expression is shown, a traceback shows the model's own lines only."""
    code = 0
    try:
        linecache.cache[name] = (len(source), None, source.splitlines(True), name)
        tree = ast.parse(source, name)
        last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, name, "exec"), names)
        if last is not None:
            assert isinstance(last, ast.Expr)
            value = eval(compile(ast.Expression(last.value), name, "eval"), names)
            if value is not None:
                print(repr(value))
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
        if isinstance(error.code, str):
            print(error.code, file=sys.stderr)
    except BaseException as error:
        code = 1
        with contextlib.suppress(BaseException):
            sys.stdout.flush()
            own_lines = error.__traceback__.tb_next if error.__traceback__ and not _in_parsing(error) else None
            traceback.print_exception(type(error), error, own_lines)
    with contextlib.suppress(BaseException):
        sys.stdout.flush()
    with contextlib.suppress(BaseException):
        sys.stderr.flush()
    return max(-(2**31), min(code, 2**31 - 1))


def _in_parsing(error: BaseException) -> bool:
    return isinstance(error, SyntaxError)


def _collect_children() -> None:
    with contextlib.suppress(OSError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _exactly(size: int) -> bytes | None:
    data = b""
    while len(data) < size:
        chunk = os.read(CODE, size - len(data))
        if not chunk:
            return None
        data += chunk
    return data
