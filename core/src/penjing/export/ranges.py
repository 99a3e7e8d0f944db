"""Ranges of activations, seen on calibration examples: the whole range, or one that gives up its tails.

A wider range loses resolution for all values, a narrower one clips the largest. The choices: Jacob et al. 2018 (whole
range), a percentile, the least squared error, and the least Kullback-Leibler divergence (Migacz 2017, "8-bit inference
with TensorRT").
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from penjing.errors import ModelError
from penjing.export.file_layers import MOVING_OPERATORS

SAMPLES = 65_536
"""Values kept of each tensor, at most; the smallest and largest are known exactly."""
BINS = 2048
"""Bins of the histogram of magnitudes (entropy)."""
MAGNIFICATIONS = 4
"""How often the histogram is made, at most."""
SMOOTHING = 1e-4
"""Probability of a bin that merging left empty, as the last one where nothing but outliers lay."""
TINY = 1e-9
"""A narrower range is none."""


def observe(
    content: bytes, calibration: Sequence[np.ndarray], *, seed: int = 0, in_float: Collection[int] = ()
) -> dict[int, tuple[float, float, np.ndarray]]:
    """Run a float file on examples and look at every activation.

    Args:
        content: A float .tflite file with batch dimension 1.
        calibration: One array per input of the file, in its order, each of n examples.
        seed: Chooses the values that are kept.
        in_float: Tensor numbers that stay in float32, and may hold the infinite root of nothing on the way.

    Returns:
        By tensor number of the first graph: smallest value, largest value, and up to `SAMPLES` of the values.

    Raises:
        ModelError: An activation is not finite.
    """
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(
        model_content=content,
        experimental_preserve_all_tensors=True,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        num_threads=1,
    )
    interpreter.allocate_tensors()
    inputs = [details["index"] for details in interpreter.get_input_details()]
    watched = activations(content)
    examples = len(calibration[0])
    quota = -(-SAMPLES // examples)
    generator = np.random.default_rng(seed)
    low = dict.fromkeys(watched, np.inf)
    high = dict.fromkeys(watched, -np.inf)
    kept: dict[int, list[np.ndarray]] = {index: [] for index in watched}
    for example in range(examples):
        for index, array in zip(inputs, calibration, strict=True):
            interpreter.set_tensor(index, array[example : example + 1])
        interpreter.invoke()
        for index in watched:
            values = interpreter.get_tensor(index).ravel()
            if index in in_float:
                values = np.nan_to_num(values, nan=0.0, posinf=1.0, neginf=-1.0)
            low[index] = min(low[index], float(values.min()))
            high[index] = max(high[index], float(values.max()))
            step = -(-values.size // quota)
            kept[index].append(values[int(generator.integers(step)) :: step].copy())
    broken = [index for index in watched if not np.isfinite([low[index], high[index]]).all()]
    if broken:
        raise ModelError(
            "activations are not finite on the calibration data",
            where=f"tensor {broken[0]} of the float file",
            why="the network overflows on some example, so no range can hold its values",
            hint="check the scale of the inputs, or train again with weight decay",
        )
    return {index: (low[index], high[index], np.concatenate(kept[index])) for index in watched}


def activations(content: bytes) -> list[int]:
    """Numbers of the float tensors of the first graph that an operator makes or that are inputs."""
    from penjing.measure.file_graph import FileGraph

    graph = FileGraph.from_bytes(content).main
    made = {*graph.inputs, *(index for operator in graph.operators for index in operator.outputs)}
    return [
        tensor.index
        for tensor in graph.tensors
        if tensor.index in made and tensor.dtype == "float32" and not tensor.is_constant and 0 not in tensor.shape
    ]


def chosen_ranges(
    observed: Mapping[int, tuple[float, float, np.ndarray]], method: str, percentile: float, levels: int
) -> dict[int, tuple[float, float]]:
    """A range for each tensor by one of the methods; each holds zero and has some width."""
    ranges = {}
    for index, (low, high, values) in observed.items():
        if method == "percentile":
            low, high = percentile_range(values, percentile)
        elif method == "mse":
            low, high = least_squares_range(values, low, high, levels)
        elif method == "entropy":
            low, high = entropy_range(values, low, high, levels)
        low, high = min(low, 0.0), max(high, 0.0)
        ranges[index] = (low, high) if high - low > TINY else (0.0, 1e-6)
    return ranges


def share_ranges(graph: Any, names: Sequence[str], ranges: dict[int, tuple[float, float]]) -> None:
    """Give what only moves values the range of its input, in place: its kernel cannot rescale.

    Args:
        graph: The float file's first graph (object API).
        names: Its operators' names.
    """
    for operator, name in zip(graph.operators, names, strict=True):
        if name in MOVING_OPERATORS:
            source = int(operator.inputs[MOVING_OPERATORS[name]])
            if source in ranges:
                ranges.update({int(index): ranges[source] for index in operator.outputs if index in ranges})


def percentile_range(values: np.ndarray, percentile: float) -> tuple[float, float]:
    """The range that leaves out (100 - percentile) % of the values at either end."""
    low, high = np.percentile(values, [100.0 - percentile, percentile])
    return float(low), float(high)


def least_squares_range(values: np.ndarray, low: float, high: float, levels: int) -> tuple[float, float]:
    """The range with the least mean squared error of rounding and clipping, found by narrowing both ends together and
    then each alone, in hundredths."""
    low, high = min(low, 0.0), max(high, 0.0)
    values = values[:: max(1, values.size // 8192)].astype(np.float64)

    def error(bottom: float, top: float) -> float:
        step = (top - bottom) / (levels - 1)
        if step <= 0:
            return float(np.mean(values**2))
        zero = np.round(-bottom / step)
        steps = np.clip(np.round(values / step) + zero, 0, levels - 1)
        return float(np.mean((values - (steps - zero) * step) ** 2))

    shares = np.arange(1.0, 0.0, -0.01)
    together = min(shares, key=lambda share: error(share * low, share * high))
    top = min(shares, key=lambda share: error(together * low, share * high))
    bottom = min(shares, key=lambda share: error(share * low, top * high))
    best = min([(together, together), (bottom, top), (1.0, 1.0)], key=lambda pair: error(pair[0] * low, pair[1] * high))
    return float(best[0] * low), float(best[1] * high)


def entropy_range(values: np.ndarray, low: float, high: float, levels: int) -> tuple[float, float]:
    """The range whose quantized distribution tells the most of the original one.

    A histogram of magnitudes is cut at every candidate threshold; what lies beyond is added to the last bin; the rest
    is merged into as many bins as there are levels on one side of zero. The threshold with the least divergence
    KL(cut || merged) is taken (Migacz 2017). Where that is the lowest that the bins allow, the histogram is made anew
    below it: beside far outliers all the rest may fall into a few bins.
    """
    threshold = max(-low, high)
    one_side = levels if low >= 0 or high <= 0 else levels // 2
    magnitudes = np.abs(values[values != 0]).astype(np.float64)  # zeros are exact in any grid
    if one_side >= BINS or threshold < TINY or magnitudes.size == 0:
        return low, high
    cuts = range(one_side, BINS + 1, max(1, BINS // 256))
    for _ in range(MAGNIFICATIONS):
        largest = threshold
        counts = np.histogram(magnitudes, bins=BINS, range=(0.0, largest))[0].astype(np.float64)
        beyond = float(np.count_nonzero(magnitudes > largest))
        best = min(cuts, key=lambda cut: _divergence(counts, cut, one_side, beyond))
        threshold = min(largest, (best + 0.5) * largest / BINS)
        if best != one_side or threshold < TINY:
            break
    return max(low, -threshold), min(high, threshold)


def _divergence(counts: np.ndarray, cut: int, levels: int, beyond: float) -> float:
    inside = counts[:cut]
    wanted = inside.copy()
    wanted[-1] += counts[cut:].sum() + beyond
    if wanted.sum() == 0 or inside.sum() == 0:
        return float("inf")
    groups = np.arange(cut) * levels // cut
    filled = (wanted > 0).astype(np.float64)
    sums = np.bincount(groups, inside, levels)
    members = np.bincount(groups, filled, levels)
    merged = np.divide(sums, members, out=np.zeros(levels), where=members > 0)[groups] * filled
    wanted /= wanted.sum()
    merged /= merged.sum()
    # An empty bin in the merged distribution would make the divergence infinite.
    merged = np.where((merged == 0) & (wanted > 0), SMOOTHING, merged)
    present = wanted > 0
    return float(np.sum(wanted[present] * np.log(wanted[present] / merged[present])))


def annotated(model: Any, ranges: Mapping[int, tuple[float, float]], *, symmetric: bool) -> None:
    """Write ranges into the tensors of a file's object form, where the converter's quantizer reads them."""
    from ai_edge_litert import schema_py_generated as schema

    for index, (low, high) in ranges.items():
        if symmetric:
            high = max(-low, high)
            low = -high
        quantization = schema.QuantizationParametersT()
        quantization.min, quantization.max = [low], [high]
        model.subgraphs[0].tensors[index].quantization = quantization
