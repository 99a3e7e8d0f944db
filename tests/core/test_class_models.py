"""Models with a class of their own inside: their unnamed layers keep their names through a run, and its promises."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np

import penjing
from penjing.compression import checkpoint
from penjing.compression.model_tree import walk_layers

layers = keras.layers


@keras.saving.register_keras_serializable("tests")
class Block(keras.Model):
    """Two convolutions without names, one of them in a list."""

    def __init__(self, filters: int, **rest: Any) -> None:
        super().__init__(**rest)
        self.filters = filters
        self.first = layers.Conv2D(filters, 3, padding="same", activation="relu")
        self.more = [layers.Conv2D(filters, 3, padding="same", activation="relu")]

    def call(self, inputs: Any) -> Any:
        return self.more[0](self.first(inputs))

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "filters": self.filters}


def network() -> keras.Model:
    inputs = keras.Input((8, 8, 1))
    outputs = layers.GlobalAveragePooling2D()(Block(8, name="two")(Block(8, name="one")(inputs)))
    return keras.Model(inputs, layers.Dense(3, activation="softmax", name="head")(outputs))


def test_a_model_is_read_with_the_names_that_it_was_written_with(tmp_path: Path) -> None:
    model = network()
    checkpoint.save_model(model, tmp_path / "model.keras")
    layers.Conv2D(1, 1)  # moves Keras' numbers on
    read = checkpoint.load_model(tmp_path / "model.keras")
    assert [path for path, _ in walk_layers(read)] == [path for path, _ in walk_layers(model)]
    assert len({path for path, _ in walk_layers(read)}) == len(read.layers) + 2
    for (_, old), (_, new) in zip(walk_layers(model), walk_layers(read), strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(old.get_weights(), new.get_weights(), strict=True))
    # Keras itself reads it as any other.
    assert isinstance(keras.models.load_model(tmp_path / "model.keras", compile=False), keras.Model)


RECIPE = """
[[steps]]
technique = "prune-weights"
sparsity = 0.5
epochs = 2

[[steps]]
technique = "cluster-weights"
clusters = 8
epochs = 1

[[steps]]
technique = "quantize"
"""


def test_zeros_and_shared_values_of_unnamed_layers_are_kept_into_the_file(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    y = np.arange(120) % 3
    x = (generator.normal(0, 0.2, (120, 8, 8, 1)) + y[:, None, None, None]).astype("float32")
    model = network()
    inner = [path for path, _ in walk_layers(model) if path.startswith(("one/", "two/"))]
    penjing.compress(model, recipe=penjing.Recipe.from_toml(RECIPE), data={"x": x, "y": y}, output=tmp_path / "run")
    outcome = json.loads((tmp_path / "run/steps/01-prune-weights/outcome.json").read_text())
    assert set(inner) <= {row["layer"] for row in outcome["layers"]}
    first, last = (
        {path: np.asarray(layer.kernel) for path, layer in walk_layers(checkpoint.load_model(path)) if path in inner}
        for path in (tmp_path / f"run/steps/{step}/model.keras" for step in ("01-prune-weights", "03-quantize"))
    )
    assert set(first) == set(last) == set(inner)
    assert np.mean([np.mean(kernel == 0) for kernel in first.values()]) > 0.4
    for path, kernel in last.items():
        assert not kernel[first[path] == 0].any()
        assert len(np.unique(kernel)) <= 8
