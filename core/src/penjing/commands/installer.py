"""Install and remove distributions in the environment that penjing runs in, by pip or uv; say where they came from."""

from __future__ import annotations

import importlib
import importlib.util
import json
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from penjing.commands.installer_output import failure_reason
from penjing.errors import MissingExtraError, PenjingError, UsageError
from penjing.host.discovery import Entry, entries


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where an installed distribution came from, as its own metadata says."""

    kind: str
    """index, folder, file, archive, version control, or path: on the import path, and nobody says how it got there."""
    address: str
    """Empty for an index: the metadata does not keep which."""
    editable: bool = False
    revision: str = ""
    installer: str = ""

    def __str__(self) -> str:
        if self.kind == "index":
            return f"a package index (installed by {self.installer})"
        if self.kind == "path":
            return f"{self.address}, on the import path; nobody says how it got there"
        at = f" at {self.revision}" if self.revision else ""
        return f"{self.address}{at}{', editable' if self.editable else ''}"


def origin_of(distribution: str) -> Origin | None:
    """Where a distribution came from (PEP 610's direct_url.json); None where it is not installed."""
    try:
        found = metadata.distribution(distribution)
    except metadata.PackageNotFoundError:
        return None
    installer = (found.read_text("INSTALLER") or "").strip()
    try:
        document = json.loads(found.read_text("direct_url.json") or "null")
    except ValueError:
        document = None
    if not isinstance(document, dict) or not isinstance(document.get("url"), str):
        if not installer:
            # As of a wheel or a folder in PYTHONPATH, and of packages that an operating system brings.
            return Origin(kind="path", address=str(found.locate_file("")).rstrip("/"))
        return Origin(kind="index", address="", installer=installer)
    if "vcs_info" in document:
        revision = str(document["vcs_info"].get("commit_id", ""))
        return Origin(kind="version control", address=document["url"], revision=revision, installer=installer)
    if "dir_info" in document:
        editable = bool(document["dir_info"].get("editable"))
        return Origin(kind="folder", address=document["url"], editable=editable, installer=installer)
    kind = "file" if document["url"].startswith("file:") else "archive"
    return Origin(kind=kind, address=document["url"], installer=installer)


def installer_command() -> list[str]:
    """The command that changes this environment: pip of this Python, or uv where pip is missing.

    Raises:
        UsageError: The environment belongs to the operating system.
        MissingExtraError: There is neither pip nor uv.
    """
    refuse_managed_environment()
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    uv = shutil.which("uv")
    if uv is not None:
        return [uv, "pip"]
    raise MissingExtraError(
        "there is neither pip nor uv for this Python",
        where=sys.executable,
        hint=f"{sys.executable} -m ensurepip, or install uv",
    )


def refuse_managed_environment() -> None:
    """Refuse to change a Python that the operating system's package manager looks after (PEP 668).

    Raises:
        UsageError: It is one.
    """
    marker = Path(sysconfig.get_path("stdlib")) / "EXTERNALLY-MANAGED"
    if sys.prefix != sys.base_prefix or not marker.is_file():
        return
    raise UsageError(
        "this Python belongs to the operating system, and plugins are not installed into it",
        where=sys.prefix,
        why=f"{marker} says so: its package manager and pip would overwrite each other's files",
        hint="python3 -m venv .venv && .venv/bin/pip install penjing, then .venv/bin/penjing plugins install ...",
    )


def run_installer(verb: str, arguments: Sequence[str]) -> None:
    """Run pip or uv; what they print goes to stderr.

    Raises:
        PenjingError: It failed; says why in their words.
    """
    command = installer_command()
    target = ["--python", sys.executable] if command[-1] == "pip" and command[0] != sys.executable else []
    done = subprocess.run(
        [*command, verb, *target, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    sys.stderr.write(done.stdout)
    if done.returncode:
        raise PenjingError(
            f"{'uv' if target else 'pip'} could not {verb}",
            where=sys.prefix,
            why=failure_reason(done.stdout),
            hint="read what it printed above",
        )
    importlib.invalidate_caches()


def installed_plugins() -> dict[str, Entry]:
    """The plugins that are installed, by distribution; penjing's own parts are not among them."""
    return {entry.source.distribution: entry for entry in entries() if not entry.source.is_core}


def frozen(distribution: str, version: str) -> str:
    """A line that pip understands and that gives the same again."""
    origin = origin_of(distribution)
    if origin is None or origin.kind in ("index", "path"):
        return f"{distribution}=={version}"
    if origin.editable:
        return f"-e {origin.address}"
    if origin.kind == "version control":
        return f"{distribution} @ git+{origin.address}@{origin.revision}"
    return f"{distribution} @ {origin.address}"
