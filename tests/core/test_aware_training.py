"""quantize-aware-training: the file answers what the model answers, on every input, and training lowers the loss."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from penjing.contract import ExportSettings
from penjing.runtime import LiteRTModel

INPUTS = 64


def with_random_norms(model: Any, seed: int = 0) -> Any:
    """BatchNormalization as after a training: folding the identity would prove nothing."""
    import keras

    generator = np.random.default_rng(seed)
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            channels = layer.moving_mean.shape
            layer.moving_mean.assign(generator.normal(0, 0.4, channels))
            layer.moving_variance.assign(generator.uniform(0.3, 2.0, channels))
            layer.gamma.assign(generator.uniform(-1.5, 1.5, channels))
            layer.beta.assign(generator.normal(0, 0.4, channels))
        elif getattr(layer, "bias", None) is not None:
            layer.bias.assign(generator.normal(0, 0.2, layer.bias.shape))
    return model


def quantized(model: Any, n: int = INPUTS, **options: Any) -> tuple[Any, bytes, Any]:
    """The model with simulated quantization, calibrated on random inputs; its file; the inputs."""
    from penjing.compression.quantization.aware_training import calibrate
    from penjing.compression.quantization.rebuild import Rebuilder, Simulation
    from penjing.export.litert import to_litert

    made = Rebuilder(Simulation(**options)).rebuild(with_random_norms(model))
    generator = np.random.default_rng(1)
    arrays = {t.name: generator.normal(size=(n, *t.shape[1:])).astype("float32") for t in model.inputs}
    x = arrays if len(arrays) > 1 else next(iter(arrays.values()))
    calibrate(made, x, n, seed=0)
    return made, to_litert(made, ExportSettings(mode="aware")), x


def steps_apart(made: Any, content: bytes, x: Any) -> np.ndarray:
    """Differences of all outputs in whole steps, from the reference kernels' integers and Keras' real numbers."""
    import keras

    file = LiteRTModel(content, kernels="reference")
    (info,) = file.outputs
    integers = file.predict_raw(x).astype(np.int64)
    ours = (
        np.round(np.asarray(keras.ops.convert_to_numpy(made(x, training=False)), np.float64) / info.scale).astype(
            np.int64
        )
        + info.zero_point
    )
    return np.abs(ours - integers)


def functional(build: Callable[..., Any], *shapes: tuple[int, ...]) -> Any:
    import keras

    inputs = [keras.Input(shape, name=f"in{i}") for i, shape in enumerate(shapes)]
    return keras.Model(inputs if len(inputs) > 1 else inputs[0], build(*inputs))


def ds_cnn() -> Any:
    """A small DS-CNN with a shortcut, as keyword spotting has it."""
    import keras

    layers = keras.layers
    inputs = keras.Input((12, 10, 1))
    x = layers.Conv2D(8, (4, 3), strides=2, padding="same", use_bias=False, name="stem")(inputs)
    x = layers.ReLU(name="stem_relu")(layers.BatchNormalization(name="stem_norm")(x))
    shortcut = x
    x = layers.DepthwiseConv2D(3, padding="same", use_bias=False, name="depthwise")(x)
    x = layers.ReLU(name="depthwise_relu")(layers.BatchNormalization(name="depthwise_norm")(x))
    x = layers.BatchNormalization(name="pointwise_norm")(layers.Conv2D(8, 1, name="pointwise")(x))
    x = layers.ReLU(name="add_relu")(layers.Add(name="add")([x, shortcut]))
    x = layers.Dropout(0.1, name="dropout")(layers.GlobalAveragePooling2D(name="pool")(x))
    return keras.Model(inputs, layers.Dense(5, activation="softmax", name="words")(x), name="ds_cnn")


# ------------------------------------------------------------------------------------- the file equals the simulation


@pytest.mark.parametrize(
    "options",
    [{}, {"ranges": "learned"}, {"weight_bits": 4}, {"weight_bits": 4, "ranges": "learned"}],
    ids=lambda options: ",".join(map(str, options.values())) or "default",
)
def test_a_ds_cnn_answers_the_same_as_its_file(options: dict[str, Any]) -> None:
    made, content, x = quantized(ds_cnn(), n=256, **options)
    # SOFTMAX alone is computed in another way (fixed-point exponentials), and may round to the other side.
    apart = steps_apart(made, content, x)
    assert apart.max() <= 1
    assert np.count_nonzero(apart) <= 0.005 * apart.size


LAYERS = {
    "conv": (lambda k: lambda x: k.Conv2D(8, 3, activation="relu")(x), [(8, 8, 4)]),
    "large-conv": (lambda k: lambda x: k.Conv2D(8, 5, activation="relu6")(x), [(8, 8, 64)]),
    "grouped-conv": (lambda k: lambda x: k.Conv2D(8, 3, groups=2)(x), [(8, 8, 4)]),
    "dilated-conv": (lambda k: lambda x: k.Conv2D(8, 3, dilation_rate=2, padding="same")(x), [(9, 9, 4)]),
    "depthwise": (lambda k: lambda x: k.DepthwiseConv2D(3, depth_multiplier=2, padding="same")(x), [(8, 8, 4)]),
    "separable": (lambda k: lambda x: k.ReLU()(k.BatchNormalization()(k.SeparableConv2D(6, 3)(x))), [(8, 8, 4)]),
    "transposed": (lambda k: lambda x: k.Conv2DTranspose(4, 3, strides=2, padding="same")(x), [(5, 5, 3)]),
    "dense": (lambda k: lambda x: k.BatchNormalization()(k.Dense(9)(x)), [(33,)]),
    "dense-one-unit": (lambda k: lambda x: k.Dense(1)(x), [(33,)]),
    "dense-of-rows": (lambda k: lambda x: k.Dense(5, activation="relu")(x), [(6, 7)]),
    "conv1d": (lambda k: lambda x: k.Conv1D(8, 3, padding="causal", dilation_rate=2)(x), [(20, 3)]),
    "depthwise1d": (lambda k: lambda x: k.SeparableConv1D(8, 3)(k.DepthwiseConv1D(3)(x)), [(20, 3)]),
    "lone-norm": (lambda k: lambda x: k.ReLU()(k.BatchNormalization()(x)), [(7, 6)]),
    "rescaling": (lambda k: lambda x: k.Rescaling(0.5, -1.0)(x), [(6, 6, 3)]),
    "add": (lambda k: lambda a, b, c: k.ReLU()(k.Add()([a, b, c])), [(6, 4), (6, 4), (6, 4)]),
    "subtract": (lambda k: lambda a, b: k.Subtract()([a, b]), [(6, 4), (6, 4)]),
    "gate": (lambda k: lambda a, b: k.Multiply()([a, b]), [(6, 6, 4), (1, 1, 4)]),
    "average": (lambda k: lambda a, b: k.Average()([a, b]), [(6, 4), (6, 4)]),
    "concatenate": (lambda k: lambda a, b: k.Concatenate()([a, k.ReLU()(b)]), [(6, 4), (6, 4)]),
    "maximum": (lambda k: lambda a, b: k.Maximum()([a, k.Minimum()([a, b])]), [(6, 4), (6, 4)]),
    "constants": (lambda k: lambda x: (x + 3.0) * (1 / 6) - 0.5, [(9,)]),
    "pools": (lambda k: lambda x: k.AveragePooling2D(3, 2, padding="same")(k.MaxPooling2D(2, 1)(x)), [(8, 8, 4)]),
    "pools1d": (lambda k: lambda x: k.GlobalAveragePooling1D()(k.AveragePooling1D(2)(x)), [(9, 4)]),
    "moves": (
        lambda k: lambda x: k.Reshape((9, -1))(k.Permute((2, 1, 3))(k.UpSampling2D(3)(k.Cropping2D(1)(x)))),
        [(5, 6, 2)],
    ),
    "pads": (lambda k: lambda x: k.Flatten()(k.MaxPooling2D(2, 2, padding="same")(k.ZeroPadding2D(1)(x))), [(5, 5, 2)]),
    "swish": (lambda k: lambda x: k.Activation("swish")(x), [(40,)]),
    "tanh": (lambda k: lambda x: k.Activation("tanh")(x), [(40,)]),
    "leaky": (lambda k: lambda x: k.LeakyReLU()(x), [(40,)]),
    "hard-sigmoid": (lambda k: lambda x: k.Activation("hard_sigmoid")(x), [(40,)]),
    "gelu": (lambda k: lambda x: k.Dense(4)(k.Activation("gelu")(x)), [(40,)]),
    "layer-norm": (lambda k: lambda x: k.Dense(4)(k.LayerNormalization()(x)), [(40,)]),
}


@pytest.mark.parametrize("name", LAYERS)
def test_every_layer_answers_the_same_as_its_file(name: str) -> None:
    import keras

    build, shapes = LAYERS[name]
    made, content, x = quantized(functional(build(keras.layers), *shapes))
    assert steps_apart(made, content, x).max() == 0
    assert LiteRTModel(content).outputs[0].dtype == "int8"


@pytest.mark.parametrize(
    "name", ["conv", "depthwise", "transposed", "dense", "add", "concatenate", "pools", "lone-norm"]
)
def test_layers_with_16_bit_activations_answer_the_same_as_their_file(name: str) -> None:
    import keras

    build, shapes = LAYERS[name]
    made, content, x = quantized(functional(build(keras.layers), *shapes), activation_bits=16)
    assert steps_apart(made, content, x).max() == 0
    assert LiteRTModel(content).outputs[0].dtype == "int16"
