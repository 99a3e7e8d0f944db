"""What `cluster-weights` saves in flash where the runtime has lookup tables: TensorFlow Lite Micro's DECODE.

    pip install bitarray pyyaml
    python benchmarks/lookup_tables.py MODEL.keras

Weights are clustered per layer without training afterwards and written as int8 (calibrated on noise). TFLM's own
compressor then writes numbers of values, and a table of them for each output channel, in place of weights. (One table
for a tensor that has a scale for each channel was seen to answer wrong numbers.) Files, least arenas and outputs are
those of TFLM's reference kernels.
"""

from __future__ import annotations

import sys
import warnings

import keras
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from tflite_micro import compression
from tflite_micro.tensorflow.lite.micro.compression.spec import PerChannel

from penjing.compression.clustering.shareable import shareable_weights
from penjing.compression.clustering.sharing import share_values
from penjing.compression.settings.clustering import ClusterWeightsSettings
from penjing.contract import ExportSettings
from penjing.export.calibration import placeholder_calibration
from penjing.export.litert import to_litert
from penjing.measure.tflm import measure_arena, run_tflm

OVERHEAD = 500
"""Bytes of a DECODE with its tensors, about; the first one brings its name along."""


def int8_file(path: str, clusters: int | None) -> bytes:
    """The model's int8 file, its weights clustered."""
    model = keras.models.load_model(path, compile=False)
    if clusters is not None:
        settings = ClusterWeightsSettings(clusters=clusters, scope="layer")
        for weights in shareable_weights(model).values():
            values = np.asarray(weights.variable)
            zeros = np.zeros(values.shape, bool)
            weights.variable.assign(share_values(values, zeros, settings, clusters, weights.channel_axes, seed=0)[1])
    return to_litert(model, ExportSettings(mode="int8"), placeholder_calibration(model, 100))


def with_tables(content: bytes) -> bytes | None:
    """The file with a DECODE in front of every int8 weight tensor that becomes smaller by it; None where none does."""
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    graph = model.subgraphs[0]
    builder, found = compression.SpecBuilder(), False
    for number, tensor in enumerate(graph.tensors):
        data = model.buffers[tensor.buffer].data
        if tensor.type != schema.TensorType.INT8 or data is None:
            continue
        values = np.frombuffer(bytes(np.asarray(data, np.uint8)), np.int8).reshape(tensor.shape)
        axis = int(tensor.quantization.quantizedDimension)
        lines = np.moveaxis(values, axis, 0).reshape(values.shape[axis], -1)
        most = max(len(np.unique(line)) for line in lines)
        bits = max(1, int(np.ceil(np.log2(most))))
        if bits <= 7 and values.size * bits / 8 + most * len(lines) + OVERHEAD < values.size:
            builder = builder.add_tensor(subgraph=0, tensor=number).with_lut(
                index_bitwidth=bits, mode=PerChannel(axis=axis)
            )
            found = True
    if not found:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return bytes(compression.compress(content, builder.build()))


def main(path: str) -> None:
    """Print a table."""
    print("| | int8, B | arena, B | with tables, B | arena, B | equal outputs |")
    print("|---|---|---|---|---|---|")
    for clusters in (None, 16, 4):
        content = int8_file(path, clusters)
        tables = with_tables(content)
        name = "as it was" if clusters is None else f"{clusters} values a layer"
        cells = [f"{len(content):,}", f"{measure_arena(content).arena_bytes:,}"]
        if tables is None:
            print(f"| {name} | {' | '.join(cells)} | no tensor gains | | |")
            continue
        shape = schema.ModelT.InitFromPackedBuf(content, 0).subgraphs[0].tensors[0].shape
        x = np.random.default_rng(0).integers(-128, 128, (50, *shape[1:])).astype(np.int8)
        (before, _), (after, note) = run_tflm(content, [x]), run_tflm(tables, [x])
        equal = f"{np.sum(np.all(before == after, axis=-1))} of {len(x)}" if after is not None else note
        arena = measure_arena(tables)
        cells += [f"{len(tables):,}", f"{arena.arena_bytes:,}" if arena.arena_bytes else arena.note, equal]
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main(sys.argv[1])
