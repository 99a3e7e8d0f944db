"""How much of a model's squared weights `cluster-weights` loses from each start, and what its files come to.

    python benchmarks/shared_values.py MODEL.keras

Without training afterwards. Bytes are of the float32 and the int8 file (calibrated on noise), plain and zipped.
"""

from __future__ import annotations

import sys

import keras
import numpy as np

from penjing.compression.clustering.shareable import shareable_weights
from penjing.compression.clustering.sharing import share_values
from penjing.compression.settings.clustering import ClusterWeightsSettings
from penjing.contract import ExportSettings
from penjing.export.calibration import placeholder_calibration
from penjing.export.litert import to_litert
from penjing.measure.file_graph import FileGraph


def files(model: keras.Model) -> str:
    sizes = []
    for mode in ("float32", "int8"):
        content = to_litert(model, ExportSettings(mode=mode), placeholder_calibration(model, 100))
        sizes.append(f"{mode} {len(content):,} B, zipped {FileGraph.from_bytes(content).zip_bytes:,} B")
    return "; ".join(sizes)


def main(path: str) -> None:
    print("as it is:", files(keras.models.load_model(path, compile=False)))
    for scope in ("layer", "channel"):
        for clusters in (16, 8, 4):
            for start in ("linear", "density", "k-means++", "optimal"):
                model = keras.models.load_model(path, compile=False)
                settings = ClusterWeightsSettings(clusters=clusters, scope=scope, start=start)
                lost = square = 0.0
                for weights in shareable_weights(model).values():
                    values = np.asarray(weights.variable)
                    zeros = np.zeros(values.shape, bool)
                    shared = share_values(values, zeros, settings, clusters, weights.channel_axes, seed=0)[1]
                    weights.variable.assign(shared)
                    lost += float(((values - shared) ** 2).sum())
                    square += float((values**2).sum())
                written = files(model) if start == "linear" else ""
                print(f"{scope}, {clusters} values, {start}: {lost / square:.4f} lost  {written}")


if __name__ == "__main__":
    main(sys.argv[1])
