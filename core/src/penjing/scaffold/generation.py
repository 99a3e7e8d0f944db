"""Write the files of a new plugin: all of them or none, and nothing over what is there."""

from __future__ import annotations

import datetime
import json
import keyword
import re
import shutil
import tempfile
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path, PurePosixPath
from string import Template

from penjing import __version__
from penjing.errors import RunFolderError, UsageError
from penjing.host.validation import DOMAIN_NAME, RESERVED_DOMAIN_NAMES

KINDS = {
    "domain": "A vibration signal of 64 values: which of three things it is.",
    "technique": "Weights that are small beside their layer's largest become zero.",
    "exporter": "A model card: one page about a bundle, for people.",
    "observer": "A line of JSON for each step of a run, and one for its end.",
}
"""What can be made, and what the template does until its author changes it."""
LONGEST_NAME = 48
"""With longer ones the lines of the templates grow beyond their limit."""
_SUFFIX = ".template"
_PACKAGE = "PACKAGE"
_DOMAIN_KEYWORDS = "The first lets penjing's help list the domain without importing it, the second names the contract."
_KEYWORDS = "It says which version of penjing's contract the plugin is written for."


@dataclass(frozen=True, kw_only=True)
class NewPlugin:
    """What was written."""

    name: str
    kind: str
    distribution: str
    folder: Path
    files: tuple[str, ...]
    """Relative to the folder, sorted."""


def new_plugin(
    name: str,
    *,
    kind: str = "domain",
    directory: Path | None = None,
    author: str | None = None,
    taken: Iterable[str] = (),
) -> NewPlugin:
    """Write a new plugin.

    Args:
        name: Lower-case words joined by '-': the domain's command, or the word in recipes.
        kind: One of `KINDS`.
        directory: The new folder, or one that is empty but for a repository (`.git`); None takes ./penjing-NAME.
        author: Whom the licence names.
        taken: Names of plugins, domains and techniques that there are already.

    Raises:
        UsageError: The name cannot be used; says why, and which can.
        RunFolderError: The folder is there already, or cannot be written.
    """
    if kind not in KINDS:
        raise UsageError(f"there is no kind of plugin '{kind}'", hint=f"choose one of: {', '.join(KINDS)}")
    check_name(name, taken)
    distribution, package = f"penjing-{name}", f"penjing_{name.replace('-', '_')}"
    folder = Path(distribution) if directory is None else directory
    if folder.exists() and (not folder.is_dir() or any(each.name != ".git" for each in folder.iterdir())):
        raise RunFolderError(
            "the folder is there already, and nothing is overwritten",
            where=str(folder),
            hint="choose another: --directory DIR",
        )
    is_domain = kind == "domain"
    major, minor = __version__.split(".")[:2]
    words = {
        "name": name,
        "package": package,
        "distribution": distribution,
        "summary": KINDS[kind],
        "author": author or f"the authors of {distribution}",
        "year": str(datetime.date.today().year),
        "penjing_version": f"{major}.{minor}",
        "next_version": f"{major}.{int(minor) + 1}",
        "keyword_comment": _DOMAIN_KEYWORDS if is_domain else _KEYWORDS,
        "keywords": json.dumps(["penjing-domain", "penjing-contract-1"] if is_domain else ["penjing-contract-1"])[1:-1],
    }
    files = {
        path.replace(_PACKAGE, package): Template(text).substitute(words)
        for part in ("common", kind)
        for path, text in _templates(part)
    }
    _write(folder, files)
    return NewPlugin(name=name, kind=kind, distribution=distribution, folder=folder, files=tuple(sorted(files)))


def check_name(name: str, taken: Iterable[str] = ()) -> None:
    """Refuse a name that could not be a command, a distribution and a package.

    Raises:
        UsageError: Says why, and which name is near.
    """
    if not DOMAIN_NAME.fullmatch(name):
        raise UsageError(
            f"'{name}' cannot be the name of a plugin",
            why="it must be lower-case words joined by '-', and begin with a letter",
            hint=f"did you mean '{near}'?" if (near := _near(name)) else "for example: leak-detection",
        )
    if len(name) > LONGEST_NAME:
        raise UsageError(
            f"'{name}' is too long for a plugin",
            why=f"it has {len(name)} letters; what is typed as a command has at most {LONGEST_NAME}",
        )
    words = name.split("-")
    if words[0] == "penjing":
        raise UsageError(
            f"'{name}' begins with 'penjing'",
            why="the distribution is called penjing-NAME anyhow",
            hint=f"did you mean '{'-'.join(words[1:])}'?" if words[1:] else "for example: leak-detection",
        )
    if keyword.iskeyword(name) or keyword.issoftkeyword(name):
        raise UsageError(f"'{name}' is a word of Python", hint=f"did you mean '{name}-detection'?")
    if name in RESERVED_DOMAIN_NAMES:
        raise UsageError(f"'{name}' is one of penjing's own commands", hint=f"did you mean 'my-{name}'?")
    if {name, f"penjing-{name}"} & set(taken):
        raise UsageError(
            f"there is a plugin '{name}' already",
            why="two that claim one name both lose it",
            hint=f"did you mean 'my-{name}'? or uninstall the other first",
        )


def _near(name: str) -> str | None:
    """The nearest name of the right form."""
    parted = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name)
    plain = unicodedata.normalize("NFKD", parted).encode("ascii", "ignore").decode()
    near = "-".join(re.findall(r"[a-z0-9]+", plain.lower()))
    if near and not near[0].isalpha():
        near = f"my-{near}"
    return near or None


def _templates(part: str) -> list[tuple[str, str]]:
    """(path without suffix, text) of every template of a part."""
    found: list[tuple[str, str]] = []

    def walk(folder: Traversable, at: PurePosixPath) -> None:
        for entry in sorted(folder.iterdir(), key=lambda each: each.name):
            if entry.is_dir():
                walk(entry, at / entry.name)
            elif entry.name.endswith(_SUFFIX):
                found.append((str(at / entry.name.removesuffix(_SUFFIX)), entry.read_text("utf-8")))

    walk(resources.files("penjing.scaffold").joinpath("templates", part), PurePosixPath())
    return found


def _write(folder: Path, files: dict[str, str]) -> None:
    """Write beside the folder, or inside one that is there, and rename, so that all of it is there or nothing."""
    moved: list[Path] = []
    beside = None
    try:
        is_there = folder.is_dir()
        folder.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(prefix=".penjing-new-", dir=folder if is_there else folder.parent))
        for path, text in files.items():
            target = beside / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
        if is_there:
            for entry in sorted(beside.iterdir()):
                entry.rename(folder / entry.name)
                moved.append(folder / entry.name)
        else:
            beside.chmod(0o755)
            beside.rename(folder)
    except OSError as error:
        for entry in moved:
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        raise RunFolderError("the folder cannot be written", where=str(folder), why=str(error)) from error
    finally:
        if beside is not None:
            shutil.rmtree(beside, ignore_errors=True)
