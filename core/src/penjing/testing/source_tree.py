"""A plugin that is not installed: its source folder or its wheel, made visible to this process and its children."""

from __future__ import annotations

import difflib
import importlib
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from penjing.errors import UsageError
from penjing.host.discovery import GROUP

_IMPORTABLE = (".", "src")


@contextmanager
def visible(path: Path) -> Iterator[str]:
    """Put a plugin on the import path, with the metadata that an installation would have; its distribution's name.

    Args:
        path: A folder with pyproject.toml, or a .whl file.

    Raises:
        UsageError: It is neither, or has no entry point of penjing's.
    """
    _refuse_other_paths(path)
    with tempfile.TemporaryDirectory(prefix="penjing-plugin-") as folder:
        site = Path(folder)
        roots, name = _from_wheel(path, site) if path.suffix == ".whl" else _from_source(path, site)
        before, modules = list(sys.path), set(sys.modules)
        sys.path[:0] = [str(root) for root in roots]
        importlib.invalidate_caches()
        try:
            yield name
        finally:
            sys.path[:] = before
            for module in set(sys.modules) - modules:
                file = getattr(sys.modules[module], "__file__", None) or ""
                if any(file.startswith(str(root)) for root in roots):
                    del sys.modules[module]
            importlib.invalidate_caches()


def _refuse_other_paths(path: Path) -> None:
    """Say what is wrong with a path before a file in it is missed."""
    if not path.exists():
        raise UsageError(
            "there is no such folder or wheel",
            where=str(path),
            hint=_nearest(path) or "penjing plugins list shows the names of what is installed",
        )
    if path.is_file() and path.suffix != ".whl":
        raise UsageError(
            "the file is no wheel",
            where=str(path),
            hint=f"give the folder: {path.parent}" if path.name == "pyproject.toml" else "give a folder or a .whl file",
        )
    if path.is_dir() and not (path / "pyproject.toml").exists():
        above = next((parent for parent in path.resolve().parents if (parent / "pyproject.toml").is_file()), None)
        below = sorted(each.parent for each in path.glob("*/pyproject.toml"))
        near = below[0] if len(below) == 1 else above
        raise UsageError(
            "the folder is no plugin's source",
            where=str(path),
            why="it holds no pyproject.toml",
            hint=f"did you mean {near}?" if near else "penjing plugins new NAME writes a plugin to begin with",
        )


def _nearest(path: Path) -> str | None:
    """What lies beside a path that is not there, where its name is near."""
    try:
        names = [each.name for each in path.parent.iterdir()]
    except OSError:
        return None
    near = difflib.get_close_matches(path.name, names, n=1)
    return f"did you mean '{path.parent / near[0]}'?" if near else None


def _from_wheel(path: Path, site: Path) -> tuple[list[Path], str]:
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.namelist():
                if not (site / member).resolve().is_relative_to(site.resolve()):
                    raise UsageError("the wheel holds a path that leads out of it", where=f"{path}, {member}")
            archive.extractall(site)
    except (OSError, zipfile.BadZipFile) as error:
        raise UsageError("the wheel cannot be read", where=str(path), why=str(error)) from error
    points = next(site.glob("*.dist-info/entry_points.txt"), None)
    if points is None or f"[{GROUP}]" not in points.read_text(encoding="utf-8"):
        raise UsageError(f"the wheel has no entry point of the group '{GROUP}'", where=str(path))
    metadata = (points.parent / "METADATA").read_text(encoding="utf-8")
    return [site], next(line[6:] for line in metadata.splitlines() if line.startswith("Name: "))


def _from_source(path: Path, site: Path) -> tuple[list[Path], str]:
    file = path / "pyproject.toml"
    try:
        document = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(
            "the pyproject.toml cannot be read",
            where=str(file),
            why=str(error),
        ) from error
    project = document.get("project", {})
    points = project.get("entry-points", {}).get(GROUP, {})
    if not project.get("name") or not points:
        raise UsageError(
            f"the project has no name or no entry point of the group '{GROUP}'",
            where=str(file),
            hint='add [project.entry-points.penjing] with: leak-detection = "penjing_leak_detection.plugin"',
        )
    name, version = str(project["name"]), str(project.get("version", "0"))
    info = site / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(_metadata(project, name, version), encoding="utf-8")
    lines = [f"[{GROUP}]", *(f"{key} = {value}" for key, value in points.items())]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return [site, *_roots(path.resolve(), document, points)], name


def _roots(path: Path, document: Mapping[str, Any], points: Mapping[str, str]) -> list[Path]:
    """Where the packages lie: as hatchling is told, below src, or beside pyproject.toml."""
    wheel = document.get("tool", {}).get("hatch", {}).get("build", {}).get("targets", {}).get("wheel", {})
    roots = [(path / package).parent for package in wheel.get("packages", ())]
    roots += [path / place for place in _IMPORTABLE]
    wanted = {str(value).split(":")[0].split(".")[0] for value in points.values()}
    found = [root for root in roots if any((root / name).exists() or (root / f"{name}.py").exists() for name in wanted)]
    if not found:
        raise UsageError(
            f"there is no package {' or '.join(sorted(wanted))}", where=str(path), hint="put it below src/"
        )
    return list(dict.fromkeys(found))


def _metadata(project: Mapping[str, Any], name: str, version: str) -> str:
    lines = ["Metadata-Version: 2.4", f"Name: {name}", f"Version: {version}"]
    lines.append(f"Summary: {' '.join(str(project.get('description', '')).split())}")
    if project.get("keywords"):
        lines.append("Keywords: " + ",".join(project["keywords"]))
    licence = project.get("license")
    if licence:
        lines.append(f"License-Expression: {licence if isinstance(licence, str) else 'see the file'}")
    lines += [f"Requires-Dist: {requirement}" for requirement in project.get("dependencies", ())]
    return "\n".join(lines) + "\n"


def is_path(text: str) -> bool:
    """Whether what was given is a path and not a plugin's name."""
    return Path(text).exists() or "/" in text or "\\" in text or text.endswith(".whl")
