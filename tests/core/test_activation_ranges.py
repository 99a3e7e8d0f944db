"""Ranges of activations: what each method gives up, and for what."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penjing.contract import ExportSettings
from penjing.export.litert import to_litert
from penjing.export.ranges import chosen_ranges, entropy_range, least_squares_range, observe, percentile_range
from penjing.runtime import LiteRTModel


def rounding_error(values: np.ndarray, low: float, high: float, levels: int = 256) -> float:
    """Mean squared error of an affine grid on a range, written anew."""
    step = (high - low) / (levels - 1)
    zero = round(-low / step)
    steps = np.clip(np.rint(values / step) + zero, 0, levels - 1)
    return float(np.mean((values - (steps - zero) * step) ** 2))


@given(st.integers(0, 1000), st.sampled_from([0.0, 0.01]), st.sampled_from([20.0, 300.0]))
def test_the_least_squares_range_is_never_worse_than_the_whole(seed: int, share: float, size: float) -> None:
    generator = np.random.default_rng(seed)
    values = generator.normal(size=4000)
    values[generator.random(4000) < share] *= size
    low, high = float(values.min()), float(values.max())
    found = least_squares_range(values, low, high, 256)
    assert low <= found[0] <= 0 <= found[1] <= high
    assert rounding_error(values, *found) <= rounding_error(values, low, high) * (1 + 1e-9)


def test_a_lone_outlier_is_given_up_where_the_rest_gains_by_it() -> None:
    values = np.append(np.random.default_rng(0).normal(size=60_000), 200.0)
    low, high = float(values.min()), float(values.max())
    for found in (
        percentile_range(values, 99.99),
        entropy_range(values, low, high, 256),
    ):
        assert 2.0 < found[1] < 20.0
    # A single error of 196 outweighs what all the others gain: least squares keep it.
    assert least_squares_range(values[::-1], low, high, 256)[1] > 100.0


def test_least_squares_narrow_the_range_of_a_long_tail_and_the_more_the_fewer_the_steps() -> None:
    values = np.random.default_rng(0).laplace(size=8000)
    low, high = float(values.min()), float(values.max())
    of_16, of_256 = (least_squares_range(values, low, high, levels) for levels in (16, 256))
    assert of_16[1] < of_256[1] <= high
    assert rounding_error(values, *of_16, 16) < 0.8 * rounding_error(values, low, high, 16)


def test_a_percentile_leaves_out_its_share_at_either_end() -> None:
    values = np.arange(10_001, dtype=np.float64)
    assert percentile_range(values, 99.0) == (100.0, 9900.0)
    assert percentile_range(values, 100.0) == (0.0, 10_000.0)


def test_entropy_keeps_a_distribution_without_tail_whole() -> None:
    values = np.random.default_rng(0).uniform(-1, 1, 60_000)
    low, high = entropy_range(values, -1.0, 1.0, 256)
    assert low < -0.95 and high > 0.95


@pytest.mark.parametrize("method", ["min-max", "percentile", "mse", "entropy"])
@given(low=st.floats(-10, 10), width=st.floats(0, 10))
def test_every_range_holds_zero_and_has_a_width(method: str, low: float, width: float) -> None:
    values = np.linspace(low, low + width, 50, dtype=np.float32)
    ((bottom, top),) = chosen_ranges({3: (low, low + width, values)}, method, 99.0, 256).values()
    assert bottom <= 0 <= top and top - bottom > 1e-9


def test_what_is_observed_is_what_keras_computes() -> None:
    inputs = keras.Input((6,))
    hidden = keras.layers.Dense(7, activation="relu", name="hidden")(inputs)
    model = keras.Model(inputs, keras.layers.Dense(3)(hidden))
    x = np.random.default_rng(0).normal(size=(200, 6)).astype("float32")
    observed = observe(to_litert(model, ExportSettings()), [x])
    expected = [x, np.asarray(model.get_layer("hidden")(x)), model.predict(x, verbose=0)]
    found = sorted(((low, high) for low, high, _ in observed.values()))
    assert np.allclose(found, sorted((float(v.min()), float(v.max())) for v in expected), atol=1e-5)
    sizes = sorted(len(kept) for *_, kept in observed.values())
    assert sizes == [200 * 3, 200 * 6, 200 * 7]  # few enough to keep all


@pytest.fixture(scope="module")
def with_outliers() -> tuple[keras.Model, np.ndarray, np.ndarray]:
    """A model, calibration data of which 1 example in 300 is a hundred times too large, and data without such."""
    keras.utils.set_random_seed(0)
    layers = keras.layers
    model = keras.Sequential(
        [keras.Input((16,)), layers.Dense(24, activation="relu"), layers.Dense(24, activation="relu"), layers.Dense(4)]
    )
    generator = np.random.default_rng(0)
    x = generator.normal(size=(300, 16)).astype("float32")
    spoilt = x.copy()
    spoilt[7] *= 100
    return model, spoilt, x


@pytest.mark.parametrize("method", ["percentile", "entropy"])
def test_planted_outliers_spoil_min_max_and_not_these(with_outliers, method: str) -> None:
    model, spoilt, x = with_outliers

    def error(calibration: str) -> float:
        settings = ExportSettings(mode="int8", calibration=calibration, percentile=99.5)
        outputs = LiteRTModel(to_litert(model, settings, spoilt)).predict(x)
        return float(np.median(np.abs(outputs - model.predict(x, verbose=0))))

    assert error(method) < error("min-max") / 3


def test_the_same_examples_give_the_same_bytes(with_outliers) -> None:
    model, spoilt, _ = with_outliers
    settings = ExportSettings(mode="int8", calibration="entropy")
    assert to_litert(model, settings, spoilt) == to_litert(model, settings, spoilt)
