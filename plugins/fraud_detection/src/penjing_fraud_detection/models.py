"""The small model and its teacher: networks of dense layers on the inputs of one transaction."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from penjing.contract import ModelRequest
from penjing.options import with_defaults
from penjing_fraud_detection import DOMAIN

MODEL_DEFAULTS: dict[str, Any] = {"units": 48, "layers": 2, "dropout": 0.0}
TEACHER_DEFAULTS: dict[str, Any] = {"units": 192, "layers": 3, "dropout": 0.2}
RANGES = {"units": (1, 4_096), "layers": (1, 16), "dropout": (0, 0.9)}


def build_model(request: ModelRequest) -> keras.Model:
    """Dense layers with ReLU; the output is one number, the log-odds of fraud.

    Log-odds and no probability: frauds are rare, and of the 256 values of an int8 probability nearly all transactions
    would share the lowest, so that they could not be ranked.

    Options of `[model]`: units, layers, dropout.

    Returns:
        Inputs (inputs,), outputs (1,).
    """
    return _network(request, with_defaults(DOMAIN, "model", request.options, MODEL_DEFAULTS, RANGES), "mlp")


def build_teacher(request: ModelRequest) -> keras.Model:
    """The same network, wider and deeper. The recipes distil from trees instead, which are better on these inputs; this
    is for those who want a Keras teacher. Options of `[teacher]` as those of `[model]`."""
    return _network(request, with_defaults(DOMAIN, "teacher", request.options, TEACHER_DEFAULTS, RANGES), "teacher")


def _network(request: ModelRequest, options: dict[str, Any], name: str) -> keras.Model:
    layers = keras.layers
    inputs = keras.Input(request.splits.train.x.shape[1:], name="transaction")
    x = inputs
    for number in range(1, options["layers"] + 1):
        x = layers.Dense(options["units"], activation="relu", name=f"hidden{number}")(x)
        if options["dropout"]:
            x = layers.Dropout(options["dropout"], name=f"dropout{number}")(x)
    share = float(np.clip(np.mean(np.asarray(request.splits.train.y)), 1e-6, 1 - 1e-6))
    # Starts at the share of fraud, so that the first updates are not spent on learning that fraud is rare.
    start = keras.initializers.Constant(float(np.log(share / (1 - share))))
    outputs = layers.Dense(1, bias_initializer=start, name="log_odds")(x)
    return keras.Model(inputs, outputs, name=name)
