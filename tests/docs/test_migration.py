"""Every recipe of the guide for users of tfmot does to a small model what the guide says it does."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from penjing.measure.file_graph import FileGraph
from penjing.recipe import Recipe
from written_pages import CHECKOUT, blocks

GUIDE = CHECKOUT / "docs/migrate-from-tfmot.md"
RECIPES = {
    re.match(r'name = "([^"]+)"', block.text)[1]: block.text  # type: ignore[index]
    for block in blocks("toml", [GUIDE])
}


@pytest.fixture(scope="module")
def made(page_model: Path, toy_arrays: dict[str, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """`made(name)`: the Keras model and the file that the recipe makes, trained briefly on few examples."""
    from penjing.compression import pipeline
    from penjing.compression.plan import plan_steps
    from penjing.compression.workbench import Workbench
    from penjing.contract import ExportSettings
    from penjing.host import PluginHost
    from penjing.metrics import FUNCTIONS, usual_metric
    from penjing.reporting import SilentReporter
    from penjing.runner.arrays import load_arrays
    from penjing.runner.model_files import open_model

    host = PluginHost.from_modules({})
    arrays = {
        f"{axis}_{part}": toy_arrays[axis][rows]
        for axis in "xy"
        for part, rows in {"train": slice(192), "validation": slice(400, 440), "test": slice(440, 480)}.items()
    }
    splits = load_arrays(arrays, seed=0)
    metric = usual_metric("classification")
    bench = Workbench(
        task="classification",
        metric=metric,
        metric_function=FUNCTIONS[metric.name],
        train=splits.train,
        validation=splits.validation,
        labels=splits.labels,
        extra={},
        seed=0,
        data_sha256=splits.sha256,
        reporter=SilentReporter(),
    )
    reference = open_model(page_model)
    reference_bytes = len(pipeline.export(reference, ExportSettings(), bench))

    def make(name: str) -> pipeline.PipelineResult:
        recipe = Recipe.from_toml(RECIPES[name])
        trained = [number for number, step in enumerate(recipe.steps, 1) if "epochs" in step.settings]
        quick = recipe.with_overrides([f"steps.{number}.epochs=1" for number in trained])
        quick = quick.with_overrides([f"steps.{number}.batch_size=32" for number in trained])
        return pipeline.run_steps(
            reference,
            plan_steps(quick, host, host.resolve),
            bench,
            folder=tmp_path_factory.mktemp(name),
            reference_path=page_model,
            start=name,
            reference_bytes=reference_bytes,
            resolve=host.resolve,
            observer=_Nobody(),
        )

    return make


class _Nobody:
    def before_step(self, step: Any) -> None: ...

    def after_step(self, step: Any, outcome: Any) -> None: ...


def kernel(result: Any, layer: str) -> np.ndarray:
    """A layer's weight matrix in the Keras model, inputs in front, outputs last."""
    weights = result.model.get_layer(layer).get_weights()[0]
    return weights.reshape(-1, weights.shape[-1])


def zeros(result: Any, layer: str) -> float:
    return float(np.mean(kernel(result, layer) == 0))


def dtypes(result: Any) -> set[str]:
    """Types of the constants in the file."""
    return {tensor.dtype for tensor in FileGraph.from_bytes(result.content).constants() if len(tensor.data) > 32}


def ends(result: Any) -> tuple[str, str]:
    """Types of the file's input and output."""
    from penjing.runtime import LiteRTModel

    model = LiteRTModel(result.content)
    return model.inputs[0].dtype, model.outputs[0].dtype


def is_pruned(result: Any) -> None:
    for layer in ("stem", "block1", "hidden", "head"):
        assert zeros(result, layer) == pytest.approx(0.8, abs=0.03)


def is_half_zero(result: Any) -> None:
    for layer in ("stem", "block1", "hidden", "head"):
        assert zeros(result, layer) == pytest.approx(0.5, abs=0.03)


def is_pruned_in_some_layers(result: Any) -> None:
    assert zeros(result, "hidden") == pytest.approx(0.8, abs=0.01)
    assert zeros(result, "head") == pytest.approx(0.6, abs=0.03)
    assert zeros(result, "stem") == 0


def is_pruned_in_blocks(result: Any) -> None:
    weights = kernel(result, "hidden")
    rows, columns = weights.shape
    blocks_of_zeros = np.all(weights.reshape(rows // 4, 4, columns // 2, 2) == 0, axis=(1, 3))
    assert blocks_of_zeros.mean() == pytest.approx(0.5, abs=0.03)
    assert blocks_of_zeros.mean() == pytest.approx(zeros(result, "hidden"), abs=0.001)


def is_two_of_four(result: Any) -> None:
    weights = kernel(result, "hidden")
    assert ((weights.reshape(-1, 4, weights.shape[1]) != 0).sum(axis=1) <= 2).all()


def has_fewer_channels(result: Any) -> None:
    assert result.model.count_params() < 0.8 * 5_000
    assert ends(result) == ("int8", "int8")


def is_clustered(result: Any) -> None:
    for layer in ("block1", "hidden", "head"):
        assert len(np.unique(kernel(result, layer))) <= 16


def is_int8(result: Any) -> None:
    assert ends(result) == ("int8", "int8")
    assert "float32" not in dtypes(result)


def is_float_at_the_head(result: Any) -> None:
    assert ends(result)[0] == "int8" and "int8" in dtypes(result)
    assert "float32" in dtypes(result)


def is_four_bits(result: Any) -> None:
    assert "int4" in dtypes(result)
    assert ends(result) == ("int8", "int8")


def is_pruned_clustered_and_int8(result: Any) -> None:
    # That both promises hold in the file as well, the pipeline has checked; a broken one would have raised.
    promises = [promise for record in result.records for promise in record.promises]
    assert len(promises) == 2
    assert ends(result) == ("int8", "int8")


def is_dynamic(result: Any) -> None:
    assert ends(result) == ("float32", "float32") and "int8" in dtypes(result)


def is_int16x8(result: Any) -> None:
    assert ends(result) == ("int16", "int16") and "int8" in dtypes(result)


def is_float32(result: Any) -> None:
    assert ends(result) == ("float32", "float32") and dtypes(result) == {"float32"}


CLAIMS: dict[str, Callable[[Any], None]] = {
    "pruned": is_pruned,
    "constant": is_half_zero,
    "some-layers": is_pruned_in_some_layers,
    "blocks": is_pruned_in_blocks,
    "two-of-four": is_two_of_four,
    "fewer-channels": has_fewer_channels,
    "clustered": is_clustered,
    "aware": is_int8,
    "aware-but-for-the-head": is_float_at_the_head,
    "four-bits": is_four_bits,
    "pcqat": is_pruned_clustered_and_int8,
    "converted": is_int8,
    "dynamic": is_dynamic,
    "sixteen-by-eight": is_int16x8,
    "float32": is_float32,
}


@pytest.mark.parametrize("name", RECIPES)
def test_the_recipe_does_what_the_guide_says(name: str, made: Any) -> None:
    CLAIMS[name](made(name))


def test_every_call_of_tfmot_that_the_guide_promises_is_in_it() -> None:
    text = GUIDE.read_text(encoding="utf-8")
    for call in (
        "prune_low_magnitude",
        "PolynomialDecay",
        "ConstantSparsity",
        "strip_pruning",
        "UpdatePruningStep",
        "quantize_model",
        "quantize_annotate_layer",
        "quantize_apply",
        "quantize_scope",
        "QuantizeConfig",
        "cluster_weights",
        "CentroidInitialization",
        "Default8BitClusterPreserveQuantizeScheme",
        "TFLiteConverter",
    ):
        assert call in text
