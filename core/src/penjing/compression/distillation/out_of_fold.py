"""Soft labels from scikit-learn estimators, out of fold: every example is labelled by one that has not seen it.

An estimator that was fitted on an example tells its label by heart (a nearest neighbour is itself), and a student would
learn nothing but the label. So the training part is cut into folds, by the groups where there are any, and each fold is
labelled by an estimator fitted on the others (stacking: Wolpert 1992, "Stacked generalization").
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from penjing.bundle.atomic import write_bytes_atomically
from penjing.compression import checkpoint
from penjing.compression.determinism import fingerprint, mix_seed
from penjing.compression.losses import BINARY_TASKS, CATEGORICAL_TASKS, OutputKind
from penjing.compression.settings.distillation import TeacherSettings
from penjing.contract import StepContext, Task
from penjing.errors import DataError, ModelError, RecipeError, did_you_mean

Folds = list[tuple[np.ndarray, np.ndarray]]
"""(rows to fit on, rows to label), of all folds; every row is labelled once."""


@dataclass(frozen=True, kw_only=True)
class SoftLabels:
    """What estimators say of the training part."""

    name: str
    outputs: np.ndarray
    """float32 of shape (n, *output_shape): probabilities, or values."""
    kind: OutputKind
    validation: float
    """The primary metric on the validation part, of estimators fitted on the whole training part."""


def soft_labels(context: StepContext, settings: TeacherSettings, given: Any = None) -> SoftLabels:
    """Label the training part out of fold, mean of `settings.members` estimators of different seeds and folds.

    Args:
        given: An estimator of the caller's, which is not changed; None takes the one that the settings name.

    Raises:
        RecipeError: There is no estimator of that name, or it has no such parameter.
        DataError: There are fewer groups or examples than folds.
        ModelError: The estimator does not fit the task.
    """
    from sklearn.base import clone

    task = context.task
    estimator = clone(given) if given is not None else named_estimator(settings, task)
    check_kind(estimator, task)
    shape = tuple(int(size) for size in context.model.outputs[0].shape[1:])
    rows, targets = as_rows(context.train.x), as_labels(task, context.train.y)
    cache = _Cache(
        context.folder / "soft-labels.npz",
        fingerprint([repr(estimator), str(settings.members), str(settings.folds), str(context.seed)]),
    )
    made = cache.read()
    if made is None:
        outputs: list[np.ndarray] = []
        fitted: list[Any] = []
        for member in range(settings.members):
            seed = mix_seed(context.seed, "estimator", member)
            seeded = with_seed(estimator, seed)
            folds = fold_rows(task, targets, context.train.groups, settings.folds, seed)
            context.progress(f"estimator {member + 1} of {settings.members}: {settings.folds} folds")
            outputs.append(out_of_fold(seeded, rows, targets, folds, task, shape))
            fitted.append(_guarded(seeded, lambda whole: whole.fit(rows, targets)))
        validation = context.evaluate(_Fitted(fitted, task, targets, shape))
        made = np.mean(outputs, axis=0).astype(np.float32), validation
        cache.write(*made)
    return SoftLabels(
        name=f"{f'{settings.members} times ' if settings.members > 1 else ''}{_name(estimator)}, out of fold",
        outputs=made[0],
        kind="softmax" if task in CATEGORICAL_TASKS else ("sigmoid" if task in BINARY_TASKS else "linear"),
        validation=made[1],
    )


def out_of_fold(
    estimator: Any, rows: np.ndarray, targets: np.ndarray, folds: Folds, task: Task, shape: tuple[int, ...]
) -> np.ndarray:
    """What estimators, fitted on the other folds, say of each row: float of shape (n, *shape).

    Args:
        estimator: It is cloned for every fold.
        rows: Inputs, shape (n, features).
        targets: As `as_labels` gives them.
        shape: Of the model's outputs, without the batch.
    """
    from sklearn.model_selection import cross_val_predict

    method = "predict_proba" if task in CATEGORICAL_TASKS or task in BINARY_TASKS else "predict"
    # With the warnings go those about classes that a fold lacks: such a class has probability 0 there.
    raw = _guarded(estimator, lambda unfitted: cross_val_predict(unfitted, rows, targets, cv=folds, method=method))
    return _as_outputs(raw, task, targets, shape)


def fold_rows(task: Task, targets: np.ndarray, groups: Any, count: int, seed: int) -> Folds:
    """Cut the training part into folds: no group stands in two, classes are spread evenly, and what is ordered in time
    (a forecast without groups) is cut into stretches, since neighbouring windows share most of their values.

    Raises:
        DataError: There are fewer groups or examples than folds.
    """
    from sklearn import model_selection as selection

    many = len(targets) if groups is None else len(set(map(str, groups)))
    if many < count:
        raise DataError(
            f"{many:,} {'examples' if groups is None else 'groups'} cannot be cut into {count} folds",
            where="the training part",
            why="no example may be labelled by an estimator that has seen it or its group",
            hint=f"lower teacher.folds to {many}" if many > 1 else "out-of-fold labels need two groups at least",
        )
    classes = task in (*CATEGORICAL_TASKS, "binary") and int(np.bincount(targets).max()) >= count
    splitter: Any
    if groups is not None:
        groups = np.asarray(groups).astype(str)
        splitter = (
            selection.StratifiedGroupKFold(count, shuffle=True, random_state=seed)
            if classes
            else selection.GroupKFold(count)
        )
    elif classes:
        splitter = selection.StratifiedKFold(count, shuffle=True, random_state=seed)
    elif task == "forecast":
        splitter = selection.KFold(count)
    else:
        splitter = selection.KFold(count, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a class of fewer examples than folds
        return list(splitter.split(np.zeros(len(targets)), targets, groups))


def named_estimator(settings: TeacherSettings, task: Task) -> Any:
    """The estimator of scikit-learn that the settings name, behind a scaler of the features.

    Raises:
        RecipeError: There is no such estimator, or it has no such parameter.
    """
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.utils import all_estimators

    classes = task in CATEGORICAL_TASKS or task in BINARY_TASKS
    name = settings.estimator or ("ExtraTreesClassifier" if classes else "ExtraTreesRegressor")
    known = dict(all_estimators(type_filter=["classifier", "regressor"]))
    if name not in known:
        raise RecipeError(
            f"scikit-learn has no classifier or regressor '{name}'",
            where="setting 'teacher.estimator'",
            hint=did_you_mean(name, known),
        )
    try:
        estimator = known[name](**dict(settings.parameters))
    except TypeError as error:
        raise RecipeError(
            f"{name} does not take these parameters",
            where="setting 'teacher.parameters'",
            why=str(error),
            hint=f"see scikit-learn's page of {name}",
        ) from error
    return make_pipeline(StandardScaler(), estimator)


def with_seed(estimator: Any, seed: int) -> Any:
    """A copy whose random states, where they are open, are the seed."""
    from sklearn.base import clone

    copy = clone(estimator)
    open_states = [
        name
        for name, value in copy.get_params().items()
        if name.rsplit("__", 1)[-1] == "random_state" and value is None
    ]
    return copy.set_params(**dict.fromkeys(open_states, seed))


def as_rows(x: Any) -> np.ndarray:
    """Inputs as rows of features: (n, ...) becomes (n, features); several inputs stand side by side, by name."""
    arrays = [x[name] for name in sorted(x)] if isinstance(x, dict) else [x]
    return np.concatenate([np.asarray(array, np.float32).reshape(len(array), -1) for array in arrays], axis=1)


def as_labels(task: Task, y: Any) -> np.ndarray:
    """Targets as scikit-learn takes them: class numbers of shape (n,), 0/1 of shape (n, labels), or values."""
    y = np.asarray(y)
    if task in CATEGORICAL_TASKS:
        return (y.argmax(axis=1) if y.ndim == 2 and y.shape[1] > 1 else y.reshape(-1)).astype(np.int64)
    y = y.reshape(len(y), -1)
    y = y[:, 0] if y.shape[1] == 1 else y
    return (y > 0.5).astype(np.int64) if task in BINARY_TASKS else y.astype(np.float64)


def _as_outputs(raw: Any, task: Task, targets: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Predictions in the shape of the model's outputs; classes that the training part lacks have probability 0."""
    if task in CATEGORICAL_TASKS:
        outputs = np.zeros((len(raw), shape[-1]))
        outputs[:, np.unique(targets)] = raw
        return outputs
    if task in BINARY_TASKS and isinstance(raw, list):
        raw = np.stack(
            [
                values[:, 1] if values.shape[1] == 2 else np.full(len(values), targets[0, column], float)
                for column, values in enumerate(raw)
            ],
            axis=1,
        )
    elif task in BINARY_TASKS and targets.ndim == 1:
        raw = raw[:, 1] if raw.shape[1] == 2 else np.full(len(raw), targets[0], float)
    return np.asarray(raw).reshape(len(raw), *shape)


class _Fitted:
    """Estimators with the `predict` of a Keras model, so that the metric can be asked of them."""

    def __init__(self, members: Sequence[Any], task: Task, targets: np.ndarray, shape: tuple[int, ...]) -> None:
        self._members = members
        self._task = task
        self._targets = targets
        self._shape = shape

    def predict(self, x: Any, **_: Any) -> np.ndarray:
        rows = as_rows(x)
        outputs = []
        for member in self._members:
            classes = self._task in CATEGORICAL_TASKS or self._task in BINARY_TASKS
            raw = member.predict_proba(rows) if classes else member.predict(rows)
            outputs.append(_as_outputs(raw, self._task, self._targets, self._shape))
        return np.mean(outputs, axis=0)


class _Cache:
    """Soft labels of this very step, so that a resumed run need not fit again."""

    def __init__(self, path: Path, key: str) -> None:
        self._path = path
        self._key = key

    def read(self) -> tuple[np.ndarray, float] | None:
        if not self._path.is_file():
            return None
        arrays = checkpoint.read_arrays(self._path)
        return (arrays["outputs"], float(arrays["validation"])) if str(arrays["key"]) == self._key else None

    def write(self, outputs: np.ndarray, validation: float) -> None:
        arrays = {"outputs": outputs, "validation": np.array(validation), "key": np.array(self._key)}
        write_bytes_atomically(self._path, checkpoint.pack_arrays(arrays))


def check_kind(estimator: Any, task: Task) -> None:
    from sklearn.base import is_classifier

    classes = task in CATEGORICAL_TASKS or task in BINARY_TASKS
    if classes and not hasattr(estimator, "predict_proba"):
        raise ModelError(
            f"{_name(estimator)} gives no probabilities, so it cannot teach a task of kind '{task}'",
            where="setting 'teacher'",
            why="it has no predict_proba",
            hint="take another estimator, or wrap it in sklearn.calibration.CalibratedClassifierCV",
        )
    if not classes and is_classifier(estimator):
        raise ModelError(
            f"{_name(estimator)} is a classifier, so it cannot teach a task of kind '{task}'",
            where="setting 'teacher'",
            hint="take a regressor",
        )


def _guarded(estimator: Any, work: Any) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return work(estimator)
    except (ValueError, TypeError) as error:
        raise ModelError(
            f"{_name(estimator)} cannot be fitted on the training part",
            where="setting 'teacher'",
            why=str(error).splitlines()[0],
            hint="take an estimator that fits the shape of the targets, or change its parameters",
        ) from error


def _name(estimator: Any) -> str:
    """The class's name, of a pipeline that of its last step."""
    return type(estimator.steps[-1][1] if hasattr(estimator, "steps") else estimator).__name__
