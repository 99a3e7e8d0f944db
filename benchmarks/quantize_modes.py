"""Size and damage of every way to quantize, on scikit-learn's digits (8x8 images, ten classes).

Prints a table: bytes of the file, accuracy on the test part, and the mean difference of the outputs from Keras. The
network is trained here, once, in some seconds; every row starts from the same weights. `--spoilt` plants channels of
very different scale, as training without normalisation can leave them.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from sklearn.datasets import load_digits

from penjing.compression.determinism import seed_everything
from penjing.compression.quantization.post_training import apply
from penjing.compression.settings.quantization import QuantizeSettings
from penjing.contract import Metric, Split, StepContext
from penjing.export.litert import to_litert
from penjing.runtime import LiteRTModel

ROWS: tuple[dict, ...] = (
    {"mode": "float16"},
    {"mode": "dynamic"},
    {"mode": "weight-only-int8"},
    {"mode": "weight-only-int4"},
    {"mode": "weight-only-int4", "rounding": "adaround"},
    {"mode": "weight-only-int4", "rounding": "adaround", "bias_correction": True},
    {"mode": "int16x8"},
    {"mode": "int8"},
    {"mode": "int8", "calibration": "percentile"},
    {"mode": "int8", "calibration": "mse"},
    {"mode": "int8", "calibration": "entropy"},
    {"mode": "int8", "bias_correction": True},
    {"mode": "int8", "rounding": "adaround"},
    {"mode": "int8", "equalize": True},
    {"mode": "int8", "compact_biases": True},
    {"mode": "int8", "layers": {"head": "int16x8"}},
    {"mode": "int8", "layers": {"head": "float"}},
    {"mode": "int8", "layers": {"hidden": "int4"}},
    {"mode": "int8", "layers": {"hidden": "int4"}, "rounding": "adaround", "bias_correction": True},
)


def build(seed: int) -> keras.Model:
    """A small separable network of 16,098 parameters."""
    seed_everything(seed)
    layers = keras.layers
    inputs = keras.Input((8, 8, 1))
    x = layers.Conv2D(24, 3, padding="same", use_bias=False, name="stem")(inputs)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.DepthwiseConv2D(3, padding="same", activation="relu", name="depthwise")(x)
    x = layers.Conv2D(24, 1, activation="relu", name="wide")(x)
    x = layers.Flatten()(layers.MaxPooling2D()(x))
    x = layers.Dense(36, activation="relu", name="hidden")(x)
    return keras.Model(inputs, layers.Dense(10, activation="softmax", name="head")(x))


def split(x: np.ndarray, y: np.ndarray) -> Split:
    return Split(x=x, y=y, ids=[str(number) for number in range(len(x))])


def context(model: keras.Model, train: Split, seed: int) -> StepContext:
    """What `apply` needs; nothing here trains."""

    def refuse(*_: object, **__: object) -> float:
        raise RuntimeError("quantize does not train")

    return StepContext(
        model=model,
        train=train,
        validation=train,
        splits_extra={},
        task="classification",
        labels=(),
        metric=Metric(name="accuracy", function="", direction="higher", primary=True),
        seed=seed,
        folder=None,
        invariants=(),
        fit=refuse,
        evaluate=refuse,
        teacher=refuse,
        progress=lambda text: None,
    )


def spoil(model: keras.Model, seed: int) -> None:
    """Multiply the channels of `wide` by 0.02 to 50 and divide `hidden` by the same: the function stays."""
    factors = 10 ** np.random.default_rng(seed).uniform(-1.7, 1.7, 24)
    wide, hidden = model.get_layer("wide"), model.get_layer("hidden")
    wide.kernel.assign(wide.kernel * factors)
    wide.bias.assign(wide.bias * factors)
    hidden.kernel.assign(hidden.kernel / np.tile(factors, 16)[:, None])


def rows(seed: int, spoilt: bool, updates: int) -> Iterator[tuple[str, int, float, float]]:
    digits = load_digits()
    order = np.random.default_rng(seed).permutation(len(digits.target))
    x = (digits.images[order, :, :, None] / 16).astype("float32")
    y = digits.target[order]
    train, test = split(x[:1200], y[:1200]), split(x[1200:], y[1200:])
    model = build(seed)
    model.compile(keras.optimizers.Adam(3e-3), "sparse_categorical_crossentropy")
    model.fit(train.x, train.y, epochs=15, batch_size=32, verbose=0)
    if spoilt:
        spoil(model, seed)
    weights = model.get_weights()
    expected = model.predict(test.x, verbose=0)

    def measured(name: str, content: bytes) -> tuple[str, int, float, float]:
        outputs = LiteRTModel(content).predict(test.x)
        accuracy = float(np.mean(outputs.argmax(1) == test.y))
        return name, len(content), accuracy, float(np.abs(outputs - expected).mean())

    from penjing.contract import ExportSettings

    yield measured("float32", to_litert(model, ExportSettings()))
    for row in ROWS:
        model.set_weights(weights)
        settings = QuantizeSettings(**row, rounding_updates=updates)
        outcome = apply(context(model, train, seed), settings)
        chosen = np.sort(np.random.default_rng(seed).permutation(len(train))[: settings.calibration_examples])
        words = [row["mode"], *(f"{key}={value}" for key, value in row.items() if key != "mode")]
        yield measured(" ".join(words), to_litert(outcome.model, outcome.export, train.x[chosen]))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--spoilt", action="store_true")
    parser.add_argument("--updates", type=int, default=500, help="of adaround, a layer")
    options = parser.parse_args()
    print(f"| settings | bytes | accuracy | mean difference |\n|---|---|---|---|  (seed {options.seed})")
    for name, size, accuracy, difference in rows(options.seed, options.spoilt, options.updates):
        print(f"| {name} | {size:,} | {accuracy:.4f} | {difference:.5f} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
