"""What `quantize` promises about a file is found in the file: types, bits, float layers, and that it runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penjing.compression.quantization.layer_plan import plan_layers
from penjing.compression.quantization.post_training import is_layered
from penjing.compression.settings.quantization import QuantizeSettings
from penjing.contract import ExportSettings
from penjing.errors import DataError, ModelError
from penjing.export.litert import to_litert
from penjing.export.packing import packed
from penjing.measure.file_graph import FileGraph, Operator, Tensor
from penjing.runtime import LiteRTModel

KERNELS = ("reference", "xnnpack")
WITH_WEIGHTS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")


_files: dict[tuple, tuple] = {}


def written(model: keras.Model, x, **settings) -> bytes:
    """The file that `quantize` with these settings decides."""
    chosen = QuantizeSettings(**settings)
    plan = plan_layers(model, chosen)
    layers = {path: entry.precision for path, entry in plan.items()} if is_layered(chosen) else {}
    key = (id(model), id(x), chosen.model_dump_json())
    if key in _files:
        return _files[key][0]
    export = ExportSettings(
        mode=chosen.mode,
        calibration=chosen.calibration,
        percentile=chosen.percentile,
        layers=layers,
        compact_biases=chosen.compact_biases,
    )
    _files[key] = (to_litert(model, export, x), model, x)  # kept, so that no other object gets their ids
    return _files[key][0]


def kernel_operators(content: bytes) -> list[tuple[Operator, Sequence[Tensor]]]:
    """Operators with weights, each with all tensors of the file; weights behind a DEQUANTIZE stand in its place."""
    graph = FileGraph.from_bytes(content).main
    return [(operator, graph.tensors) for operator in graph.operators if operator.name in WITH_WEIGHTS]


def weight_types(content: bytes) -> list[str]:
    """Type of the weights in the file, by operator."""
    graph = FileGraph.from_bytes(content).main
    behind = {op.outputs[0]: op.inputs[0] for op in graph.operators if op.name == "DEQUANTIZE"}
    return [tensors[behind.get(op.inputs[1], op.inputs[1])].dtype for op, tensors in kernel_operators(content)]


def activation_types(content: bytes) -> list[str]:
    return [tensors[op.outputs[0]].dtype for op, tensors in kernel_operators(content)]


def distance(content: bytes, model: keras.Model, x: np.ndarray, kernels: str = "reference") -> float:
    """Largest difference from Keras."""
    return float(np.abs(LiteRTModel(content, kernels=kernels).predict(x) - model.predict(x, verbose=0)).max())


@pytest.fixture(scope="module")
def model(toy_model: Path) -> keras.Model:
    """stem (Conv2D, BatchNormalization, ReLU), depthwise, hidden (Dense), quarter (Dense, softmax)."""
    return keras.models.load_model(toy_model, compile=False)


@pytest.fixture(scope="module")
def x(toy_arrays: dict[str, np.ndarray]) -> np.ndarray:
    return toy_arrays["x"][400:500]


@pytest.mark.parametrize(
    ("mode", "weights", "activations", "tolerance"),
    [
        ("int8", "int8", "int8", 0.15),
        ("int16x8", "int8", "int16", 0.05),
        ("dynamic", "int8", "float32", 0.1),
        ("weight-only-int8", "int8", "float32", 0.05),
        ("weight-only-int4", "int4", "float32", 0.5),
        ("float16", "float16", "float32", 5e-3),
    ],
)
def test_each_mode_writes_the_types_it_promises_and_every_kernel_runs_them(
    model: keras.Model, x: np.ndarray, mode: str, weights: str, activations: str, tolerance: float
) -> None:
    content = written(model, x, mode=mode)
    large = [
        type_
        for (op, tensors), type_ in zip(kernel_operators(content), weight_types(content), strict=True)
        if np.prod(tensors[op.inputs[1]].shape) > 1000
    ]
    assert large == [weights]
    assert activation_types(content) == [activations] * 4
    assert distance(content, model, x) <= tolerance
    assert distance(content, model, x, "xnnpack") <= tolerance


def test_integer_modes_leave_no_weight_in_float(model: keras.Model, x: np.ndarray) -> None:
    for mode in ("int8", "int16x8"):
        assert set(weight_types(written(model, x, mode=mode))) == {"int8"}


def test_int16_activations_come_nearer_to_float_than_int8(model: keras.Model, x: np.ndarray) -> None:
    assert distance(written(model, x, mode="int16x8"), model, x) < distance(written(model, x), model, x)


def test_int16_activations_have_no_zero_point_and_biases_of_64_bits(model: keras.Model, x: np.ndarray) -> None:
    content = written(model, x, mode="int16x8")
    tensors = FileGraph.from_bytes(content).main.tensors
    assert {t.zero_points for t in tensors if t.dtype == "int16"} == {(0,)}
    assert [tensors[op.inputs[2]].dtype for op, _ in kernel_operators(content)] == ["int64"] * 4


@pytest.mark.parametrize("mode", ["int8", "int16x8", "dynamic", "weight-only-int8", "float16"])
def test_an_ignored_layer_is_float_in_the_file_and_the_others_are_not(
    model: keras.Model, x: np.ndarray, mode: str
) -> None:
    hidden = 2
    content = written(model, x, mode=mode, layers={"hid*": "float"})
    operator, tensors = kernel_operators(content)[hidden]
    assert tensors[operator.inputs[1]].dtype == tensors[operator.outputs[0]].dtype == "float32"
    assert tensors[operator.inputs[1]].is_constant
    kernel = np.asarray(model.get_layer("hidden").kernel)
    assert np.array_equal(tensors[operator.inputs[1]].values, kernel.T)  # to the bit
    if mode in ("int8", "int16x8"):
        assert [types == "int8" for types in weight_types(content)] == [True, True, False, True]
    assert distance(content, model, x) <= 0.15
    assert distance(content, model, x, "xnnpack") <= 0.15


def test_every_layer_ignored_gives_the_float_network(model: keras.Model, x: np.ndarray) -> None:
    content = written(model, x, layers={"*": "float"})
    assert set(FileGraph.from_bytes(content).operator_counts()) == set(
        FileGraph.from_bytes(to_litert(model, ExportSettings())).operator_counts()
    )
    assert distance(content, model, x) < 1e-6


@pytest.mark.parametrize("places", [("float", "int16x8"), ("int16x8", "float"), ("int16x8", "int16x8")])
def test_precisions_meet_anywhere_in_the_network(model: keras.Model, x: np.ndarray, places: tuple[str, str]) -> None:
    stem, hidden = places
    content = written(model, x, layers={"stem": stem, "hidden": hidden})
    expected = {"float": ("float32", "float32"), "int8": ("int8", "int8"), "int16x8": ("int8", "int16")}
    found = list(zip(weight_types(content), activation_types(content), strict=True))
    assert found == [expected[stem], expected["int8"], expected[hidden], expected["int8"]]
    for kernels in KERNELS:
        assert distance(content, model, x[:30], kernels) <= 0.15


def test_an_end_of_the_network_in_float_has_float_inputs_or_outputs(model: keras.Model, x: np.ndarray) -> None:
    runtime = LiteRTModel(written(model, x, layers={"quarter": "float"}))
    assert (runtime.inputs[0].dtype, runtime.outputs[0].dtype) == ("int8", "float32")
    runtime = LiteRTModel(written(model, x, layers={"stem": "float"}))
    assert (runtime.inputs[0].dtype, runtime.outputs[0].dtype) == ("float32", "int8")


def test_the_first_pattern_that_fits_decides(model: keras.Model) -> None:
    plan = plan_layers(model, QuantizeSettings(layers={"hid*": "float", "*": "int16x8"}))
    assert [plan[name].precision for name in ("stem", "hidden", "quarter")] == ["int16x8", "float", "int16x8"]


@pytest.mark.parametrize(
    ("mode", "name"),
    [*(("int8", name) for name in ("stem", "depthwise", "hidden")), ("int16x8", "stem"), ("int16x8", "hidden")],
)
def test_weights_of_4_bits_stand_in_an_integer_layer(model: keras.Model, x: np.ndarray, mode: str, name: str) -> None:
    place = ["stem", "depthwise", "hidden"].index(name)
    content = written(model, x, mode=mode, layers={name: "int4"})
    assert activation_types(content) == [mode.removesuffix("x8")] * 4
    types = ["int8"] * 4
    types[place] = "int4"
    assert weight_types(content) == types
    operator, tensors = kernel_operators(content)[place]
    weights = tensors[operator.inputs[1]]
    assert len(weights.data) == -(-int(np.prod(weights.shape)) // 2)
    assert np.abs(weights.values).max() == 7
    # The bias counts in steps of input times weights.
    bias, scale = tensors[operator.inputs[2]], tensors[operator.inputs[0]].scales[0]
    assert bias.dtype == {"int8": "int32", "int16x8": "int64"}[mode]
    assert np.allclose(bias.scales, np.array(weights.scales) * scale, rtol=1e-6)
    for kernels in KERNELS:
        outputs = LiteRTModel(content, kernels=kernels).predict(x)
        assert np.mean(outputs.argmax(1) == model.predict(x, verbose=0).argmax(1)) > 0.9


def test_weight_only_int4_halves_the_bytes_of_the_weights(model: keras.Model, x: np.ndarray) -> None:
    def bytes_of_weights(mode: str) -> int:
        constants = FileGraph.from_bytes(written(model, x, mode=mode)).constants()
        return sum(len(t.data) for t in constants if t.dtype == ("int8" if mode[-1] == "8" else "int4"))

    assert bytes_of_weights("weight-only-int4") * 2 == bytes_of_weights("weight-only-int8") > 7000


def test_weights_too_few_to_pay_for_their_scales_stay_float() -> None:
    for inputs, units in ((4, 3), (2, 64), (8, 8)):
        small = keras.Sequential([keras.Input((inputs,)), keras.layers.Dense(units)])
        plain = to_litert(small, ExportSettings())
        assert len(written(small, None, mode="weight-only-int8")) <= len(plain)
    small = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    assert weight_types(written(small, None, mode="weight-only-int8")) == ["float32"]


def test_a_dense_layers_weight_only_values_are_the_nearest_of_16_steps(model: keras.Model) -> None:
    content = written(model, None, mode="weight-only-int4")
    (weights,) = [t for t in FileGraph.from_bytes(content).constants() if t.shape == (40, 192)]
    assert weights.dtype == "int4"
    kernel = np.asarray(model.get_layer("hidden").kernel).T
    steps = np.array(weights.scales)[:, None]
    assert np.array_equal(weights.scales, (np.abs(kernel).max(1) / np.float32(7)))
    assert np.all(np.abs(weights.values * steps - kernel) <= steps * 0.5001)


@given(st.lists(st.integers(-8, 7), min_size=1, max_size=33))
@settings(max_examples=50)
def test_packed_nibbles_are_read_back(values: list[int]) -> None:
    content = packed(np.array(values, np.int8))
    assert len(content) == (len(values) + 1) // 2
    tensor = Tensor(index=0, shape=(len(values),), dtype="int4", data=content, scales=(1.0,), zero_points=(0,))
    assert tensor.values.tolist() == values


def test_compact_biases_are_smaller_and_equal_on_reference_kernels_and_tflm(model: keras.Model, x: np.ndarray) -> None:
    plain, compact = written(model, x), written(model, x, compact_biases=True)
    assert len(compact) < len(plain)
    _, tensors = kernel_operators(compact)[0]
    assert all(tensors[op.inputs[2]].scales == () for op, _ in kernel_operators(compact))
    first, second = (LiteRTModel(content, kernels="reference").predict_raw(x) for content in (plain, compact))
    assert np.array_equal(first, second)
    tflm = pytest.importorskip("tflite_micro")
    interpreter = tflm.runtime.Interpreter.from_bytes(compact, arena_size=100_000)
    inputs = LiteRTModel(compact).quantized_inputs(x)[0]
    for example in range(20):
        interpreter.set_input(inputs[example : example + 1], 0)
        interpreter.invoke()
        assert np.array_equal(interpreter.get_output(0)[0], first[example])


@pytest.mark.parametrize("mode", ["int8", "int16x8"])
def test_tflm_runs_our_files_and_agrees_with_the_reference_kernels(
    model: keras.Model, x: np.ndarray, mode: str
) -> None:
    tflm = pytest.importorskip("tflite_micro")
    content = written(model, x, mode=mode, calibration="mse")
    interpreter = tflm.runtime.Interpreter.from_bytes(content, arena_size=100_000)
    runtime = LiteRTModel(content, kernels="reference")
    expected, inputs = runtime.predict_raw(x[:10]), runtime.quantized_inputs(x[:10])[0]
    for example in range(10):
        interpreter.set_input(inputs[example : example + 1], 0)
        interpreter.invoke()
        assert np.abs(interpreter.get_output(0)[0].astype(int) - expected[example].astype(int)).max() <= 1


@pytest.mark.parametrize(
    ("mode", "kind"),
    [(mode, "Bidirectional") for mode in ("int16x8", "dynamic", "weight-only-int8")]
    + [("int16x8", "GRU"), ("int16x8", "SimpleRNN")],
)
def test_recurrent_layers_work_in_every_mode(mode: str, kind: str) -> None:
    layers = keras.layers
    layer = layers.Bidirectional(layers.LSTM(12)) if kind == "Bidirectional" else getattr(layers, kind)(16, name="rec")
    model = keras.Sequential([keras.Input((4, 24)), layer, layers.Dense(2, name="head")])
    x = np.random.default_rng(0).normal(size=(30, 4, 24)).astype("float32")
    content = written(model, x, mode=mode)
    assert distance(content, model, x) < 0.05 * max(1, np.ptp(model.predict(x, verbose=0)))


def test_a_recurrent_layer_can_be_left_in_float_and_the_head_be_integers() -> None:
    model = keras.Sequential(
        [keras.Input((5, 4)), keras.layers.LSTM(6, name="rec"), keras.layers.Dense(2, name="head")]
    )
    x = np.random.default_rng(0).normal(size=(40, 5, 4)).astype("float32")
    content = written(model, x, layers={"rec": "float"})
    assert set(weight_types(content)[:-1]) == {"float32"}
    assert weight_types(content)[-1] == "int8"
    assert distance(content, model, x) < 0.02


def test_layers_of_nested_models_and_wrappers_are_found() -> None:
    layers = keras.layers
    inner = keras.Sequential([keras.Input((6, 8)), layers.TimeDistributed(layers.Dense(10, name="each"), name="time")])
    inputs = keras.Input((6, 8))
    hidden = layers.Flatten()(layers.Conv1D(7, 3, name="dense")(inner(inputs)))
    model = keras.Model(inputs, layers.Dense(3, name="dense_1")(hidden))  # named as TensorFlow would number "dense"
    x = np.random.default_rng(0).normal(size=(30, 6, 8)).astype("float32")
    for pattern, float_one in (("*/time/each", 0), ("dense", 1), ("dense_1", 2)):
        content = written(model, x, layers={pattern: "float"})
        of_layers = [tensors[op.inputs[1]] for op, tensors in kernel_operators(content)]
        found = {tensor.shape[0]: tensor.dtype for tensor in of_layers}  # by units: 10, 7, 3
        assert [found[units] == "float32" for units in (10, 7, 3)] == [number == float_one for number in range(3)]
        assert distance(content, model, x) < 0.1


def test_names_of_layers_are_as_before(model: keras.Model, x: np.ndarray) -> None:
    before = [layer.name for layer in model.layers]
    written(model, x, layers={"hidden": "float"})
    assert [layer.name for layer in model.layers] == before


def test_several_inputs_each_get_the_range_of_their_own_data() -> None:
    first, second = keras.Input((3,), name="zz"), keras.Input((3,), name="aa")
    layers = keras.layers
    model = keras.Model([first, second], layers.Concatenate()([layers.Dense(4)(first), layers.Dense(3)(second)]))
    generator = np.random.default_rng(1)
    x = {"zz": generator.uniform(-1, 1, (50, 3)), "aa": generator.uniform(-100, 100, (50, 3))}
    x = {name: values.astype("float32") for name, values in x.items()}
    content = written(model, x, mode="int16x8")
    scales = {info.name: info.scale for info in LiteRTModel(content).inputs}
    assert scales["zz"] == pytest.approx(np.abs(x["zz"]).max() / 32767, rel=1e-3)
    assert scales["aa"] == pytest.approx(np.abs(x["aa"]).max() / 32767, rel=1e-3)


def test_numbers_of_words_stay_integers_with_ranges_of_our_own() -> None:
    layers = keras.layers
    inputs = keras.Input((7,), dtype="int32")
    model = keras.Model(inputs, layers.Dense(2)(layers.GlobalAveragePooling1D()(layers.Embedding(40, 8)(inputs))))
    x = np.random.default_rng(0).integers(0, 40, (50, 7))
    content = written(model, x, calibration="mse")
    assert LiteRTModel(content).inputs[0].dtype == "int32"
    assert np.abs(LiteRTModel(content).predict(x) - model.predict(x, verbose=0)).max() < 0.01


@pytest.mark.parametrize("mode", ["dynamic", "weight-only-int8", "weight-only-int4", "int16x8", "int8"])
def test_a_table_of_embeddings_becomes_small_too(mode: str) -> None:
    layers = keras.layers
    inputs = keras.Input((7,), dtype="int32")
    hidden = layers.Flatten()(layers.Embedding(500, 16, name="table")(inputs))
    model = keras.Model(inputs, layers.Dense(2, name="head")(hidden))
    x = np.random.default_rng(0).integers(0, 500, (30, 7))
    content = written(model, x, mode=mode, layers={"head": "float"} if "weight" in mode else {})
    (table,) = [t for t in FileGraph.from_bytes(content).constants() if t.shape == (500, 16)]
    assert table.dtype == {"int16x8": "int16", "weight-only-int4": "int4"}.get(mode, "int8")
    for kernels in KERNELS:
        error = np.abs(LiteRTModel(content, kernels=kernels).predict(x) - model.predict(x, verbose=0)).max()
        assert error < (0.02 if mode == "weight-only-int4" else 0.005)


def test_a_network_whose_activations_are_all_zero_is_written() -> None:
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(5, activation="relu"), keras.layers.Dense(2)])
    model.layers[0].bias.assign([-100.0] * 5)
    x = np.random.default_rng(0).normal(size=(10, 6)).astype("float32")
    for calibration in ("percentile", "mse", "entropy"):
        assert distance(written(model, x, calibration=calibration), model, x) < 1e-3


@pytest.mark.parametrize(
    ("calibration", "message"),
    [
        (None, "needs calibration data"),
        (np.zeros((4, 8, 9, 1), "float32"), "has shape (4, 8, 9, 1)"),
        (np.zeros((0, 8, 8, 1), "float32"), "has shape (0, 8, 8, 1)"),
        (np.full((4, 8, 8, 1), np.nan, "float32"), "NaN or infinite"),
    ],
)
@pytest.mark.parametrize("settings", [{"mode": "int16x8"}, {"calibration": "mse"}])
def test_calibration_data_that_does_not_fit_is_refused(model: keras.Model, settings, calibration, message) -> None:
    with pytest.raises(DataError) as caught:
        written(model, calibration, **settings)
    assert message in str(caught.value)


def test_activations_that_overflow_are_refused() -> None:
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2), keras.layers.Activation("exponential")])
    model.layers[0].kernel.assign(np.ones((3, 2)))
    x = np.full((4, 3), 1e30, "float32")
    with pytest.raises(ModelError, match="not finite on the calibration data"):
        written(model, x, calibration="mse")


def test_an_operation_without_integer_kernel_is_named_and_can_be_left_in_float() -> None:
    inputs = keras.Input((6,))
    hidden = keras.layers.Dense(5, name="first")(inputs)
    model = keras.Model(inputs, keras.layers.Activation(keras.ops.sin, name="wave")(hidden))
    x = np.random.default_rng(0).normal(size=(20, 6)).astype("float32")
    with pytest.raises(ModelError, match="cannot write the model") as caught:
        written(model, x, mode="int16x8")
    assert "SIN" in (caught.value.where or "")
    content = written(model, x, mode="int16x8", layers={"wave": "float"})
    assert weight_types(content) == ["int8"]
    assert distance(content, model, x) < 0.05


def test_a_pattern_that_fits_no_layer_is_refused(model: keras.Model) -> None:
    with pytest.raises(ModelError, match="no layer fits 'hiden'"):
        plan_layers(model, QuantizeSettings(layers={"hiden": "float"}))


def test_a_layer_that_cannot_have_4_bits_is_refused() -> None:
    model = keras.Sequential(
        [keras.Input((5, 4)), keras.layers.LSTM(6, name="rec"), keras.layers.Dense(2, name="head")]
    )
    with pytest.raises(ModelError, match="LSTM cannot have weights of 4 bits"):
        plan_layers(model, QuantizeSettings(layers={"rec": "int4"}))
    plan = plan_layers(model, QuantizeSettings(layers={"*": "int4"}))
    assert [plan[name].precision for name in ("rec", "head")] == ["int8", "int4"]


def test_a_depthwise_layer_with_16_bit_activations_cannot_have_4_bits(model: keras.Model) -> None:
    with pytest.raises(ModelError, match="takes them for bytes"):
        plan_layers(model, QuantizeSettings(mode="int16x8", layers={"depthwise": "int4"}))
    plan = plan_layers(model, QuantizeSettings(mode="int16x8", layers={"*": "int4"}))
    assert [plan[name].precision for name in ("stem", "depthwise", "hidden")] == ["int4", "int16x8", "int4"]
