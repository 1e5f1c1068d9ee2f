"""What the model can do: one file a tool, found by name.

Knows the core, and of ``prompting`` how foreign text is made harmless. The library, the parser of pages and the folders
are handed in; nothing here knows the store, the agent or the window. A new tool is one file and one line in ``TOOLS``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fathom.core.protocols import Extractor, LibraryIndex, PageCache, Parser, Supervisor
    from fathom.core.types import Step, Task
    from fathom.tools.addresses import FetchPolicy
    from fathom.tools.context import ToolMaker
    from fathom.tools.search.panel import SearchPanel
    from fathom.tools.toolbox import SessionToolbox

TOOLS: dict[str, str] = {
    "google_search": "fathom.tools.web_search:GoogleSearch",
    "scrape_and_extract_info": "fathom.tools.scrape:ScrapeAndExtractInfo",
    "create_sandbox": "fathom.tools.run_code:CreateSandbox",
    "run_command": "fathom.tools.run_code:RunCommand",
    "run_python_code": "fathom.tools.run_code:RunPythonCode",
    "upload_file_from_local_to_sandbox": "fathom.tools.files:UploadFile",
    "download_file_from_internet_to_sandbox": "fathom.tools.files:DownloadFromInternet",
    "download_file_from_sandbox_to_local": "fathom.tools.files:DownloadFile",
}
"""Name -> "module:class"; a class takes one ``ToolContext``. The order is the one in which the model reads them."""


async def open_toolbox(
    task: Task,
    *,
    library: LibraryIndex,
    parser: Parser,
    downloads_dir: Path,
    session_dir: Path,
    compact: bool = False,
    observation_chars: int = 0,
    results: int = 5,
    only: Sequence[str] = (),
    history: Sequence[Step] = (),
    fetch_policy: FetchPolicy | None = None,
    search: SearchPanel | None = None,
    supervisor: Supervisor | None = None,
    pages: PageCache | None = None,
    extractor: Extractor | None = None,
    command_s: int = 60,
    more: Sequence[ToolMaker] = (),
    notices: Sequence[str] = (),
) -> SessionToolbox:
    """The tools of one run; close it with ``await toolbox.close()``.

    ``compact`` is for small models: optional arguments are left out of the schemas, and tools that need a sandbox show
    up once there is one. ``observation_chars`` is what a result should fit into, in characters (0: 1,500 when compact,
    else 6,000); give it from the profile's observation cap, so that passages are chosen and not cut off. ``results`` is
    how many hits a search gives. ``only`` narrows the tools to these names (all when empty). ``history``: the steps of
    an interrupted run that goes on; what they showed may be opened. The web is off unless ``task.scope.web``.
    ``search`` are the services that search it, ``fetch_policy`` bounds the reading of pages, ``pages`` keeps copies of
    them (without it every page is fetched), and ``extractor`` reads long ones for the model. ``command_s`` (at most
    600) bounds one command in the sandbox. ``supervisor`` is asked for leave and told of fall-backs; without one,
    whatever would be asked is refused. ``more`` are tools of other programs, ``notices`` what there is to say of them.

    Takes up to a second the first time in a process: it tries out the sandbox.
    """
    from fathom.tools.context import ToolContext
    from fathom.tools.toolbox import SessionToolbox

    context = await ToolContext.open(
        task,
        library=library,
        parser=parser,
        downloads_dir=downloads_dir,
        session_dir=session_dir,
        compact=compact,
        observation_chars=observation_chars or (1500 if compact else 6000),
        results=results,
        history=history,
        fetch_policy=fetch_policy,
        search=search,
        supervisor=supervisor,
        pages=pages,
        extractor=extractor,
        command_s=command_s,
    )
    return SessionToolbox(context, only=only, more=more, notices=notices)
