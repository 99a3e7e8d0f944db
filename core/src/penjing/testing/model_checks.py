"""Checks of a domain's models, augmentation and baseline."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from penjing.testing.arrays import Unreadable, digest, head, parts_of, unchanged
from penjing.testing.checks import ConformanceError, NotApplicableError
from penjing.testing.domain_subject import DomainUnderTest

EXAMPLES = 32


def check_model_fits_the_data(subject: DomainUnderTest) -> None:
    """The small model takes the data's inputs and has an output for each class; it is not compiled or trained.

    Read shapes off request.splits.train.x, and the number of classes off request.splits.labels.
    """
    from penjing.compression.model_tree import check_finite, check_traceable
    from penjing.compression.workbench import predict
    from penjing.runner.model_checks import check_outputs

    model = subject.model
    check_traceable(model)
    check_finite(model)
    check_outputs(model, subject.job)
    outputs = predict(model, head(subject.splits.train.x, EXAMPLES))
    if len(outputs) != min(EXAMPLES, len(subject.splits.train)) or not np.isfinite(outputs).all():
        raise ConformanceError("its outputs for training examples are not one finite row each")


def check_model_is_seeded(subject: DomainUnderTest) -> None:
    """The same seed builds the same model, in layers and weights.

    Leave seeds to penjing, which sets Keras' before it builds; draw nothing from the clock or a generator of your own.
    """
    first, again = (subject.build(subject.domain.build_model, subject.recipe.model) for _ in range(2))
    if [w.shape for w in first.weights] != [w.shape for w in again.weights]:
        raise ConformanceError("built twice, it has other layers")
    if digest(first.get_weights()) != digest(again.get_weights()):
        raise ConformanceError("built twice with one seed, it has other weights")


def check_model_can_be_exported(subject: DomainUnderTest) -> None:
    """The untrained model becomes a .tflite file.

    Use layers that LiteRT has operators for; `penjing explain DOMAIN` names those that are in the way.
    """
    from penjing.contract import ExportSettings
    from penjing.export.litert import to_litert

    to_litert(subject.model, ExportSettings(), None)


def check_teacher_fits_the_model(subject: DomainUnderTest) -> None:
    """The teacher takes the same inputs and gives the same outputs as the small model.

    Build both with one function, and let options decide the width.
    """
    if not subject.domain.build_teacher:
        raise NotApplicableError("the domain has no teacher")
    teacher = subject.build(subject.domain.build_teacher, subject.recipe.teacher)
    for side in ("inputs", "outputs"):
        ours = [tuple(tensor.shape[1:]) for tensor in getattr(subject.model, side)]
        theirs = [tuple(tensor.shape[1:]) for tensor in getattr(teacher, side)]
        if ours != theirs:
            raise ConformanceError(f"{side}: the model has {ours}, the teacher {theirs}")


def check_augmentation_is_seeded(subject: DomainUnderTest) -> None:
    """Augmentation gives equal arrays for equal arguments, others in another epoch, and leaves the training part alone.

    Draw everything from numpy.random.default_rng((seed, epoch)): a run that is resumed depends on it.
    """
    if not subject.domain.augment:
        raise NotApplicableError("the domain does not augment")
    augment = subject.resolve(subject.domain.augment)
    splits, options = subject.splits, dict(subject.recipe.augment)

    def epoch(number: int) -> Any:
        return augment(splits.train, splits, epoch=number, seed=subject.seed, options=dict(options))

    with unchanged("augment", splits.train):
        first, again, other = epoch(1), epoch(1), epoch(2)
    x, y = first
    for name, values in parts_of(x).items():
        expected = parts_of(splits.train.x)[name]
        if values.shape[1:] != expected.shape[1:] or values.dtype != expected.dtype:
            raise ConformanceError(
                f"it gives {values.dtype} of shape {values.shape}, the training part has {expected.shape}"
            )
        if len(values) != len(y):
            raise ConformanceError(f"it gives {len(values):,} inputs and {len(y):,} targets")
    if digest(first) != digest(again):
        raise ConformanceError("called twice for one epoch, it gives other arrays")
    if digest(first) == digest(other):
        raise ConformanceError("it gives the same arrays in every epoch")


def check_data_is_not_changed(subject: DomainUnderTest) -> None:
    """Models, teacher and baseline leave the data as it was.

    Copy an array before changing it.
    """
    for name, build in _builders(subject):
        with unchanged(name, subject.splits.train, subject.splits.validation):
            build(subject.splits)


def check_test_part_is_not_read(subject: DomainUnderTest) -> None:
    """Neither model nor teacher nor baseline looks at the test part.

    Take shapes, statistics and thresholds from request.splits.train; the test part is read once, at the end.
    """
    for name, build in _builders(subject):
        build(replace(subject.splits, test=Unreadable(name)))  # type: ignore[arg-type]


def check_baseline_fits_the_metrics(subject: DomainUnderTest) -> None:
    """Each baseline has a name and gives outputs of the shape that the model gives, in numbers.

    See penjing.contract.FittedBaseline.
    """
    baselines = list(_baselines(subject))
    if not baselines:
        raise NotApplicableError("the domain has no baseline")
    x = head(subject.splits.validation.x, EXAMPLES)
    from penjing.compression.workbench import predict

    expected = predict(subject.model, x).shape
    for import_string, fit in baselines:
        fitted = fit(subject.splits)
        with unchanged(f"the baseline '{fitted.name}'", x):
            outputs = np.asarray(fitted.predict(x))
        if outputs.shape != expected or not np.isfinite(outputs).all():
            raise ConformanceError(
                f"{import_string} gives {outputs.shape} instead of {expected}, or not only finite numbers"
            )
        if not fitted.name:
            raise ConformanceError(f"{import_string} has no name")


def check_preprocessing_makes_the_inputs(subject: DomainUnderTest) -> None:
    """`preprocess` turns raw inputs into what the model takes, from the parameters in the bundle alone.

    Let load_data and predict use the same function.
    """
    if not subject.domain.preprocess:
        raise NotApplicableError("the domain has no preprocess")
    part = subject.splits.validation
    if part.raw is None:
        raise NotApplicableError("the data has no raw inputs (Split.raw)")
    preprocess = subject.resolve(subject.domain.preprocess)
    raw = part.raw[:EXAMPLES]
    with unchanged("preprocess", raw):
        made = preprocess(raw, dict(subject.splits.preprocessing))
    for name, values in parts_of(made).items():
        expected = parts_of(head(part.x, EXAMPLES))[name]
        if values.shape != expected.shape:
            raise ConformanceError(f"it gives shape {values.shape}, the inputs have {expected.shape}")
        error = float(np.max(np.abs(values - expected), initial=0.0))
        if error > 1e-4 * max(1.0, float(np.abs(expected).max(initial=0.0))):
            raise ConformanceError(f"it is up to {error:.3g} away from the inputs that load_data gives")


def _builders(subject: DomainUnderTest) -> Iterator[tuple[str, Callable[[Any], Any]]]:
    domain, recipe = subject.domain, subject.recipe
    yield "build_model", lambda splits: subject.build(domain.build_model, recipe.model, splits)
    if domain.build_teacher:
        teacher = domain.build_teacher
        yield "build_teacher", lambda splits: subject.build(teacher, recipe.teacher, splits)
    yield from _baselines(subject)


def _baselines(subject: DomainUnderTest) -> Iterator[tuple[str, Callable[[Any], Any]]]:
    for import_string in subject.domain.baselines:
        yield import_string, partial(_fit, subject.resolve(import_string), subject.seed)


def _fit(function: Callable[[Any, int], Any], seed: int, splits: Any) -> Any:
    return function(splits, seed)
