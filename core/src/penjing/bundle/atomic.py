"""Files and folders appear whole or not at all: written beside, flushed to disk, renamed."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from penjing.bundle.exchange import exchange
from penjing.errors import RunFolderError


def write_bytes_atomically(path: Path, content: bytes) -> None:
    """Write a file so that readers see the old content or the new, even after a kill or a power cut.

    Raises:
        RunFolderError: The folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, scratch = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(scratch, 0o666 & ~_umask())
            os.replace(scratch, path)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(scratch)
            raise
        _sync_folder(path.parent)
    except OSError as error:
        raise RunFolderError(
            "a file cannot be written",
            where=str(path),
            why=str(error),
            hint="check that the folder is writable and the disk has room, or choose another --output",
        ) from error


def write_json_atomically(path: Path, document: Any) -> None:
    """Write a JSON document, two spaces indented, keys in the order given. NaN is refused (it is no JSON)."""
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)
    write_bytes_atomically(path, (text + "\n").encode())


def replace_folder_atomically(folder: Path, files: Mapping[str, bytes]) -> None:
    """Make a folder hold exactly the given files. An existing folder stays until the new one is complete, and where
    the system can swap folders no moment shows it missing. What a link points to is replaced, not the link.

    Args:
        files: Content by name; names are plain file names.

    Raises:
        RunFolderError: The parent folder cannot be written, or a file stands where the folder should.
    """
    try:
        folder = folder.resolve()
        if folder.exists() and not folder.is_dir():
            raise NotADirectoryError(f"{folder.name} is a file")
        folder.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}.", suffix=".part"))
        try:
            os.chmod(scratch, 0o777 & ~_umask())
            for name, content in files.items():
                write_bytes_atomically(scratch / name, content)
            _put_in_place(scratch, folder)
            _sync_folder(folder.parent)
        except BaseException:
            shutil.rmtree(scratch, ignore_errors=True)
            raise
    except OSError as error:
        raise RunFolderError(
            "a folder cannot be written",
            where=str(folder),
            why=str(error),
            hint="check that its parent is writable and the disk has room",
        ) from error


def _put_in_place(scratch: Path, folder: Path) -> None:
    """Give the complete folder its name; the old one goes."""
    if not folder.exists():
        os.replace(scratch, folder)
        return
    if exchange(scratch, folder):
        shutil.rmtree(scratch, ignore_errors=True)
        return
    # Two renames: between them the folder is missing, never half-written.
    old = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}.", suffix=".old"))
    os.replace(folder, old)
    try:
        os.replace(scratch, folder)
    except BaseException:
        os.replace(old, folder)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _sync_folder(folder: Path) -> None:
    # Without this the rename itself may be lost by a power cut. Windows cannot open folders.
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
