"""The files of a folder or a tar archive, one after the other, in memory; what is unsafe or damaged is refused."""

from __future__ import annotations

import bz2
import gzip
import lzma
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from penjing_datasets.errors import DatasetError

ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.bz2")
MAX_FILE_BYTES = 256 * 1024 * 1024
MAX_TOTAL_BYTES = 16 * 1024**3

_COMPRESSED = ((b"\x1f\x8b", gzip.open), (b"\xfd7zXZ\x00", lzma.open), (b"BZh", bz2.open))
_DAMAGE = (tarfile.TarError, EOFError, OSError, lzma.LZMAError, zlib.error)


def collection_files(
    path: Path, wanted: Callable[[str], bool], unreadable: Callable[[str, str], None] | None = None
) -> Iterator[tuple[str, bytes]]:
    """(name inside the collection, content) of every file.

    A folder comes in order of name, an archive in its own order; an archive inside a folder stands for its files.
    Hidden files, and what macOS adds to archives, are left out; so are links and devices in an archive.

    Args:
        path: A folder or an archive.
        wanted: Whether the content of the file of this name is needed; it is empty where not.
        unreadable: Told (name, why) of each file of a folder that cannot be read, which is then left out; None raises.

    Raises:
        DatasetError: A file cannot be read or is too large, an archive is damaged or cut short, a name or link leads
            outside.
    """
    if path.is_file():
        yield from _archive_files(path, wanted)
        return
    for file in sorted(p for p in path.rglob("*") if p.is_file()):
        inner = file.relative_to(path)
        name = inner.as_posix()
        if _is_hidden(inner.parts):
            continue
        if file.is_symlink() and not file.resolve().is_relative_to(path.resolve()):
            raise DatasetError("a link leads out of the collection", where=name)
        if name.endswith(ARCHIVES):
            yield from _archive_files(file, wanted)
            continue
        try:
            content = _content(file, name) if wanted(name) else b""
        except DatasetError as error:
            if unreadable is None:
                raise
            unreadable(name, error.why or error.what)
            continue
        yield name, content


def _content(file: Path, name: str) -> bytes:
    try:
        if file.stat().st_size > MAX_FILE_BYTES:
            raise DatasetError(f"a file is larger than {MAX_FILE_BYTES // 1024**2} MiB", where=name)
        return file.read_bytes()
    except OSError as error:
        raise DatasetError("a file cannot be read", where=name, why=error.strerror or str(error)) from error


def _archive_files(path: Path, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    read = 0
    try:
        with _decompressed(path) as stream, tarfile.open(fileobj=stream, mode="r:", tarinfo=_Member) as archive:
            for member in archive:
                inner = PurePosixPath(member.name)
                if inner.is_absolute() or ".." in inner.parts:
                    raise DatasetError(
                        "the archive holds a name that leads outside",
                        where=f"{path.name}, member '{member.name}'",
                        hint="do not use this archive",
                    )
                if not member.isfile() or _is_hidden(inner.parts):
                    continue
                read += member.size
                if member.size > MAX_FILE_BYTES or read > MAX_TOTAL_BYTES:
                    raise DatasetError("the archive is too large to read safely", where=f"{path.name}, '{member.name}'")
                name, content = inner.as_posix(), b""
                if wanted(name) and (file := archive.extractfile(member)):
                    content = file.read()
                    if len(content) < member.size:
                        raise EOFError(f"'{name}' is cut short")
                yield name, content
            # The checksum of a compressed stream stands at its end, after what tarfile reads.
            while stream.read(1 << 20):
                pass
    except _DAMAGE as error:
        raise DatasetError(
            "the archive cannot be read",
            where=str(path),
            why=str(error),
            hint="it may be half-downloaded: fetch it again; it has to be one of " + ", ".join(ARCHIVES),
        ) from error


class _Member(tarfile.TarInfo):
    """tarfile takes a damaged header after the first file, and a missing end mark, for the end of the archive: half of
    the data would be gone without a word."""

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> _Member:
        try:
            return super().fromtarfile(archive)
        except (tarfile.InvalidHeaderError, tarfile.EmptyHeaderError, tarfile.TruncatedHeaderError) as error:
            raise tarfile.ReadError(f"damaged or cut short at byte {archive.offset:,}: {error}") from error


@contextmanager
def _decompressed(path: Path) -> Iterator[IO[bytes]]:
    with path.open("rb") as file:
        start = file.read(6)
        file.seek(0)
        opener = next((opener for magic, opener in _COMPRESSED if start.startswith(magic)), None)
        if opener is None:
            yield file
        else:
            with opener(file) as stream:
                yield stream


def _is_hidden(parts: tuple[str, ...]) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in parts)
