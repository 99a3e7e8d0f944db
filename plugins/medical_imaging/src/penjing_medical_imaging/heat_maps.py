"""Where in the image the evidence is, computed from the finished file, on the device: numpy and LiteRT.

A network that ends in the mean over a feature map and one dense layer has class activation maps (Zhou et al. 2016,
"Learning deep features for discriminative localization"): the map's channels, weighted by the dense layer's row of the
class. For such a network Grad-CAM (Selvaraju et al. 2017) gives the same map but for a positive factor, because the
gradient of the class's logit by each value of the map is that weight divided by the number of places. Both the map and
the weights are read from the file's own tensors, so an int8 file shows the maps of its int8 numbers. A file of another
build gets a map by occlusion (Zeiler and Fergus 2014): how far the output falls when a grey square hides a place.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

_POOLS = ("MEAN", "AVERAGE_POOL_2D")


class ActivationMaps:
    """Class activation maps of a .tflite file.

    Raises:
        ValueError: The file does not end in a mean over a map and one dense layer.
    """

    def __init__(self, content: bytes) -> None:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        # Without a delegate, whose fused operators would leave no tensors to read; all of them kept after the call.
        self._interpreter = Interpreter(
            model_content=content,
            experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
            experimental_preserve_all_tensors=True,
        )
        self._interpreter.allocate_tensors()
        operators = self._interpreter._get_ops_details()
        dense = [operator for operator in operators if operator["op_name"] == "FULLY_CONNECTED"]
        pools = [operator for operator in operators if operator["op_name"] in _POOLS]
        if len(dense) != 1 or not pools or pools[-1]["index"] > dense[0]["index"]:
            raise ValueError("the file does not end in a mean over a map and one dense layer")
        details = {entry["index"]: entry for entry in self._interpreter.get_tensor_details()}
        self._map = details[int(pools[-1]["inputs"][0])]
        self._weights = details[int(dense[0]["inputs"][1])]
        if len(self._map["shape"]) != 4 or self._weights["shape"][-1] != self._map["shape"][-1]:
            raise ValueError("the dense layer does not read the mean of the last map")
        self._input = self._interpreter.get_input_details()[0]

    def of(self, x: np.ndarray) -> np.ndarray:
        """Maps of each output: float32 of shape (n, height, width, outputs), in units of the output's logit; their mean
        over the places, plus the bias, is the logit.

        Args:
            x: Inputs in real numbers, shape (n, *input_shape).
        """
        maps = []
        scale, zero = self._input["quantization"]
        for row in np.asarray(x, np.float32):
            if scale:
                limits = np.iinfo(self._input["dtype"])
                row = np.clip(np.rint(row / scale) + zero, limits.min, limits.max)
            self._interpreter.set_tensor(self._input["index"], row[None].astype(self._input["dtype"]))
            self._interpreter.invoke()
            features = _real(self._interpreter.get_tensor(self._map["index"]), self._map)[0]
            weights = _real(self._interpreter.get_tensor(self._weights["index"]), self._weights)
            maps.append(features @ weights.T)
        return np.stack(maps).astype(np.float32)


def _real(values: np.ndarray, details: dict[str, Any]) -> np.ndarray:
    """A tensor's numbers; weights may have a scale for each row."""
    parameters = details["quantization_parameters"]
    scales, zeros = parameters["scales"], parameters["zero_points"]
    if not len(scales):
        return np.asarray(values, np.float32)
    shape = [1] * values.ndim
    shape[parameters["quantized_dimension"] if len(scales) > 1 else 0] = -1
    return (values.astype(np.float32) - zeros.reshape(shape)) * scales.reshape(shape)


def occlusion_map(
    predict: Callable[[np.ndarray], np.ndarray], x: np.ndarray, *, output: int, places: int = 7
) -> np.ndarray:
    """How far an output falls when a square of mean grey hides each place.

    Args:
        predict: From inputs to outputs.
        x: One input, (height, width, channels), normalised so that 0 is the mean.
        output: Which output.
        places: Squares a side; each is twice as wide as their distance.

    Returns:
        float32 of shape (places, places).
    """
    height, width = x.shape[:2]
    hidden = np.repeat(x[None], places * places, axis=0)
    for place in range(places * places):
        row, column = divmod(place, places)
        top, left = (row - 0.5) * height / places, (column - 0.5) * width / places
        hidden[
            place,
            max(0, round(top)) : round(top + 2 * height / places),
            max(0, round(left)) : round(left + 2 * width / places),
        ] = 0.0
    whole = np.asarray(predict(x[None])).reshape(-1)[output]
    return (whole - np.asarray(predict(hidden)).reshape(len(hidden), -1)[:, output]).reshape(places, places)


def heat_maps(bundle: Any, x: np.ndarray) -> tuple[np.ndarray, str]:
    """Maps of the inputs of a loaded bundle, and how they were made.

    Returns:
        float32 of shape (n, height, width, outputs), and "class activation" or "occlusion".
    """
    try:
        return ActivationMaps(bundle.model_bytes).of(x), "class activation"
    except ValueError:
        outputs = np.asarray(bundle.predict(x[:1])).reshape(-1).size
        rows = [
            np.stack([occlusion_map(bundle.predict, image, output=k) for k in range(outputs)], axis=-1) for image in x
        ]
        return np.stack(rows).astype(np.float32), "occlusion"
