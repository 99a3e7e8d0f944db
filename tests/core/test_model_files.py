"""A user's model opens: .keras, and .h5 of Keras 2, whose DepthwiseConv2D Keras 3 refuses as it stands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import penjing
from penjing.compression.losses import output_kind
from penjing.errors import DataError, ModelError
from penjing.runner.arrays import load_arrays
from penjing.runner.model_files import open_model, with_fixed_shapes
from penjing.runner.task_guess import guess_task

FILES = Path(__file__).parent / "files"


def test_a_keras_2_file_opens_and_answers_as_it_did_in_keras_2() -> None:
    with h5py.File(FILES / "keras2_depthwise.h5") as file:
        assert '"groups": 1' in file.attrs["model_config"]
    model = open_model(FILES / "keras2_depthwise.h5")
    with np.load(FILES / "keras2_depthwise.npz") as recorded:
        assert np.allclose(model.predict(recorded["x"], verbose=0), recorded["y"], atol=1e-6)


def test_a_keras_2_file_is_compressed_from_the_command_line(run_penjing, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    x = generator.normal(size=(120, 6, 6, 2)).astype("float32")
    np.savez(tmp_path / "d.npz", x=x, y=generator.integers(0, 3, 120))
    done = run_penjing(
        "compress", FILES / "keras2_depthwise.h5", "--data", tmp_path / "d.npz", "--output", tmp_path / "run",
        "--quiet",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run/bundle/model.tflite").is_file()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.keras", None, "there is no such file"),
        ("broken.keras", b"not a zip", "the model cannot be opened"),
        ("broken.h5", b"not hdf5", "the model cannot be opened"),
        ("model.pt", b"", "no kind of model file"),
    ],
)
def test_what_is_no_model_is_refused(tmp_path: Path, name: str, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelError, match=message) as caught:
        open_model(tmp_path / name)
    assert caught.value.where == str(tmp_path / name)


def test_weights_without_a_model_are_said_to_be_that(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "weights.h5", "w") as file:
        file["layer"] = np.zeros(3)
    with pytest.raises(ModelError, match="weights without a model"):
        open_model(tmp_path / "weights.h5")


def test_a_model_with_two_outputs_gets_a_way_out(tmp_path: Path) -> None:
    import keras

    inputs = keras.Input((4,))
    model = keras.Model(inputs, [keras.layers.Dense(2)(inputs), keras.layers.Dense(3)(inputs)])
    with pytest.raises(ModelError, match="2 outputs") as caught:
        penjing.compress(model, data={"x": np.zeros((50, 4)), "y": np.arange(50) % 2}, output=tmp_path / "run")
    assert "keras.Model(" in (caught.value.hint or "")


def test_what_cannot_be_looked_into_is_refused_with_a_way_out(tmp_path: Path) -> None:
    import keras

    class Subclassed(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.dense = keras.layers.Dense(2)

        def call(self, x):
            return self.dense(x)

    data = {"x": np.zeros((50, 4)), "y": np.arange(50) % 2}
    for model, message in (
        (Subclassed(), "has no symbolic inputs"),
        (keras.Sequential([keras.layers.Dense(2)]), "has no symbolic inputs"),
        (np.zeros(3), "no Keras model but a numpy.ndarray"),
    ):
        with pytest.raises(ModelError, match=message):
            penjing.compress(model, data=data, output=tmp_path / "run")


def test_a_file_of_a_model_that_is_not_built_is_refused_with_a_way_out(tmp_path: Path) -> None:
    import keras

    keras.Sequential([keras.layers.Dense(2)]).save(tmp_path / "model.keras")
    with pytest.raises(ModelError, match="has no symbolic inputs") as caught:
        open_model(tmp_path / "model.keras")
    assert "keras.Input" in (caught.value.hint or "")


def test_explain_refuses_weights_that_are_not_finite(run_penjing, tmp_path: Path) -> None:
    import keras

    model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3, name="stem"), keras.layers.Flatten()])
    kernel = model.get_layer("stem").kernel
    values = np.array(kernel)
    values[0, 0, 0, 0] = np.nan
    kernel.assign(values)
    model.save(tmp_path / "model.keras")
    done = run_penjing("explain", tmp_path / "model.keras", "--recipe", "smallest")
    assert done.returncode == 2, done.stderr
    assert "1 of 108 weights are NaN or infinite" in done.stderr and "layer 'stem'" in done.stderr


def test_a_lambda_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    import keras

    inputs = keras.Input((4,))
    doubled = keras.layers.Lambda(lambda x: 2.0 * x, name="doubled")(inputs)
    model = keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(doubled))
    with pytest.raises(ModelError, match="layer 'doubled'") as caught:
        penjing.compress(model, data={"x": np.zeros((50, 4)), "y": np.arange(50) % 2}, output=tmp_path / "run")
    assert "keras.ops" in (caught.value.hint or "")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("policy", ["mixed_float16", "float16", "mixed_bfloat16", "float64"])
def test_a_model_in_half_or_double_precision_is_taken_over_in_float32(policy: str) -> None:
    import keras

    from penjing.contract import ExportSettings
    from penjing.export.litert import to_litert
    from penjing.runner.precision import in_float32
    from penjing.runtime import LiteRTModel

    layers = keras.layers
    keras.utils.set_random_seed(1)
    kept = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        inner = keras.Sequential(
            [keras.Input((6, 6, 3)), layers.Conv2D(4, 3, activation="relu"), layers.BatchNormalization()], name="inner"
        )
        inputs = keras.Input((6, 8))
        x = layers.Add()([layers.MultiHeadAttention(2, 4)(inputs, inputs), inputs])
        x = layers.Bidirectional(layers.LSTM(54, return_sequences=False))(x)
        x = layers.Flatten()(inner(layers.Reshape((6, 6, 3))(x)))
        model = keras.Model(inputs, layers.Dense(3, activation="softmax", dtype="float32")(x))
    finally:
        keras.config.set_dtype_policy(kept)
    made, names = in_float32(model)
    assert len(names) >= 7
    assert {layer.dtype_policy.name for layer in made._flatten_layers()} == {"float32"}
    assert all(str(weight.dtype) == "float32" for weight in made.weights if "seed" not in weight.path)
    x = np.random.default_rng(0).normal(size=(20, 6, 8)).astype("float32")
    assert np.abs(made.predict(x, verbose=0) - model.predict(x, verbose=0)).max() < 0.02
    written = LiteRTModel(to_litert(made, ExportSettings())).predict(x)
    assert np.abs(written - made.predict(x, verbose=0)).max() < 1e-4
    assert in_float32(made) == (made, ())


def test_a_model_that_cannot_run_here_is_refused_in_a_sentence(tmp_path: Path) -> None:
    """TensorFlow has no convolution with channels first on a CPU."""
    import keras

    layers = keras.layers
    generator = np.random.default_rng(0)
    data = {"x": generator.normal(size=(60, 3, 9, 9)).astype("float32"), "y": generator.integers(0, 2, 60)}
    first = {"data_format": "channels_first"}
    head = [layers.GlobalAveragePooling2D(**first), layers.Dense(2, activation="softmax")]
    model = keras.Sequential([keras.Input((3, 9, 9)), layers.Conv2D(8, 3, activation="relu", **first), *head])
    for recipe in ("default", "lossless"):
        with pytest.raises(ModelError, match="cannot answer the data") as caught:
            penjing.compress(model, recipe, data, output=tmp_path / recipe)
        assert "channels_last" in str(caught.value) and len(str(caught.value)) < 500
        assert "only supports the NHWC tensor format" in (caught.value.why or "")
        assert not (tmp_path / recipe / "reference").exists()


def test_a_model_of_its_own_class_in_half_precision_is_refused() -> None:
    import keras

    from penjing.runner.precision import in_float32

    class Own(keras.Model):
        def __init__(self) -> None:
            super().__init__(name="own")
            self.dense = keras.layers.Dense(2, dtype="mixed_float16", name="dense")

        def call(self, x):
            return self.dense(x)

    inputs = keras.Input((4,))
    with pytest.raises(ModelError, match="layer 'dense'") as caught:
        in_float32(keras.Model(inputs, Own()(inputs)))
    assert "mixed_float16" in str(caught.value)


@pytest.mark.parametrize(("activation", "kind"), [("softmax", "softmax"), ("sigmoid", "sigmoid"), (None, "linear")])
def test_what_a_model_of_its_own_class_emits_is_seen_in_its_values(activation: str | None, kind: str) -> None:
    import keras

    from penjing.compression.losses import output_kind

    class Own(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.dense = keras.layers.Dense(3, activation=activation)

        def call(self, x):
            return self.dense(x)

    inputs = keras.Input((4,))
    assert output_kind(keras.Model(inputs, Own()(inputs))) == kind


def test_afterwards_the_callers_process_is_as_it_was(toy_model: Path, toy_data: Path, tmp_path: Path) -> None:
    """Its model has the weights that it had, and random numbers need no seed."""
    import keras
    from tensorflow.python.framework import config

    model = keras.models.load_model(toy_model)
    before = model.get_weights()
    recipe = penjing.Recipe.from_toml('[[steps]]\ntechnique = "finetune"\nepochs = 1\n')
    penjing.compress(model, recipe=recipe, data=toy_data, output=tmp_path / "run")
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
    assert not config.is_op_determinism_enabled()  # else a random operation without a seed would be an error


# --------------------------------------------------------------------------------------------------------- arrays


def test_x_and_y_are_split_by_seed_each_class_alike() -> None:
    data = {"x": np.arange(1000.0)[:, None], "y": np.repeat([0, 1], [900, 100])}
    first, again, other = (load_arrays(data, seed=seed) for seed in (1, 1, 2))
    assert [len(split) for split in (first.train, first.validation, first.test)] == [700, 150, 150]
    assert first.test.y.sum() == 15
    assert first.test.ids == again.test.ids != other.test.ids
    everything = [*first.train.ids, *first.validation.ids, *first.test.ids]
    assert len(set(everything)) == 1000
    assert first.sha256 == other.sha256


def test_pickled_objects_are_never_opened(tmp_path: Path) -> None:
    path = tmp_path / "pickled.npz"
    np.savez(path, x=np.array([{"a": 1}], dtype=object), y=np.zeros(1))
    with pytest.raises(DataError, match="pickled Python objects"):
        load_arrays(path, seed=0)


@pytest.mark.parametrize(
    ("content", "message"), [(None, "no such file"), (b"text", "no .npz archive"), (b"PK\x03\x04", "no .npz archive")]
)
def test_what_is_no_archive_is_refused(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "data.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        load_arrays(path, seed=0)


@pytest.mark.parametrize(
    ("y", "shape", "kind", "task"),
    [
        (np.arange(90) % 3, (3,), "softmax", "classification"),
        (np.arange(90)[:, None] % 3, (3,), "linear", "classification"),
        (np.arange(90.0) % 3, (3,), "softmax", "classification"),
        (np.arange(90) % 2, (1,), "sigmoid", "binary"),
        (np.arange(90) % 2 > 0, (1,), "linear", "binary"),
        (np.arange(90.0) % 2, (1,), "sigmoid", "binary"),
        (np.arange(90.0) % 2, (1,), "linear", "regression"),
        (np.arange(90), (1,), "linear", "regression"),
        (np.eye(3)[np.arange(90) % 3], (3,), "softmax", "classification"),
        (np.ones((90, 3)), (3,), "linear", "multilabel"),
        (np.linspace(0, 1, 90), (1,), "linear", "regression"),
        (np.zeros((90, 4, 5), int), (4, 5, 3), "linear", "classification"),
        (np.zeros((90, 4, 5, 1), int), (4, 5, 3), "softmax", "classification"),
        (np.eye(3)[np.zeros((90, 4, 5), int)], (4, 5, 3), "softmax", "classification"),
        (np.zeros((90, 4, 5), bool), (4, 5, 1), "linear", "multilabel"),
        (np.zeros((90, 4, 5, 1)), (4, 5, 1), "sigmoid", "multilabel"),
        (np.full((90, 4, 5, 1), 0.3), (4, 5, 1), "sigmoid", "regression"),
        (np.zeros((90, 7)), (None, 1), "linear", "regression"),
    ],
)
def test_the_task_is_read_off_the_targets(y: np.ndarray, shape: tuple, kind: str, task: str) -> None:
    assert guess_task(y, shape, kind) == task


@pytest.mark.parametrize(
    ("y", "shape"),
    [(np.linspace(0, 1, 90), (3,)), (np.zeros((90, 4)), (3,)), (np.zeros((90, 5, 4), int), (4, 5, 3))],
)
def test_targets_that_fit_no_task_are_refused_with_both_shapes(y: np.ndarray, shape: tuple) -> None:
    with pytest.raises(DataError, match="do not fit outputs of shape"):
        guess_task(y, shape, "softmax")


def test_targets_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(DataError, match="type <U"):
        guess_task(np.array(["cat", "dog"]), (2,), "softmax")


def test_each_of_several_inputs_has_a_key_of_its_own(tmp_path: Path) -> None:
    arrays = {"x.image": np.arange(40.0).reshape(20, 2), "x.age": np.arange(20), "y": np.arange(20) % 2}
    np.savez(tmp_path / "data.npz", **arrays)
    splits = load_arrays(tmp_path / "data.npz", seed=0)
    assert set(splits.train.x) == {"image", "age"}
    for part in (splits.train, splits.validation, splits.test):
        assert np.array_equal(part.x["image"][:, 0], 2 * part.x["age"])
        assert np.array_equal(part.x["age"] % 2, part.y)
    nested = load_arrays({"x": {"image": arrays["x.image"], "age": arrays["x.age"]}, "y": arrays["y"]}, seed=0)
    assert nested.sha256 == splits.sha256
    assert np.array_equal(nested.test.x["image"], splits.test.x["image"])


def _ending(end: str) -> Any:
    import keras

    layers, ops = keras.layers, keras.ops
    inputs = keras.Input((4,))
    return keras.Model(
        inputs,
        {
            "operation": lambda x: ops.softmax(layers.Dense(3)(x)),
            "sigmoid operation": lambda x: ops.sigmoid(layers.Dense(1)(x)),
            "layer as activation": lambda x: layers.Dense(3, activation=layers.Softmax())(x),
            "flattened": lambda x: layers.Flatten()(layers.Dense(3, activation="softmax")(layers.Reshape((1, 4))(x))),
            "squeezed": lambda x: ops.squeeze(layers.Dense(1, activation="sigmoid")(layers.Reshape((1, 4))(x)), 1),
            "cast": lambda x: layers.Activation("linear")(layers.Softmax()(layers.Dense(3)(x))),
            "mixed up": lambda x: layers.Flatten()(layers.Dense(2, activation="softmax")(layers.Reshape((2, 2))(x))),
            "logits": lambda x: layers.Flatten()(layers.Dense(3)(layers.Softmax()(x))),
        }[end](inputs),
    )


@pytest.mark.parametrize(
    ("end", "kind"),
    [
        ("operation", "softmax"),
        ("sigmoid operation", "sigmoid"),
        ("layer as activation", "softmax"),
        ("flattened", "softmax"),
        ("squeezed", "sigmoid"),
        ("cast", "softmax"),
        ("mixed up", "linear"),
        ("logits", "linear"),
    ],
)
def test_probabilities_are_known_however_a_model_ends(end: str, kind: str) -> None:
    """Taken for logits, they were trained against the wrong loss, without a word."""
    assert output_kind(_ending(end)) == kind


def test_open_sizes_are_those_of_the_data(tmp_path: Path) -> None:
    import keras

    layers = keras.layers
    inputs = keras.Input((None, None, 1), name="image")
    hidden = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3, padding="same", activation="relu")(inputs))
    model = keras.Model(inputs, layers.Dense(2, activation="softmax")(hidden))
    sequence = keras.Sequential([keras.Input((None, 3)), layers.LSTM(4), layers.Dense(2)])
    generator = np.random.default_rng(0)
    x = {"images": generator.normal(size=(60, 8, 6, 1)), "steps": generator.normal(size=(60, 5, 3))}
    x = {name: values.astype("float32") for name, values in x.items()}
    for each, values in ((model, x["images"]), (sequence, x["steps"])):
        fixed = with_fixed_shapes(each, values)
        assert fixed.inputs[0].shape == (None, *values.shape[1:])
        assert [layer.name for layer in fixed.layers] == [layer.name for layer in each.layers]
        assert np.allclose(fixed.predict(values, verbose=0), each.predict(values, verbose=0), atol=1e-6)
        assert with_fixed_shapes(fixed, values) is fixed
    assert with_fixed_shapes(model, x["steps"]) is model  # refused later, with both shapes
    result = penjing.compress(
        model,
        recipe=penjing.Recipe.from_toml('[[steps]]\ntechnique = "finetune"\nepochs = 1\n'),
        data={"x": x["images"], "y": np.arange(60) % 2},
        output=tmp_path / "run",
    )
    assert penjing.load_bundle(result.bundle).predict(x["images"][:3]).shape == (3, 2)


@pytest.mark.parametrize("key", ["y.image", "labels.image", "x.", "z.image"])
def test_only_inputs_have_names_behind_a_dot(key: str) -> None:
    with pytest.raises(DataError, match="unknown key"):
        load_arrays({"x": np.zeros((9, 1)), "y": np.zeros(9), key: np.zeros(9)}, seed=0)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.array(["good", "bad"] * 9), "'x' holds text instead of numbers"),
        (np.zeros(18, [("image", "f4"), ("age", "f4")]), "'x' holds records instead of numbers"),
    ],
)
def test_inputs_that_are_no_numbers_are_refused_with_a_way_out(values: np.ndarray, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        load_arrays({"x": values, "y": np.arange(18) % 2}, seed=0)
    assert caught.value.hint


def test_numbers_of_items_that_float32_cannot_tell_apart_stay_whole() -> None:
    big = np.array([2**24, 2**24 + 1] * 9)
    assert load_arrays({"x": big, "y": np.arange(18) % 2}, seed=0).train.x.dtype == np.int32


def test_a_regression_is_compressed_and_judged_by_its_error(tmp_path: Path) -> None:
    import keras

    generator = np.random.default_rng(0)
    x = generator.normal(size=(300, 12)).astype("float32")
    y = x @ generator.normal(size=(12, 1)).astype("float32")
    layers = keras.layers
    model = keras.Sequential(
        [keras.Input((12,)), layers.Dense(96, activation="relu"), layers.Dense(64), layers.Dense(1)]
    )
    model.compile("adam", "mse")
    model.fit(x, y, epochs=15, verbose=0)
    result = penjing.compress(model, data={"x": x, "y": y}, budget="drop=10", output=tmp_path / "run")
    assert result.metrics["primary_metric"] == "mean_absolute_error"
    assert result.metrics["directions"] == {"mean_absolute_error": "lower"}
    difference = result.metrics["difference"]["mean_absolute_error"]
    (line,) = result.metrics["budget"]
    assert line["measured"] == pytest.approx(difference["estimate"])  # more error is a loss
    assert all(pair["equal_decisions"] is None for pair in result.metrics["conformance"]["pairs"])


def test_a_metric_of_the_callers_own_and_one_that_is_mistyped(toy_model: Path, toy_data: Path, tmp_path: Path) -> None:
    def errors(targets, outputs) -> float:
        return float((outputs.argmax(axis=1) != targets).sum())

    result = penjing.compress(toy_model, data=toy_data, metric=errors, higher_is_better=False, output=tmp_path / "run")
    assert result.metrics["primary_metric"] == "errors"
    assert "flash" in result._repr_html_()
    with pytest.raises(penjing.errors.UsageError, match="did you mean 'accuracy'"):
        penjing.compress(toy_model, data=toy_data, metric="acuracy", output=tmp_path / "other")


def test_the_accuracy_of_a_model_that_gives_logits_is_that_of_their_sign(tmp_path: Path) -> None:
    import keras

    x = np.linspace(-1, 1, 60, dtype=np.float32)[:, None]
    y = (x[:, 0] > 0).astype(np.int64)
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.set_weights([np.array([[0.4]], np.float32), np.zeros(1, np.float32)])  # no logit reaches 0.5
    arrays = {"x": x, "y": y}
    (tmp_path / "lossless.toml").write_text('name = "lossless"\n[[steps]]\ntechnique = "remove-dead"\n')
    result = penjing.compress(model, data=arrays, recipe=tmp_path / "lossless.toml", output=tmp_path / "run")
    assert result.metrics["reference"]["metrics"]["accuracy"] == 1.0
    assert result.metrics["compressed"]["metrics"]["accuracy"] == 1.0
    assert penjing.load_bundle(result.bundle).manifest.decision_threshold == 0.0
