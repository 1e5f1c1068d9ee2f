"""``fathom ask``: research one question and print the report, or every event as a JSON line."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from contextlib import suppress
from pathlib import Path

from fathom.cli import EXIT_ANSWERED, EXIT_ENGINE, EXIT_PARTIAL, EXIT_STOPPED, EXIT_USAGE
from fathom.core.errors import EngineError, LibraryError, UserError
from fathom.core.events import (
    AgentEvent,
    AnswerStarted,
    CallStarted,
    Notice,
    ObservationReady,
    PromptProgress,
    RunFailed,
    RunFinished,
    RunStarted,
    RunStopped,
    StepFinished,
)
from fathom.core.settings import EndpointSettings, Settings
from fathom.core.types import Scope
from fathom.services.application import Services, open_services
from fathom.services.session_runner import as_json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's words."""
    parser.add_argument("question", metavar="QUESTION")
    parser.add_argument(
        "--library", metavar="PATH", type=Path, action="append", default=[], help="look here instead of in the sample"
    )
    parser.add_argument("--web", action="store_true", help="search the web too; the search words leave this computer")
    parser.add_argument(
        "--endpoint",
        metavar="URL",
        default="",
        help="use an OpenAI-compatible server (vLLM, SGLang, llama-server, LM Studio, Ollama); --model names its model",
    )
    parser.add_argument(
        "--allow-remote", action="store_true", help="let your text go to an --endpoint that is not this computer"
    )
    parser.add_argument("--native-tools", action="store_true", help="use the --endpoint's own tool calls")
    parser.add_argument(
        "--memory",
        choices=("strict", "fast"),
        help="strict: exactly the last K results; fast: they leave in blocks, which costs less (default: by context)",
    )
    parser.add_argument(
        "--model", metavar="NAME|PATH", default="", help="a GGUF file, a folder for MLX, or 'embedded' (the default)"
    )
    parser.add_argument("--backend", choices=("llamacpp", "mlx"), help="what computes it (else as the settings say)")
    parser.add_argument("--keep", metavar="K", type=_keep, help="results kept in the model's view; -1 keeps all")
    parser.add_argument("--max-calls", metavar="N", type=_positive, help="tool calls at most (600)")
    parser.add_argument("--max-time", metavar="S", type=_seconds, help="seconds at most; then the report is written")
    parser.add_argument("--out", metavar="FILE.md", type=Path, help="write the report to a new file")
    parser.add_argument("--overwrite", action="store_true", help="let --out replace a file")
    parser.add_argument("--events", action="store_true", help="print one JSON event a line instead of the report")


def run(arguments: argparse.Namespace) -> int:
    """Run the question to its end. Exit: 0 answered, 2 usage, 3 partial report, 4 engine failed, 130 stopped."""
    if not arguments.question.strip():
        print("fathom ask: the question is empty", file=sys.stderr)
        return EXIT_USAGE
    if arguments.out is not None and arguments.out.exists() and not arguments.overwrite:
        print(f"fathom ask: {arguments.out} is there already; name another file, or add --overwrite", file=sys.stderr)
        return EXIT_USAGE
    settings = Settings.load()
    if arguments.endpoint:
        settings.backend = "endpoint"
        settings.endpoint = EndpointSettings(
            base_url=arguments.endpoint,
            model=arguments.model,
            allow_remote=arguments.allow_remote,
            native_tools=arguments.native_tools,
        )
    elif arguments.model:
        settings.backend = "" if settings.backend == "endpoint" else settings.backend
        settings.model = "" if arguments.model in ("embedded", "smollm2") else str(Path(arguments.model).expanduser())
        if settings.model and not Path(settings.model).exists():
            print(f"fathom ask: there is no model file {arguments.model}", file=sys.stderr)
            return EXIT_USAGE
    if arguments.memory is not None:
        settings.memory = arguments.memory
    if arguments.backend is not None:
        settings.backend = arguments.backend
    if settings.model and Path(settings.model).is_dir() and arguments.backend == "llamacpp":
        print("fathom ask: a folder for MLX runs on --backend mlx alone", file=sys.stderr)
        return EXIT_USAGE
    if arguments.keep is not None:
        settings.keep = arguments.keep
    if arguments.max_calls is not None:
        settings.max_calls = arguments.max_calls
    if arguments.max_time is not None:
        settings.max_time_s = arguments.max_time
    return asyncio.run(_ask(arguments, settings))


async def _ask(arguments: argparse.Namespace, settings: Settings) -> int:
    services = await open_services(settings, wait_for_engine=False)
    try:
        scope = settings.scope
        if arguments.library:
            try:
                names = [(await services.library.add(path)).name for path in arguments.library]
            except LibraryError as error:
                print(f"fathom ask: {error}", file=sys.stderr)
                return EXIT_USAGE
            scope = Scope(sample=False, documents=True, collections=tuple(names))
        scope = Scope(sample=scope.sample, documents=scope.documents, collections=scope.collections, web=arguments.web)
        try:
            _say("asking the server" if settings.backend == "endpoint" else "loading the model")
            await services.engine.ready_or_raise()
        except (EngineError, UserError) as error:
            print(f"fathom ask: {error}", file=sys.stderr)
            return EXIT_ENGINE
        return await _follow(services, arguments, scope)
    finally:
        await services.close()


async def _follow(services: Services, arguments: argparse.Namespace, scope: Scope) -> int:
    ended: asyncio.Future[AgentEvent] = asyncio.get_running_loop().create_future()

    def on_event(_session: str, event: AgentEvent) -> None:
        if arguments.events:
            sys.stdout.buffer.write(as_json(event) + b"\n")
            sys.stdout.buffer.flush()
        _progress(event)
        if isinstance(event, RunFinished | RunFailed | RunStopped) and not ended.done():
            ended.set_result(event)

    services.sessions.subscribe(on_event)
    session = services.sessions.ask(arguments.question, scope)
    for name in (signal.SIGINT, signal.SIGTERM):
        with suppress(NotImplementedError):  # Windows: KeyboardInterrupt ends the command
            asyncio.get_running_loop().add_signal_handler(name, services.sessions.stop, session.id)
    event = await ended
    await services.sessions.idle()
    if isinstance(event, RunStopped):
        _say(f"stopped; the finished steps are saved in session {session.id}")
        return EXIT_STOPPED
    if isinstance(event, RunFailed):
        print(f"fathom ask: {event.message} {event.has} {event.do}", file=sys.stderr)
        if event.detail:
            print(event.detail.strip(), file=sys.stderr)
        return EXIT_ENGINE
    if arguments.out is not None:
        path = services.sessions.export(session.id, arguments.out, overwrite=arguments.overwrite)
        _say(f"report written to {path}")
    if not arguments.events and arguments.out is None:
        sys.stdout.buffer.write(services.sessions.render(session.id))
    assert isinstance(event, RunFinished)
    return EXIT_ANSWERED if event.answer else EXIT_PARTIAL


def _progress(event: AgentEvent) -> None:
    match event:
        case RunStarted():
            _say(f"{event.model}: {event.task.question}")
        case PromptProgress() if event.done == event.total and event.total > 4000:
            _say(f"  read {event.total:,} tokens")
        case CallStarted():
            words = ", ".join(f"{key}={_short(str(value))}" for key, value in event.arguments.items())
            _say(f"step {event.step}: {event.name}({words})")
        case ObservationReady():
            mark = "error: " if event.observation.is_error else ""
            _say(f"  {mark}{_short(event.observation.title or event.observation.text, 100)}")
        case StepFinished() if not event.step.calls:
            _say(f"step {event.step.index}: ready to answer")
        case AnswerStarted():
            _say("writing the report")
        case Notice():
            _say(f"note: {event.text}")
        case _:
            pass


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _short(text: str, limit: int = 60) -> str:
    line = " ".join(text.split())
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


def _keep(text: str) -> int:
    value = int(text)
    if value < -1:
        raise argparse.ArgumentTypeError("K is -1 (keep all), 0 or more")
    return value


def _positive(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 600:
        raise argparse.ArgumentTypeError("between 1 and 600")
    return value


def _seconds(text: str) -> float:
    value = float(text)
    if not value > 0:
        raise argparse.ArgumentTypeError("more than 0 seconds")
    return value
