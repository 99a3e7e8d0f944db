"""Every call of a plugin's hook: who answered, what, and how long it took."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass

from penjing.errors import reason_of
from penjing.host.source import FAILURES, PluginSource

log = logging.getLogger("penjing")


@dataclass(frozen=True, kw_only=True)
class HookCall:
    """One call of one plugin, as `penjing plugins trace` shows it."""

    hook: str
    """The hook, or 'import' for the plugin's own module."""
    source: PluginSource
    answer: str
    """What was given, in a few words; what was raised, where it failed."""
    ok: bool
    seconds: float


class CallLog:
    """Calls in the order in which they came to their end."""

    def __init__(self) -> None:
        self.calls: list[HookCall] = []

    @contextlib.contextmanager
    def timed(self, source: PluginSource, hook: str) -> Iterator[list[str]]:
        """Keep a call. The block puts the answer, in a few words, into the list; what it raises is the answer else."""
        answer: list[str] = []
        began = time.perf_counter()
        try:
            yield answer
        except FAILURES as error:
            self._keep(source, hook, reason_of(error), False, began)
            raise
        self._keep(source, hook, "; ".join(answer), True, began)

    def _keep(self, source: PluginSource, hook: str, answer: str, ok: bool, began: float) -> None:
        seconds = time.perf_counter() - began
        self.calls.append(HookCall(hook=hook, source=source, answer=answer, ok=ok, seconds=seconds))
        log.debug("hook %s of %s: %s in %.1f ms", hook, source, answer, seconds * 1e3)
