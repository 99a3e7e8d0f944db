"""Files of a run folder: arrays and models, written whole or not at all, read without pickle."""

from __future__ import annotations

import io
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import keras
import numpy as np

from penjing.bundle.atomic import write_bytes_atomically
from penjing.errors import ModelError, RunFolderError


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
                why=f"{type(error).__name__}: {error}",
                hint="give custom layers a get_config and register them with keras.saving.register_keras_serializable",
            ) from error
        content = scratch.read_bytes()
    write_bytes_atomically(path, content)


def load_model(path: Path) -> keras.Model:
    """Read a .keras file that penjing wrote.

    Raises:
        ModelError: The file is damaged or needs a class that is not registered.
    """
    from penjing.compression.quantization import rebuild  # noqa: F401  registers the layers that simulate quantization

    try:
        return keras.models.load_model(path, compile=False)
    except Exception as error:
        raise ModelError(
            "the model cannot be loaded",
            where=str(path),
            why=f"{type(error).__name__}: {error}",
            hint="register custom layers with keras.saving.register_keras_serializable before the run",
        ) from error
