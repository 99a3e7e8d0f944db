"""What training minimises: squared error of the mean, pinball loss of the quantiles, over known targets alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops

from penjing_traffic_forecasting.forecasts import MEAN, QUANTILES

PINBALL_WEIGHT = 1.0


def forecast_loss(targets: Any, outputs: Any) -> Any:
    """Loss of each window, shape (n,).

    The mean is trained on squared errors, since the root mean squared error asks for it, the quantiles on the pinball
    loss (Koenker and Bassett 1978). Both are in units of the spread of the batch's targets, so that neither the unit
    nor their weights matter.

    Args:
        targets: (n, sensors, steps); below 0 where nobody knows.
        outputs: (n, sensors, 4, steps), in the targets' unit.
    """
    known = ops.cast(targets >= 0, "float32")
    count = ops.maximum(ops.sum(known), 1.0)
    center = ops.sum(targets * known) / count
    spread = ops.sqrt(ops.sum(ops.square(targets - center) * known) / count) + 1e-6
    error = (targets[:, :, None, :] - outputs) / spread
    levels = np.array(list(QUANTILES.values()), np.float32)[None, None, :, None]
    pinball = ops.maximum(levels * error[:, :, 1:], (levels - 1) * error[:, :, 1:])
    squared = ops.square(error[:, :, MEAN])
    each = (squared + PINBALL_WEIGHT * ops.mean(pinball, axis=2)) * known
    # Divided by the batch's mean of known targets, so that a window with few of them does not weigh as much as a full
    # one.
    share = count / ops.cast(ops.shape(targets)[0], "float32")
    return ops.sum(each, axis=(1, 2)) / share
