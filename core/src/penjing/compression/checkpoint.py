"""Files of a run folder: arrays and models, written whole or not at all, read without pickle."""

from __future__ import annotations

import io
import json
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import keras
import numpy as np

from penjing.bundle.atomic import write_bytes_atomically
from penjing.compression.tensorflow_names import known_names
from penjing.errors import ModelError, RunFolderError, reason_of


def pack_arrays(arrays: Mapping[str, np.ndarray]) -> bytes:
    """Arrays as the bytes of an .npz file."""
    buffer = io.BytesIO()
    np.savez(buffer, **dict(arrays))  # type: ignore[arg-type]
    return buffer.getvalue()


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Arrays of an .npz file.

    Raises:
        RunFolderError: The file is damaged or holds pickled objects.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (OSError, ValueError, zipfile.BadZipFile, EOFError) as error:
        raise RunFolderError(
            "a checkpoint cannot be read",
            where=str(path),
            why=str(error),
            hint="delete the file and run again with --resume; the step is then repeated",
        ) from error


def save_model(model: keras.Model, path: Path) -> None:
    """Write a model as .keras, whole or not at all.

    Raises:
        ModelError: Keras cannot save the model, for instance because a layer has no `get_config`.
    """
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder) / "model.keras"
        try:
            model.save(scratch)
        except Exception as error:
            raise ModelError(
                f"the model '{model.name}' cannot be saved",
                why=reason_of(error),
                hint="give custom layers a get_config and register them with keras.saving.register_keras_serializable",
            ) from error
        # With the date that the format begins at, so that equal models have equal bytes here.
        with zipfile.ZipFile(scratch, "a") as archive:
            archive.writestr(zipfile.ZipInfo(_NAMES), json.dumps([layer.name for layer in _all_layers(model)]))
        content = scratch.read_bytes()
    write_bytes_atomically(path, content)


_NAMES = "penjing_layer_names.json"
"""Part of a .keras file that penjing writes. Layers that a model with a class of its own makes without a name are
numbered anew each time that it is read; promises, patterns and reports speak of them by the names that they had."""


def _all_layers(model: keras.Model) -> list[keras.layers.Layer]:
    return list(model._flatten_layers(include_self=False))


def _give_names(model: keras.Model, path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        if _NAMES not in archive.namelist():
            return
        names = json.loads(archive.read(_NAMES))
    layers = _all_layers(model)
    if len(layers) != len(names):  # a class that makes other layers than it did; nothing is known of their names
        return
    for layer, name in zip(layers, names, strict=True):
        if layer.name != name:
            layer.name = name


def load_model(path: Path) -> keras.Model:
    """Read a .keras file that penjing wrote; its layers have the names that they had when it was written.

    Raises:
        ModelError: The file is damaged or needs a class that is not registered.
    """
    from penjing.compression.quantization import rebuild  # noqa: F401  registers the layers that simulate quantization

    try:
        with known_names():
            model = keras.models.load_model(path, compile=False)
        _give_names(model, path)
        return model
    except Exception as error:
        raise ModelError(
            "the model cannot be loaded",
            where=str(path),
            why=reason_of(error),
            hint="register custom layers and functions with keras.saving.register_keras_serializable before the run",
        ) from error
