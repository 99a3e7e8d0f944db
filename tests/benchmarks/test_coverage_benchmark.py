"""The coverage benchmark would see a mistake: its networks' outputs depend on their inputs, and failures are shown."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from types import ModuleType

import keras
import numpy as np
import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture(autouse=True)
def _on_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))


def module(name: str) -> ModuleType:
    return importlib.import_module(name)


def _deep(normalized: bool = True) -> keras.Model:
    layers = keras.layers
    inputs = x = keras.Input((16, 16, 3))
    for _ in range(12 if normalized else 30):
        x = layers.Conv2D(8, 3, padding="same", use_bias=not normalized)(x)
        x = layers.ReLU()(layers.BatchNormalization()(x) if normalized else x)
    return keras.Model(inputs, layers.Dense(4)(layers.GlobalAveragePooling2D()(x)))


@pytest.mark.parametrize("normalized", [True, False])
def test_what_comes_in_is_seen_at_the_end_of_a_deep_network(normalized: bool) -> None:
    coverage = module("coverage_of_network")
    keras.utils.set_random_seed(0)
    model, x = _deep(normalized), coverage.pictures(4, 16, 2)
    coverage.randomize(model, coverage.pictures(16, 16, 1), 0)
    outputs = np.asarray(model(x, training=False))
    assert np.abs(outputs - outputs.mean(axis=0)).max() > coverage.LEAST_SPREAD * np.abs(outputs).max()


def test_no_two_channels_of_a_scale_or_bias_are_alike() -> None:
    coverage = module("coverage_of_network")
    model = _deep()
    coverage.randomize(model, coverage.pictures(16, 16, 1), 0)
    for variable in model.weights:
        if len(variable.shape) == 1:
            assert len(np.unique(np.array(variable))) == variable.shape[0], variable.path


def test_a_stage_that_failed_is_in_the_table_with_its_reason(tmp_path: Path) -> None:
    stages = {"build": {"input": 32, "layers": 7, "weights": 1000}, "int8": {"problem": "ValueError: too large"}}
    (tmp_path / "Net.json").write_text(json.dumps({"name": "Net", "stages": stages, "finished": True}))
    text = module("coverage").markdown(tmp_path)
    assert "| Net | 32 | 7, - | 1,000 |" in text
    assert "- `Net`, int8: ValueError: too large" in text
