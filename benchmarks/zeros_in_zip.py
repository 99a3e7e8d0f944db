"""Flash and zip bytes of an int8 file by the pattern of its zeros, on a small classifier of generated images.

python benchmarks/zeros_in_zip.py
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from penjing.heavy import import_tensorflow

import_tensorflow()

import keras  # noqa: E402
import numpy as np  # noqa: E402

import penjing  # noqa: E402

PATTERNS = {
    "dense": None,
    "single weights, 50 %": "sparsity = 0.5",
    "2:4": 'n_m = "2:4"',
    "blocks of 4 x 4, 50 %": "block = [4, 4]\nsparsity = 0.5",
    "single weights, 75 %": "sparsity = 0.75",
    "1:4": 'n_m = "1:4"',
    "blocks of 4 x 4, 75 %": "block = [4, 4]\nsparsity = 0.75",
}


def images() -> tuple[np.ndarray, np.ndarray]:
    """In which quarter of an 8 x 8 image is the bright spot."""
    generator = np.random.default_rng(5)
    x = generator.normal(0, 0.6, (600, 8, 8, 1)).astype("float32")
    y = generator.integers(0, 4, 600)
    for row, quarter in enumerate(y):
        top, left = 4 * (quarter // 2), 4 * (quarter % 2)
        x[row, top + 1 : top + 3, left + 1 : left + 3] += 1.0
    return x, y


def classifier(x: np.ndarray, y: np.ndarray) -> keras.Model:
    keras.utils.set_random_seed(3)
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(12, 3, padding="same", use_bias=False, name="stem"),
            layers.BatchNormalization(momentum=0.8),
            layers.ReLU(),
            layers.DepthwiseConv2D(3, strides=2, padding="same", name="depthwise"),
            layers.Flatten(),
            layers.Dense(40, activation="relu", name="hidden"),
            layers.Dense(4, activation="softmax", name="quarter"),
        ]
    )
    model.compile(keras.optimizers.Adam(3e-3), "sparse_categorical_crossentropy")
    model.fit(x, y, epochs=8, batch_size=32, verbose=0)
    return model


def main() -> None:
    x, y = images()
    model = classifier(x[:400], y[:400])
    for name, settings in PATTERNS.items():
        text = '[[steps]]\ntechnique = "quantize"\n'
        if settings:
            prune = 'technique = "prune-weights"\nepochs = 3\nfrequency = 4\nexclude = ["quarter"]'
            text = f"[[steps]]\n{prune}\n{settings}\n{text}"
        with tempfile.TemporaryDirectory() as folder:
            recipe = penjing.Recipe.from_toml(text)
            result = penjing.compress(model, recipe=recipe, data={"x": x, "y": y}, output=Path(folder) / "run")
        file = result.metrics["compressed"]
        print(f"{name:24} flash {file['flash_bytes']:,} B  zip {file['zip_bytes']:,} B")


if __name__ == "__main__":
    main()
