"""distill by inner layers: hints, attention and relations bring nearer what they compare, or say what does not fit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest

from distilling import distil, image_context, image_network
from penjing.compression.distillation.taps import Taps, listening, probe
from penjing.compression.settings.distillation import DistillSettings
from penjing.errors import ModelError, RecipeError

layers = keras.layers

# ----------------------------------------------------------------------------------------------- inner layers


def features(model: keras.Model, x: np.ndarray, path: str) -> np.ndarray:
    return np.asarray(Taps(model, [path])(x)[1][path])


def spread(features: np.ndarray) -> np.ndarray:
    """Mutual distances of the examples, over their mean."""
    vectors = features.mean(axis=(1, 2)) if features.ndim == 4 else features
    distances = np.linalg.norm(vectors[:, None] - vectors[None], axis=-1)
    return distances / distances.mean()


def hint_distance(teacher: np.ndarray, student: np.ndarray) -> float:
    """Share of the teacher's map that no linear map of the student's gives."""
    ones = np.ones((*student.shape[:-1], 1))
    ours = np.concatenate([student, ones], -1).reshape(-1, student.shape[-1] + 1)
    theirs = teacher.reshape(-1, teacher.shape[-1])
    rest = theirs - ours @ np.linalg.lstsq(ours, theirs, rcond=None)[0]
    return float(np.square(rest).sum() / np.square(theirs).sum())


def attention_distance(teacher: np.ndarray, student: np.ndarray) -> float:
    maps = [np.square(values).sum(-1).reshape(len(values), -1) + 1e-9 for values in (teacher, student)]
    first, second = (values / np.linalg.norm(values, axis=1, keepdims=True) for values in maps)
    return float(np.square(first - second).sum(1).mean())


MEASURES: dict[str, tuple[str, Callable[[np.ndarray, np.ndarray], float]]] = {
    "hints": ("backbone/last", hint_distance),
    "attention": ("backbone/last", attention_distance),
    "relations": ("hidden", lambda teacher, student: float(np.abs(spread(teacher) - spread(student)).mean())),
}


@pytest.mark.parametrize("kind", list(MEASURES))
def test_an_inner_loss_brings_what_it_compares_nearer(
    toy_arrays: dict, image_teacher: keras.Model, tmp_path: Path, kind: str
) -> None:
    """Measured on other examples, by a formula of its own, against a student that learns from labels alone."""
    x = toy_arrays["x"][450:550]
    path, measure = MEASURES[kind]
    training = {"epochs": 2, "min_updates": 240, "batch_size": 40, "learning_rate": 0.01}
    bench = image_context(toy_arrays, tmp_path, image_teacher)
    outcome = distil(bench, {**training, "weight": 1.0, "losses": [{"kind": kind}]})
    alone = image_network(6, 1, "student")
    bench.fit(alone, DistillSettings(**training))
    theirs = features(image_teacher, x, path)
    taught, untaught = (measure(theirs, features(model, x, path)) for model in (outcome.model, alone))
    assert taught < 0.75 * untaught
    assert outcome.figures[f"loss_{kind}_last"] < 0.8 * outcome.figures[f"loss_{kind}_first"]


def test_layers_are_probed_in_the_order_in_which_they_run() -> None:
    found = probe(image_network(3, 0, "network"))
    assert [(feature.path, feature.shape) for feature in found.values()] == [
        ("backbone/conv", (8, 8, 3)),
        ("backbone/norm", (8, 8, 3)),
        ("backbone/relu", (8, 8, 3)),
        ("backbone/last", (4, 4, 3)),
        ("backbone/dropout", (4, 4, 3)),
        ("flatten", (48,)),
        ("hidden", (6,)),
        ("head", (4,)),
    ]
    assert [feature.path for feature in found.values() if not feature.before_head] == ["head"]


def test_a_tap_leaves_the_layer_as_it_was() -> None:
    model = image_network(3, 0, "network")
    layer = model.get_layer("hidden")
    before = dict(vars(layer))
    with pytest.raises(ZeroDivisionError), listening({"hidden": layer}) as heard:
        model(np.zeros((2, 8, 8, 1), "float32"))
        assert len(heard["hidden"]) == 1
        raise ZeroDivisionError
    assert vars(layer).keys() == before.keys()


PAIRS = [
    ([["rela*", "last"]], "no layer of the student fits 'rela*'"),
    ([["last", "backbon/last"]], "no layer of the teacher fits 'backbon/last'"),
    ([["backbone/*", "last"]], "'backbone/*' fits 5 layers of the student, 'last' 1 of the teacher"),
    ([["hidden", "relu"]], "cannot be compared: (12,) and (8, 8, 12)"),
]


@pytest.mark.parametrize(("pairs", "message"), PAIRS)
def test_pairs_that_do_not_fit_are_refused_with_the_layers(
    toy_arrays: dict, image_teacher: keras.Model, tmp_path: Path, pairs: list, message: str
) -> None:
    bench = image_context(toy_arrays, tmp_path, image_teacher)
    with pytest.raises(ModelError) as caught:
        distil(bench, {"losses": [{"kind": "hints", "layers": pairs}]})
    assert message in caught.value.what
    assert "backbone/relu (8, 8" in f"{caught.value.hint} {caught.value.why}"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"losses": [{"kind": "hints", "layers": [["nowhere", "*"]]}]}, "no layer of the student fits"),
        ({"losses": [{"kind": "outputs", "comparison": "pairwise"}]}, "do not fit a task"),
    ],
)
def test_what_is_wrong_whoever_teaches_is_refused_before_a_teacher_is_trained(
    toy_arrays: dict, tmp_path: Path, settings: dict, message: str
) -> None:
    def build_teacher() -> keras.Model:
        raise AssertionError("trained for nothing")

    with pytest.raises((ModelError, RecipeError), match=message):
        distil(image_context(toy_arrays, tmp_path, None, build_teacher=build_teacher), settings)


def test_patterns_that_fit_several_layers_pair_them_in_order(
    toy_arrays: dict, image_teacher: keras.Model, tmp_path: Path
) -> None:
    bench = image_context(toy_arrays, tmp_path, image_teacher)
    loss = {"kind": "hints", "layers": [["backbone/[lr]*", "backbone/[lr]*"], ["hidden", "hidden"]]}
    figures = distil(bench, {"epochs": 1, "losses": [{"kind": "outputs"}, loss]}).figures
    parts = {name for name in figures if name.startswith("loss_") and name.endswith("_last")}
    assert parts == {
        f"loss_{name}_last"
        for name in ("labels", "outputs", "hints_backbone/relu", "hints_backbone/last", "hints_hidden")
    }


def test_maps_with_other_axes_are_refused_by_default_too(toy_arrays: dict, tmp_path: Path) -> None:
    inputs = keras.Input((8, 8, 1))
    x = layers.GlobalMaxPooling1D()(layers.Conv1D(5, 4, name="odd")(layers.Reshape((64, 1))(inputs)))
    odd = keras.Model(inputs, layers.Dense(4, activation="softmax")(x))
    bench = image_context(toy_arrays, tmp_path, odd, image_network(6, 1, "student"))
    with pytest.raises(ModelError, match="no feature maps with as many axes of space") as caught:
        distil(bench, {"losses": [{"kind": "attention"}]})
    assert "odd (61, 5)" in str(caught.value) and "backbone/last (4, 4, 6)" in str(caught.value)


def test_maps_of_other_sizes_are_compared_by_default(toy_arrays: dict, tmp_path: Path) -> None:
    inputs = keras.Input((8, 8, 1))
    x = layers.GlobalMaxPooling2D()(layers.Conv2D(5, 4, name="odd")(inputs))
    odd = keras.Model(inputs, layers.Dense(4, activation="softmax")(x))
    bench = image_context(toy_arrays, tmp_path, odd, image_network(6, 1, "student"))
    outcome = distil(bench, {"epochs": 1, "losses": [{"kind": "attention"}]})
    assert np.isfinite(outcome.history["loss"]).all()
