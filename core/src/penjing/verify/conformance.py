"""The same inputs through Keras, LiteRT's reference kernels, XNNPACK and TFLM, and how far apart they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from penjing.contract import Task
from penjing.errors import MissingExtraError, ModelError
from penjing.measure.tflm import run_tflm
from penjing.metrics import decisions
from penjing.runtime.interpreter import Kernels, LiteRTModel, TensorInfo, dequantize

LITERT: Mapping[str, Kernels] = {"LiteRT reference": "reference", "XNNPACK": "xnnpack"}
DECIDING_TASKS = ("classification", "binary", "ordinal", "multilabel", "ranking")
DECIDING_ITEMS = 10
"""Of a list of the best items so many are decisions: each place of the list is one."""


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How far two runtimes are apart on the same inputs."""

    runtimes: tuple[str, str]
    n: int
    """Inputs that both answered: TFLM is slow and may not come to the end."""
    equal_decisions: float | None
    """Share of inputs with the same decision: the largest score; for a single score, or each of several labels,
    whether it is above 0.5. None for tasks without decisions."""
    largest_steps: float
    """Largest difference of an output in steps of the file's output scale; of float32 files in units of 2^-24 of the
    largest output."""


@dataclass(frozen=True, kw_only=True)
class Conformance:
    """Agreement of every pair of runtimes that could run the file."""

    pairs: tuple[Agreement, ...]
    missing: Mapping[str, str]
    """Why a runtime is not in the table, by its name."""
    step: float
    """One output step in real units."""

    def to_json(self) -> dict[str, Any]:
        return {
            "step": self.step,
            "pairs": [
                {
                    "runtimes": list(pair.runtimes),
                    "n": pair.n,
                    "equal_decisions": pair.equal_decisions,
                    "largest_steps": pair.largest_steps,
                }
                for pair in self.pairs
            ],
            "missing": dict(self.missing),
        }


def check_conformance(
    content: bytes,
    x: Any,
    *,
    task: Task,
    threshold: float = 0.5,
    keras_outputs: np.ndarray | None = None,
) -> Conformance:
    """Run a file on every runtime there is.

    Args:
        content: A .tflite file with one output.
        x: Inputs as the model takes them: float32 of shape (n, *input_shape), or a dict of them.
        task: Whether outputs are decisions.
        threshold: Above which an output of a binary or multilabel task means yes.
        keras_outputs: What Keras gives for `x`, float32 of shape (n, ...); None leaves Keras out.

    Raises:
        ModelError: LiteRT can run the file with no kernels at all, or it has several outputs.
    """
    outputs: dict[str, np.ndarray] = {}
    missing: dict[str, str] = {}
    if keras_outputs is not None:
        outputs["Keras"] = np.asarray(keras_outputs, np.float32)
    runners: dict[str, LiteRTModel] = {}
    for name, kernels in LITERT.items():
        try:
            runners[name] = LiteRTModel(content, kernels=kernels)
        except ModelError as error:
            # ELU, for one, has no reference kernel.
            missing[name] = error.why or error.what
            failure = error
    if not runners:
        raise failure
    first = next(iter(runners))
    if len(runners[first].outputs) != 1:
        raise ModelError(f"the file has {len(runners[first].outputs)} outputs; conformance compares one")
    info = runners[first].outputs[0]
    for name, runner in runners.items():
        outputs[name] = runner.predict(x)
    try:
        answered, why = run_tflm(content, runners[first].quantized_inputs(x))
        if answered is None:
            missing["TFLM"] = why
        else:
            outputs["TFLM"] = dequantize(answered, info).reshape(-1, *info.shape[1:])
    except MissingExtraError as error:
        missing["TFLM"] = f"{error.what}; {error.hint}"
    scores = outputs[first][:, 0] if _are_lists(outputs[first], task) else outputs[first]
    step = _step(info, scores)
    pairs = tuple(_agreement(one, other, outputs, step, task, threshold) for one, other in combinations(outputs, 2))
    return Conformance(pairs=pairs, missing=missing, step=step)


def _agreement(
    first: str, second: str, outputs: Mapping[str, np.ndarray], step: float, task: Task, threshold: float
) -> Agreement:
    n = min(len(outputs[first]), len(outputs[second]))
    a, b = outputs[first][:n], outputs[second][:n]
    # Numbers of items have no distance: of a list only the scores are compared.
    scores = (a[:, 0], b[:, 0]) if _are_lists(a, task) else (a, b)
    return Agreement(
        runtimes=(first, second),
        n=n,
        equal_decisions=_equal_decisions(a, b, task, threshold) if task in DECIDING_TASKS and n else None,
        largest_steps=round(float(np.max(np.abs(scores[0] - scores[1]))) / step, 3) if a.size else 0.0,
    )


def _are_lists(outputs: np.ndarray, task: Task) -> bool:
    """Whether outputs are lists of the best, (n, 2, items): falling scores, and the numbers of their items."""
    return task == "ranking" and outputs.ndim == 3


def _equal_decisions(a: np.ndarray, b: np.ndarray, task: Task, threshold: float) -> float:
    if task == "multilabel":
        return float(np.mean(((a > threshold) == (b > threshold)).reshape(len(a), -1).all(axis=1)))
    if _are_lists(a, task):
        return float(np.mean(a[:, 1, :DECIDING_ITEMS] == b[:, 1, :DECIDING_ITEMS]))
    return float(np.mean(decisions(a, threshold) == decisions(b, threshold)))


def _step(info: TensorInfo, outputs: np.ndarray) -> float:
    if info.scale:
        return info.scale
    return float(np.max(np.abs(outputs), initial=1e-30)) * 2.0**-24
