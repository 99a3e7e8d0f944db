"""The small model is small, the teacher bigger, both fit the data's shapes."""

from __future__ import annotations

import pytest

from penjing.contract import DataRequest, ModelRequest, Splits
from penjing.errors import RecipeError
from penjing_keyword_spotting.data import load_data
from penjing_keyword_spotting.models import build_model, build_teacher


@pytest.fixture(scope="module")
def splits() -> Splits:
    return load_data(DataRequest(options={"voices": 4, "features": "mfcc"}))


def test_inputs_and_outputs_fit_the_data(splits: Splits) -> None:
    for build in (build_model, build_teacher):
        model = build(ModelRequest(splits=splits))
        assert model.input_shape == (None, 49, 10, 1)
        assert model.output_shape == (None, 8)


def test_the_teacher_is_bigger_and_options_change_the_size(splits: Splits) -> None:
    small = build_model(ModelRequest(splits=splits))
    assert small.count_params() < 40_000 < build_teacher(ModelRequest(splits=splits)).count_params()
    narrow = build_model(ModelRequest(splits=splits, options={"filters": 16, "stem_filters": 16}))
    assert narrow.count_params() < small.count_params() / 4


def test_an_unknown_option_is_refused_with_the_nearest(splits: Splits) -> None:
    with pytest.raises(RecipeError, match="did you mean 'filters'"):
        build_model(ModelRequest(splits=splits, options={"filtres": 16}))


@pytest.mark.parametrize("options", [{"filters": 0}, {"blocks": 0}, {"dropout": 1.5}, {"stem_filters": -1}])
def test_an_option_out_of_range_is_refused_before_anything_is_built(splits: Splits, options: dict) -> None:
    for build in (build_model, build_teacher):
        with pytest.raises(RecipeError, match="it is from"):
            build(ModelRequest(splits=splits, options=options))
