"""The small network and its teacher: one network for every sensor, that knows the sensor and its neighbours.

Source of the class: Shao et al. 2022, "Spatial-temporal identity: a simple yet effective baseline for multivariate time
series forecasting" (STID). Instead of learned embeddings of the hour, the time-of-day means of the sensor are inputs:
there are days of data, not years.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from penjing.contract import ModelRequest
from penjing.options import with_defaults
from penjing_traffic_forecasting import DOMAIN
from penjing_traffic_forecasting.adjacency import neighbours
from penjing_traffic_forecasting.data import Training
from penjing_traffic_forecasting.forecasts import OUTPUTS
from penjing_traffic_forecasting.inputs import HARMONICS, Inputs
from penjing_traffic_forecasting.layers import NeighbourMean

MODEL_DEFAULTS: dict[str, Any] = {
    "units": 64,
    "layers": 2,
    "dropout": 0.1,
    "embedding": 8,
    "neighbours": 8,
}
TEACHER_DEFAULTS: dict[str, Any] = {
    "units": 160,
    "layers": 2,
    "dropout": 0.2,
    "embedding": 16,
    "neighbours": 24,
}
RANGES = {
    "units": (1, 4_096),
    "layers": (1, 16),
    "dropout": (0, 0.9),
    "embedding": (0, 512),
    "neighbours": (0, 512),
}


def build_model(request: ModelRequest) -> keras.Model:
    """Dense layers on the inputs of each sensor, of its neighbours' mean, and its embedding; the forecast is the last
    value and what is learned to add to it.

    Options of `[model]`: units, layers, dropout, embedding (numbers that are learned for each sensor; 0 for none),
    neighbours (how many of each sensor, where an adjacency is known; 0 for none).

    Returns:
        Inputs (sensors, channels), outputs (sensors, 4, steps): mean and 10, 50 and 90 % quantile, in the data's unit.
        The quantiles never cross.
    """
    return _network(request, with_defaults(DOMAIN, "model", request.options, MODEL_DEFAULTS, RANGES), "forecaster")


def build_teacher(request: ModelRequest) -> keras.Model:
    """The same network, wider. Options of `[teacher]` as those of `[model]`."""
    return _network(request, with_defaults(DOMAIN, "teacher", request.options, TEACHER_DEFAULTS, RANGES), "teacher")


def _network(request: ModelRequest, options: dict[str, Any], name: str) -> keras.Model:
    layers = keras.layers
    training: Training = request.splits.extra["traffic"]
    inputs, adjacency = training.inputs, training.series.adjacency
    sensors, steps = len(inputs.sensors), inputs.horizon
    entry = keras.Input((sensors, inputs.channels), name="sensors")
    known = [entry]
    if adjacency is not None and options["neighbours"] and sensors > 1:
        near = neighbours(adjacency, min(options["neighbours"], sensors - 1))
        # The older half of a neighbour's values says nothing new, and the hour is the same for all.
        recent = entry[:, :, inputs.history // 2 : inputs.channels - 2 * HARMONICS]
        known.append(NeighbourMean(near, name="neighbour_mean")(recent))
    if options["embedding"]:
        # Its bias is what is learned of each sensor; the rest is a projection that the next layer could do as well.
        known.append(
            layers.EinsumDense(
                "bnc,cd->bnd",
                output_shape=(sensors, options["embedding"]),
                bias_axes="nd",
                bias_initializer=keras.initializers.RandomNormal(stddev=0.02, seed=request.seed),
                name="embedding",
            )(entry)
        )
    x = layers.Concatenate(name="all_inputs")(known) if len(known) > 1 else entry
    for number in range(1, options["layers"] + 1):
        x = layers.Dense(options["units"], activation="relu", name=f"hidden{number}")(x)
        if options["dropout"]:
            x = layers.Dropout(options["dropout"], name=f"dropout{number}")(x)
    last = _last_value(entry, inputs)
    mean = _forecast("mean", layers.Add, last, _learned("to_mean", x, inputs, request.seed))
    # The median and the distances of the other two from it, so that the quantiles never cross.
    median = layers.Add(name="median_free")([last, _learned("to_median", x, inputs, request.seed)])
    distance = {
        side: layers.ReLU(name=f"{side}_distance")(_learned(f"to_{side}", x, inputs, request.seed, start=0.3))
        for side in ("low", "high")
    }
    low = _forecast("low", layers.Subtract, median, distance["low"])
    high = _forecast("high", layers.Add, median, distance["high"])
    median = layers.ReLU(name="median")(median)
    outputs = layers.Concatenate(name="forecasts")([mean, low, median, high])
    outputs = layers.Reshape((sensors, OUTPUTS, steps), name="by_kind")(outputs)
    return keras.Model(entry, outputs, name=name)


def _last_value(entry: Any, inputs: Inputs) -> Any:
    """The last value in the data's unit at every step ahead, shape (n, sensors, steps).

    A fixed dense layer and not a slice: the int8 kernel then gives it a range and a rounding of its own.
    """
    kernel = np.zeros((inputs.channels, inputs.horizon), np.float32)
    kernel[inputs.history - 1] = inputs.scale
    layer = keras.layers.Dense(
        inputs.horizon,
        kernel_initializer=keras.initializers.Constant(kernel.tolist()),
        bias_initializer=keras.initializers.Constant(inputs.mean),
        trainable=False,
        name="last_value",
    )
    return layer(entry)


def _learned(name: str, x: Any, inputs: Inputs, seed: int, start: float = 0.0) -> Any:
    """What is learned to add, shape (n, sensors, steps). The network learns in standard deviations; their product with
    the scale is taken into the layer's weights when the file is written."""
    number = sum(map(ord, name))
    layer = keras.layers.Dense(
        inputs.horizon,
        kernel_initializer=keras.initializers.RandomNormal(stddev=0.005, seed=seed + number),
        bias_initializer=keras.initializers.Constant(start),
        name=name,
    )
    return keras.layers.Rescaling(inputs.scale, name=f"{name}_in_unit")(layer(x))


def _forecast(name: str, merge: Any, first: Any, second: Any) -> Any:
    """The sum or difference of two; nothing that is measured here is negative."""
    return keras.layers.ReLU(name=name)(merge(name=f"{name}_free")([first, second]))
