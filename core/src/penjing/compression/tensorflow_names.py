"""Functions of `tf.nn` as activations: a saved model knows some of them by names that Keras does not read."""

from __future__ import annotations

from typing import Any

import keras

NAMES = {"softmax_v2": "softmax", "log_softmax_v2": "log_softmax"}
"""Names that functions have inside TensorFlow, and those of Keras' functions that compute the same. The others have the
same name in both."""


def known_names() -> Any:
    """A context in which Keras reads configurations that name functions of `tf.nn`, as Keras' own."""
    return keras.saving.custom_object_scope({name: getattr(keras.activations, own) for name, own in NAMES.items()})


def is_of_tensorflow(function: Any) -> bool:
    """Whether a function is one of TensorFlow's."""
    return str(getattr(function, "__module__", "")).partition(".")[0] == "tensorflow"
