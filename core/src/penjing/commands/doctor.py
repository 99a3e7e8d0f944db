"""`penjing doctor`."""

from __future__ import annotations

import platform
import sys
from typing import Any

import click

from penjing import __version__
from penjing.commands.output import print_json
from penjing.commands.session import load_host
from penjing.contract import HealthResult


@click.command(epilog="Example: penjing doctor --json")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_context
def doctor(ctx: click.Context, as_json: bool) -> None:
    """Check versions, extras, plugins and the cache; exit with 1 when something needs attention."""
    host = load_host(ctx)
    lines: list[dict[str, Any]] = [
        {"name": "penjing", "ok": True, "message": __version__, "remedy": ""},
        {
            "name": "python",
            "ok": True,
            "message": f"{platform.python_version()} at {sys.executable}",
            "remedy": "",
        },
    ]
    for name, contribution in host.health_checks.items():
        try:
            result = host.resolve(contribution.value.check, contribution.source)()
        except Exception as error:
            result = HealthResult(
                ok=False,
                message=f"the check failed: {type(error).__name__}: {error}",
                remedy=f"tell the author of {contribution.source.distribution}",
            )
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
