"""Heat maps come from the finished file, equal Grad-CAM where that is defined, and survive quantization."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from penjing.contract import ExportSettings
from penjing_medical_imaging.heat_maps import ActivationMaps, heat_maps, occlusion_map
from penjing_medical_imaging.map_agreement import grad_cam, map_agreement
from penjing_medical_imaging.overlay import drawn_over


def test_the_maps_mean_and_the_bias_are_the_logit(trained: Any) -> None:
    x = trained.splits.test.x[:10]
    maps = ActivationMaps(trained.float_file).of(x)
    bias = float(trained.model.get_layer("finding").bias[0])
    logit = maps[..., 0].mean(axis=(1, 2)) + bias
    assert np.allclose(1 / (1 + np.exp(-logit)), trained.model.predict(x, verbose=0)[:, 0], atol=1e-5)


def test_the_files_maps_are_grad_cam_but_for_a_positive_factor(trained: Any) -> None:
    x = trained.splits.test.x[:10]
    maps = ActivationMaps(trained.float_file).of(x)[..., 0]
    by_gradient = grad_cam(trained.model, x, np.zeros(len(x), int))
    assert maps.shape == by_gradient.shape == (10, 7, 7)
    factor = (maps * by_gradient).sum() / np.square(by_gradient).sum()
    assert factor > 0
    assert np.allclose(maps, factor * by_gradient, rtol=1e-3, atol=1e-3 * np.abs(maps).max())


def test_int8_moves_the_maps_little(trained: Any) -> None:
    x = trained.splits.test.x
    before, after = (ActivationMaps(content).of(x)[..., 0] for content in (trained.float_file, trained.int8_file))
    assert np.nanmedian(map_agreement(before, after).correlations) > 0.9


def test_reading_the_maps_does_not_change_what_the_file_answers(trained: Any) -> None:
    """The int8 maps add up to the int8 file's own output, up to its rounding."""
    x = trained.splits.test.x[:20]
    logit = ActivationMaps(trained.int8_file).of(x)[..., 0].mean(axis=(1, 2)) + float(
        trained.model.get_layer("finding").bias[0]
    )
    answered = np.asarray(trained.bundle.predict(x))[:, 0]
    assert np.abs(1 / (1 + np.exp(-logit)) - answered).max() < 0.05


def test_a_network_of_another_build_gets_maps_by_occlusion(trained: Any) -> None:
    import keras

    from penjing.export.litert import to_litert

    keras.utils.set_random_seed(2)
    inputs = keras.Input((28, 28, 1))
    x = keras.layers.Flatten()(inputs)
    x = keras.layers.Dense(4, activation="relu")(x)
    other = to_litert(keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(x)), ExportSettings())
    with pytest.raises(ValueError, match="does not end in a mean"):
        ActivationMaps(other)

    class Bundle:
        model_bytes = other

        def predict(self, x: np.ndarray) -> np.ndarray:
            return np.stack([x.mean(axis=(1, 2, 3)), -x.mean(axis=(1, 2, 3))], axis=1)

    maps, how = heat_maps(Bundle(), trained.splits.test.x[:2])
    assert how == "occlusion" and maps.shape == (2, 7, 7, 2)
    assert np.allclose(maps[..., 0], -maps[..., 1], atol=1e-6)


def test_occlusion_finds_the_place_that_matters() -> None:
    x = np.zeros((28, 28, 1), np.float32)
    x[20:24, 4:8] = 1.0
    found = occlusion_map(lambda given: given[:, 20:24, 4:8].mean(axis=(1, 2, 3))[:, None], x, output=0)
    assert np.unravel_index(found.argmax(), found.shape) in [(4, 0), (4, 1), (5, 1), (5, 0)]
    assert found.max() == pytest.approx(1)
    assert found[0, 6] == 0


def test_rank_correlation_is_spearmans() -> None:
    from scipy.stats import spearmanr

    generator = np.random.default_rng(0)
    first, second = generator.random((3, 5, 5)).round(1), generator.random((3, 5, 5)).round(1)
    found = map_agreement(first, second).correlations
    expected = [spearmanr(a.ravel(), b.ravel()).statistic for a, b in zip(first, second, strict=True)]
    assert np.allclose(found, expected)
    assert np.isnan(map_agreement(np.zeros((1, 5, 5)), second[:1]).correlations).all()


def test_the_picture_is_coloured_where_the_evidence_is() -> None:
    import io

    from PIL import Image

    heat = np.full((7, 7), -1.0)
    heat[1, 5] = 3.0
    picture = np.asarray(Image.open(io.BytesIO(drawn_over(np.full((28, 28, 1), 0.5, np.float32), heat))))
    assert picture.shape == (448, 448, 3)
    colour = np.ptp(picture.astype(int), axis=2)
    assert colour[96, 352] > 40
    assert colour[400, 60] == 0
