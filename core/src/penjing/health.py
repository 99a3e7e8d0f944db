"""The core's lines of `penjing doctor`. Nothing heavy is imported: whether a package is there is asked of metadata."""

from __future__ import annotations

import importlib.util
import os
import struct
import sys
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from penjing.bundle.atomic import write_bytes_atomically
from penjing.cache import VARIABLE, cache_folder
from penjing.contract import HealthResult
from penjing.errors import PenjingError, RunFolderError

if TYPE_CHECKING:
    from packaging.requirements import Requirement


def unmet_requirements(distribution: str, extra: str = "") -> dict[str, str]:
    """What a distribution needs, by its own metadata, and does not find: by requirement ("keras>=3.13"), what is there
    instead ("missing", "3.1 is installed").

    Args:
        extra: Ask for what this extra needs; otherwise for what the distribution needs in any case.
    """
    found = {}
    for requirement in requirements(distribution, extra):
        version = _version(requirement.name)
        wanted = f"{requirement.name}{requirement.specifier}"
        if version is None:
            found[wanted] = "missing"
        elif not requirement.specifier.contains(version, prereleases=True):
            found[wanted] = f"{version} is installed"
    return found


def requirements(distribution: str, extra: str = "") -> list[Requirement]:
    """What a distribution needs here (on this system, by this Python), by its own metadata. Arguments as above."""
    from packaging.requirements import InvalidRequirement, Requirement

    found = []
    for text in metadata.requires(distribution) or ():
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            continue  # whoever installed it was told
        marker = requirement.marker
        always = marker is None or marker.evaluate({"extra": ""})
        with_extra = marker is not None and marker.evaluate({"extra": extra})
        if (with_extra and not always) if extra else always:
            found.append(requirement)
    return found


def quoted(unmet: Iterable[str]) -> str:
    """Requirements as a shell takes them."""
    return " ".join(f"'{requirement}'" for requirement in unmet)


def needs(unmet: Mapping[str, str]) -> str:
    """Unmet requirements in words."""
    return "needs " + ", ".join(f"{wanted} ({found})" for wanted, found in unmet.items())


def check_cache() -> HealthResult:
    """Whether the cache folder can be written."""
    folder = cache_folder()
    probe = folder / ".doctor"
    try:
        write_bytes_atomically(probe, b"penjing")
        probe.unlink()
    except (RunFolderError, OSError) as error:
        return HealthResult(
            ok=False,
            message=f"{folder} cannot be written: {error}".splitlines()[0],
            remedy=f"make it writable, or set {VARIABLE} to a folder that is",
        )
    return HealthResult(ok=True, message=str(folder))


def check_compress() -> HealthResult:
    """Whether the packages of the extra `compress` are installed, and new enough."""
    unmet = unmet_requirements("penjing", "compress")
    if unmet:
        return HealthResult(
            ok=False,
            message=needs(unmet),
            remedy="pip install --upgrade 'penjing[compress]' (running finished bundles works without)",
        )
    return HealthResult(ok=True, message=f"TensorFlow {_version('tensorflow')}, Keras {_version('keras')}")


def check_microcontroller() -> HealthResult:
    """Whether TensorFlow Lite Micro is installed."""
    version = _version("tflite-micro")
    if version is None:
        return HealthResult(
            ok=False,
            message="tflite-micro is missing: arena sizes cannot be measured",
            remedy="pip install 'penjing[microcontroller]' (wheels exist for Linux on x86-64)",
        )
    return HealthResult(ok=True, message=f"tflite-micro {version}")


def check_bytecode() -> HealthResult:
    """Whether TensorFlow's bytecode is compiled: without it every import takes several times as long."""
    spec = importlib.util.find_spec("tensorflow")
    if spec is None or spec.origin is None:
        return HealthResult(ok=True, message="no TensorFlow, nothing to compile")
    package = Path(spec.origin).parent
    state = bytecode_state(package / "python" / "ops" / "math_ops.py")
    if state == "compiled":
        return HealthResult(ok=True, message="compiled")
    hint = ""
    if os.environ.get("PYTHONDONTWRITEBYTECODE"):
        hint = ", with PYTHONDONTWRITEBYTECODE unset, which keeps Python from doing so by itself"
    return HealthResult(
        ok=False,
        message=f"TensorFlow's bytecode is {state}, so each start is slow",
        remedy=f"{sys.executable} -m compileall -q {package}{hint}",
    )


def bytecode_state(source: Path) -> str:
    """ "compiled", "not compiled" or "older than its source" (or of another Python), as the import would find it."""
    cached = Path(importlib.util.cache_from_source(str(source)))
    if not source.is_file():
        return "compiled"  # a distribution without sources
    try:
        head = cached.read_bytes()[:16]
    except OSError:
        return "not compiled"
    if head[:4] != importlib.util.MAGIC_NUMBER:
        return "older than its source"
    flags, stamp, size = struct.unpack("<III", head[4:16])
    about = source.stat()
    is_current = flags & 1 or (stamp == int(about.st_mtime) & 0xFFFFFFFF and size == about.st_size & 0xFFFFFFFF)
    return "compiled" if is_current else "older than its source"


def check_configuration() -> HealthResult:
    """Whether penjing.toml, the user's file and the environment can be read."""
    from penjing.commands.configuration import project_file, read_configuration, user_file

    try:
        read_configuration()
    except PenjingError as error:
        remedy = f"{error.hint or 'mend it'} ({error.where})"
        return HealthResult(ok=False, message=error.what, remedy=remedy)
    user, project = user_file(os.environ), project_file(Path.cwd())
    found = [str(path) for path in (user, project) if path is not None and path.is_file()]
    return HealthResult(ok=True, message=", ".join(found) or "no file, the defaults hold")


def check_installer() -> HealthResult:
    """Whether `penjing plugins install` could change this environment."""
    from penjing.commands.installer import installer_command

    try:
        command = installer_command()
    except PenjingError as error:
        return HealthResult(ok=False, message=error.what, remedy=error.hint or "")
    return HealthResult(ok=True, message="pip" if command[0] == sys.executable else "uv")


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
