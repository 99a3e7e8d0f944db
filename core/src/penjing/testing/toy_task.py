"""A small task that a small network learns in seconds, for checks of techniques, exporters and observers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from penjing.contract import Split, Splits

CLASSES = 4


def toy_splits(seed: int = 0) -> Splits:
    """In which quarter of a noisy image of 8x8 is the bright spot: 320 examples, four classes."""
    generator = np.random.default_rng((5, seed))
    x = generator.normal(0, 0.5, (320, 8, 8, 1)).astype(np.float32)
    y = generator.integers(0, CLASSES, len(x))
    for row, quarter in enumerate(y):
        top, left = 4 * (quarter // 2), 4 * (quarter % 2)
        x[row, top + 1 : top + 3, left + 1 : left + 3] += 1.0

    def part(name: str, rows: slice) -> Split:
        return Split(x=x[rows], y=y[rows], ids=[f"{name} {number}" for number in range(len(y[rows]))])

    return Splits(
        train=part("train", slice(192)),
        validation=part("validation", slice(192, 256)),
        test=part("test", slice(256, None)),
        source="the kit's toy task",
        sha256=f"toy task of seed {seed}",
        synthetic=True,
        labels=tuple(f"quarter {number}" for number in range(1, CLASSES + 1)),
        input_meaning="image of 8x8 pixels",
        output_meaning="probability of each quarter",
    )


def toy_model(width: int = 12) -> Any:
    """Convolution, BatchNormalization, depthwise convolution and Dense; untrained."""
    import keras

    layers = keras.layers
    inputs = keras.Input((8, 8, 1), name="image")
    x = layers.Conv2D(width, 3, padding="same", use_bias=False, name="stem")(inputs)
    x = layers.BatchNormalization(momentum=0.8, name="norm")(x)
    x = layers.ReLU(name="relu")(x)
    x = layers.DepthwiseConv2D(3, strides=2, padding="same", name="depthwise")(x)
    x = layers.Conv2D(width, 1, activation="relu", name="pointwise")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(24, activation="relu", name="hidden")(x)
    return keras.Model(inputs, layers.Dense(CLASSES, activation="softmax", name="quarter")(x), name="toy")


def toy_run(folder: Path) -> Any:
    """A whole run of the toy task, quantized to int8: what exporters and observers are given."""
    from penjing.compression.determinism import seed_everything
    from penjing.heavy import import_tensorflow
    from penjing.runner.api import compress

    import_tensorflow()
    seed_everything(0, "toy")
    splits = toy_splits()
    model = toy_model()
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(splits.train.x, splits.train.y, epochs=4, batch_size=32, verbose=0)
    return compress(model, data=splits, output=folder, seed=0)
