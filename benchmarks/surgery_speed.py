"""Planning and surgery of `prune-channels`: the networks that people have, and growth with the number of layers.

python benchmarks/surgery_speed.py

Planning is the channel graph, the scores (l2) and the selection for half of the MACs; surgery builds the smaller model.
Each figure is the least of three runs, since a busy machine only ever adds time.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from penjing.heavy import import_tensorflow

import_tensorflow()

import keras  # noqa: E402

from penjing.compression.pruning.channels import NOTHING, prunable_graph, score, select  # noqa: E402
from penjing.compression.settings.channel_pruning import PruneChannelsSettings  # noqa: E402
from penjing.compression.structure.cost import CostModel  # noqa: E402
from penjing.compression.structure.surgery import remove_atoms  # noqa: E402

RUNS = 3
layers = keras.layers


def residual(blocks: int) -> keras.Model:
    """A residual network of 32 filters and this many blocks, five layers each."""
    inputs = keras.Input((16, 16, 3))
    x = layers.Conv2D(32, 3, padding="same")(inputs)
    for _ in range(blocks):
        y = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(32, 3, padding="same")(x)))
        x = layers.Add()([x, layers.Conv2D(32, 3, padding="same")(y)])
    return keras.Model(inputs, layers.Dense(10)(layers.GlobalAveragePooling2D()(x)))


def measure(build: Callable[[], keras.Model]) -> tuple[int, float, float]:
    """Number of layers, seconds of planning, seconds of surgery."""
    model = build()
    settings = PruneChannelsSettings(macs=0.5)
    planning, surgery = [], []
    for _ in range(RUNS):
        began = time.perf_counter()
        graph = prunable_graph(model, settings)
        cost = CostModel(graph)
        whole = cost.macs(NOTHING), cost.parameters(NOTHING)
        gone = select(graph, settings, score(graph, settings, None, None, 0), 1.0, whole)
        planned = time.perf_counter()
        remove_atoms(graph, gone.tolist())
        planning.append(planned - began)
        surgery.append(time.perf_counter() - planned)
    return len(model.layers), min(planning), min(surgery)


def main() -> None:
    """Measure and print a table."""
    print("| model | layers | planning, s | surgery, s | ms a layer |")
    print("|---|---|---|---|---|")
    named: dict[str, Callable[[], keras.Model]] = {
        "ResNet50, 224 x 224": lambda: keras.applications.ResNet50(weights=None),
        "MobileNetV2, 224 x 224": lambda: keras.applications.MobileNetV2(weights=None),
    }
    for blocks in (10, 20, 40, 80, 160):
        named[f"residual, {blocks} blocks"] = lambda blocks=blocks: residual(blocks)  # type: ignore[misc]
    for name, build in named.items():
        count, planning, surgery = measure(build)
        print(f"| {name} | {count} | {planning:.2f} | {surgery:.2f} | {1000 * (planning + surgery) / count:.1f} |")


if __name__ == "__main__":
    main()
