"""How much of a network dies in training, how much of it is proven, and what the weaker evidence of the data costs.

python benchmarks/dead_channels.py
"""

from __future__ import annotations

from penjing.heavy import import_tensorflow

import_tensorflow()

import keras  # noqa: E402
import numpy as np  # noqa: E402

from penjing.compression.model_tree import count_parameters  # noqa: E402
from penjing.compression.pruning.dead.removal import remove_dead  # noqa: E402

SEEDS = range(5)
RATES = (0.003, 0.01, 0.03, 0.1)
TRAIN, SEEN = 300, 400
"""Examples 0 to 300 train, those to 400 are seen by evidence = "data", the rest by neither."""


def quarters(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """In which quarter of a noisy 8 x 8 image is the bright spot."""
    generator = np.random.default_rng(seed)
    x = generator.normal(0, 0.6, (1400, 8, 8, 1)).astype("float32")
    y = generator.integers(0, 4, len(x))
    for row, quarter in enumerate(y):
        top, left = 4 * (quarter // 2), 4 * (quarter % 2)
        x[row, top + 1 : top + 3, left + 1 : left + 3] += 1.0
    return x, y


def trained(rate: float, seed: int, x: np.ndarray, y: np.ndarray) -> keras.Model:
    """A small ReLU network, eight epochs of Adam."""
    keras.utils.set_random_seed(seed)
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(12, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(24, 3, padding="same", activation="relu"),
            layers.Flatten(),
            layers.Dense(40, activation="relu"),
            layers.Dense(4, activation="softmax"),
        ]
    )
    model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy")
    model.fit(x[:TRAIN], y[:TRAIN], epochs=8, batch_size=32, verbose=0)
    return model


def main() -> None:
    """Measure and print."""
    print("rate   accuracy  removed by proof  largest change  removed by data  largest change on unseen inputs")
    for rate in RATES:
        rows = []
        for seed in SEEDS:
            x, y = quarters(seed)
            model = trained(rate, seed, x, y)
            low, high = float(x[:SEEN].min()), float(x[:SEEN].max())
            margin = 0.1 * (high - low)
            before = count_parameters(model)
            old = model.predict(x[SEEN:], verbose=0)
            row = [float((old.argmax(axis=1) == y[SEEN:]).mean())]
            for observed in ([], [[x[:SEEN]]]):
                smaller = remove_dead(model, [(low - margin, high + margin)], observed_on=observed).model
                row.append(1 - count_parameters(smaller) / before)
                row.append(float(np.abs(smaller.predict(x[SEEN:], verbose=0) - old).max()))
            rows.append(row)
        accuracy, proof, proof_change, data, data_change = zip(*rows, strict=True)
        print(
            f"{rate:<6} {np.median(accuracy):.1%}     {min(proof):.0%} to {max(proof):.0%}  "
            f"{max(proof_change):.1e}   {min(data):.0%} to {max(data):.0%}   {max(data_change):.1e}"
        )


if __name__ == "__main__":
    main()
