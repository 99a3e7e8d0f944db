"""What an LSTM takes in each form that a file can have: bytes, arena, latency.

    python benchmarks/lstm_files.py

Two layers of 24 and 16 units over 49 steps of 10 features, a Dense layer of 5 behind them; random weights, ranges from
noise. int8 with min-max ranges has an operator for each layer; with other ranges every time step is written out; the
float form and weight-only int8 keep a loop.
"""

from __future__ import annotations

import keras
import numpy as np

from penjing.contract import ExportSettings
from penjing.export.litert import to_litert
from penjing.measure.latency import measure_latency
from penjing.measure.tflm import measure_arena

FORMS = {
    "float32": ExportSettings(),
    "weight-only int8": ExportSettings(mode="weight-only-int8"),
    "int8, steps written out": ExportSettings(mode="int8", calibration="mse"),
    "int8, an operator a layer": ExportSettings(mode="int8"),
}


def main() -> None:
    """Print the table as Markdown."""
    keras.utils.set_random_seed(0)
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((49, 10)),
            layers.LSTM(24, return_sequences=True),
            layers.LSTM(16),
            layers.Dense(5, activation="softmax"),
        ]
    )
    x = np.random.default_rng(0).normal(size=(50, 49, 10)).astype(np.float32)
    print("| form | flash, B | arena, B | latency p50, us |\n|---|---|---|---|")
    for name, settings in FORMS.items():
        content = to_litert(model, settings, x if settings.mode == "int8" else None)
        arena = measure_arena(content)
        needed = f"{arena.arena_bytes:,}" if arena.arena_bytes is not None else arena.note
        latency = measure_latency(content)
        print(f"| {name} | {len(content):,} | {needed} | {latency.p50_us:,.0f} |")


if __name__ == "__main__":
    main()
