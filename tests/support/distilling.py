"""What tests of `distill` share: a step's surroundings, the step itself, a network with nested layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from penjing.compression.augmentation import Augmentation
from penjing.compression.distillation import technique
from penjing.compression.settings.distillation import DistillSettings
from penjing.compression.workbench import Workbench
from penjing.contract import Metric, Split, StepContext, StepOutcome, Task
from penjing.reporting import SilentReporter

layers = keras.layers


def part(x: Any, y: np.ndarray, rows: slice, name: str, groups: Any = None) -> Split:
    """Some rows of a data set."""
    x = {key: values[rows] for key, values in x.items()} if isinstance(x, dict) else x[rows]
    y = y[rows]
    ids = [f"{name} {number}" for number in range(len(y))]
    return Split(x=x, y=y, ids=ids, groups=None if groups is None else groups[rows])


def context(
    model: keras.Model,
    train: Split,
    validation: Split,
    folder: Path,
    *,
    task: Task,
    metric: Callable[[Any, Any], float],
    direction: str = "higher",
    teacher: Any = None,
    reference: Callable[[], keras.Model] | None = None,
    augment: Callable[[int, int, Mapping[str, Any]], Any] | None = None,
    build_teacher: Callable[[], keras.Model] | None = None,
    seed: int = 1,
) -> StepContext:
    """What the pipeline would hand to the step."""
    bench = Workbench(
        task=task,
        metric=Metric(name="score", function="", direction=direction, primary=True),  # type: ignore[arg-type]
        metric_function=metric,
        train=train,
        validation=validation,
        labels=(),
        extra={},
        seed=seed,
        data_sha256="",
        reporter=SilentReporter(),
        augment=augment and Augmentation(draw=augment),
        given_teacher=teacher,
        build_teacher=build_teacher,
        teacher_cache=folder / "teachers",
    )
    return StepContext(
        model=model,
        train=train,
        validation=validation,
        splits_extra={},
        task=task,
        labels=(),
        metric=bench.metric,
        seed=seed,
        folder=folder,
        invariants=(),
        fit=bench.trainer(seed, folder, "step").fit,
        evaluate=bench.evaluate,
        teacher=bench.teacher,
        progress=lambda line: None,
        reference=reference,
        augmented=augment is not None,
    )


def distil(context: StepContext, settings: Mapping[str, Any], **changes: Any) -> StepOutcome:
    """Run the step with settings as they stand in a recipe."""
    return technique.apply(replace(context, **changes), DistillSettings.model_validate(dict(settings)))


def accuracy(targets: Any, outputs: Any) -> float:
    return float(np.mean(np.asarray(outputs).argmax(1) == targets))


def rmse(targets: Any, outputs: Any) -> float:
    return float(np.sqrt(np.mean(np.square(np.asarray(outputs) - np.asarray(targets).reshape(outputs.shape)))))


def image_network(width: int, seed: int, name: str) -> keras.Model:
    """Its inner layers lie in a nested model, where no graph of the outer model reaches them."""
    keras.utils.set_random_seed(seed)
    source = keras.Input((8, 8, 1))
    x = layers.Conv2D(width, 3, padding="same", name="conv")(source)
    x = layers.BatchNormalization(momentum=0.8, name="norm")(x)
    x = layers.ReLU(name="relu")(x)
    x = layers.Conv2D(width, 3, strides=2, padding="same", activation="relu", name="last")(x)
    backbone = keras.Model(source, layers.Dropout(0.1, name="dropout")(x), name="backbone")
    inputs = keras.Input((8, 8, 1))
    x = layers.Flatten(name="flatten")(backbone(inputs))
    x = layers.Dense(2 * width, activation="relu", name="hidden")(x)
    return keras.Model(inputs, layers.Dense(4, activation="softmax", name="head")(x), name=name)


def image_context(toy_arrays: dict, folder: Path, teacher: Any, student: keras.Model | None = None, **more: Any):
    x, y = toy_arrays["x"], toy_arrays["y"]
    student = image_network(6, 1, "student") if student is None else student
    train, validation = part(x, y, slice(200), "train"), part(x, y, slice(400, 600), "validation")
    return context(student, train, validation, folder, task="classification", metric=accuracy, teacher=teacher, **more)
