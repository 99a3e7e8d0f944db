"""An epoch of quantize-aware training against a float epoch of the same DS-CNN, by turns in one process.

python benchmarks/aware_training_speed.py
"""

from __future__ import annotations

import statistics

from penjing.heavy import import_tensorflow

import_tensorflow()

import keras  # noqa: E402
import numpy as np  # noqa: E402
from epoch_timing import seconds_an_epoch  # noqa: E402

from penjing.compression.quantization.aware_training import calibrate, simulated  # noqa: E402
from penjing.compression.settings.aware_training import QuantizeAwareTrainingSettings  # noqa: E402
from penjing.contract import Split  # noqa: E402

EXAMPLES, EPOCHS, ROUNDS, FILTERS = 1500, 3, 3, 64


def network() -> keras.Model:
    """MLPerf Tiny's DS-CNN on 49 x 10 features: a convolution, four separable blocks of 64 channels."""
    layers = keras.layers
    inputs = keras.Input((49, 10, 1))
    x = layers.Conv2D(FILTERS, (10, 4), strides=2, padding="same", use_bias=False)(inputs)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    for _ in range(4):
        x = layers.DepthwiseConv2D(3, padding="same", use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization()(x))
        x = layers.Conv2D(FILTERS, 1, use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(12, activation="softmax")(x))


def main() -> None:
    """Measure and print."""
    generator = np.random.default_rng(0)
    x = generator.normal(size=(EXAMPLES, 49, 10, 1)).astype("float32")
    split = Split(x=x, y=generator.integers(0, 12, EXAMPLES), ids=[str(i) for i in range(EXAMPLES)])
    kinds = {
        "batch statistics, moving-average ranges": {"freeze_after": 1.0},
        "frozen statistics and ranges": {"freeze_after": 0.0},
        "batch statistics, learned ranges": {"freeze_after": 1.0, "ranges": "learned"},
    }
    times: dict[str, list[float]] = {"float": [], **{name: [] for name in kinds}}
    for _ in range(ROUNDS):
        times["float"].append(seconds_an_epoch(network(), split, EPOCHS))
        for name, options in kinds.items():
            model, _ = simulated(network(), QuantizeAwareTrainingSettings(**options))
            calibrate(model, x, 64, seed=0)
            times[name].append(seconds_an_epoch(model, split, EPOCHS))
    base = statistics.median(times["float"])
    for name, values in times.items():
        middle = statistics.median(values)
        print(f"{name}: {middle:.2f} s an epoch of {EXAMPLES:,} examples, {middle / base:.2f} times float")


if __name__ == "__main__":
    main()
