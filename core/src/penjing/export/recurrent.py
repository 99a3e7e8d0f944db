"""Recurrent layers, unrolled: the converter's calibration ends the process on a loop, and integer kernels want none."""

from __future__ import annotations

from typing import Any

_RECURRENT = ("LSTM", "GRU", "SimpleRNN", "RNN")


def unrolled(model: Any) -> Any:
    """The same network with every time step of its recurrent layers written out; the model itself where it has none.

    The file grows with the number of steps, which must be given in the input's shape.
    """
    if not holds_recurrent(model):
        return model
    import keras

    config = _with_unrolled(model.get_config())
    copy = type(model).from_config(config) if not isinstance(model, keras.Sequential) else None
    if copy is None:
        copy = keras.Sequential.from_config(config)
        if not copy.built:
            copy.build(model.input_shape)
    copy.set_weights(model.get_weights())
    return copy


def holds_recurrent(model: Any) -> bool:
    """Whether a recurrent layer is in the model, or in a model or layer within it."""
    return _any_recurrent(model.get_config())


def _any_recurrent(node: Any) -> bool:
    if isinstance(node, dict):
        return node.get("class_name") in _RECURRENT or any(_any_recurrent(value) for value in node.values())
    return isinstance(node, (list, tuple)) and any(_any_recurrent(value) for value in node)


def _with_unrolled(node: Any) -> Any:
    if isinstance(node, (list, tuple)):
        return type(node)(_with_unrolled(value) for value in node)
    if not isinstance(node, dict):
        return node
    changed = {key: _with_unrolled(value) for key, value in node.items()}
    if changed.get("class_name") in _RECURRENT and isinstance(changed.get("config"), dict):
        changed["config"] = {**changed["config"], "unroll": True}
    return changed
