"""Open a user's Keras model: .keras, and .h5 files of Keras 2."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from penjing.errors import ModelError, reason_of
from penjing.heavy import import_tensorflow
from penjing.runner.takeover import taken_over


def open_model(path: Path) -> Any:
    """Read a model file, without running code that it may bring.

    Raises:
        ModelError: The file is missing, damaged, of an unknown kind, needs a class that Keras does not know, or holds a
            model without symbolic inputs or with values that are not finite.
    """
    if not path.exists():
        raise ModelError("there is no such file", where=str(path))
    if path.suffix not in (".keras", ".h5", ".hdf5"):
        raise ModelError(
            f"'{path.suffix or path.name}' is no kind of model file that penjing opens",
            where=str(path),
            hint="save the model as .keras: model.save('model.keras')",
        )
    import keras

    from penjing.compression.tensorflow_names import known_names

    try:
        with known_names():
            if path.suffix == ".keras":
                model = keras.models.load_model(path, compile=False, safe_mode=True)
            else:
                model = _open_h5(path)
    except ModelError:
        raise
    except Exception as error:
        raise ModelError(
            "the model cannot be opened",
            where=str(path),
            why=" ".join(reason_of(error).split())[:400],
            hint="with custom layers, call penjing.compress from Python after registering them with "
            "keras.saving.register_keras_serializable",
        ) from error
    return _checked(model)


def usable_model(given: Any) -> Any:
    """A trained model with one output, from an object or a file; TensorFlow is started with its threads in order.

    Raises:
        ModelError: The file cannot be opened, or the model cannot be traced, has several outputs or values that are
            not finite.
    """
    import_tensorflow()
    from penjing.compression.determinism import fix_thread_order

    fix_thread_order()  # before the model is opened, which starts TensorFlow
    from penjing.compression.losses import output_kind

    model = open_model(Path(given)) if isinstance(given, (str, Path)) else _checked(given)
    output_kind(model)  # refuses a model with several outputs
    return _with_plain_output(model)


def _checked(model: Any) -> Any:
    """The model taken over, if the engine can look into it and its weights are finite: on NaN the converter ends the
    whole process."""
    from penjing.compression.model_tree import check_finite, check_traceable

    check_traceable(model)
    model = taken_over(model)
    check_finite(model)
    return model


def with_fixed_shapes(model: Any, x: Any) -> Any:
    """The model with the sizes of the data where its inputs leave them open (images of any size, sequences of any
    length): a file for a device has fixed ones. The model itself where nothing is open, or what is given does not fit.

    Args:
        model: A Keras model.
        x: Inputs as in `Split.x`, all of one size.
    """
    import keras

    from penjing.compression.structure.replacement import is_open
    from penjing.export.litert import input_names

    names = input_names(model)
    arrays = x if isinstance(x, dict) else dict.fromkeys(names, x)
    if not is_open(model) or all(None not in tensor.shape[1:] for tensor in model.inputs) or set(arrays) != set(names):
        return model
    inputs = []
    for name, tensor in zip(names, model.inputs, strict=True):
        given = arrays[name].shape[1:]
        if len(given) != len(tensor.shape) - 1:
            return model
        sizes = [real if size is None else size for size, real in zip(tensor.shape[1:], given, strict=True)]
        inputs.append(keras.Input(sizes, dtype=tensor.dtype, name=tensor.name))
    structure = inputs[0]
    if not isinstance(model, keras.Sequential):
        structure = keras.tree.pack_sequence_as(model._inputs_struct, inputs)
    fixed = keras.models.clone_model(model, input_tensors=structure)
    fixed.set_weights(model.get_weights())
    return fixed


def _with_plain_output(model: Any) -> Any:
    """The same layers, with the one output by itself: a model may give it within a dict or a list."""
    import keras

    if type(model).__name__ != "Functional" or not isinstance(model.output, (dict, list, tuple)):
        return model
    return keras.Model(model.input, model.outputs[0], name=model.name)


def check_saveable(model: Any) -> None:
    """Refuse functions that a file cannot name, a Lambda's or an activation: a run saves the model after every step and
    goes on with what it reads.

    Raises:
        ModelError: Names the layer.
    """
    import keras

    for layer in model._flatten_layers(include_self=False):
        if isinstance(layer, keras.layers.Lambda) and getattr(layer.function, "__name__", "") == "<lambda>":
            raise ModelError(
                "a Lambda layer holds a Python lambda",
                where=f"layer '{layer.name}'",
                why="the model is saved and read again after every step, and code is not read from files",
                hint="use operations of keras.ops or layers in its place, or give it a function with a name, under "
                "@keras.saving.register_keras_serializable()",
            )
        _check_activation(layer)


def _check_activation(layer: Any) -> None:
    import keras

    function = getattr(layer, "activation", None)
    if not callable(function) or isinstance(function, keras.layers.Layer):
        return
    try:
        keras.activations.deserialize(keras.activations.serialize(function))
    except Exception as error:
        raise ModelError(
            f"the activation {getattr(function, '__name__', function)} cannot be read from a file",
            where=f"layer '{layer.name}'",
            why="the model is saved and read again after every step, and no function is registered under this name",
            hint="put @keras.saving.register_keras_serializable() before it, or take a function of keras.activations",
        ) from error


def _open_h5(path: Path) -> Any:
    """Keras 2 wrote settings that Keras 3 refuses, such as `groups: 1` of a DepthwiseConv2D; they are left out where
    they say nothing."""
    import h5py
    import keras

    with tempfile.TemporaryDirectory() as folder:
        # Keras reads the configuration from the file, so a copy with a cleaned one is what it gets.
        copy = Path(folder) / "model.h5"
        shutil.copyfile(path, copy)
        with h5py.File(copy, "r+") as file:
            config = file.attrs.get("model_config")
            if config is None:
                raise ModelError(
                    "the file holds weights without a model",
                    where=str(path),
                    hint="save the whole model: model.save('model.h5')",
                )
            text = config.decode() if isinstance(config, bytes) else str(config)
            file.attrs["model_config"] = json.dumps(_without_empty_settings(json.loads(text)))
        return keras.models.load_model(copy, compile=False)


def _without_empty_settings(node: Any) -> Any:
    if isinstance(node, list):
        return [_without_empty_settings(item) for item in node]
    if not isinstance(node, dict):
        return node
    cleaned = {key: _without_empty_settings(value) for key, value in node.items()}
    inner = cleaned.get("config")
    depthwise = str(cleaned.get("class_name", "")).startswith("DepthwiseConv")
    if depthwise and isinstance(inner, dict) and inner.get("groups") == 1:
        inner.pop("groups")
    return cleaned
