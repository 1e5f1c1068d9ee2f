"""Record a sample session: a real run of a real model over the sample library, never edited.

Usage: record_sample.py --model GGUF --label NAME [--question TEXT] [--out resources/samples/NAME.json]
The recording is what the store holds of the run: every event but the deltas, as it was published.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

import msgspec

ROOT = Path(__file__).parent.parent


async def record(model: Path, label: str, question: str, name: str) -> bytes | None:
    """Run ``question`` on ``model`` in an empty data folder; the recording as JSON, None when there is no answer."""
    from fathom.core.events import AgentEvent, CallStarted, RunFailed, RunFinished, RunStopped
    from fathom.core.settings import Settings
    from fathom.services.application import open_services

    services = await open_services(Settings(model=str(model)), wait_for_engine=False)
    try:
        ended: asyncio.Future[AgentEvent] = asyncio.get_running_loop().create_future()

        def look(_session: str, event: AgentEvent) -> None:
            if isinstance(event, CallStarted):
                print(f"step {event.step}: {event.name} {event.arguments}", file=sys.stderr)
            if isinstance(event, RunFinished | RunFailed | RunStopped):
                ended.set_result(event)

        services.sessions.subscribe(look)
        session = services.sessions.ask(question)
        event = await ended
        await services.sessions.idle()
        if not isinstance(event, RunFinished) or not event.answer:
            print(f"no answer to record: {event}", file=sys.stderr)
            return None
        print(f"answer: {event.answer} (backed: {event.report.answer_backed})", file=sys.stderr)
        data = services.store.export_recording(session.id)
    finally:
        await services.close()
    recording = msgspec.json.decode(data)
    recording["session"] |= {"id": f"sample-{name}", "sample": True, "model_name": label, "engine": {}}
    for entry in recording["events"]:
        if entry["type"] == "RunStarted":
            entry["model"] = label
    return msgspec.json.format(msgspec.json.encode(recording), indent=1) + b"\n"


def main() -> int:
    """Parse the command line and record."""
    import os

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--label", required=True, help="the model's full name, for people")
    parser.add_argument("--question", required=True)
    parser.add_argument("--out", type=Path, default=ROOT / "resources" / "samples" / "sample.json")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        os.environ["FATHOM_HOME"] = home
        recording = asyncio.run(record(arguments.model, arguments.label, arguments.question, arguments.out.stem))
    if recording is None:
        return 1
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_bytes(recording)
    print(f"written to {arguments.out}, {len(recording):,} bytes", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
