"""`penjing plugins check`: the conformance kit from the command line; pytest is not needed."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from penjing.commands.output import print_json
from penjing.errors import MissingExtraError, UsageError, did_you_mean

if TYPE_CHECKING:
    from penjing.testing.checks import CheckResult

_WORDS = {
    "passed": ("passed", "green"),
    "failed": ("failed", "red"),
    "skipped": ("skipped", "yellow"),
    "expected failure": ("known", "yellow"),
    "unexpected pass": ("failed", "red"),
}
"""Word and colour of each outcome."""


@click.command(epilog="Example: penjing plugins check ./penjing-leak-detection")
@click.argument("plugin", metavar="NAME|PATH")
@click.option("--recipe", help="The recipe that is run.  [default: the domain's 'quick', or else its default]")
@click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Make the run quicker: reference.epochs=2."
)
@click.option("--stage", "stages", multiple=True, help="Only this part of the kit: declaration, data, model, run, ...")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_context
def check(
    ctx: click.Context,
    plugin: str,
    recipe: str | None,
    overrides: tuple[str, ...],
    stages: tuple[str, ...],
    as_json: bool,
) -> None:
    """Run the conformance kit on an installed plugin, a source folder or a wheel; say what to do for each failure.

    A domain is run once, from its sample to a bundle. What the plugin declares as a known failure in its
    conformance.toml is shown with its reason. Exit with 1 when a check fails, or when a known failure holds again.
    """
    from penjing.testing.source_tree import is_path, visible

    with contextlib.ExitStack() as stack:
        name = stack.enter_context(visible(Path(plugin))) if is_path(plugin) else plugin
        results = _run(name, recipe, overrides, set(stages), as_json)
    failed = [result for result in results if not result.ok]
    if as_json:
        print_json({"plugin": plugin, "ok": not failed, "checks": [vars(result) for result in results]})
    else:
        passed, skipped, known = (
            sum(result.outcome == outcome for result in results)
            for outcome in ("passed", "skipped", "expected failure")
        )
        click.echo(
            f"{passed} passed, {skipped} skipped, {f'{known} known to fail, ' if known else ''}{len(failed)} failed "
            f"in {sum(result.seconds for result in results):.0f} s"
        )
    ctx.exit(1 if failed else 0)


def _run(
    name: str, recipe: str | None, overrides: tuple[str, ...], stages: set[str], as_json: bool
) -> list[CheckResult]:
    from penjing.heavy import import_tensorflow
    from penjing.testing.checks import run_check
    from penjing.testing.conformance import STAGES, checks_for, deprecations_of, subjects_of
    from penjing.testing.known_failures import known_failures

    for stage in stages - set(STAGES):
        raise UsageError(f"there is no stage '{stage}'", hint=did_you_mean(stage, STAGES))
    results = []
    subjects = subjects_of(name, overrides, recipe)
    # Of all of them first: a mistake in the last one's list should not wait for the run of the first.
    known = [known_failures(subject, checks_for(subject)) for subject in subjects]
    if stages != {"plugin"}:
        with contextlib.suppress(MissingExtraError):
            import_tensorflow()  # a check that needs it and lacks it says so; its start-up notes are nobody's
    if not as_json:
        for sentence in deprecations_of(name):
            click.secho(f"deprecated: {sentence}", fg="yellow")
    for subject, expected in zip(subjects, known, strict=True):
        if not as_json:
            click.secho(str(subject), bold=True)
        for check in checks_for(subject):
            if stages and check.stage not in stages:
                continue
            result = run_check(check, subject, expected.get(check.name))
            results.append(result)
            if not as_json:
                _show(result)
    return results


def _show(result: Any) -> None:
    word, colour = _WORDS[result.outcome]
    says_why = result.outcome in ("skipped", "expected failure")
    click.echo(f"  {click.style(f'{word:8}', fg=colour)}{result.check}" + (f": {result.reason}" if says_why else ""))
    if not result.ok:
        click.echo(f"          {result.statement}")
        click.echo("          found: " + "\n                 ".join(result.reason.splitlines()))
    if result.outcome == "failed":
        click.echo(f"          try:   {result.remedy}")
