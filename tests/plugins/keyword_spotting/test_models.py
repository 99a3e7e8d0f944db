"""The small model keeps to the flash and the arena of a microcontroller, the teacher is bigger, both fit the data."""

from __future__ import annotations

import keras
import pytest

from penjing.contract import DataRequest, ExportSettings, ModelRequest, Splits
from penjing.errors import RecipeError
from penjing.export.litert import to_litert
from penjing.measure.tflm import measure_arena, tflm_is_installed
from penjing_keyword_spotting.data import load_data
from penjing_keyword_spotting.models import build_model, build_teacher


@pytest.fixture(scope="module")
def splits() -> Splits:
    return load_data(DataRequest(options={"voices": 4}))


def small_splits(**options) -> Splits:
    return load_data(DataRequest(options={"voices": 3, **options}))


def test_inputs_and_outputs_fit_the_data(splits: Splits) -> None:
    for build in (build_model, build_teacher):
        model = build(ModelRequest(splits=splits))
        assert model.input_shape == (None, 49, 40, 1)
        assert model.output_shape == (None, 8)


@pytest.mark.parametrize(
    ("options", "shape"),
    [
        ({"features": "mfcc"}, (49, 10, 1)),
        ({"hop_milliseconds": 10.0, "mel_bands": 64}, (98, 64, 1)),
        ({"mel_bands": 4, "hop_milliseconds": 100.0, "frame_milliseconds": 100.0}, (10, 4, 1)),
    ],
)
def test_other_front_ends_have_their_models_too(options: dict, shape: tuple[int, ...]) -> None:
    request = ModelRequest(splits=small_splits(**options))
    for build in (build_model, build_teacher):
        assert build(request).input_shape == (None, *shape)


def test_bands_are_channels_after_the_front_and_time_stays(splits: Splits) -> None:
    model = build_model(ModelRequest(splits=splits))
    assert model.get_layer("fold").output.shape == (None, 25, 1, 38)
    assert model.get_layer("block3_relu").output.shape == (None, 25, 1, 38)


def test_it_keeps_to_the_flash_and_the_arena_of_a_small_microcontroller(splits: Splits) -> None:
    """24 kB each; the weights of a trained network take as many bytes as these."""
    model = build_model(ModelRequest(splits=splits))
    content = to_litert(
        model,
        ExportSettings(mode="int8", calibration_examples=32, compact_biases=True),
        splits.train.x[:32],
    )
    assert len(content) <= 24_000
    if not tflm_is_installed():
        pytest.skip("tflite-micro is not installed, so the arena cannot be measured")
    arena = measure_arena(content)
    assert arena.arena_bytes is not None and arena.arena_bytes <= 24_000


def test_the_teacher_is_bigger_and_options_change_the_size(splits: Splits) -> None:
    small = build_model(ModelRequest(splits=splits))
    assert 3 * small.count_params() < build_teacher(ModelRequest(splits=splits)).count_params()
    narrow = build_model(ModelRequest(splits=splits, options={"filters": 16, "front3_filters": 8}))
    assert narrow.count_params() < small.count_params() / 2


def test_seeds_decide_the_first_weights(splits: Splits) -> None:
    sums = []
    for seed in (1, 1, 2):
        keras.utils.set_random_seed(seed)
        sums.append(float(build_model(ModelRequest(splits=splits)).get_layer("fold").get_weights()[0].sum()))
    assert sums[0] == sums[1] != sums[2]


def test_an_unknown_option_is_refused_with_the_nearest(splits: Splits) -> None:
    with pytest.raises(RecipeError, match="did you mean 'filters'"):
        build_model(ModelRequest(splits=splits, options={"filtres": 16}))


@pytest.mark.parametrize("options", [{"filters": 0}, {"blocks": 0}, {"dropout": 1.5}, {"stem_filters": -1}])
def test_an_option_out_of_range_is_refused_before_anything_is_built(splits: Splits, options: dict) -> None:
    for build in (build_model, build_teacher):
        with pytest.raises(RecipeError, match="it is from"):
            build(ModelRequest(splits=splits, options=options))
