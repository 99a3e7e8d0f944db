"""`penjing plugins trace`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from penjing.commands.output import print_json, print_table
from penjing.commands.session import load_host

if TYPE_CHECKING:
    from penjing.host.tracing import HookCall


@click.command(epilog="Example: penjing plugins trace keyword-spotting")
@click.argument("domains", nargs=-1, metavar="[DOMAIN]...")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_context
def trace(ctx: click.Context, domains: tuple[str, ...], as_json: bool) -> None:
    """Every call of a hook while the plugins are loaded: who answered, what, and how long it took. For each DOMAIN,
    also who is asked for its default recipe.

    Calls during a run are logged by `penjing --debug DOMAIN run`.
    """
    from penjing.verify.limits import Budget

    host = load_host(ctx, log_problems=False)
    for name in domains:
        domain = host.domain(name).value
        host.default_recipe(domain, dict(Budget.parse(dict(domain.budget)).limits))
    if as_json:
        print_json([_document(call) for call in host.calls])
        return
    print_table(
        ("hook", "plugin", "answer", "ms"),
        [
            (
                call.hook,
                f"{call.source.distribution} {call.source.version}",
                call.answer if call.ok else f"FAILED: {call.answer}",
                f"{call.seconds * 1e3:.1f}",
            )
            for call in host.calls
        ],
    )


def _document(call: HookCall) -> dict[str, object]:
    return {
        "hook": call.hook,
        "plugin": call.source.distribution,
        "version": call.source.version,
        "entry_point": call.source.entry_point,
        "ok": call.ok,
        "answer": call.answer,
        "ms": round(call.seconds * 1e3, 3),
    }
