"""The two tasks: network, data, epochs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Task:
    """One task of the benchmark."""

    name: str
    """Of the architecture and of the arrays' files."""
    title: str
    epochs: int
    """Of the float network, which every row starts from."""
    compression_epochs: int
    """Of every row that trains, all its trainings together."""


TASKS = {
    task.name: task
    for task in (
        Task(
            name="ds-cnn",
            title="MLPerf Tiny's DS-CNN, 12 classes of Speech Commands, 49x10 MFCC",
            epochs=8,
            compression_epochs=8,
        ),
        Task(
            name="resnet8",
            title="MLPerf Tiny's ResNet-8, CIFAR-10",
            epochs=8,
            compression_epochs=8,
        ),
    )
}

BATCH_SIZE = 64
LEARNING_RATE = 1e-3
"""The highest of a cosine decay to zero, in every library; AdamW, decay 1e-4 of kernels."""
WEIGHT_DECAY = 1e-4
CALIBRATION_EXAMPLES = 300
EXAMPLES = {
    "ds-cnn": {"train": 15000, "validation": 574, "test": 647},
    "resnet8": {"train": 4000, "validation": 1000, "test": 5000},
}
"""At most so many examples. Speech has 3,000 training clips: the rest are augmented copies (`task_data`)."""
