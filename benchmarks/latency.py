"""One inference on one thread: the float reference, its int8 file, and the int8 file of half the MACs.

python benchmarks/latency.py

Weights are random: time does not depend on them. Each file is timed five times in turn with the others, so that a slow
moment of the machine meets all of them; the table shows medians and their ratio to the float reference.
"""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Callable

from penjing.heavy import import_tensorflow

import_tensorflow()

import keras  # noqa: E402

from penjing.compression.pruning.channels import preview  # noqa: E402
from penjing.compression.settings.channel_pruning import PruneChannelsSettings  # noqa: E402
from penjing.contract import ExportSettings  # noqa: E402
from penjing.errors import ModelError  # noqa: E402
from penjing.export.calibration import placeholder_calibration  # noqa: E402
from penjing.export.litert import to_litert  # noqa: E402
from penjing.measure.file_graph import FileGraph  # noqa: E402
from penjing.measure.latency import measure_latency  # noqa: E402
from penjing.measure.macs import count_macs  # noqa: E402

ROUNDS = 5
layers = keras.layers


def ds_cnn() -> keras.Model:
    """MLPerf Tiny's keyword spotter: 49 x 10 features, 64 filters, four separable blocks."""
    inputs = keras.Input((49, 10, 1))
    x = layers.Conv2D(64, (10, 4), strides=2, padding="same")(inputs)
    for _ in range(4):
        x = layers.ReLU()(layers.BatchNormalization()(x))
        x = layers.DepthwiseConv2D(3, padding="same")(x)
        x = layers.ReLU()(layers.BatchNormalization()(x))
        x = layers.Conv2D(64, 1)(x)
    x = layers.GlobalAveragePooling2D()(layers.ReLU()(layers.BatchNormalization()(x)))
    return keras.Model(inputs, layers.Dense(12, activation="softmax")(x))


def resnet_8() -> keras.Model:
    """MLPerf Tiny's image classifier: 32 x 32 x 3, three residual stages of 16, 32 and 64 filters."""
    inputs = keras.Input((32, 32, 3))
    x = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(16, 3, padding="same")(inputs)))
    for filters, strides in ((16, 1), (32, 2), (64, 2)):
        y = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(filters, 3, strides=strides, padding="same")(x)))
        y = layers.BatchNormalization()(layers.Conv2D(filters, 3, padding="same")(y))
        if strides > 1:
            x = layers.Conv2D(filters, 1, strides=strides, padding="same")(x)
        x = layers.ReLU()(layers.Add()([x, y]))
    x = layers.Flatten()(layers.AveragePooling2D(8)(x))
    return keras.Model(inputs, layers.Dense(10, activation="softmax")(x))


def mobilenet_v2() -> keras.Model:
    """The narrow MobileNetV2 on 96 x 96 x 3."""
    return keras.applications.MobileNetV2(weights=None, alpha=0.35, input_shape=(96, 96, 3), classes=2)


def mlp() -> keras.Model:
    """A scorer of 15 features."""
    return keras.Sequential(
        [keras.Input((15,)), layers.Dense(64, "relu"), layers.Dense(64, "relu"), layers.Dense(1, "sigmoid")]
    )


MODELS: dict[str, Callable[[], keras.Model]] = {
    "DS-CNN": ds_cnn,
    "ResNet-8": resnet_8,
    "MobileNetV2 0.35": mobilenet_v2,
    "MLP 15-64-64-1": mlp,
}


def files(model: keras.Model) -> dict[str, bytes]:
    """The three files that are compared."""
    half = preview(model, PruneChannelsSettings(macs=0.5, round_to=8)).model
    int8 = ExportSettings(mode="int8", calibration_examples=4)
    return {
        "float32": to_litert(model, ExportSettings()),
        "int8": to_litert(model, int8, placeholder_calibration(model)),
        "half the MACs, int8": to_litert(half, int8, placeholder_calibration(half)),
    }


def main() -> None:
    """Measure and print a table."""
    keras.utils.set_random_seed(0)
    print("| model | file | bytes | MACs | XNNPACK, us | ratio | reference kernels, us | ratio |")
    print("|---|---|---|---|---|---|---|---|")
    for name, build in MODELS.items():
        made = files(build())
        times: dict[tuple[str, str], list[float]] = {}
        for _ in range(ROUNDS):
            for kind, content in made.items():
                for kernels in ("xnnpack", "reference"):
                    # An untrained softmax may have an input that the reference kernels cannot scale.
                    with contextlib.suppress(ModelError):
                        taken = measure_latency(content, kernels=kernels, repeats=100, max_seconds=1.0)  # type: ignore[arg-type]
                        times.setdefault((kind, kernels), []).append(taken.p50_us)
        for kind, content in made.items():
            cells = []
            for kernels in ("xnnpack", "reference"):
                if (kind, kernels) not in times:
                    cells += ["cannot run", ""]
                    continue
                median = statistics.median(times[kind, kernels])
                cells += [f"{median:,.1f}", f"{median / statistics.median(times['float32', kernels]):.2f}"]
            macs = count_macs(FileGraph.from_bytes(content)).total
            print(f"| {name} | {kind} | {len(content):,} | {macs:,} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
