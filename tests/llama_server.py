"""A real server with OpenAI's protocol on loopback: llama-cpp-python's own."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx


@contextlib.contextmanager
def serving_model(model: Path, log: Path, alias: str = "smollm2") -> Iterator[str]:
    """Serve ``model``; yields the server's address. Its port is found first, since it cannot say which one it took."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "llama_cpp.server", "--host", "127.0.0.1", "--port", str(port), "--n_ctx", "8192"]
    with log.open("wb") as said:
        process = subprocess.Popen([*command, "--model", str(model), "--model_alias", alias], stdout=said, stderr=said)
    base = f"http://127.0.0.1:{port}"
    try:
        transport = httpx.HTTPTransport(retries=8)  # ever longer pauses, some 60 s in all
        with httpx.Client(transport=transport, trust_env=False, timeout=60) as client:
            try:
                client.get(f"{base}/v1/models").raise_for_status()
            except httpx.HTTPError as error:
                raise AssertionError(log.read_text("utf-8", "replace")[-2000:]) from error
        yield base
    finally:
        process.kill()
        process.wait()
