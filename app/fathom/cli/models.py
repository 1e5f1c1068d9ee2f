"""``fathom models``: which models are here and which can be had, what fits; add, download, try, use, remove."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from contextlib import suppress
from pathlib import Path

import msgspec

from fathom.cli import EXIT_ANSWERED, EXIT_STOPPED
from fathom.core.errors import DownloadError, UserError
from fathom.services import pace
from fathom.services.application import Services, open_services
from fathom.services.downloads import Download
from fathom.services.model_library import Model, Offer
from fathom.weights import memory
from fathom.weights.catalog import catalog


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's words."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    listing = actions.add_parser("list", help="models on this computer, and those that can be had")
    add = actions.add_parser("add", help="list a GGUF file, an MLX folder, or the models of a folder")
    add.add_argument("path", metavar="PATH", type=Path)
    download = actions.add_parser("download", help="fetch a model of the catalogue; Ctrl-C pauses, again resumes")
    use = actions.add_parser("use", help="answer with this model from now on")
    test = actions.add_parser("try", help="let a model write for up to 20 s and measure it")
    remove = actions.add_parser("remove", help="delete a model of Fathom's folder; forget one that lies elsewhere")
    download.add_argument("model", metavar="ID", help="from `fathom models list`")
    for action in (use, test, remove):
        action.add_argument("model", metavar="ID|PATH", help="from `fathom models list`")
    for action in (listing, add, download, use, test, remove):
        action.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Do one action."""
    return asyncio.run(_run(arguments))


async def _run(arguments: argparse.Namespace) -> int:
    services = await open_services(wait_for_engine=False)
    try:
        actions = {"list": _list, "add": _add, "download": _download, "use": _use, "try": _try, "remove": _remove}
        return await actions[arguments.action](services, arguments)
    finally:
        await services.close()


async def _list(services: Services, arguments: argparse.Namespace) -> int:
    shelf = await services.models.look()
    chosen = services.settings.model
    if arguments.json:
        _json(
            {
                "machine": shelf.machine,
                "host": shelf.host,
                "disk_free": shelf.disk_free,
                "models": [of_model(one, chosen) for one in shelf.models],
                "available": [of_offer(one) for one in shelf.offers],
            }
        )
        return EXIT_ANSWERED
    print(f"On this computer ({memory.gigabytes(shelf.machine.ram_bytes)} of memory)")
    for model in shelf.models:
        mark = "*" if is_chosen(model, chosen) else " "
        print(f"{mark} {model.name:<26} {memory.gigabytes(model.bytes):>8}  {model.problem or memory.words(model.fit)}")
        print(f"  {'':<26} {'':>8}  {model.place}: {model.path}")
    print(f"\nCan be had from {shelf.host}: fathom models download ID")
    for offer in shelf.offers:
        mark = "+" if offer.recommended else " "
        size = memory.gigabytes(offer.entry.bytes)
        print(f"{mark} {offer.entry.id:<26} {size:>8}  {memory.words(offer.fit)}  ·  {offer.entry.licence}")
    if shelf.recommended is not None:
        print("\n+ recommended for this computer")
    return EXIT_ANSWERED


async def _add(services: Services, arguments: argparse.Namespace) -> int:
    before = {one.path for one in (await services.models.look()).models}
    shelf = await services.models.add(arguments.path)
    new = [one for one in shelf.models if one.path not in before]
    if arguments.json:
        _json({"models": [of_model(one, services.settings.model) for one in new]})
    for one in () if arguments.json else new:
        print(f"{one.name}: {one.problem or memory.words(one.fit)}")
    if not new and not arguments.json:
        print("It is in the list already.")
    return EXIT_ANSWERED


async def _download(services: Services, arguments: argparse.Namespace) -> int:
    entry = catalog().get(arguments.model)
    if entry is None:
        known = ", ".join(one.id for one in catalog().values() if not one.embedded)
        raise UserError(f"There is no model {arguments.model} in the catalogue.", needs=f"one of {known}")
    shelf = await services.models.look()
    here = next((one for one in shelf.models if one.entry == entry.id and not one.problem), None)
    if here is not None:
        return _told(arguments, {"state": "done", "path": here.path, "message": "it is here already"}, here.path)
    downloads = services.models.downloads
    print(f"{entry.name}, {memory.gigabytes(entry.bytes)}, {entry.licence}, from {downloads.host}", file=sys.stderr)
    item = downloads.add(entry)
    end = downloads.subscribe(_progress_line())
    task = asyncio.current_task()
    assert task is not None
    # Python listens to SIGINT only where it was not ignored at the start, as it is in a script's background
    with suppress(NotImplementedError):  # Windows: KeyboardInterrupt ends the command
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, task.cancel)
    try:
        item = await downloads.wait(item.id)
    except asyncio.CancelledError:
        downloads.pause(item.id)
        print("\npaused; the same command resumes it", file=sys.stderr)
        return EXIT_STOPPED
    finally:
        end()
    print(file=sys.stderr)
    if item.state != "done":
        if arguments.json:
            _json(item)
        raise DownloadError(item.message or item.note, needs=item.needs, has=item.has, do=item.do)
    return _told(arguments, item, item.path)


def _told(arguments: argparse.Namespace, value: object, path: str) -> int:
    if arguments.json:
        _json(value)
    else:
        print(path)
    return EXIT_ANSWERED


class _progress_line:  # noqa: N801
    """Draws one line to stderr again and again."""

    def __call__(self, item: Download) -> None:
        share = item.done_bytes / item.total_bytes if item.total_bytes else 0.0
        left = "checking" if item.state == "checking" else f"{item.bytes_per_s / 1e6:.1f} MB/s"
        sizes = f"{memory.gigabytes(item.done_bytes)} of {memory.gigabytes(item.total_bytes)}"
        print(f"\r{share:4.0%}  {sizes}  {left}   ", end="", file=sys.stderr, flush=True)


async def _use(services: Services, arguments: argparse.Namespace) -> int:
    model = await _find(services, arguments.model)
    if model.problem:
        await services.models.use(model)  # raises what is wrong with it
    services.settings.model = "" if model.embedded else model.path
    services.settings.save()
    return _told(arguments, of_model(model, services.settings.model), model.name)


async def _try(services: Services, arguments: argparse.Namespace) -> int:
    model = await _find(services, arguments.model)
    found = await services.models.try_model(model)
    shelf = services.models.shelf.model(model.path)
    if arguments.json:
        _json({"path": model.path, "probe": found, "pace": shelf.pace if shelf else None})
    else:
        print(found.text)
        print(f"reads {found.prefill_tokens_per_s:.0f}, writes {found.decode_tokens_per_s:.1f} tokens a second")
        print(pace.words(shelf.pace if shelf else None))
    return EXIT_ANSWERED


async def _remove(services: Services, arguments: argparse.Namespace) -> int:
    model = await _find(services, arguments.model)
    if model.own:
        await services.models.remove(model)
        done = "deleted"
    else:
        await services.models.forget(model)
        done = "taken out of the list; its file stays where it is"
    if arguments.json:
        _json({"path": model.path, "deleted": model.own})
    else:
        print(f"{model.name}: {done}")
    return EXIT_ANSWERED


async def _find(services: Services, wanted: str) -> Model:
    """A model by its catalogue id, its name or its path. Raises UserError that lists what is here."""
    shelf = await services.models.look()
    path = str(Path(wanted).expanduser().absolute())  # noqa: ASYNC240
    for model in shelf.models:
        if wanted in (model.entry, model.name, model.path) or path == model.path:
            return model
    names = ", ".join(model.entry or model.name for model in shelf.models)
    raise UserError(
        f"There is no model {wanted} on this computer.", has=names or "none", do="See `fathom models list`."
    )


def is_chosen(model: Model, chosen: str) -> bool:
    """Whether the settings name this model."""
    return model.path == chosen if chosen else model.embedded


def of_model(model: Model, chosen: str) -> dict[str, object]:
    """A model for JSON."""
    return {
        "id": model.entry,
        "name": model.name,
        "path": model.path,
        "place": model.place,
        "bytes": model.bytes,
        "backend": model.backend,
        "detail": model.detail,
        "chosen": is_chosen(model, chosen),
        "deletable": model.own,
        "problem": model.problem,
        "fits": model.fit.usable,
        "fit": model.fit,
        "fit_words": memory.words(model.fit),
        "pace": model.pace,
    }


def of_offer(offer: Offer) -> dict[str, object]:
    """A model that can be had for JSON."""
    entry = offer.entry
    return {
        "id": entry.id,
        "name": entry.name,
        "repo": entry.repo,
        "file": entry.file,
        "sha256": entry.sha256,
        "licence": entry.licence,
        "bytes": entry.bytes,
        "backend": entry.backend,
        "context": entry.context,
        "recommended": offer.recommended,
        "fits": offer.fit.usable,
        "fit": offer.fit,
        "fit_words": memory.words(offer.fit),
        "pace": offer.pace,
    }


def _json(value: object) -> None:
    sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n")
