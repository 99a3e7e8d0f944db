"""Several inputs keep their names: an order that differs from the model's changes nothing, and no mistake is silent."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

import penjing
from penjing.contract import ExportSettings
from penjing.errors import DataError, ModelError, UsageError
from penjing.export.litert import to_litert
from penjing.runtime import LiteRTModel
from penjing.verify.conformance import check_conformance

layers = keras.layers


def two_inputs(first: str = "zeta", second: str = "alpha", *, as_dict: bool = False) -> keras.Model:
    """Equal shapes, so that only the names tell the inputs apart; the first weighs ten times as much."""
    a, b = keras.Input((3,), name=first), keras.Input((3,), name=second)
    outputs = layers.Dense(2, kernel_initializer=keras.initializers.RandomNormal(seed=1))(
        layers.Concatenate()([a * 10, b])
    )
    return keras.Model({"zeta": a, "alpha": b} if as_dict else [a, b], outputs)


@pytest.fixture(scope="module")
def x() -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    return {name: generator.normal(size=(40, 3)).astype("float32") for name in ("zeta", "alpha")}


@pytest.mark.parametrize("as_dict", [False, True], ids=["list", "dict"])
def test_a_dict_is_read_by_name_in_any_order(x: dict[str, np.ndarray], as_dict: bool) -> None:
    model = two_inputs(as_dict=as_dict)
    expected = model.predict(x, verbose=0)
    runtime = LiteRTModel(to_litert(model, ExportSettings()))
    for names in (("zeta", "alpha"), ("alpha", "zeta")):
        assert np.allclose(runtime.predict({name: x[name] for name in names}), expected, atol=1e-5)
    assert {info.name for info in runtime.inputs} == {"zeta", "alpha"}


def test_a_list_is_read_in_the_models_order_whatever_the_names(x: dict[str, np.ndarray]) -> None:
    model = two_inputs("a.b", "c d")
    values = [x["zeta"], x["alpha"]]
    content = to_litert(model, ExportSettings())
    assert np.allclose(LiteRTModel(content).predict(values), model.predict(values, verbose=0), atol=1e-5)


def test_calibration_data_is_read_by_name_too(x: dict[str, np.ndarray]) -> None:
    model = two_inputs()
    scaled = {"zeta": x["zeta"] * 3, "alpha": x["alpha"]}
    first = to_litert(model, ExportSettings(mode="int8"), scaled)
    other_order = to_litert(model, ExportSettings(mode="int8"), dict(reversed(scaled.items())))
    assert first == other_order
    assert first == to_litert(model, ExportSettings(mode="int8"), [scaled["zeta"], scaled["alpha"]])
    assert first != to_litert(model, ExportSettings(mode="int8"), [scaled["alpha"], scaled["zeta"]])


def test_conformance_gives_every_runtime_the_same_inputs(x: dict[str, np.ndarray]) -> None:
    model = two_inputs()
    content = to_litert(model, ExportSettings(mode="int8"), x)
    report = check_conformance(
        content,
        dict(reversed(x.items())),
        task="classification",
        keras_outputs=model.predict(x, verbose=0),
    )
    assert {name for pair in report.pairs for name in pair.runtimes} == {
        "Keras",
        "LiteRT reference",
        "XNNPACK",
        "TFLM",
    }
    assert all(pair.equal_decisions is not None and pair.equal_decisions >= 0.95 for pair in report.pairs)


def test_names_that_the_file_does_not_have_are_refused(x: dict[str, np.ndarray]) -> None:
    model = two_inputs()
    with pytest.raises(DataError, match="alpha"):
        LiteRTModel(to_litert(model, ExportSettings())).predict({"zeta": x["zeta"], "beta": x["alpha"]})
    with pytest.raises(DataError, match="does not name the model's inputs"):
        to_litert(model, ExportSettings(mode="int8"), {"zeta": x["zeta"], "beta": x["alpha"]})


def test_inputs_of_different_lengths_are_refused(x: dict[str, np.ndarray]) -> None:
    runtime = LiteRTModel(to_litert(two_inputs(), ExportSettings()))
    with pytest.raises(DataError, match="different numbers of examples"):
        runtime.predict([x["zeta"], x["alpha"][:5]])


def test_integers_are_real_numbers_unless_they_have_the_files_own_type() -> None:
    model = keras.Sequential([keras.Input((3,)), layers.Dense(2)])
    pixels = np.random.default_rng(1).integers(0, 256, (50, 3)).astype(np.uint8)
    runtime = LiteRTModel(to_litert(model, ExportSettings(mode="int8"), pixels))
    real = runtime.predict(pixels.astype("float32"))
    for kind in (np.uint8, np.int64, np.float64):
        assert np.array_equal(runtime.predict(pixels.astype(kind)), real)
    assert np.array_equal(runtime.predict(runtime.quantized_inputs(pixels)), real)


def test_numbers_that_an_integer_input_cannot_hold_are_refused() -> None:
    inputs = keras.Input((4,), dtype="int32")
    words = layers.GlobalAveragePooling1D()(layers.Embedding(9, 3)(inputs))
    runtime = LiteRTModel(to_litert(keras.Model(inputs, words), ExportSettings()))
    assert runtime.predict(np.array([[1, 2, 3, 4]], np.int64)).shape == (1, 3)
    for wrong in (np.array([[0.5, 1, 2, 3]]), np.array([[2**40, 1, 2, 3]])):
        with pytest.raises(DataError, match="not int32"):
            runtime.predict(wrong)


@pytest.mark.parametrize("wrong", [np.array([["a", "b", "c"]]), np.array([[None, 1, 2]]), 3.0])
def test_what_is_no_array_of_numbers_is_refused(wrong: object) -> None:
    runtime = LiteRTModel(to_litert(keras.Sequential([keras.Input((3,)), layers.Dense(2)]), ExportSettings()))
    with pytest.raises(DataError):
        runtime.predict(wrong)


def test_a_subclassed_model_and_an_unknown_format_get_an_error_of_ours() -> None:
    class Network(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.dense = layers.Dense(2)

        def call(self, x: object) -> object:
            return self.dense(x)

    model = Network()
    model(np.zeros((1, 3), "float32"))
    with pytest.raises(ModelError, match="no defined inputs"):
        to_litert(model, ExportSettings())
    with pytest.raises(UsageError, match="int4"):
        to_litert(two_inputs(), ExportSettings(mode="int4"))  # type: ignore[arg-type]


def test_agreement_on_several_labels_asks_for_all_of_them() -> None:
    model = keras.Sequential([keras.Input((3,)), layers.Dense(4, activation="sigmoid")])
    x = np.random.default_rng(2).normal(size=(60, 3)).astype("float32") * 3
    content = to_litert(model, ExportSettings())
    outputs = LiteRTModel(content).predict(x)
    outputs[:30, 1] = 1 - outputs[:30, 1]  # one of four labels decided otherwise, for half of the examples
    report = check_conformance(content, x, task="multilabel", keras_outputs=outputs)
    shares = {pair.runtimes: pair.equal_decisions for pair in report.pairs}
    assert shares["Keras", "XNNPACK"] == 0.5
    assert shares["LiteRT reference", "XNNPACK"] == 1.0


def test_logits_are_cut_at_zero_where_probabilities_are_cut_at_one_half() -> None:
    model = keras.Sequential([keras.Input((3,)), layers.Dense(1)])
    x = np.random.default_rng(2).normal(size=(60, 3)).astype("float32")
    content = to_litert(model, ExportSettings())
    logits = LiteRTModel(content).predict(x)
    moved = np.where((logits > 0) & (logits < 0.5), -logits, logits)  # yes becomes no for each that is barely yes
    changed = float(np.mean((logits > 0) & (logits < 0.5)))
    assert 0 < changed < 1
    for threshold, agree in ((0.0, 1 - changed), (0.5, 1.0)):
        report = check_conformance(content, x, task="binary", threshold=threshold, keras_outputs=moved)
        shares = {pair.runtimes: pair.equal_decisions for pair in report.pairs}
        assert shares["Keras", "XNNPACK"] == agree


def nameless_inputs() -> keras.Model:
    a, b = keras.Input((3,)), keras.Input((5,))
    return keras.Model([a, b], layers.Dense(1)(layers.Dense(30)(layers.Concatenate()([a, b]))))


@pytest.mark.parametrize("form", ["list", "by the layers' names"])
def test_inputs_that_were_given_no_name_are_called_as_their_layers(form: str, tmp_path: Path) -> None:
    """Keras calls their tensors otherwise until the model has been saved, and takes a dict by neither name."""
    model = nameless_inputs()
    names = [layer.name for layer in model.layers[:2]]
    generator = np.random.default_rng(0)
    arrays = [generator.normal(size=(60, size)).astype("float32") for size in (3, 5)]
    x = arrays if form == "list" else dict(zip(names, arrays, strict=True))
    result = penjing.compress(model, None, {"x": x, "y": arrays[0][:, 0]}, budget="drop=1", output=tmp_path / "run")
    bundle = penjing.load_bundle(result.bundle)
    expected = model.predict(arrays, verbose=0)
    assert [info.name for info in LiteRTModel((result.bundle / "model.tflite").read_bytes()).inputs] == names
    assert np.allclose(
        bundle.predict(dict(zip(names, arrays, strict=True))), expected, atol=0.1 * np.abs(expected).max()
    )


def test_a_list_of_rows_is_no_list_of_inputs() -> None:
    from penjing.runner.arrays import load_arrays

    rows = [np.ones(3, "float32") * number for number in range(20)]
    splits = load_arrays({"x": rows, "y": np.arange(20) / 7}, seed=0)
    assert isinstance(splits.train.x, np.ndarray) and splits.train.x.shape[1:] == (3,)


def test_an_input_of_whole_numbers_refuses_others_before_the_run(tmp_path: Path) -> None:
    inputs = keras.Input((6,), dtype="uint8", name="pixels")
    model = keras.Model(inputs, layers.Dense(2)(layers.Rescaling(1 / 255)(inputs)))
    x = np.random.default_rng(0).integers(0, 256, (40, 6))
    y = np.arange(40) % 2
    result = penjing.compress(model, None, {"x": x, "y": y}, budget="drop=1", output=tmp_path / "whole")
    expected = model.predict(x, verbose=0)
    answers = penjing.load_bundle(result.bundle).predict(x.astype("uint8"))
    assert np.allclose(answers, expected, atol=0.1 * np.abs(expected).max())
    for scaled, number in ((x / 255, "0."), (x * 2.0, "")):
        with pytest.raises(DataError, match="the model takes uint8, the data has " + number) as caught:
            penjing.compress(model, None, {"x": scaled, "y": y}, output=tmp_path / "scaled", overwrite=True)
        assert caught.value.where.startswith("input 'pixels', row ")
        assert not (tmp_path / "scaled/bundle").exists()
