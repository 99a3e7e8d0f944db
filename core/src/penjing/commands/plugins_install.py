"""`penjing plugins install`, `uninstall` and `freeze`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from penjing.commands.installer import (
    frozen,
    installed_plugins,
    installer_command,
    origin_of,
    run_installer,
)
from penjing.commands.output import print_json
from penjing.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from penjing.testing.plugin_subject import PluginUnderTest

WARNING = "A plugin is a program: it runs with your rights, can read and change all that you can, and nobody vets it."


@click.command(epilog="Example: penjing plugins install penjing-leak-detection")
@click.argument("requirements", nargs=-1, required=True, metavar="NAME|PATH|URL...")
@click.option("--upgrade", is_flag=True, help="Take the newest version where one is installed.")
@click.option("--no-index", is_flag=True, help="Ask no package index.")
@click.option("--find-links", multiple=True, metavar="DIR|URL", help="Also look here for wheels.")
@click.option("--index-url", metavar="URL", help="The package index, where it is not the usual one.")
@click.option("--no-deps", is_flag=True, help="Install nothing that the plugin needs.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_context
def install(
    ctx: click.Context,
    requirements: tuple[str, ...],
    upgrade: bool,
    no_index: bool,
    find_links: tuple[str, ...],
    index_url: str | None,
    no_deps: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Install plugins into the environment that penjing runs in, by its pip or by uv, and check what came.

    Exit with 1 when what was installed is no plugin, or one that does not work.
    """
    for requirement in requirements:
        if requirement.startswith("-"):
            raise UsageError(f"'{requirement}' is no plugin", hint="penjing plugins install --help lists the options")
    installer_command()  # before anything is asked
    click.echo(WARNING, err=True)
    _confirm(f"Install {', '.join(requirements)} into {sys.prefix}?", yes, as_json)
    before = {name: entry.source.version for name, entry in installed_plugins().items()}
    flags = [("--upgrade", upgrade), ("--no-index", no_index), ("--no-deps", no_deps)]
    arguments = [name for name, given in flags if given]
    arguments += [part for link in find_links for part in ("--find-links", link)]
    arguments += ["--index-url", index_url] if index_url else []
    # A folder's name alone would be taken for the name of a distribution.
    places = [str(Path(each).resolve()) if Path(each).is_dir() else each for each in requirements]
    run_installer("install", [*arguments, *places])
    now = installed_plugins()
    changed = [name for name, entry in now.items() if before.get(name) != entry.source.version]
    named = [name for name in now if any(_is_meant(name, requirement) for requirement in requirements)]
    documents = [_look(name) for name in dict.fromkeys([*changed, *named])]
    if not documents:
        raise UsageError(
            f"{', '.join(requirements)} is installed, and is no plugin of penjing",
            why="no distribution with an entry point of the group 'penjing' has come",
            hint="pip uninstall it, if it was a mistake",
        )
    healthy = all(document["ok"] for document in documents)
    if as_json:
        print_json({"ok": healthy, "installed": documents})
    else:
        for document in documents:
            _show(document)
    ctx.exit(0 if healthy else 1)


@click.command(epilog="Example: penjing plugins uninstall penjing-leak-detection")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def uninstall(names: tuple[str, ...], yes: bool, as_json: bool) -> None:
    """Remove plugins, by the name of distribution or entry point. What is no plugin is not removed."""
    known = installed_plugins()
    chosen = []
    for name in names:
        found = [entry.source for entry in known.values() if entry.source.is_named_in([name])]
        if not found:
            candidates = [part for e in known.values() for part in (e.source.distribution, e.source.entry_point)]
            raise UsageError(
                f"there is no plugin '{name}' to remove",
                why="penjing itself and what is no plugin are left to pip",
                hint=did_you_mean(name, candidates),
            )
        chosen.append(found[0])
    described = ", ".join(f"{source.distribution} {source.version}" for source in chosen)
    _confirm(f"Remove {described} from {sys.prefix}?", yes, as_json)
    command = installer_command()
    run_installer("uninstall", [*(["-y"] if command[0] == sys.executable else []), *(s.distribution for s in chosen)])
    if as_json:
        print_json([{"distribution": source.distribution, "version": source.version} for source in chosen])
    else:
        click.echo(f"removed {described}")


@click.command(epilog="Example: penjing plugins freeze > plugins.txt")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def freeze(as_json: bool) -> None:
    """Print the installed plugins as lines for `pip install -r`."""
    lines = {name: frozen(name, entry.source.version) for name, entry in installed_plugins().items()}
    if as_json:
        print_json(
            [
                {"distribution": name, "version": entry.source.version, "requirement": lines[name]}
                for name, entry in installed_plugins().items()
            ]
        )
        return
    for line in lines.values():
        click.echo(line)


def _confirm(question: str, yes: bool, as_json: bool) -> None:
    """Ask, unless that was answered on the command line.

    Raises:
        UsageError: Nobody can be asked.
    """
    if yes:
        return
    if as_json or not sys.stdin.isatty():
        raise UsageError("nobody is there to be asked", why=question, hint="give --yes")
    click.confirm(question, abort=True, err=True)


def _is_meant(distribution: str, requirement: str) -> bool:
    """Whether a requirement, a wheel or a folder names this distribution."""
    import re

    stem = Path(requirement).name if "/" in requirement or requirement.endswith(".whl") else requirement
    name = re.split(r"[\[<>=!~;@ ]", stem, maxsplit=1)[0]
    if requirement.endswith(".whl"):
        name = stem.split("-")[0]
    return re.sub(r"[-_.]+", "-", name).lower() == re.sub(r"[-_.]+", "-", distribution).lower()


def _look(name: str) -> dict[str, Any]:
    """What has come: name, version, source, contributions, and what the cheap checks say of it."""
    from penjing.host import PluginHost
    from penjing.testing.plugin_subject import PluginUnderTest

    plugins = [each for each in PluginUnderTest.all_named(name) if each.entry.source.distribution == name]
    sources = [plugin.entry.source for plugin in plugins]
    statuses = [each for each in PluginHost.discover(log_problems=False).plugins if each.source in sources]
    contributes: dict[str, list[str]] = {}
    for status in statuses:
        for kind, names in status.contributes.items():
            contributes.setdefault(kind, []).extend(names)
    known, failed = _quick_checks(plugins)
    bad = [status.status for status in statuses if status.status not in ("ok", "disabled")]
    return {
        "distribution": name,
        "version": sources[0].version,
        "origin": str(origin_of(name)),
        "status": (bad or [status.status for status in statuses])[0],
        "contributes": contributes,
        "ok": not bad and not failed,
        "known_failures": known,
        "failed_checks": failed,
    }


def _quick_checks(plugins: list[PluginUnderTest]) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """Known failures with their reasons, and what fails besides. A known failure that holds again is for
    `plugins check` to say: whoever installs the plugin has nothing to mend."""
    from penjing.testing.conformance import check_plugin
    from penjing.testing.known_failures import FILE

    known, failed = [], []
    for plugin in plugins:
        try:
            results = check_plugin(plugin)
        except UsageError as error:
            failed.append({"check": FILE, "reason": str(error), "remedy": "tell the plugin's author"})
            continue
        known += [{"check": r.check, "reason": r.reason} for r in results if r.outcome == "expected failure"]
        failed += [{"check": r.check, "reason": r.reason, "remedy": r.remedy} for r in results if r.outcome == "failed"]
    return known, failed


def _show(document: dict[str, Any]) -> None:
    click.echo(f"{document['distribution']} {document['version']}, from {document['origin']}")
    for kind, names in document["contributes"].items():
        click.echo(f"  {kind.replace('_', ' ')}: {', '.join(names)}")
    for known in document["known_failures"]:
        click.echo(f"  known to fail {known['check']}: {known['reason']}")
    for failed in document["failed_checks"]:
        click.echo(f"  failed {failed['check']}: {failed['reason']}")
        click.echo(f"    try: {failed['remedy']}")
    domains = document["contributes"].get("domains", [])
    if document["ok"] and domains:
        click.echo(f"  try: penjing {domains[0]} run")
