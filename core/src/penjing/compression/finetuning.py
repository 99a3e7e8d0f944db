"""The engine's one training loop: seeded, checkpointed after every epoch, true to the promises of earlier steps.

Each epoch draws its order and its augmentation from (seed, epoch) alone, and the checkpoint holds every variable of
model and optimizer, so a training that was killed goes on to the very weights that it would have had.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from penjing.bundle.atomic import write_bytes_atomically
from penjing.compression import checkpoint
from penjing.compression.determinism import fingerprint, mix_seed, seed_everything
from penjing.compression.gradients import constrain_gradients
from penjing.compression.losses import CATEGORICAL_TASKS, Loss, as_targets, output_kind, task_loss
from penjing.compression.model_tree import walk_layers
from penjing.compression.settings.training import FinetuneSettings, TrainingSettings
from penjing.contract import Invariant, LayerChange, Split, StepContext, StepOutcome, Task
from penjing.errors import ModelError


@dataclass(frozen=True, kw_only=True)
class Trainer:
    """All that a training needs besides the model and its settings."""

    task: Task
    train: Split
    validation: Split
    seed: int
    folder: Path
    """Where checkpoints are kept."""
    evaluate: Callable[[Any], float]
    """The primary metric of a model on the validation part."""
    higher_is_better: bool
    augment: Callable[[int, int], tuple[Any, Any]] | None = None
    """(epoch, seed) -> inputs and targets of that epoch."""
    loss: Loss | None = None
    invariants: Sequence[Invariant] = ()
    progress: Callable[[int, int], Any] = lambda epochs, done: _Silent()
    """(epochs in all, epochs done before) -> a context manager with `epoch(number, figures)`."""
    counter: list[int] = field(default_factory=lambda: [0])
    """Numbers the trainings of a step, so that each has a checkpoint of its own."""

    def fit(
        self,
        model: keras.Model,
        training: TrainingSettings,
        *,
        loss: Loss | None = None,
        wrap: Callable[[keras.Model, Loss], tuple[keras.Model, Loss]] | None = None,
        on_update: Callable[[int, int], None] | None = None,
        state: Sequence[Any] = (),
        label: str = "",
        invariants: Sequence[Invariant] | None = None,
        signals: Mapping[str, np.ndarray] | None = None,
    ) -> dict[str, list[float]]:
        """Train a model in place.

        Args:
            model: The model whose weights change.
            loss: Takes (targets, outputs); None takes the domain's or the task's usual loss.
            wrap: Makes the object that is really fitted from (model, loss), such as a distiller around the model. It
                may bring trainable variables of its own beside the model's.
            on_update: Called before each update with (updates done, updates in all); pruning schedules use it.
            state: Variables besides the model's that the technique changes while training (masks, scores); they are
                checkpointed with the model, and restored before `on_update` is first called.
            label: Goes into the checkpoint's fingerprint, besides settings and seed.
            invariants: The promises to keep, where the step has changed those that it was given.
            signals: What a teacher says of the training part: arrays of shape (n, ...) in its order. What `wrap` made
                then gets {"targets": ..., "teacher": ...} as its targets. Not for augmented inputs, which the teacher
                has not seen.

        Returns:
            Training curves, one value per epoch: `loss`, the validation metric under `validation`, and what else the
            fitted object measures.

        Raises:
            ModelError: The loss became NaN or infinite.
        """
        self.counter[0] += 1
        number = self.counter[0]
        if training.epochs == 0 or len(self.train) == 0:
            return {}
        seed_everything(self.seed, "fit", number)
        output_shape = model.outputs[0].shape[1:]
        loss = (
            loss
            or self.loss
            or task_loss(
                self.task,
                output_kind(model),
                training.label_smoothing if self.task in CATEGORICAL_TASKS else 0.0,
            )
        )
        trainee, fitted_loss = (model, loss) if wrap is None else wrap(model, loss)
        updates_per_epoch = -(-len(self.train) // training.batch_size)
        # Few examples: several passes make an epoch, since validating after every update would take the most time.
        passes = max(1, -(-training.min_updates // (updates_per_epoch * training.epochs)))
        updates_per_epoch = -(-len(self.train) * passes // training.batch_size)
        if training.max_updates:
            updates_per_epoch = min(updates_per_epoch, max(1, training.max_updates // max(1, training.epochs)))
        updates = updates_per_epoch * training.epochs
        optimizer = _optimizer(training, updates_per_epoch)
        optimizer.build(trainee.trainable_variables)
        trainee.compile(optimizer=optimizer, loss=fitted_loss, jit_compile=False)

        saved = _State(
            path=self.folder / f"training-{number}.npz",
            key=fingerprint([training.model_dump_json(), str(self.seed), label, str(updates)]),
            variables=[*_state_variables(trainee), *optimizer.variables, *state],
        )
        history = saved.restore()
        for invariant in self.invariants if invariants is None else invariants:
            invariant.hold(model)
        constrain_gradients(optimizer)
        keep_best = training.keep == "best"
        done = len(history.get("loss", []))
        source = _EpochSource(self, training, output_shape, passes, updates_per_epoch * training.batch_size, signals)
        callback = _Updates(on_update, done * updates_per_epoch, updates)
        saved_at = time.monotonic()
        with self.progress(training.epochs, done) as shown:
            for epoch in range(done, training.epochs):
                x, y, weight = source.take(epoch)
                fitted = trainee.fit(
                    x,
                    y,
                    sample_weight=weight,
                    batch_size=training.batch_size,
                    initial_epoch=epoch,
                    epochs=epoch + 1,
                    shuffle=False,
                    verbose=0,
                    callbacks=[callback],
                )
                curves = {name: float(values[-1]) for name, values in fitted.history.items()}
                value = curves.pop("loss")
                if not np.isfinite(value):
                    raise ModelError(
                        f"training diverged: the loss of epoch {epoch + 1} is {value}",
                        why="the learning rate is too high, or inputs or targets hold huge or invalid values",
                        hint=f"lower learning_rate (now {training.learning_rate:g}) or set clip_norm = 1.0",
                    )
                validation = self.evaluate(model)
                history.setdefault("loss", []).append(value)
                history.setdefault("validation", []).append(validation)
                for name, curve in curves.items():
                    history.setdefault(name, []).append(curve)
                if keep_best and _is_best(history["validation"], self.higher_is_better):
                    saved.mark_best()
                last = epoch + 1 == training.epochs
                # Small models finish an epoch in less time than it takes to write a checkpoint safely.
                if last or time.monotonic() - saved_at > CHECKPOINT_SECONDS:
                    saved.save(history)
                    saved_at = time.monotonic()
                shown.epoch(epoch + 1, {"loss": value, "validation": validation})
        if keep_best:
            saved.take_best()
        apply_constraints(model)
        return history


CHECKPOINT_SECONDS = 5.0
"""A training is checkpointed after an epoch when the last checkpoint is older than this."""


class _Silent:
    """Progress for nobody."""

    def __enter__(self) -> _Silent:
        return self

    def epoch(self, number: int, figures: Mapping[str, float]) -> None:
        """Nothing to show."""

    def __exit__(self, *error: Any) -> None:
        """Nothing to close."""


class _State:
    """Checkpoint of one training: every variable, the history, and the best weights so far."""

    def __init__(self, path: Path, key: str, variables: Sequence[Any]) -> None:
        self.path = path
        self.key = key
        self.variables = list(variables)
        self.best: list[np.ndarray] | None = None

    def restore(self) -> dict[str, list[float]]:
        """Load the checkpoint if there is one of this very training; returns its history."""
        if not self.path.is_file():
            return {}
        arrays = checkpoint.read_arrays(self.path)
        notes = json.loads(str(arrays["notes"]))
        if notes["key"] != self.key:
            return {}
        for index, variable in enumerate(self.variables):
            variable.assign(arrays[f"variable-{index}"])
        if notes["has_best"]:
            self.best = [arrays[f"best-{index}"] for index in range(len(self.variables))]
        return notes["history"]

    def save(self, history: Mapping[str, Sequence[float]]) -> None:
        arrays = {f"variable-{i}": np.asarray(v) for i, v in enumerate(self.variables)}
        if self.best is not None:
            arrays |= {f"best-{i}": value for i, value in enumerate(self.best)}
        notes = {"key": self.key, "history": history, "has_best": self.best is not None}
        arrays["notes"] = np.array(json.dumps(notes))
        write_bytes_atomically(self.path, checkpoint.pack_arrays(arrays))

    def mark_best(self) -> None:
        self.best = [np.array(variable) for variable in self.variables]

    def take_best(self) -> None:
        if self.best is not None:
            for variable, value in zip(self.variables, self.best, strict=True):
                variable.assign(value)


class _EpochSource:
    """Inputs of each epoch; the next epoch is augmented while this one trains."""

    def __init__(
        self,
        trainer: Trainer,
        training: TrainingSettings,
        output_shape: Sequence[int | None],
        passes: int,
        most: int,
        signals: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        self.trainer = trainer
        self.signals = signals
        self.training = training
        self.output_shape = output_shape
        self.passes = passes
        self.most = most
        self.pending: tuple[int, threading.Thread, dict[str, Any]] | None = None

    def take(self, epoch: int) -> tuple[Any, Any, Any]:
        if self.pending is not None and self.pending[0] == epoch:
            _, thread, box = self.pending
            thread.join()
            if "error" in box:
                raise box["error"]
            made = box["made"]
        else:
            made = self._make(epoch)
        if epoch + 1 < self.training.epochs:
            box = {}
            thread = threading.Thread(target=self._make_into, args=(epoch + 1, box), daemon=True)
            thread.start()
            self.pending = (epoch + 1, thread, box)
        return made

    def _make_into(self, epoch: int, box: dict[str, Any]) -> None:
        try:
            box["made"] = self._make(epoch)
        except BaseException as error:  # handed to the thread that waits
            box["error"] = error

    def _make(self, epoch: int) -> tuple[Any, Any, Any]:
        first = epoch * self.passes
        made = [self._pass(first + number) for number in range(self.passes)]
        if self.passes == 1:
            x, targets, weight = made[0]
        else:
            xs, parts, weights = zip(*made, strict=True)
            x, targets = _joined(xs), _joined(parts)
            weight = None if weights[0] is None else np.concatenate(weights)
        # Each pass is in an order of its own, so the first examples of it are a random part of all.
        return _first(x, self.most), _first(targets, self.most), None if weight is None else weight[: self.most]

    def _pass(self, number: int) -> tuple[Any, Any, Any]:
        """All examples once, in an order and with an augmentation that depend on the seed and the number alone."""
        trainer = self.trainer
        if trainer.augment is not None and self.training.augment:
            assert self.signals is None, "the teacher has not seen augmented inputs"
            x, y = trainer.augment(number, mix_seed(trainer.seed, trainer.counter[0]))
        else:
            x, y = trainer.train.x, trainer.train.y
        targets = as_targets(trainer.task, y, self.output_shape)
        order = np.random.default_rng(mix_seed(trainer.seed, "order", number)).permutation(len(targets))
        weight = None
        if self.training.class_weight == "balanced":
            weight = balanced_weights(trainer.task, targets)[order]
        ordered: Any = targets[order]
        if self.signals is not None:
            ordered = {"targets": ordered, "teacher": {name: values[order] for name, values in self.signals.items()}}
        if isinstance(x, dict):
            return {name: np.asarray(value)[order] for name, value in x.items()}, ordered, weight
        return np.asarray(x)[order], ordered, weight


def _joined(passes: Sequence[Any]) -> Any:
    """Arrays, or nested dicts of them, one after the other."""
    if isinstance(passes[0], dict):
        return {name: _joined([one[name] for one in passes]) for name in passes[0]}
    return np.concatenate(passes)


def _first(arrays: Any, most: int) -> Any:
    """The first rows of an array, or of each in nested dicts."""
    if isinstance(arrays, dict):
        return {name: _first(values, most) for name, values in arrays.items()}
    return arrays[:most]


def balanced_weights(task: Task, targets: np.ndarray) -> np.ndarray:
    """Weight of each example, mean 1: the inverse of its class's share. Shape (n,).

    Args:
        targets: One-hot rows of a classification, or 0/1 of shape (n, 1).

    Raises:
        ModelError: The task has no classes to balance.
    """
    if task in CATEGORICAL_TASKS and targets.ndim > 2:
        raise ModelError(
            "class_weight = 'balanced' does not fit outputs with a class for each place",
            why="it weighs whole examples, and an example has many classes",
            hint="leave class_weight at 'none'",
        )
    if task in CATEGORICAL_TASKS:
        classes = targets.argmax(axis=1)
    elif task == "binary":
        classes = (targets.reshape(len(targets)) > 0.5).astype(int)
    else:
        raise ModelError(
            f"class_weight = 'balanced' does not fit a task of kind '{task}'",
            hint="leave class_weight at 'none'",
        )
    counts = np.bincount(classes)
    weights = 1.0 / counts[classes]
    return (weights / weights.mean()).astype(np.float32)


class _Updates(keras.callbacks.Callback):
    """Tells a schedule how many updates are done."""

    def __init__(self, on_update: Callable[[int, int], None] | None, done: int, updates: int) -> None:
        super().__init__()
        self.on_update = on_update
        self.done = done
        self.updates = updates

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        if self.on_update is not None:
            self.on_update(self.done, self.updates)
        self.done += 1


def _optimizer(training: TrainingSettings, updates_per_epoch: int) -> keras.optimizers.Optimizer:
    updates = updates_per_epoch * training.epochs
    warmup = round(training.warmup_epochs * updates_per_epoch)
    rate: Any = training.learning_rate
    if training.schedule == "cosine":
        rate = keras.optimizers.schedules.CosineDecay(
            initial_learning_rate=0.0 if warmup else rate,
            decay_steps=max(1, updates - warmup),
            warmup_target=rate if warmup else None,
            warmup_steps=warmup,
        )
    common = {"learning_rate": rate, "global_clipnorm": training.clip_norm}
    if training.optimizer == "adam":
        return keras.optimizers.Adam(**common)
    decay = training.weight_decay or None
    optimizer: keras.optimizers.Optimizer
    if training.optimizer == "sgd":
        optimizer = keras.optimizers.SGD(momentum=0.9, nesterov=True, weight_decay=decay, **common)
    else:
        optimizer = keras.optimizers.AdamW(weight_decay=decay or 0.0, **common)
    # Decaying biases, BatchNormalization's scale and learned quantization steps costs accuracy and saves nothing.
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta", "log_step"])
    return optimizer


def _state_variables(model: keras.Model) -> list[Any]:
    """Weights and states of random generators (dropout). Metric states come and go with `compile`."""
    weights = {id(variable) for variable in model.weights}
    random = [v for v in model.variables if id(v) not in weights and "seed_generator" in v.path]
    return [*model.weights, *random]


def _is_best(values: Sequence[float], higher_is_better: bool) -> bool:
    best = max(values) if higher_is_better else min(values)
    return values[-1] == best


def apply_constraints(model: keras.Model) -> None:
    """Constraints act after updates; weights put back from a checkpoint have to pass them as well."""
    for variable in model.trainable_variables:
        if variable.constraint is not None:
            variable.assign(variable.constraint(variable))


def apply(context: StepContext, settings: FinetuneSettings) -> StepOutcome:
    """Train the model further, keeping every promise of earlier steps."""
    before = context.evaluate(context.model)
    history = context.fit(context.model, settings)
    after = context.evaluate(context.model)
    return StepOutcome(
        model=context.model,
        summary=f"{settings.epochs} epochs: validation {context.metric.name} {before:.4f} -> {after:.4f}",
        history=history,
        figures={"validation_before": before, "validation_after": after},
    )


def explain(model: keras.Model, settings: FinetuneSettings) -> list[LayerChange]:
    """Every trainable layer learns; none changes its shape."""
    return [
        LayerChange(layer=path, change=f"trained for {settings.epochs} epochs; same shape")
        for path, layer in walk_layers(model)
        if layer.trainable_variables
    ]
