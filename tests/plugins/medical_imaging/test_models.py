"""The small network stays small on every set, ends as the task asks, and its threshold can be moved to one half."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest

from penjing.compression.quantization.aware_training import calibrate, simulated
from penjing.compression.settings.aware_training import QuantizeAwareTrainingSettings
from penjing.contract import ExportSettings, ModelRequest
from penjing.errors import ModelError, RecipeError
from penjing.export.litert import to_litert
from penjing.runtime import LiteRTModel
from penjing_medical_imaging.centering import CenterThresholdSettings, apply, deciding_layer
from penjing_medical_imaging.models import MOST_PARAMETERS, build_model, build_teacher


def request(task: str, size: int, channels: int, outputs: int, **options: Any) -> ModelRequest:
    y = np.zeros((4, outputs), np.float32) if task == "multilabel" else np.arange(4) % 2
    train = SimpleNamespace(x=np.zeros((4, size, size, channels), np.float32), y=y)
    labels = tuple(map(str, range(outputs)))
    return ModelRequest(splits=SimpleNamespace(train=train, task=task, labels=labels), options=options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("task", "size", "channels", "outputs", "shape", "activation"),
    [
        ("binary", 28, 1, 2, 1, "sigmoid"),
        ("classification", 28, 3, 8, 8, "softmax"),
        ("multilabel", 64, 1, 14, 14, "sigmoid"),
        ("ordinal", 64, 3, 5, 5, "softmax"),
        ("classification", 224, 1, 11, 11, "softmax"),
    ],
)
def test_it_fits_every_set(task: str, size: int, channels: int, outputs: int, shape: int, activation: str) -> None:
    small = build_model(request(task, size, channels, outputs))
    teacher = build_teacher(request(task, size, channels, outputs))
    for model in (small, teacher):
        assert model.output_shape == (None, shape)
        assert model.layers[-1].activation.__name__ == activation
        assert min(model.get_layer("pool").input.shape[1:3]) >= 7
    assert small.count_params() <= MOST_PARAMETERS < teacher.count_params()


def test_a_large_one_is_refused() -> None:
    with pytest.raises(RecipeError, match="is no small one"):
        build_model(request("binary", 28, 1, 2, filters=256))


def context(model: keras.Model, task: str = "binary") -> Any:
    generator = np.random.default_rng(0)
    y = (np.arange(300) % 3 == 0).astype(int)
    x = generator.normal(y * 2.0, 1)[:, None].astype(np.float32)
    return SimpleNamespace(model=model, task=task, validation=SimpleNamespace(x=x, y=y), invariants=())


def one_layer(activation: str = "sigmoid") -> keras.Model:
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, activation=activation)])
    model.layers[-1].set_weights([np.array([[1.0]], np.float32), np.array([-3.0], np.float32)])
    return model


def test_the_chosen_threshold_becomes_one_half_and_the_order_stays() -> None:
    model = one_layer()
    given = context(model)
    before = model.predict(given.validation.x, verbose=0)[:, 0]
    outcome = apply(given, CenterThresholdSettings(rule="sensitivity", target=0.9))
    after = outcome.model.predict(given.validation.x, verbose=0)[:, 0]
    threshold = outcome.figures["threshold_before"]
    assert np.array_equal(before > threshold, after > 0.5)
    assert np.array_equal(np.argsort(before, kind="stable"), np.argsort(after, kind="stable"))
    assert np.mean(after[given.validation.y == 1] > 0.5) >= 0.9
    assert "is now 0.5" in outcome.summary


@pytest.mark.parametrize("rule", ["youden", "sensitivity", "specificity"])
def test_with_simulated_quantization_no_image_is_rounded_otherwise(rule: str) -> None:
    """Every logit moves by the same whole number of steps, and the file decides as the model does."""
    model, _ = simulated(one_layer(), QuantizeAwareTrainingSettings())
    given = context(model)
    calibrate(model, given.validation.x, 300, 0)
    logits = keras.Model(model.inputs, deciding_layer(model).output)
    before, grid = logits.predict(given.validation.x, verbose=0)
    outcome = apply(given, CenterThresholdSettings(rule=rule, target=0.9))
    after, _ = logits.predict(given.validation.x, verbose=0)
    steps = (before - after) / grid[0]
    assert np.allclose(steps, np.rint(steps[0, 0]), atol=1e-3)
    assert np.rint(steps[0, 0]) != 0
    threshold = outcome.figures["threshold_before"]
    wished = 1 / (1 + np.exp(-before[:, 0])) > threshold
    content = to_litert(model, ExportSettings(mode="aware"))
    file = LiteRTModel(content, kernels="reference").predict(given.validation.x)[:, 0] > 0.5
    assert np.array_equal(wished, file)
    assert np.array_equal(wished, model.predict(given.validation.x, verbose=0)[:, 0] > 0.5)
    positive = given.validation.y == 1
    assert outcome.figures["validation_sensitivity"] == pytest.approx(file[positive].mean())
    assert outcome.figures["validation_specificity"] == pytest.approx((~file[~positive]).mean())


def test_other_tasks_are_left_alone() -> None:
    model = one_layer()
    weights = model.get_weights()
    outcome = apply(context(model, "classification"), CenterThresholdSettings())
    assert "nothing to do" in outcome.summary
    assert all(np.array_equal(a, b) for a, b in zip(weights, outcome.model.get_weights(), strict=True))


def test_a_layer_without_sigmoid_is_refused() -> None:
    with pytest.raises(ModelError, match="cannot be moved"):
        apply(context(one_layer("linear")), CenterThresholdSettings())
