"""Events in a file, appended one by one, and files that appear whole or not at all."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

Event = tuple[int, int, int, int, int]
"""(kind, moment in milliseconds, card, terminal, millionths of the amount)."""
TRANSACTION, FRAUD = 0, 1
"""Kinds of events; of a fraud card and amount are 0."""
_RECORD = struct.Struct("<BqQQq")
_CHECK = struct.Struct("<I")
RECORD_BYTES = _RECORD.size + _CHECK.size


class Journal:
    """A file that grows by one record an event, each with its check sum.

    What a process has appended survives its being killed; a power failure may take the last records.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: BinaryIO = path.open("ab")

    def append(self, event: Event) -> None:
        """Write an event through to the system."""
        record = _RECORD.pack(*event)
        self._file.write(record + _CHECK.pack(zlib.crc32(record)))
        self._file.flush()

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


def recovered(path: Path) -> Iterator[Event]:
    """The events of a journal, up to a record that is not whole; from there on the file is cut off."""
    if not path.exists():
        return
    whole = 0
    with path.open("rb") as file:
        while len(block := file.read(RECORD_BYTES)) == RECORD_BYTES:
            record, check = block[: _RECORD.size], block[_RECORD.size :]
            if _CHECK.unpack(check)[0] != zlib.crc32(record):
                break
            yield _RECORD.unpack(record)
            whole += 1
    if path.stat().st_size != whole * RECORD_BYTES:
        with path.open("r+b") as file:
            file.truncate(whole * RECORD_BYTES)


def write_whole(path: Path, content: bytes) -> None:
    """The file appears with its whole content, or not at all."""
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)
