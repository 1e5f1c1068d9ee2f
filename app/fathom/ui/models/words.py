"""Plain words and icons for fits, paces, downloads and this computer. Knows no widgets."""

from __future__ import annotations

from fathom.services import pace
from fathom.services.downloads import Download
from fathom.services.model_library import Model, Offer, Shelf
from fathom.ui.research.words import count, time_left
from fathom.weights import memory
from fathom.weights.memory import Fit, gigabytes, whole_gigabytes

FIT_ICONS = {
    "fits": ("ok", "green"),
    "shorter": ("half", "orange"),
    "close_programs": ("half", "orange"),
    "too_large": ("no", "red"),
    "unknown": ("info", "mut"),
}


def fit(found: Fit) -> tuple[str, str, str]:
    """Icon, token and words."""
    return *FIT_ICONS[found.state], memory.words(found)


def second_line(model: Model) -> str:
    """Where it lies, how large it is, how it is packed."""
    return " · ".join(part for part in (model.place, gigabytes(model.bytes), model.detail) if part)


def offer_line(offer: Offer) -> str:
    """How large it is, how it is packed, its licence."""
    entry = offer.entry
    about = "" if entry.sha256 else "about "
    return f"{about}{gigabytes(entry.bytes)} · {entry.quantisation} · {entry.licence}"


def here(shelf: Shelf) -> str:
    """ "3 models in 2 places"."""
    places = len({one.place for one in shelf.models})
    return f"{count(len(shelf.models), 'model')} in {count(places, 'place')}"


def download(item: Download) -> str:
    """How far it is: always a count, and a time left while it runs."""
    total = gigabytes(item.total_bytes)
    done = f"{item.done_bytes / 1e9:.1f} of {total}" if item.total_bytes >= 95e6 else f"{percent(item)} of {total}"
    match item.state:
        case "waiting":
            return f"{done}  ·  waits for the download before it"
        case "checking":
            return f"{total}  ·  checking that every byte is right"
        case "paused":
            return f"{done} saved  ·  {item.note or 'Paused'}"
        case "failed":
            return f"{done} saved"
        case _:
            speed = f"{item.bytes_per_s / 1e6:.1f} MB/s  ·  " if item.bytes_per_s else ""
            return f"{done}  ·  {speed}{time_left(item.eta_s)}"


def share(item: Download) -> float:
    """0.0 to 1.0."""
    return min(1.0, item.done_bytes / item.total_bytes) if item.total_bytes else 0.0


def percent(item: Download) -> str:
    """ "62 %"."""
    return f"{share(item) * 100:.0f} %"


def footer(items: list[Download]) -> str:
    """The status bar's words about downloads, "" when none runs."""
    running = next((one for one in items if one.state in ("running", "checking")), None)
    if running is None:
        return ""
    more = sum(1 for one in items if one.state == "waiting")
    rest = f", {more} more" if more else ""
    if running.state == "checking":
        return f"Checking {running.name}{rest}"
    return f"Downloading {running.name} from {running.host}: {percent(running)}, {time_left(running.eta_s)}{rest}"


def facts(shelf: Shelf) -> list[tuple[str, str, str, str]]:
    """This computer: icon, what, how much, what of it is free."""
    machine = shelf.machine
    found = [
        (
            "memory",
            "Memory",
            whole_gigabytes(machine.ram_bytes),
            f"{whole_gigabytes(machine.free_bytes)} free now",
        )
    ]
    if machine.gpus:
        card = machine.gpus[0]
        shared = "shared with the processor" if machine.unified else f"{whole_gigabytes(card.free_bytes)} free now"
        found.append(("gpu", "Graphics card", whole_gigabytes(card.total_bytes), shared))
    else:
        found.append(("gpu", "Graphics card", "None to use", "the processor computes"))
    found.append(("chip", "Processor", count(machine.cores, "core"), "computes the answers"))
    own = f"models use {gigabytes(shelf.own_bytes)}" if shelf.own_bytes else "no downloads yet"
    found.append(("disk", "Disk", f"{whole_gigabytes(shelf.disk_free)} free", own))
    return found


def probe(model: Model) -> str:
    """What a test of the model said, "" before there was one."""
    if model.probe is None:
        return ""
    reads, writes = _speed(model.probe.prefill_tokens_per_s), _speed(model.probe.decode_tokens_per_s)
    return f"Reads {reads}, writes {writes} tokens a second"


def _speed(tokens: float) -> str:
    return f"{tokens:.0f}" if tokens >= 10 else f"{tokens:.1f}"


def time_of(found: pace.Pace | None) -> str:
    """The minutes a question, and in a word how that is known."""
    if found is None:
        return pace.words(None)
    how = {"measured": "measured here", "estimate": "estimate", "rough": "rough estimate"}
    return f"{pace.words(found).partition('  ·  ')[0]}  ·  {how[found.source]}"
