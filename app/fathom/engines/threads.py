"""How many threads compute: all of them, and fewer while something else needs the cores.

llama.cpp's threads wait for each other some hundred times a token. When one of them loses its core to another program,
the rest spin: measured on two cores with one busy program, decode fell from 190 to between 3 and 50 tokens a second
with two threads, and stayed at 170 with one. Knows no model, only durations.
"""

from __future__ import annotations

from collections.abc import Callable

SLOW = 3.0  # times the best duration of a token
SLOW_TOKENS = 3  # in a row, until fewer threads are tried
HOLD_TOKENS = 64  # until all of them are tried again
MAX_HOLD_TOKENS = 1024
FORGET = 1.002  # a token: the best duration grows slowly, as the context does


class ThreadGovernor:
    """Watches the durations of decoded tokens and sets the number of threads."""

    def __init__(self, threads: int, set_threads: Callable[[int], None]) -> None:
        self._all = self.threads = threads
        self._set = set_threads
        self._best = float("inf")
        self._slow = 0
        self._since = 0  # tokens since the number changed
        self._hold = HOLD_TOKENS

    def all(self) -> None:
        """Compute with all threads, for a generation that must be repeatable: the sums depend on their number."""
        self._change(self._all)

    def use(self, threads: int) -> None:
        """At most ``threads`` from now on."""
        self._all = self.threads = threads
        self._best, self._slow, self._since = float("inf"), 0, 0
        self._set(threads)

    def decoded(self, seconds: float) -> None:
        """One token took ``seconds``."""
        self._since += 1
        if self.threads == self._all:
            self._best = min(self._best * FORGET, seconds)
            if self._since > MAX_HOLD_TOKENS:
                self._hold = HOLD_TOKENS
        self._slow = self._slow + 1 if seconds > SLOW * self._best else 0
        if self._slow >= SLOW_TOKENS and self.threads > 1:
            if self.threads == self._all:
                self._hold = min(self._hold * 2, MAX_HOLD_TOKENS)
            self._change(self.threads - max(1, self.threads // 4))
        elif self.threads < self._all and self._since >= self._hold:
            self._change(self._all)

    def _change(self, threads: int) -> None:
        self._slow = self._since = 0
        if threads != self.threads:
            self.threads = threads
            self._set(threads)
