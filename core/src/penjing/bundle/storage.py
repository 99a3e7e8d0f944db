"""Write a bundle whole or not at all; read one as if a stranger had made it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from penjing.bundle.atomic import replace_folder_atomically
from penjing.bundle.manifest import (
    MANIFEST_FILE,
    MODEL_FILE,
    SCHEMA_VERSION,
    FileEntry,
    Manifest,
)
from penjing.errors import BundleError

MAX_MANIFEST_BYTES = 1_000_000
MAX_FILE_BYTES = 64_000_000
MAX_FILES = 64

_PLAIN_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_.\-]{0,99}$")


def write_bundle(
    folder: Path,
    model: bytes,
    fields: Mapping[str, Any],
    extra_files: Mapping[str, bytes] | None = None,
) -> Manifest:
    """Write a bundle; an existing one in the folder is replaced at once, when the new one is complete.

    Args:
        folder: Where the bundle shall stand.
        model: The .tflite file.
        fields: All fields of the manifest but `files`.
        extra_files: More files by plain name.

    Raises:
        BundleError: A field or file name is not valid, or the folder holds something else than a bundle.
        RunFolderError: The folder cannot be written.
    """
    if folder.is_dir() and any(folder.iterdir()) and not (folder / MANIFEST_FILE).is_file():
        raise BundleError(
            "the folder holds something else than a bundle",
            where=str(folder),
            why="writing a bundle replaces the whole folder",
            hint="give a folder that is new or empty, or one with an older bundle",
        )
    if "files" in fields:
        raise BundleError("the manifest's `files` follow from the files", where=str(folder))
    files = {MODEL_FILE: model, **(extra_files or {})}
    for name in files:
        if not _PLAIN_NAME.match(name) or name == MANIFEST_FILE:
            raise BundleError(f"'{name}' is no name for a file of a bundle", where=str(folder))
    entries = {
        name: FileEntry(size=len(content), sha256=hashlib.sha256(content).hexdigest())
        for name, content in sorted(files.items())
    }
    try:
        manifest = Manifest(files=entries, **fields)
    except ValidationError as error:
        raise BundleError("the bundle's manifest is not valid", where=str(folder), why=_reasons(error)) from error
    try:
        text = json.dumps(manifest.model_dump(mode="json"), indent=2, ensure_ascii=False, allow_nan=False)
    except ValueError as error:  # pydantic's serialization error is one
        raise BundleError(
            "the bundle's manifest cannot be written as JSON",
            where=str(folder),
            why=str(error),
            hint="preprocessing and settings hold text, finite numbers, lists and dicts only",
        ) from error
    replace_folder_atomically(folder, {**files, MANIFEST_FILE: (text + "\n").encode()})
    return manifest


def read_bundle(folder: Path) -> tuple[Manifest, dict[str, bytes]]:
    """Read a bundle from anywhere.

    Returns:
        The manifest and the content of every file that it lists.

    Raises:
        BundleError: Something is missing, too large, changed, of an unknown version, or points outside the folder.
    """
    manifest = read_manifest(folder)
    if MODEL_FILE not in manifest.files:
        raise BundleError(f"the bundle lists no {MODEL_FILE}", where=str(folder / MANIFEST_FILE))
    if len(manifest.files) > MAX_FILES:
        raise BundleError(f"the bundle lists {len(manifest.files)} files, {MAX_FILES} are allowed", where=str(folder))
    files = {}
    for name, entry in manifest.files.items():
        if not _PLAIN_NAME.match(name):
            raise BundleError(
                f"the bundle lists a file with an unsafe name: {name!r}",
                where=str(folder / MANIFEST_FILE),
                why="names are plain: letters, digits, '_', '-' and '.'",
            )
        if entry.size > MAX_FILE_BYTES:
            raise BundleError(
                f"'{name}' is said to have {entry.size:,} bytes, {MAX_FILE_BYTES:,} are allowed",
                where=str(folder),
            )
        content = _read(folder / name, entry.size)
        if len(content) != entry.size or hashlib.sha256(content).hexdigest() != entry.sha256:
            raise BundleError(
                f"'{name}' is not the file that the bundle was written with",
                where=str(folder / name),
                why="size or sha256 differ from bundle.json",
                hint="get the bundle again, or write it anew",
            )
        files[name] = content
    return manifest, files


def read_manifest(folder: Path) -> Manifest:
    """bundle.json alone, checked.

    Raises:
        BundleError: It is missing, too large, no JSON, of an unknown version, or has wrong fields.
    """
    path = folder / MANIFEST_FILE
    if not folder.is_dir() or not (path.is_file() or path.is_symlink()):
        raise BundleError("there is no bundle", where=str(folder), hint="a bundle is a folder with bundle.json")
    raw = _read(path, MAX_MANIFEST_BYTES)
    try:
        document = json.loads(raw, parse_constant=_no_json)
    except (ValueError, RecursionError) as error:
        raise BundleError("bundle.json is not valid JSON", where=str(path), why=str(error)) from error
    version = document.get("schema_version") if isinstance(document, dict) else None
    if type(version) is not int or version != SCHEMA_VERSION:
        raise BundleError(
            f"bundle.json has schema version {version!r}",
            where=str(path),
            why=f"this penjing reads version {SCHEMA_VERSION}",
            hint="install the penjing that wrote it, or a newer one",
        )
    try:
        return Manifest.model_validate(document)
    except ValidationError as error:
        raise BundleError(
            "bundle.json does not have the form of a bundle", where=str(path), why=_reasons(error)
        ) from error


def _read(path: Path, limit: int) -> bytes:
    if path.is_symlink():
        raise BundleError("a bundle may not hold links", where=str(path))
    if not path.is_file():
        raise BundleError("a file of the bundle is missing", where=str(path))
    try:
        with path.open("rb") as file:
            content = file.read(limit + 1)
    except OSError as error:
        raise BundleError("a file of the bundle cannot be read", where=str(path), why=str(error)) from error
    if len(content) > limit:
        raise BundleError(f"a file of the bundle is larger than {limit:,} bytes", where=str(path))
    return content


def _no_json(constant: str) -> None:
    raise ValueError(f"{constant} is not a number of JSON")


def _reasons(error: ValidationError) -> str:
    return "; ".join(
        f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors(include_url=False)[:5]
    )
