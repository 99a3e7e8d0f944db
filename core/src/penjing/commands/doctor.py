"""`penjing doctor`."""

from __future__ import annotations

import platform
import sys
from importlib import metadata
from typing import TYPE_CHECKING, Any

import click

from penjing import __version__
from penjing.commands.output import print_json
from penjing.commands.session import load_host
from penjing.contract import HealthCheck, HealthResult

if TYPE_CHECKING:
    from penjing.host import Contribution, PluginHost


@click.command(epilog="Example: penjing doctor --json")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_context
def doctor(ctx: click.Context, as_json: bool) -> None:
    """Check versions, extras, plugins and the cache; exit with 1 when something needs attention."""
    host = load_host(ctx, log_problems=False)
    lines: list[dict[str, Any]] = [
        {"name": "penjing", "ok": True, "message": __version__, "remedy": ""},
        {
            "name": "python",
            "ok": True,
            "message": f"{platform.python_version()} at {sys.executable}",
            "remedy": "",
        },
        {"name": "packages", **vars(_packages())},
    ]
    for name, contribution in host.health_checks.items():
        result = _ask(host, contribution)
        lines.append({"name": name, "ok": result.ok, "message": result.message, "remedy": result.remedy})
    for status in host.plugins:
        if status.source.is_core:
            continue
        name = f"plugin {status.source.distribution}"
        if status.status in ("ok", "disabled"):
            message = f"{status.source.version}, {status.status}"
            lines.append({"name": name, "ok": True, "message": message, "remedy": ""})
        for problem in status.problems:
            message = f"{status.source.version}, {status.status} at stage {problem.stage}: {problem.reason}"
            lines.append({"name": name, "ok": False, "message": message, "remedy": problem.hint})
    healthy = all(line["ok"] for line in lines)
    if as_json:
        print_json({"healthy": healthy, "checks": lines})
    else:
        for line in lines:
            mark = click.style("ok  ", fg="green") if line["ok"] else click.style("see ", fg="red")
            click.echo(f"{mark}{line['name']}: {line['message']}")
            if line["remedy"]:
                click.echo(f"      try: {line['remedy']}")
    ctx.exit(0 if healthy else 1)


def _ask(host: PluginHost, contribution: Contribution[HealthCheck]) -> HealthResult:
    """The result of a check; of one that fails, that it does and whose it is."""
    source = contribution.source
    try:
        result = host.resolve(contribution.value.check, source)()
    except (Exception, SystemExit) as error:
        reason = f"{type(error).__name__}: {error}"
    else:
        if isinstance(result, HealthResult):
            return result
        reason = f"it gave a {type(result).__name__} instead of HealthResult"
    return HealthResult(
        ok=False,
        message=f"the check of {source} failed: {reason}",
        remedy=f"pip install --upgrade {source.distribution}, or set PENJING_DISABLE_PLUGINS={source.entry_point}",
    )


def _packages() -> HealthResult:
    """What penjing itself needs, as its own metadata lists it, with the installed versions."""
    from packaging.requirements import Requirement

    versions, missing = [], []
    for text in metadata.requires("penjing") or ():
        requirement = Requirement(text)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            versions.append(f"{requirement.name} {metadata.version(requirement.name)}")
        except metadata.PackageNotFoundError:
            missing.append(requirement.name)
    if missing:
        return HealthResult(ok=False, message="missing: " + ", ".join(missing), remedy="pip install penjing")
    return HealthResult(ok=True, message=", ".join(versions))
