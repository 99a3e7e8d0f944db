"""`penjing sensitivity`: which layers of a model bear what."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from penjing.commands.output import print_json, print_table
from penjing.commands.session import make_reporter


@click.command(epilog="Example: penjing sensitivity model.keras --data data.npz --output runs/sensitivity")
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    required=True,
    help="An .npz file: x_train, y_train, x_validation, y_validation, x_test, y_test; or x, y.",
)
@click.option("--metric", help="accuracy, balanced_accuracy, auc, mean_absolute_error, root_mean_squared_error")
@click.option(
    "--examples",
    type=click.IntRange(1),
    default=2000,
    show_default=True,
    help="Validation examples, at most; a larger part is sampled.",
)
@click.option("--output", type=click.Path(path_type=Path), help="Folder for sensitivity.json and sensitivity.html.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Decides everything random.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.option("--quiet", is_flag=True, help="No progress.")
def sensitivity(
    model: Path,
    data: Path,
    metric: str | None,
    examples: int,
    output: Path | None,
    seed: int,
    as_json: bool,
    quiet: bool,
) -> None:
    """Say what each layer of a trained Keras model (.keras, .h5) costs when it alone gets fewer bits, weights or
    channels. Nothing is trained."""
    from penjing.compression.settings.sensitivity import SensitivitySettings
    from penjing.runner.sensitivity import analyse_sensitivity

    result = analyse_sensitivity(
        model,
        data,
        metric=metric,
        settings=SensitivitySettings(examples=examples),
        seed=seed,
        output=output,
        reporter=make_reporter(quiet),
    )
    if as_json:
        print_json(result.to_json())
        return
    _show(result)
    if output is not None:
        click.echo(f"page: {output / 'sensitivity.html'}")


def _show(result: Any) -> None:
    columns = list(dict.fromkeys((trial.kind, trial.level) for trial in result.trials))
    drops = {(trial.matrix, trial.kind, trial.level): trial.drop for trial in result.trials}
    heads = [f"{level:g} bits" if kind == "bits" else f"{level:.0%} {kind}" for kind, level in columns]
    rows = [
        (name, f"{count:,}", *(f"{drops[name, *at]:+.4f}" if (name, *at) in drops else "" for at in columns))
        for name, count in result.weights.items()
    ]
    print_table(
        ("layer", "weights", *heads),
        rows,
        title=f"loss of {result.metric} (unchanged {result.baseline:.4f}) on {result.examples:,} validation examples",
    )
