"""The documentation's own model and data, and a folder in which its code finds what the text says is there."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

import penjing

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "docs" / "generators"))


@pytest.fixture(scope="session")
def page_model(toy_arrays: dict[str, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network whose layers have the names that the pages use, trained on the toy task, a 1 x 1 convolution in it."""
    import keras

    keras.utils.set_random_seed(4)
    layers = keras.layers
    inputs = keras.Input((8, 8, 1))
    x = layers.Conv2D(8, 3, padding="same", use_bias=False, name="stem")(inputs)
    x = layers.BatchNormalization(momentum=0.8, name="norm")(x)
    x = layers.ReLU(name="relu")(x)
    x = layers.DepthwiseConv2D(3, strides=2, padding="same", name="depthwise")(x)
    x = layers.Conv2D(12, 1, activation="relu", name="block1")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(24, activation="relu", name="hidden")(x)
    outputs = layers.Dense(4, activation="softmax", name="head")(x)
    model = keras.Model(inputs, outputs, name="pages")
    model.compile(keras.optimizers.Adam(3e-3), "sparse_categorical_crossentropy")
    model.fit(toy_arrays["x"][:400], toy_arrays["y"][:400], epochs=6, batch_size=32, verbose=0)
    path = tmp_path_factory.mktemp("pages") / "model.keras"
    model.save(path)
    return path


@pytest.fixture(scope="session")
def finished_run(page_model: Path, toy_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of `penjing compress` with the default recipe."""
    folder = tmp_path_factory.mktemp("run") / "mine"
    penjing.compress(page_model, data=toy_data, output=folder)
    return folder


@pytest.fixture
def workplace(
    page_model: Path, toy_data: Path, finished_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """The working folder: a model, data and a finished run under the names that the pages use."""
    shutil.copy(page_model, tmp_path / "model.keras")
    shutil.copy(toy_data, tmp_path / "data.npz")
    shutil.copytree(finished_run, tmp_path / "runs/mine")
    monkeypatch.chdir(tmp_path)
    return tmp_path
