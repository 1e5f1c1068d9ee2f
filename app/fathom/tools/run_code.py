"""create_sandbox, run_command and run_python_code: computing in a sandbox without network.

The names and arguments are those that research models were trained on. Where there is no sandbox the tools are off.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import msgspec

from fathom.core.protocols import SandboxResult, ToolResult
from fathom.tools.context import SessionTool

SERVER = "tool-python"
_PYTHON = "/usr/bin/python3"
# Like a notebook cell: the value of the last expression is shown; a traceback shows the model's own lines only
_RUNNER = """
import ast, linecache, sys, traceback
source = sys.stdin.read()
sys.stdin = open("/dev/null")
linecache.cache["code_block"] = (len(source), None, source.splitlines(True), "code_block")
names = {"__name__": "__main__", "__builtins__": __builtins__}
try:
    tree = ast.parse(source, "code_block")
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "code_block", "exec"), names)
    if last is not None:
        value = eval(compile(ast.Expression(last.value), "code_block", "eval"), names)
        if value is not None:
            print(repr(value))
except SystemExit:
    raise
except BaseException as error:
    trace = error.__traceback__.tb_next if not isinstance(error, SyntaxError) else None
    sys.stdout.flush()
    traceback.print_exception(type(error), error, trace)
    sys.exit(1)
"""


class SandboxTool(SessionTool):
    """Base of the tools that need the sandbox."""

    server: ClassVar[str] = SERVER

    def unavailable(self) -> str:
        state = self.context.sandbox.state
        return "" if state.available else f"{state.reason}. {state.remedy}".strip()

    def offered(self) -> bool:
        """For a small model one way in is enough: what needs a sandbox shows up once there is one."""
        return not self.context.compact or self.context.sandbox.current is not None

    def mended(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """A missing sandbox_id means the one that there is."""
        return {"sandbox_id": ""} | super().mended(arguments)

    def narrow(self, schema: dict[str, Any]) -> dict[str, Any]:
        """The only sandbox id that makes sense."""
        sandbox = self.context.sandbox.current
        if sandbox is None or "sandbox_id" not in schema["properties"]:
            return schema
        return schema | {"properties": schema["properties"] | {"sandbox_id": {"type": "string", "enum": [sandbox.id]}}}


class CreateArguments(msgspec.Struct, frozen=True):
    """Create a sandbox: a Linux computer without network to run commands and Python in. Gives its sandbox_id."""

    timeout: Annotated[int, msgspec.Meta(ge=1, le=3600, description="running time in seconds, in all")] = 600


class CreateSandbox(SandboxTool):
    """See ``CreateArguments``."""

    name: ClassVar[str] = "create_sandbox"
    Arguments = CreateArguments

    def offered(self) -> bool:
        return not self.context.compact or self.context.sandbox.current is None

    async def run(self, arguments: msgspec.Struct) -> ToolResult:
        assert isinstance(arguments, CreateArguments)
        existed = self.context.sandbox.current is not None
        sandbox = await self.context.sandbox.create(arguments.timeout)
        what = "There is a sandbox already, its files are kept" if existed else "A sandbox was created"
        text = (
            f"{what}. sandbox_id: {sandbox.id}\n"
            f"Files in /workspace last from one call to the next; variables and running programs do not. No network. "
            f"Running time left: {arguments.timeout} s."
        )
        return ToolResult(text=text, title=f"Sandbox {sandbox.id}", best="Ready to run commands and Python")


class CommandArguments(msgspec.Struct, frozen=True):
    """Run a shell command in the sandbox and read what it prints."""

    command: Annotated[str, msgspec.Meta(min_length=1, max_length=2000, description="a shell command")]
    sandbox_id: Annotated[str, msgspec.Meta(max_length=64)]


class RunCommand(SandboxTool):
    """See ``CommandArguments``."""

    name: ClassVar[str] = "run_command"
    Arguments = CommandArguments
    aliases: ClassVar[dict[str, str]] = {"cmd": "command"}

    async def run(self, arguments: msgspec.Struct) -> ToolResult:
        assert isinstance(arguments, CommandArguments)
        _, remark = await self.context.sandbox.find(arguments.sandbox_id)
        result = await self.context.sandbox.run(["/bin/sh", "-c", arguments.command])
        return _told(result, remark, "The command")


class PythonArguments(msgspec.Struct, frozen=True):
    """Run Python code in the sandbox and read what it prints. Use it to compute, count and compare dates."""

    code_block: Annotated[str, msgspec.Meta(min_length=1, max_length=8000, description="Python code that prints")]
    sandbox_id: Annotated[str, msgspec.Meta(max_length=64)]


class RunPythonCode(SandboxTool):
    """See ``PythonArguments``."""

    name: ClassVar[str] = "run_python_code"
    Arguments = PythonArguments
    aliases: ClassVar[dict[str, str]] = {"code": "code_block", "python_code": "code_block"}

    def unavailable(self) -> str:
        reason = super().unavailable()
        if reason or self.context.sandbox.state.python:
            return reason
        return f"there is no {_PYTHON} on this computer. Install it: sudo apt install python3."

    async def run(self, arguments: msgspec.Struct) -> ToolResult:
        assert isinstance(arguments, PythonArguments)
        _, remark = await self.context.sandbox.find(arguments.sandbox_id)
        result = await self.context.sandbox.run([_PYTHON, "-c", _RUNNER], stdin=arguments.code_block)
        return _told(result, remark, "The code")


def _told(result: SandboxResult, remark: str, what: str) -> ToolResult:
    output = result.output.strip("\n")
    if result.timed_out:
        ending = f"{what} was stopped after {result.seconds:.0f} s; all its processes were ended."
        title = f"Stopped after {result.seconds:.0f} s"
    elif result.exit_code is not None and result.exit_code < 0:
        ending = title = f"{what} was killed by signal {-result.exit_code}"
    elif result.exit_code:
        ending = title = f"{what} failed with exit code {result.exit_code}"
    else:
        ending = "" if output else f"{what} ran and printed nothing. Print the result to see it."
        title = f"{what} ran in {result.seconds:.1f} s"
    last_line = next((line.strip() for line in reversed(output.splitlines()) if line.strip()), "")
    return ToolResult(
        text="\n".join(part for part in (remark, output, ending) if part), title=title, best=last_line or ending
    )
