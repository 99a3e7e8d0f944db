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
from penjing.health import needs, quoted, requirements, unmet_requirements

if TYPE_CHECKING:
    from penjing.host import Contribution, PluginHost, PluginStatus


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
        lines += [{"name": f"plugin {status.source.distribution}", **vars(line)} for line in _plugin(status, host)]
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
    unmet = unmet_requirements("penjing")
    if unmet:
        return HealthResult(ok=False, message=needs(unmet), remedy=f"pip install --upgrade {quoted(unmet)}")
    names = [requirement.name for requirement in requirements("penjing")]
    return HealthResult(ok=True, message=", ".join(f"{name} {metadata.version(name)}" for name in names))


SLOW = 1.0
"""Seconds that a plugin may take to load, as every command that needs plugins waits for it."""


def _plugin(status: PluginStatus, host: PluginHost) -> list[HealthResult]:
    """Lines of a plugin: one that all is well, or each problem."""
    source = status.source
    if status.problems:
        return [
            HealthResult(
                ok=False,
                message=f"{source.version}, {status.status} at stage {problem.stage}: {problem.reason}",
                remedy=problem.hint,
            )
            for problem in status.problems
        ]
    try:
        unmet = unmet_requirements(source.distribution) if status.status == "ok" else {}
    except metadata.PackageNotFoundError:
        unmet = {}
    if unmet:
        return [
            HealthResult(ok=False, message=f"{source.version} {needs(unmet)}", remedy=f"pip install {quoted(unmet)}")
        ]
    said = "".join(f"; {sentence}" for sentence in status.deprecations)
    took = {call.hook: call.seconds for call in host.calls if call.source == source}
    if sum(took.values()) < SLOW:
        return [HealthResult(ok=True, message=f"{source.version}, {status.status}{said}", remedy="")]
    parts = ", ".join(f"{hook} {seconds:.1f} s" for hook, seconds in took.items() if seconds >= SLOW / 10)
    message = (
        f"{source.version}, {status.status}{said}; takes {sum(took.values()):.1f} s to load, each time that penjing "
    )
    remedy = f"tell its author; PENJING_DISABLE_PLUGINS={source.entry_point} leaves it out"
    return [HealthResult(ok=True, message=f"{message}loads plugins: {parts}", remedy=remedy)]
