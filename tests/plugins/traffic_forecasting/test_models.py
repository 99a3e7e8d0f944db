"""The network's form, its loss, and what becomes of it in int8."""

from __future__ import annotations

import numpy as np
import pytest

from made_traffic import made_series, made_splits
from penjing.contract import ExportSettings, ModelRequest
from penjing.errors import RecipeError

keras = pytest.importorskip("keras")

from penjing.export.litert import to_litert  # noqa: E402
from penjing.runtime import LiteRTModel  # noqa: E402
from penjing.verify.conformance import check_conformance  # noqa: E402
from penjing_traffic_forecasting.loss import forecast_loss  # noqa: E402
from penjing_traffic_forecasting.metrics import rmse  # noqa: E402
from penjing_traffic_forecasting.models import build_model, build_teacher  # noqa: E402


def ring(sensors: int) -> np.ndarray:
    adjacency = np.eye(sensors, dtype=np.float32)
    for sensor in range(sensors):
        adjacency[sensor, (sensor + 1) % sensors] = adjacency[sensor, sensor - 1] = 0.5
    return adjacency


@pytest.fixture(scope="module")
def splits():
    return made_splits(made_series(1_200, 6, adjacency=ring(6)), train_windows=400)


@pytest.fixture(scope="module")
def trained(splits):
    keras.utils.set_random_seed(1)
    model = build_model(ModelRequest(splits=splits, options={"units": 16}))
    model.compile(keras.optimizers.Adam(3e-3), forecast_loss)
    model.fit(splits.train.x, splits.train.y, batch_size=16, epochs=4, verbose=0)
    return model


@pytest.mark.parametrize("build", [build_model, build_teacher])
def test_inputs_and_outputs_are_those_of_the_data(splits, build) -> None:
    model = build(ModelRequest(splits=splits))
    assert model.input_shape[1:] == splits.train.x.shape[1:]
    assert model.output_shape[1:] == (6, 4, 12)


def test_before_training_the_forecast_is_the_last_value(splits) -> None:
    model = build_model(ModelRequest(splits=splits))
    inputs = splits.extra["traffic"].inputs
    outputs = model.predict(splits.test.x[:20], verbose=0)
    last = inputs.last_values(splits.test.x[:20])
    np.testing.assert_allclose(outputs[:, :, 0], last[:, :, None].repeat(12, axis=2), atol=0.1 * inputs.scale)


def test_quantiles_never_cross_and_nothing_is_negative(splits, trained) -> None:
    noise = np.random.default_rng(0).uniform(-8, 8, splits.test.x.shape).astype(np.float32)
    outputs = trained.predict(noise, verbose=0)
    assert (outputs[:, :, 1] <= outputs[:, :, 2]).all()
    assert (outputs[:, :, 2] <= outputs[:, :, 3]).all()
    assert (outputs >= 0).all()


def test_a_few_epochs_beat_the_last_value(splits, trained) -> None:
    inputs = splits.extra["traffic"].inputs
    last = np.repeat(inputs.last_values(splits.test.x)[:, :, None, None], 4, axis=2).repeat(12, axis=3)
    assert rmse(splits.test.y, trained.predict(splits.test.x, verbose=0)) < 0.95 * rmse(splits.test.y, last)


def test_int8_costs_less_than_a_hundredth_and_all_runtimes_agree(splits, trained) -> None:
    content = to_litert(trained, ExportSettings(mode="int8", calibration_examples=200), splits.train.x[:200])
    in_keras = trained.predict(splits.test.x, verbose=0)
    file = LiteRTModel(content)
    assert {info.dtype for info in (*file.inputs, *file.outputs)} == {"int8"}
    assert rmse(splits.test.y, file.predict(splits.test.x)) < 1.01 * rmse(splits.test.y, in_keras)
    conformance = check_conformance(content, splits.test.x[:60], task="forecast", keras_outputs=in_keras[:60])
    between = {pair.runtimes: pair.largest_steps for pair in conformance.pairs if "Keras" not in pair.runtimes}
    assert between
    assert max(between.values()) <= 4


def test_a_model_that_was_saved_is_the_same_model(splits, trained, tmp_path) -> None:
    trained.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras", compile=False)
    x = splits.test.x[:8]
    np.testing.assert_array_equal(again.predict(x, verbose=0), trained.predict(x, verbose=0))


def test_a_neighbour_counts_and_a_stranger_does_not(splits) -> None:
    model = build_model(ModelRequest(splits=splits, options={"neighbours": 2, "dropout": 0.0}))
    rng = np.random.default_rng(0)
    for weight in model.trainable_weights:
        weight.assign(rng.normal(0, 0.2, weight.shape))
    x = splits.test.x[:1]
    plain = model.predict(x, verbose=0)
    for sensor, counts in ((1, True), (3, False)):
        changed = np.array(x)
        changed[:, sensor, 6:12] += 1
        moved = np.abs(model.predict(changed, verbose=0) - plain)[0, 0].max()
        assert (moved > 1e-4) == counts, f"sensor {sensor} beside sensor 0 in a ring of six"


def test_without_adjacency_or_with_one_sensor_there_is_no_mixing() -> None:
    for series in (made_series(600, 3), made_series(600, 1, adjacency=np.ones((1, 1), np.float32))):
        model = build_model(ModelRequest(splits=made_splits(series)))
        assert "neighbour_mean" not in {layer.name for layer in model.layers}


def test_an_unknown_option_is_refused(splits) -> None:
    with pytest.raises(RecipeError, match="unit"):
        build_model(ModelRequest(splits=splits, options={"unit": 8}))


# ------------------------------------------------------------------------------------------------------- loss


def made(n: int = 6):
    generator = np.random.default_rng(0)
    targets = generator.uniform(20, 60, (n, 3, 12)).astype(np.float32)
    outputs = targets[:, :, None] + generator.normal(0, 4, (n, 3, 4, 12)).astype(np.float32)
    return targets, outputs


def test_what_is_forecast_for_a_missing_target_does_not_count() -> None:
    targets, outputs = made()
    targets[2, 1, 3] = -1
    changed = np.array(outputs)
    changed[2, 1, :, 3] += 1_000
    np.testing.assert_array_equal(forecast_loss(targets, outputs), forecast_loss(targets, changed))


def test_without_any_known_target_the_loss_is_zero() -> None:
    targets, outputs = made()
    np.testing.assert_array_equal(forecast_loss(np.full_like(targets, -1), outputs), 0)


@pytest.mark.parametrize("factor", [0.01, 100.0])
def test_the_unit_does_not_matter(factor: float) -> None:
    targets, outputs = made()
    np.testing.assert_allclose(
        forecast_loss(targets * factor, outputs * factor), forecast_loss(targets, outputs), rtol=1e-3
    )


def test_the_best_constant_forecast_is_mean_and_quantiles() -> None:
    targets = np.random.default_rng(1).exponential(10, (1_000, 1, 1)).astype(np.float32)

    def total(place: int, value: float) -> float:
        outputs = np.full((1_000, 1, 4, 1), 5, np.float32)
        outputs[:, :, place] = value
        return float(np.sum(forecast_loss(targets, outputs)))

    grid = np.linspace(0.5, 30, 60)
    best = [grid[np.argmin([total(place, value) for value in grid])] for place in range(4)]
    expected = [targets.mean(), *np.quantile(targets, [0.1, 0.5, 0.9])]
    np.testing.assert_allclose(best, expected, atol=0.6)
