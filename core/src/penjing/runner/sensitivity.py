"""The sensitivity analysis of a model file on a user's data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from penjing.bundle.atomic import write_bytes_atomically, write_json_atomically
from penjing.cache import cache_folder
from penjing.compression.settings.sensitivity import SensitivitySettings
from penjing.contract import Splits
from penjing.reporting import SilentReporter
from penjing.runner.model_files import usable_model
from penjing.runner.precision import in_float32

if TYPE_CHECKING:
    from penjing.compression.sensitivity import Sensitivity


def analyse_sensitivity(
    model: Any,
    data: Any,
    *,
    metric: str | None = None,
    settings: SensitivitySettings | None = None,
    seed: int = 0,
    output: Path | None = None,
    reporter: Any = None,
) -> Sensitivity:
    """Try on every weight matrix of a model what rounding, sparsity and the loss of channels cost, without training.

    Args:
        model: A trained `keras.Model`, or the path of a .keras or .h5 file. It is afterwards as it was.
        data: As for `penjing.compress`; the validation part is what counts.
        metric: The name of a built-in metric; None takes the task's usual.
        settings: What is tried; None takes all.
        seed: Splits the data, and samples a large validation part.
        output: Folder for `sensitivity.json` and `sensitivity.html`.
        reporter: Where progress goes.

    Raises:
        PenjingError: Model, data or metric cannot be used; says why and what to do.
    """
    from penjing.runner.arrays import load_arrays, with_input_names
    from penjing.runner.task_guess import fitting_targets, guess_task

    splits = data if isinstance(data, Splits) else load_arrays(data, seed=seed)
    model = in_float32(usable_model(model))[0]
    from penjing.compression.losses import decision_threshold, output_kind
    from penjing.compression.sensitivity import hash_split, measure_sensitivity
    from penjing.compression.workbench import Workbench
    from penjing.export.litert import input_names
    from penjing.metrics import metric_function, named_metric, usual_metric
    from penjing.runner.data_checks import check_splits

    splits = with_input_names(splits, input_names(model))
    shape = model.outputs[0].shape[1:]
    task = guess_task(splits.train.y, shape, output_kind(model))
    splits = fitting_targets(splits, task, shape)
    described = named_metric(metric) if metric else usual_metric(task)
    check_splits(splits, task)
    reporter = reporter or SilentReporter()
    bench = Workbench(
        task=task,
        metric=described,
        metric_function=metric_function(described.name, decision_threshold(output_kind(model))),
        train=splits.train,
        validation=splits.validation,
        labels=splits.labels,
        extra=splits.extra,
        seed=seed,
        data_sha256=splits.sha256,
        reporter=reporter,
    )
    with reporter.task("sensitivity") as shown:

        def progress(done: int, of: int) -> None:
            shown.total = of
            shown.advance(1)

        result = measure_sensitivity(
            model,
            bench.evaluate,
            len(splits.validation),
            metric=described.name,
            higher_is_better=bench.higher_is_better,
            settings=settings,
            seed=seed,
            cache=cache_folder() / "sensitivity",
            data_key=hash_split(splits.validation),
            progress=progress,
        )
    if output is not None:
        from penjing.report.sensitivity import sensitivity_page

        output.mkdir(parents=True, exist_ok=True)
        write_json_atomically(output / "sensitivity.json", result.to_json())
        write_bytes_atomically(output / "sensitivity.html", sensitivity_page(result.to_json(), model.name).encode())
    return result
