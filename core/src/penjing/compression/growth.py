"""A step whose file comes out larger than the one before it: whose can, how it is known, what is said."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import keras

from penjing.compression.model_tree import count_parameters
from penjing.compression.plan import PlannedStep
from penjing.contract import ExportSettings
from penjing.errors import CheckFailedError
from penjing.export.lstm_tracing import fused_layers
from penjing.export.quantizer import INTEGER_MODES
from penjing.export.recurrent import holds_recurrent
from penjing.export.trial import file_cost

FEW_PARAMETERS = 4_096
"""Up to here, scales and zero points can weigh more than the bytes that smaller weights save: a channel of a depthwise
convolution has no more weights than they take."""
LEAST_STEP_BYTES = 300
"""A time step of the simplest recurrent layer, written out in integers, takes more."""


def may_grow(model: keras.Model) -> bool:
    """Whether integers can make a model's file larger: with recurrent layers, or hardly any weights."""
    return holds_recurrent(model) or count_parameters(model) <= FEW_PARAMETERS


def file_bytes(model: keras.Model, settings: ExportSettings) -> tuple[int, str]:
    """Bytes of a model's file, and an empty text. Or what the time steps of its recurrent layers take at least, and
    'at least', where this outweighs the float file already: hundreds of steps take minutes to write.

    Raises:
        ModelError: The converter cannot write the model in this form.
    """
    if settings.mode in INTEGER_MODES:
        least = steps_bytes(model, fused=settings.mode == "int8")
        if least > 2 * file_cost(model, ExportSettings()).flash_bytes:
            return least, "at least "
    return file_cost(model, settings).flash_bytes, ""


def steps_bytes(model: keras.Model, *, fused: bool) -> int:
    """What the time steps of all recurrent layers take at least where they are written out in integers.

    Args:
        fused: Whether LSTM layers that one operator can compute are left out.
    """
    return LEAST_STEP_BYTES * _steps_written_out(model, fused_layers(model) if fused else [])


def _steps_written_out(model: keras.Model, fused: Sequence[keras.layers.Layer]) -> int:
    steps = 0
    for layer in model._flatten_layers():
        both = isinstance(layer, keras.layers.Bidirectional)
        if not (both or isinstance(layer, keras.layers.RNN)) or (layer.forward_layer if both else layer) in fused:
            continue
        # A layer within a Bidirectional has no input of its own: it is counted with the two.
        with contextlib.suppress(AttributeError, ValueError):
            steps += (1 + both) * (layer.input.shape[1] or 0)
    return steps


def check_growth(step: PlannedStep, model: keras.Model, mode: str, before: int, after: int, about: str = "") -> None:
    """Compare the bytes of a step's file with those of the file before it.

    Args:
        model: The model before the step.
        mode: How the step has its file written (`ExportSettings.mode`).
        about: Stands before the bytes after: "at least ".

    Raises:
        CheckFailedError: There are more; the hint names what keeps the file small.
    """
    if after <= before:
        return
    name = step.technique.name
    why = "scales and zero points of a tiny model weigh more than the saved weight bytes"
    hint = "leave the step out; the float32 file is the smaller one"
    if mode in (*INTEGER_MODES, "aware") and holds_recurrent(model):
        why = (
            "integer kernels want no loop, so each time step of the recurrent layers is written out, which takes more "
            "bytes than small weights save"
        )
        hint = "take technique = 'quantize' with mode = 'weight-only-int8' or 'dynamic', which keep the loop"
        if name == "quantize":
            hint += f" (--set steps.{step.number}.mode=weight-only-int8)"
        if mode == "aware" and fused_layers(model):
            hint += "; its mode = 'int8' has one operator for an LSTM layer"
    raise CheckFailedError(
        f"'{name}' ({mode}) makes the file larger: {before:,} -> {about}{after:,} bytes",
        where=f"step {step.number}",
        why=why,
        hint=hint,
    )
