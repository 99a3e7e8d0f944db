"""A model with simulated quantization, its file, and how far they are apart."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from penjing.contract import ExportSettings
from penjing.runtime import LiteRTModel


def with_random_norms(model: Any, seed: int = 0) -> Any:
    """BatchNormalization as after a training: folding the identity would prove nothing."""
    import keras

    generator = np.random.default_rng(seed)
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            channels = layer.moving_mean.shape
            layer.moving_mean.assign(generator.normal(0, 0.4, channels))
            layer.moving_variance.assign(generator.uniform(0.3, 2.0, channels))
            layer.gamma.assign(generator.uniform(-1.5, 1.5, channels))
            layer.beta.assign(generator.normal(0, 0.4, channels))
        elif getattr(layer, "bias", None) is not None:
            layer.bias.assign(generator.normal(0, 0.2, layer.bias.shape))
    return model


def quantized(model: Any, n: int = 64, **options: Any) -> tuple[Any, bytes, Any]:
    """The model with simulated quantization, calibrated on random inputs; its file; the inputs."""
    from penjing.compression.quantization.aware_training import calibrate
    from penjing.compression.quantization.graph_walk import Simulation
    from penjing.compression.quantization.rebuild import rebuild
    from penjing.export.litert import to_litert

    made, _ = rebuild(with_random_norms(model), Simulation(**options))
    generator = np.random.default_rng(1)
    arrays = {t.name: _random(generator, (n, *t.shape[1:]), str(t.dtype)) for t in model.inputs}
    x = arrays if len(arrays) > 1 else next(iter(arrays.values()))
    calibrate(made, x, n, seed=0)
    return made, to_litert(made, ExportSettings(mode="aware")), x


def _random(generator: Any, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """Normal numbers; of integers 0 to 9, of bool more true than false."""
    if "int" in dtype:
        return generator.integers(0, 10, shape).astype(dtype)
    return generator.random(shape) < 0.7 if dtype == "bool" else generator.normal(size=shape).astype("float32")


def steps_apart(made: Any, content: bytes, x: Any) -> np.ndarray:
    """Differences of all outputs in whole steps, from the reference kernels' integers and Keras' real numbers."""
    import keras

    file = LiteRTModel(content, kernels="reference")
    (info,) = file.outputs
    integers = file.predict_raw(x).astype(np.int64)
    ours = (
        np.round(np.asarray(keras.ops.convert_to_numpy(made(x, training=False)), np.float64) / info.scale).astype(
            np.int64
        )
        + info.zero_point
    )
    return np.abs(ours - integers)


def functional(build: Callable[..., Any], *shapes: tuple[int, ...]) -> Any:
    """The model of a function of its inputs."""
    import keras

    inputs = [keras.Input(shape, name=f"in{i}") for i, shape in enumerate(shapes)]
    return keras.Model(inputs if len(inputs) > 1 else inputs[0], build(*inputs))
