"""Fixtures of the engine's tests."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest


@pytest.fixture(scope="session")
def image_teacher(toy_arrays: dict[str, np.ndarray]) -> Any:
    """A trained `keras.Model` for the toy task, wider than the students that it teaches."""
    import keras

    from distilling import image_network

    model = image_network(12, 0, "teacher")
    model.compile(keras.optimizers.Adam(3e-3), "sparse_categorical_crossentropy", jit_compile=False)
    model.fit(toy_arrays["x"][:300], toy_arrays["y"][:300], epochs=10, batch_size=25, verbose=0)
    return model
