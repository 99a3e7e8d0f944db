"""What every training and every step works with: data, metric, seed, teacher. The test part is not on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import keras
import numpy as np

from penjing.compression import checkpoint
from penjing.compression.augmentation import Augmentation
from penjing.compression.determinism import fingerprint, seed_everything
from penjing.compression.finetuning import Trainer
from penjing.compression.losses import Loss
from penjing.compression.settings.training import TrainingSettings
from penjing.contract import Invariant, Metric, Split, Task
from penjing.errors import UsageError
from penjing.runtime import LiteRTModel


class Reporter(Protocol):
    """Where progress goes."""

    def line(self, text: str) -> None:
        """A line of text."""

    def task(self, description: str, total: int | None = None) -> Any:
        """A context manager whose value has `advance(n, note="")`."""


@dataclass(frozen=True, kw_only=True)
class Workbench:
    """The surroundings of a run's trainings and steps."""

    task: Task
    metric: Metric
    metric_function: Callable[[Any, Any], float]
    """(targets, outputs) -> the primary metric."""
    train: Split
    validation: Split
    labels: tuple[str, ...]
    extra: Mapping[str, Any]
    seed: int
    data_sha256: str
    reporter: Reporter
    augment: Augmentation | None = None
    loss: Loss | None = None
    build_teacher: Callable[[], keras.Model] | None = None
    teacher_key: str = ""
    """What the teacher's architecture depends on: the domain and its options."""
    teacher_cache: Path | None = None
    """Folder of trained teachers, shared by runs."""
    given_teacher: Any = None
    """A trained Keras model or a scikit-learn estimator in place of the domain's teacher."""
    events: Path | None = None
    """Folder of TensorBoard events."""

    @property
    def higher_is_better(self) -> bool:
        return self.metric.direction == "higher"

    def evaluate(self, model: keras.Model, rows: np.ndarray | None = None) -> float:
        """The primary metric of a Keras model on the validation part, or on these rows of it."""
        x, y = self.validation.x, self.validation.y
        if rows is not None:
            y = np.asarray(y)[rows]
            x = {name: np.asarray(v)[rows] for name, v in x.items()} if isinstance(x, dict) else np.asarray(x)[rows]
        return float(self.metric_function(y, predict(model, x)))

    def evaluate_file(self, content: bytes) -> float:
        """The primary metric of a .tflite file on the validation part."""
        outputs = LiteRTModel(content).predict(self.validation.x)
        return float(self.metric_function(self.validation.y, outputs))

    def trainer(
        self,
        seed: int,
        folder: Path,
        title: str,
        invariants: Sequence[Invariant] = (),
        augment_options: Mapping[str, Any] | None = None,
    ) -> Trainer:
        """A trainer whose checkpoints lie in a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        return Trainer(
            task=self.task,
            train=self.train,
            validation=self.validation,
            seed=seed,
            folder=folder,
            evaluate=self.evaluate,
            higher_is_better=self.higher_is_better,
            augment=self.augmentation(augment_options or {}),
            loss=self.loss,
            invariants=invariants,
            progress=lambda epochs, done: EpochProgress(self, title, epochs, done),
        )

    def augmentation(self, options: Mapping[str, Any]) -> Augmentation | None:
        """The domain's augmentation, with other values of some options.

        Raises:
            UsageError: There are options and no augmentation.
        """
        if self.augment is None and options:
            raise UsageError(
                f"there is no augmentation to set {', '.join(options)} of",
                where="setting 'teacher.augment_options'",
                why="the domain has none, and a lone model brings none",
                hint="leave augment_options out",
            )
        return self.augment and self.augment.changed(options)

    def teacher(
        self, training: TrainingSettings, *, member: int = 0, augment_options: Mapping[str, Any] | None = None
    ) -> Any:
        """The domain's teacher, trained; from the cache where the same was trained before. Or the one that was given.

        Args:
            member: Teachers of other numbers start from other weights.
            augment_options: Options of the domain's augmentation, over those of the recipe's `[augment]`.

        Raises:
            UsageError: The domain has no teacher, several are asked of the one that was given, or there is no
                augmentation to set options of.
        """
        if self.given_teacher is not None:
            if member:
                raise UsageError(
                    "one teacher was given, several members are asked for",
                    where="setting 'teacher.members'",
                    hint="leave members at 1",
                )
            return self.given_teacher
        if self.build_teacher is None:
            raise UsageError(
                "there is no teacher to distil from",
                why="the domain has no build_teacher, and a lone model brings none",
                hint="leave the step 'distill' out, pass teacher=... to penjing.compress, or name another source: "
                'teacher = { source = "reference" }',
            )
        assert self.teacher_cache is not None
        augment = self.augmentation(augment_options or {})
        key = fingerprint(
            [
                self.teacher_key,
                self.data_sha256,
                augment.key if augment else "",
                training.model_dump_json(),
                str(self.seed),
                keras.__version__,
                *([f"member {member}"] if member else []),
            ]
        )
        folder = self.teacher_cache / key[:32]
        path = folder / "teacher.keras"
        if path.is_file():
            self.reporter.line(f"teacher: trained before, taken from {path}")
            return checkpoint.load_model(path)
        seed = seed_everything(self.seed, "teacher", *([member] if member else []))
        model = self.build_teacher()
        title = f"teacher {member + 1}" if member else "teacher"
        self.trainer(seed, folder, title, augment_options=augment_options).fit(model, training, label="teacher")
        checkpoint.save_model(model, path)
        for leftover in folder.glob("training-*.npz"):
            leftover.unlink()
        return checkpoint.load_model(path)


def predict(model: keras.Model, x: Any, batch_size: int = 256) -> np.ndarray:
    """Outputs of a Keras model, float32 of shape (n, ...)."""
    return np.asarray(model.predict(x, batch_size=batch_size, verbose=0), np.float32)


class EpochProgress:
    """Shows and records the epochs of one training."""

    def __init__(self, bench: Workbench, title: str, epochs: int, done: int) -> None:
        self.bench = bench
        self.title = title
        self.epochs = epochs
        self.done = done
        self.writer: Any = None

    def __enter__(self) -> EpochProgress:
        self._task = self.bench.reporter.task(f"training {self.title}", self.epochs)
        self._shown = self._task.__enter__()
        if self.done:
            self._shown.advance(self.done, note="resumed")
        if self.bench.events is not None:
            import tensorflow as tf

            self.writer = tf.summary.create_file_writer(str(self.bench.events / self.title))
        return self

    def epoch(self, number: int, figures: Mapping[str, float]) -> None:
        """Record the figures of an epoch, counted from 1."""
        note = f"loss {figures['loss']:.4f}, validation {self.bench.metric.name} {figures['validation']:.4f}"
        self._shown.advance(1, note=note)
        if self.writer is not None:
            import tensorflow as tf

            with self.writer.as_default(step=number):
                for name, value in figures.items():
                    tf.summary.scalar(name, value)

    def __exit__(self, *error: Any) -> None:
        if self.writer is not None:
            self.writer.close()
        self._task.__exit__(*error)
