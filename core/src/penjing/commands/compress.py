"""`penjing compress`: a model without a domain."""

from __future__ import annotations

from pathlib import Path

import click

from penjing.commands.output import print_json, stdout_console
from penjing.commands.session import load_host, make_reporter


@click.command(
    epilog="Example: penjing compress model.keras --data data.npz --budget flash=32KB,drop=0.01 --output runs/mine"
)
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    required=True,
    help="An .npz file: x_train, y_train, x_validation, y_validation, x_test, y_test; or x, y.",
)
@click.option("--recipe", help="A TOML file, or a name: see penjing recipes.  [default: int8 after training]")
@click.option("--teacher", type=click.Path(path_type=Path), help="A .keras or .h5 file for the step 'distill'.")
@click.option("--budget", help="Limits: flash=32KB,arena=24KiB,macs=2M,latency=1ms,drop=0.01")
@click.option("--metric", help="accuracy, balanced_accuracy, auc, mean_absolute_error, root_mean_squared_error")
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    default=Path("runs/model"),
    show_default=True,
    help="The run folder.",
)
@click.option("--resume", is_flag=True, help="Go on with the run in the folder.")
@click.option("--overwrite", is_flag=True, help="Delete an earlier run in the folder.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Decides everything random.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change the recipe: steps.1.mode=dynamic.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.option("--quiet", is_flag=True, help="No progress.")
@click.pass_context
def compress(
    ctx: click.Context,
    model: Path,
    data: Path,
    recipe: str | None,
    teacher: Path | None,
    budget: str | None,
    metric: str | None,
    output: Path,
    resume: bool,
    overwrite: bool,
    seed: int,
    overrides: tuple[str, ...],
    as_json: bool,
    quiet: bool,
) -> None:
    """Make a trained Keras model (.keras, .h5) smaller, and verify the file. Exit with 1 outside the budget."""
    from penjing.runner.api import compress as run
    from penjing.runner.shipped_recipes import open_recipe

    chosen = open_recipe(recipe)
    result = run(
        model,
        recipe=chosen.with_overrides(overrides),
        data=data,
        metric=metric,
        budget=budget,
        teacher=teacher,
        output=output,
        seed=seed,
        resume=resume,
        overwrite=overwrite,
        reporter=make_reporter(quiet),
        host=load_host(ctx),
    )
    if as_json:
        print_json(result.metrics)
    else:
        from penjing.report.table import print_summary

        print_summary(stdout_console(140), result.metrics, report=result.report, bundle=result.bundle)
    ctx.exit(0 if result.within_budget else 1)
