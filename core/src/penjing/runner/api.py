"""The Python call for a model without a domain: `penjing.compress`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from penjing.contract import Metric, Splits, Task
from penjing.errors import UsageError
from penjing.recipe import Recipe
from penjing.reporting import SilentReporter
from penjing.runner.model_files import check_saveable, usable_model, with_fixed_shapes
from penjing.runner.precision import in_float32
from penjing.runner.shipped_recipes import open_recipe
from penjing.verify.limits import Budget

if TYPE_CHECKING:
    from penjing.host import PluginHost
    from penjing.runner.result import RunResult


def compress(
    model: Any,
    recipe: Recipe | str | Path | None = None,
    data: Any = None,
    metric: str | Callable[[Any, Any], float] | None = None,
    budget: str | Mapping[str, Any] | None = None,
    output: str | Path = "runs/model",
    *,
    task: Task | None = None,
    higher_is_better: bool = True,
    teacher: Any = None,
    seed: int = 0,
    resume: bool = False,
    overwrite: bool = False,
    reporter: Any = None,
    host: PluginHost | None = None,
) -> RunResult:
    """Make a trained Keras model smaller, and verify the file that comes out.

    Args:
        model: A trained `keras.Model` with one output, or the path of a .keras or .h5 file. It is not changed.
        recipe: A `Recipe`, the name of one that ships (`penjing recipes`), or a TOML file; None quantizes to int8
            after training.
        data: Arrays by the names x_train, y_train, x_validation, y_validation, x_test, y_test (or x, y), an .npz file
            with them, or a `Splits`; or what `keras.Model.fit` takes: a pair (x, y) or a `tf.data.Dataset` of batches,
            whole or under train, validation and test.
        metric: The name of a built-in metric, or a function (targets, outputs) -> float; None takes the task's usual.
        budget: "flash=32KB,drop=0.01", or a mapping with these keys.
        output: The run folder.
        task: What the targets are; None reads it off the targets.
        higher_is_better: Of a metric that is given as a function.
        teacher: For the step `distill`: a trained `keras.Model`, the path of a .keras or .h5 file, or a scikit-learn
            estimator, which need not be fitted.
        resume: Go on with a run that was interrupted.
        overwrite: Delete an earlier run in the folder.

    Returns:
        The figures, and where bundle and report lie.

    Raises:
        PenjingError: Of the kind that fits: what failed, where, why, and what to do.

    Example:
        ```python
        import penjing
        result = penjing.compress("model.keras", data="d.npz", budget="flash=32KB,drop=0.01", output="runs/mine")
        print(result.metrics["compressed"]["flash_bytes"], result.within_budget)
        bundle = penjing.load_bundle(result.bundle)
        print(bundle.predict(x))
        ```
    """
    if data is None:
        raise UsageError(
            "there is no data",
            why="calibration, metric and verification need examples",
            hint="pass data=... or --data: arrays or an .npz file",
        )
    chosen = open_recipe(recipe)
    limits = Budget.parse(budget)
    # Plans fail before TensorFlow is imported.
    from penjing.compression.plan import plan_steps
    from penjing.host import PluginHost
    from penjing.runner.arrays import load_arrays, with_input_names
    from penjing.runner.task_guess import fitting_targets, guess_task

    host = host or PluginHost.discover()
    planned = plan_steps(chosen, host, host.resolve)
    splits = data if isinstance(data, Splits) else load_arrays(data, seed=seed)

    model, others = in_float32(usable_model(model))
    check_saveable(model)
    from penjing.export.litert import input_names
    from penjing.runner.model_checks import note_of_frozen

    splits = with_input_names(splits, input_names(model))
    model = with_fixed_shapes(model, splits.train.x)
    reporter = reporter or SilentReporter()
    if others:
        # Not a failure: what it answers is the same but for rounding.
        reporter.line(f"{len(others)} layers of the model compute in half or double precision; float32 is taken")
    frozen = note_of_frozen(model) if any(hasattr(step.settings, "epochs") for step in planned) else None
    if frozen is not None:
        splits = replace(splits, notes=(*splits.notes, frozen))
        reporter.line(frozen)
    import hashlib

    import numpy as np

    from penjing.compression.losses import decision_threshold, output_kind
    from penjing.metrics import metric_function, named_metric, usual_metric
    from penjing.runner.folder import RunFolder, run_key
    from penjing.runner.job import Job
    from penjing.runner.result import finished_result
    from penjing.runner.run import run_job

    def content_hash(network: Any) -> str:
        return hashlib.sha256(
            b"".join(np.ascontiguousarray(value).tobytes() for value in network.get_weights())
        ).hexdigest()

    weights = content_hash(model)
    # Another teacher makes another run.
    taught_by: tuple[str, ...] = ()
    if isinstance(teacher, (str, Path)) or hasattr(teacher, "get_weights"):
        teacher = usable_model(teacher)
        taught_by = (content_hash(teacher),)
    elif hasattr(teacher, "fit") and hasattr(teacher, "get_params"):
        taught_by = (repr(teacher),)
    elif teacher is not None:
        raise UsageError(
            f"a {type(teacher).__name__} cannot teach",
            where="teacher",
            hint="give a trained keras.Model, the path of one, or a scikit-learn estimator",
        )
    kind = output_kind(model)
    if task is None:
        shape = model.outputs[0].shape[1:]
        task = guess_task(splits.train.y, shape, kind)
        splits = fitting_targets(splits, task, shape)
    threshold = decision_threshold(kind)
    if callable(metric):
        function: Callable[..., float] = metric
        described = Metric(
            name=getattr(metric, "__name__", "metric"),
            function="given by the caller",
            direction="higher" if higher_is_better else "lower",
            primary=True,
        )
    else:
        described = named_metric(metric) if metric else usual_metric(task)
        function = metric_function(described.name, threshold)
    job = Job(
        name="model",
        title=f"Compression of the model '{model.name}'.",
        task=task,
        splits=splits,
        metrics=(described,),
        metric_functions={described.name: function},
        build_model=lambda: model,
        trains_reference=False,
        decision_threshold=threshold,
        extra_parts=(weights, *taught_by),
    )
    folder = RunFolder(Path(output))
    key = {**run_key("model", seed, splits.sha256, chosen, limits), "model": weights}
    if taught_by:
        key["teacher"] = taught_by[0]
    if folder.open(key, resume=resume, overwrite=overwrite) == "finished":
        return finished_result(folder)
    return run_job(
        host,
        job,
        chosen,
        limits,
        folder=folder,
        key=key,
        seed=seed,
        chosen_by="the caller" if recipe else "penjing's default",
        reporter=reporter,
        teacher=teacher,
    )
