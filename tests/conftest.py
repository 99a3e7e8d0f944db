"""Fixtures that every test may use."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

# Shared machines are slow at times, which says nothing about the code; and what is red once must be red again.
settings.register_profile("penjing", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("penjing")

CHECKOUT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session", autouse=True)
def _private_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Teachers that tests train do not land in the user's cache, nor come from it."""
    os.environ["PENJING_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(autouse=True)
def _same_numbers_in_any_order() -> None:
    """Weights that a test draws do not depend on the tests before it: what is red once must be red again."""
    random.seed(20)
    np.random.seed(20)
    if "keras" in sys.modules:
        sys.modules["keras"].utils.set_random_seed(20)


@pytest.fixture(scope="session")
def penjing_data() -> Path:
    """The folder of real data; a test that asks for it is skipped where the folder is missing."""
    folder = Path(os.environ.get("PENJING_DATA", CHECKOUT.parent / "shared" / "data"))
    if not folder.is_absolute():
        folder = (CHECKOUT / folder).resolve()
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}: set PENJING_DATA to its folder")
    return folder


RunPenjing = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def run_penjing() -> RunPenjing:
    """Run the command line in a process of its own, as a user does."""

    def run(
        *arguments: str | Path, cwd: Path | None = None, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "penjing", *map(str, arguments)],
            capture_output=True,
            text=True,
            cwd=cwd,
            env={**os.environ, **(env or {})},
            check=False,
        )

    return run


@pytest.fixture(scope="session")
def toy_arrays() -> dict[str, np.ndarray]:
    """A task that a tiny network learns in seconds: in which quarter of an 8x8 image is the bright spot."""
    generator = np.random.default_rng(5)
    x = generator.normal(0, 0.6, (600, 8, 8, 1)).astype("float32")
    y = generator.integers(0, 4, 600)
    for row, quarter in enumerate(y):
        top, left = 4 * (quarter // 2), 4 * (quarter % 2)
        x[row, top + 1 : top + 3, left + 1 : left + 3] += 1.0
    return {"x": x, "y": y}


@pytest.fixture(scope="session")
def toy_data(toy_arrays: dict[str, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy task as an .npz file."""
    path = tmp_path_factory.mktemp("toy") / "toy.npz"
    np.savez(path, **toy_arrays)
    return path


@pytest.fixture(scope="session")
def toy_model(toy_arrays: dict[str, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network with convolution, BatchNormalization, depthwise convolution and Dense, trained on the toy task."""
    import keras

    keras.utils.set_random_seed(3)
    layers = keras.layers
    inputs = keras.Input((8, 8, 1))
    x = layers.Conv2D(12, 3, padding="same", use_bias=False, name="stem")(inputs)
    x = layers.BatchNormalization(momentum=0.8, name="norm")(x)
    x = layers.ReLU(name="relu")(x)
    x = layers.DepthwiseConv2D(3, strides=2, padding="same", name="depthwise")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(40, activation="relu", name="hidden")(x)
    outputs = layers.Dense(4, activation="softmax", name="quarter")(x)
    model = keras.Model(inputs, outputs, name="toy")
    model.compile(keras.optimizers.Adam(3e-3), "sparse_categorical_crossentropy")
    model.fit(toy_arrays["x"][:400], toy_arrays["y"][:400], epochs=8, batch_size=32, verbose=0)
    path = tmp_path_factory.mktemp("toy") / "toy.keras"
    model.save(path)
    return path
