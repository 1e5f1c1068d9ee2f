"""create_sandbox, run_command and run_python_code: computing in a sandbox without network.

The names and arguments are those that research models were trained on. The app keeps the sandbox's id: whatever the
model calls it, the session's own is used, and the observation says so. Where there is no sandbox the tools are off.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import msgspec

from fathom.core.protocols import SandboxResult, ToolResult
from fathom.tools.context import SessionTool
from fathom.tools.scraping import fetches_by_code

SERVER = "tool-python"
_SHELL = "/bin/sh"


class SandboxTool(SessionTool):
    """Base of the tools that need the sandbox."""

    server: ClassVar[str] = SERVER

    def unavailable(self) -> str:
        state = self.context.sandbox.state
        return "" if state.available else f"{state.reason}. {state.remedy}".strip()

    def offered(self) -> bool:
        """For a small model one way in is enough: what needs a sandbox shows up once there is one."""
        return not self.context.compact or self.context.sandbox.exists

    def mended(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """A missing sandbox_id means the one that there is."""
        return {"sandbox_id": ""} | super().mended(arguments)

    def narrow(self, schema: dict[str, Any]) -> dict[str, Any]:
        """The only sandbox id that makes sense."""
        sandbox = self.context.sandbox
        if not sandbox.exists or "sandbox_id" not in schema["properties"]:
            return schema
        return schema | {"properties": schema["properties"] | {"sandbox_id": {"type": "string", "enum": [sandbox.id]}}}

    def no_network(self, code: str) -> str:
        """What to do instead, when the code looks as if it wanted something from the network; "" when not."""
        if not fetches_by_code(code):
            return ""
        if not self.context.scope.web:
            return "The sandbox has no network, and the web is switched off for this session. Use google_search."
        return (
            "The sandbox has no network: code cannot open pages. To find pages use google_search, to read one use "
            "scrape_and_extract_info, to get a file use download_file_from_internet_to_sandbox."
        )


class CreateArguments(msgspec.Struct, frozen=True):
    """Create a sandbox: a Linux computer without network to run commands and Python in. Gives its sandbox_id."""

    timeout: Annotated[int, msgspec.Meta(ge=1, le=3600, description="running time in seconds, in all")] = 600


class CreateSandbox(SandboxTool):
    """See ``CreateArguments``."""

    name: ClassVar[str] = "create_sandbox"
    Arguments = CreateArguments

    def offered(self) -> bool:
        return not self.context.compact or not self.context.sandbox.exists

    async def run(self, arguments: msgspec.Struct) -> ToolResult:
        assert isinstance(arguments, CreateArguments)
        holder = self.context.sandbox
        existed = holder.exists
        await holder.create(arguments.timeout)
        what = "There is a sandbox already, its files and variables are kept" if existed else "A sandbox was created"
        packages = f"Python has {', '.join(holder.packages)}" if holder.packages else "Python has no numpy or pandas"
        text = (
            f"{what}. sandbox_id: {holder.id}\n"
            f"Files in /workspace and Python's variables last from one call to the next; running programs do not. "
            f"No network. {packages}. Running time left: {arguments.timeout} s, for one call {holder.command_s} s."
        )
        return ToolResult(text=text, title=f"Sandbox {holder.id}", best="Ready to run commands and Python")


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
        result = await self.context.sandbox.run([_SHELL, "-c", arguments.command])
        return _told(result, [remark, self.no_network(arguments.command)], "The command")


class PythonArguments(msgspec.Struct, frozen=True):
    """Run Python code in the sandbox and read what it prints. Use it to compute, count and compare dates.
    Variables last from one call to the next."""

    code_block: Annotated[str, msgspec.Meta(min_length=1, max_length=8000, description="Python code that prints")]
    sandbox_id: Annotated[str, msgspec.Meta(max_length=64)]


class RunPythonCode(SandboxTool):
    """See ``PythonArguments``."""

    name: ClassVar[str] = "run_python_code"
    Arguments = PythonArguments
    aliases: ClassVar[dict[str, str]] = {"code": "code_block", "python_code": "code_block"}

    async def run(self, arguments: msgspec.Struct) -> ToolResult:
        assert isinstance(arguments, PythonArguments)
        _, remark = await self.context.sandbox.find(arguments.sandbox_id)
        result = await self.context.sandbox.python(arguments.code_block)
        remarks = [remark, self.no_network(arguments.code_block), *self._missing_packages(result)]
        return _told(result, remarks, "The code")

    def _missing_packages(self, result: SandboxResult) -> list[str]:
        missing = [name for name in ("numpy", "pandas") if f"No module named '{name}'" in result.output]
        return [f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not there."] if missing else []


def _told(result: SandboxResult, remarks: list[str], what: str) -> ToolResult:
    output = result.output.strip("\n")
    if result.timed_out:
        ending = f"{what} was stopped after {result.seconds:.0f} s; all its processes were ended."
        title = f"Stopped after {result.seconds:.0f} s"
    elif result.exit_code is None:
        ending = title = f"{what} was stopped"
    elif result.exit_code < 0:
        ending = title = f"{what} was killed by signal {-result.exit_code}"
    elif result.exit_code:
        ending = title = f"{what} failed with exit code {result.exit_code}"
    else:
        ending = "" if output else f"{what} ran and printed nothing. Print the result to see it."
        title = f"{what} ran in {result.seconds:.1f} s"
    last_line = next((line.strip() for line in reversed(output.splitlines()) if line.strip()), "")
    parts = [*remarks, output, ending, *result.notes]
    return ToolResult(text="\n".join(part for part in parts if part), title=title, best=last_line or ending)
