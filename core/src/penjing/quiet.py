"""Keep the chatter of C++ libraries away from the person who waits, without losing it when something fails."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import threading
from collections.abc import Iterator

_lock = threading.RLock()


class Chatter:
    """What was written to the process's stdout and stderr while it was caught."""

    def __init__(self) -> None:
        self.text = ""


@contextlib.contextmanager
def caught_output() -> Iterator[Chatter]:
    """Catch what C code writes to file descriptors 1 and 2. Not for code that runs other threads' output."""
    chatter = Chatter()
    with _lock, tempfile.TemporaryFile() as sink:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()
        try:
            saved = {number: os.dup(number) for number in (1, 2)}
        except OSError:  # a process without standard streams has nothing to keep quiet
            yield chatter
            return
        try:
            for number in saved:
                os.dup2(sink.fileno(), number)
            yield chatter
        finally:
            for stream in (sys.stdout, sys.stderr):
                with contextlib.suppress(Exception):
                    stream.flush()
            for number, copy in saved.items():
                os.dup2(copy, number)
                os.close(copy)
            sink.seek(0)
            chatter.text = sink.read().decode(errors="replace")
