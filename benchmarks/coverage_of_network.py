"""One network of keras.applications through the engine; `coverage.py` starts a process of this for each.

    python benchmarks/coverage_of_network.py NAME RECORD.json MACS

Every stage leaves its figures or the reason of its failure, as soon as it ends: the next may end the process.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

SIZES = (32, 71, 75, 96, 128, 224, 331)
"""Heights and widths that are tried, the smallest first."""
CALIBRATION = 4
STATISTICS = 16
"""Examples that set the statistics of BatchNormalization."""
LEAST_SPREAD = 0.01
LARGEST_FILE = 2**31
"""A FlatBuffer counts its bytes with 32 bits, signed: a larger file cannot be written."""
REMOVE_DEAD = "remove-dead"
STAGES = ("build", "prune", "float32", "int8", REMOVE_DEAD)


class Coverage:
    """One network; each stage fills a part of the record."""

    def __init__(self, name: str, path: Path) -> None:
        self.path = path
        self.record: dict[str, Any] = {"name": name, "stages": {}}

    def run(self, macs: float) -> None:
        """All stages."""
        from penjing.heavy import import_tensorflow

        import_tensorflow()
        self._stage("build", self._build)
        if "problem" not in self.record["stages"]["build"]:
            self._stage("prune", lambda: self._prune(macs))
            # What a stage has built goes before the next begins: the largest networks have 350 million weights.
            self._stage("float32", self._float32)
            self._stage("int8", self._int8)
            self._stage(REMOVE_DEAD, self._remove_dead)
        self.record["finished"] = True
        self._write()

    def _stage(self, name: str, stage: Callable[[], dict[str, Any]]) -> None:
        self.record["running"] = name
        self._write()
        began = time.monotonic()
        try:
            figures = stage()
        except Exception as error:
            figures = {"problem": f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"}
        figures["stage_seconds"] = round(time.monotonic() - began, 2)
        figures["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024  # kilobytes, on Linux
        self.record["stages"][name] = figures
        del self.record["running"]
        self._write()

    def _write(self) -> None:
        partial = self.path.with_suffix(".partial")
        partial.write_text(json.dumps(self.record, indent=1))
        partial.replace(self.path)

    def _build(self) -> dict[str, Any]:
        import keras

        keras.utils.set_random_seed(0)
        build = getattr(keras.applications, self.record["name"])
        refusal: Exception | None = None
        for size in SIZES:
            try:
                self.model = build(weights=None, input_shape=(size, size, 3), classes=10, classifier_activation=None)
            except ValueError as error:
                refusal = error
                continue
            break
        else:
            raise ValueError(f"no input of {SIZES} is taken: {refusal}")
        randomize(self.model, pictures(STATISTICS, size, 1), 0)
        self.x = pictures(CALIBRATION, size, 2)
        outputs = _outputs(self.model, self.x)
        # Outputs that are the same whatever comes in would make every comparison below mean nothing.
        spread = float(np.abs(outputs - outputs.mean(axis=0)).max() / np.abs(outputs).max())
        if not spread > LEAST_SPREAD:
            raise ValueError(f"the outputs hardly depend on the input: {spread:.1e} of their size")
        return {
            "input": size,
            "layers": len(self.model.layers),
            "weights": int(self.model.count_params()),
            "spread": spread,
        }

    def _prune(self, macs: float) -> dict[str, Any]:
        from penjing.compression.pruning.channels import NOTHING, prunable_graph, score, select
        from penjing.compression.settings.channel_pruning import PruneChannelsSettings
        from penjing.compression.structure.cost import CostModel
        from penjing.compression.structure.surgery import mask_atoms, remove_atoms

        settings = PruneChannelsSettings(macs=macs)
        began = time.monotonic()
        graph = prunable_graph(self.model, settings)
        cost = CostModel(graph)
        whole = cost.macs(NOTHING), cost.parameters(NOTHING)
        gone = select(graph, settings, score(graph, settings, None, None, 0), 1.0, whole)
        planned = time.monotonic()
        self.smaller, _ = remove_atoms(graph, gone.tolist())
        done = time.monotonic()
        masked = _outputs(mask_atoms(graph, gone), self.x)
        smaller = _outputs(self.smaller, self.x)
        before = _outputs(self.model, self.x)
        return {
            "planning_seconds": round(planned - began, 2),
            "surgery_seconds": round(done - planned, 2),
            "macs_left": cost.macs(gone) / whole[0],
            "weights_left": cost.parameters(gone) / whole[1],
            "layers_after": len(self.smaller.layers),
            "groups": len(graph.groups),
            "protected_groups": sum(group.protected is not None for group in graph.groups),
            "difference": _difference(masked, smaller),
            "removal_changes": _difference(before, smaller),
        }

    def _float32(self) -> dict[str, Any]:
        from penjing.contract import ExportSettings
        from penjing.export.litert import to_litert

        if not hasattr(self, "smaller"):
            return {"problem": "there is no smaller network"}
        self._check_size(self.smaller)
        content = to_litert(self.smaller, ExportSettings())
        expected = _outputs(self.smaller, self.x)
        del self.smaller
        return {"flash_bytes": len(content), "difference": _difference(expected, _run(content, self.x))}

    def _int8(self) -> dict[str, Any]:
        from penjing.contract import ExportSettings
        from penjing.export.litert import to_litert

        self._check_size(self.model)  # the float32 file comes first
        settings = ExportSettings(mode="int8", calibration_examples=CALIBRATION)
        content = to_litert(self.model, settings, self.x)
        found = _run(content, self.x)
        if not np.isfinite(found).all():
            raise ValueError("the file's outputs are not finite")
        return {"flash_bytes": len(content), "difference": _difference(_outputs(self.model, self.x), found)}

    def _check_size(self, model: Any) -> None:
        expected = 4 * model.count_params()
        if expected >= LARGEST_FILE:
            raise ValueError(f"{expected:,} bytes of weights are more than the format can hold")

    def _remove_dead(self) -> dict[str, Any]:
        from penjing.contract import Metric, Split, StepContext
        from penjing.host import PluginHost

        host = PluginHost.discover()
        if REMOVE_DEAD not in host.techniques:
            return {"skipped": f"penjing has no technique '{REMOVE_DEAD}'"}
        technique = host.techniques[REMOVE_DEAD]
        settings = host.resolve(technique.value.settings, technique.source)()
        split = Split(x=self.x, y=np.zeros(len(self.x), np.int64), ids=[str(row) for row in range(len(self.x))])
        folder = self.path.with_suffix("")
        folder.mkdir(exist_ok=True)
        context = StepContext(
            model=self.model,
            train=split,
            validation=split,
            splits_extra={},
            task="classification",
            labels=(),
            metric=Metric(name="accuracy", function="penjing.metrics:accuracy", direction="higher", primary=True),
            seed=0,
            folder=folder,
            invariants=(),
            fit=_refuse,
            evaluate=_refuse,
            teacher=_refuse,
            progress=lambda text: None,
        )
        before = _outputs(self.model, self.x)
        weights = self.model.count_params()
        outcome = host.resolve(technique.value.apply, technique.source)(context, settings)
        return {
            "difference": _difference(before, _outputs(outcome.model, self.x)),
            "weights_gone": int(weights - outcome.model.count_params()),
        }


def randomize(model: Any, x: np.ndarray, seed: int) -> None:
    """Give every channel values of its own: scales, biases, statistics; kernels are random from the start.

    Fresh networks have ones and zeros there (LayerScale 1e-6), behind which a mistake about channels would hide. The
    statistics are those of x, moved a little per channel: with any others the input is lost on the way through a deep
    network, and its outputs say nothing about what happens early in it.
    """
    import keras

    generator = np.random.default_rng(seed)
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    statistics = {id(v) for layer in norms for v in (layer.moving_mean, layer.moving_variance)}
    for variable in model.weights:
        if len(variable.shape) != 1 or not str(variable.dtype).startswith("float") or id(variable) in statistics:
            continue
        if "variance" in variable.name:
            values = generator.uniform(0.5, 2.0, variable.shape)
        elif "mean" in variable.name or variable.name in ("bias", "beta"):
            values = generator.normal(0.0, 0.1, variable.shape)
        else:
            values = generator.uniform(0.5, 1.5, variable.shape)
        variable.assign(values)
    if not any(type(layer).__name__.endswith("Normalization") for layer in model.layers):
        # Each ReLU halves the signal and nothing brings it back: kernels as large as He et al. 2015 want them.
        for layer in model.layers:
            if getattr(layer, "kernel", None) is not None:
                layer.kernel.assign(np.sqrt(2) * layer.kernel)
    momenta = [layer.momentum for layer in norms]
    for layer in norms:
        layer.momentum = 0.0
    model(x, training=True)
    for layer, momentum in zip(norms, momenta, strict=True):
        layer.momentum = momentum
        mean, variance = np.array(layer.moving_mean), np.array(layer.moving_variance)
        layer.moving_mean.assign(mean + 0.1 * np.sqrt(variance) * generator.normal(size=mean.shape))
        layer.moving_variance.assign(variance * generator.uniform(0.5, 2.0, variance.shape))


def pictures(count: int, size: int, seed: int) -> np.ndarray:
    """Blocks of colour with some noise, float32 of shape (count, size, size, 3) in [0, 255]: unlike plain noise they
    still differ from each other after pooling."""
    generator = np.random.default_rng(seed)
    side = -(-size // 4)
    blocks = np.kron(generator.uniform(20, 235, (count, 4, 4, 3)), np.ones((1, side, side, 1)))[:, :size, :size]
    return (blocks + generator.uniform(-20, 20, blocks.shape)).astype(np.float32)


def _refuse(*_: Any, **__: Any) -> Any:
    raise AssertionError("this step trains nothing")


def _outputs(model: Any, x: np.ndarray) -> np.ndarray:
    return np.asarray(model(x, training=False), np.float64)


def _run(content: bytes, x: np.ndarray) -> np.ndarray:
    from penjing.runtime import LiteRTModel

    return np.asarray(LiteRTModel(content).predict(x), np.float64)


def _difference(expected: np.ndarray, found: np.ndarray) -> float:
    """Largest difference as a share of the largest output."""
    return float(np.abs(expected - found).max() / np.abs(expected).max())


if __name__ == "__main__":
    Coverage(sys.argv[1], Path(sys.argv[2])).run(float(sys.argv[3]))
