"""How long an epoch of the engine's training loop takes; for the benchmarks beside it."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from penjing.compression.finetuning import Trainer
from penjing.compression.settings.training import TrainingSettings
from penjing.contract import Split


def seconds_an_epoch(model: Any, split: Split, epochs: int, **options: Any) -> float:
    """Median over the epochs but the first, which compiles.

    Args:
        options: Of `Trainer.fit`.
    """
    marks: list[float] = []

    def evaluate(_: Any) -> float:
        marks.append(time.perf_counter())  # the validation itself is left out of the comparison
        return 0.0

    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            task="classification",
            train=split,
            validation=split,
            seed=0,
            folder=Path(folder),
            evaluate=evaluate,
            higher_is_better=True,
        )
        trainer.fit(model, TrainingSettings(epochs=epochs, batch_size=64), **options)
    return statistics.median(np.diff(marks))
