"""Accuracy right after `factorize`, without training: by weights or by outputs, with SVD, Tucker-2 or the better.

    python benchmarks/low_rank.py MODEL.keras DATA.npz [TRAINING_ROWS]

DATA.npz holds x and class numbers y. The first TRAINING_ROWS (default two thirds) show what layers read, the rest
measures.
"""

from __future__ import annotations

import sys

import keras
import numpy as np

from penjing.compression.factorization.input_moments import input_moments
from penjing.compression.factorization.low_rank import plan
from penjing.compression.settings.factorization import FactorizeSettings
from penjing.errors import ModelError


def accuracy(model: keras.Model, x: np.ndarray, y: np.ndarray) -> float:
    return float((np.asarray(model.predict(x, verbose=0)).argmax(axis=1) == y).mean())


def main(model_path: str, data_path: str, rows: str | None = None) -> None:
    data = np.load(data_path)
    split = int(rows) if rows else 2 * len(data["y"]) // 3
    x, y = data["x"][split:], data["y"][split:]
    model = keras.models.load_model(model_path, compile=False)
    print(f"as it is: accuracy {accuracy(model, x, y):.3f} on {len(y):,} examples")
    moments = input_moments(model, data["x"][:split], 256)
    for share in (0.8, 0.6, 0.4):
        for method in ("svd", "tucker-2", "best"):
            reached = []
            for read in (None, moments):
                try:
                    made = plan(model, FactorizeSettings(macs=share, method=method), {}, read)
                except ModelError as error:
                    reached.append(error.what)
                    continue
                macs = made.figures["macs_after"] / made.figures["macs_before"]
                reached.append(f"accuracy {accuracy(made.model, x, y):.3f} at {macs:.1%} of the MACs")
            print(f"macs = {share}, {method}: by weights {reached[0]}; by outputs {reached[1]}")


if __name__ == "__main__":
    main(*sys.argv[1:])
