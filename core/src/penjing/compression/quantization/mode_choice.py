"""Which mode a file is written in, where the one that was asked for would only make it larger."""

from __future__ import annotations

from collections.abc import Callable

import keras

from penjing.compression.growth import file_bytes, may_grow
from penjing.compression.settings.quantization import QuantizeSettings, replacement
from penjing.contract import ExportSettings
from penjing.errors import ModelError
from penjing.export.trial import file_cost


def settled(
    model: keras.Model, settings: QuantizeSettings, form: Callable[[QuantizeSettings], ExportSettings]
) -> tuple[QuantizeSettings | None, str]:
    """The settings that a model is quantized with: as given, or with their `otherwise` for the mode.

    Args:
        form: How a file with these settings is written.

    Returns:
        The settings, None where `otherwise` makes nothing smaller either and the file stays in float32; and why the
        mode is another one, an empty text where it is not.

    Raises:
        ModelError: The converter cannot write the model, neither with `mode` nor with `otherwise`.
    """
    other = replacement(settings)
    if other is None or not may_grow(model):
        return settings, ""
    floats = file_cost(model, ExportSettings()).flash_bytes
    try:
        integers, about = file_bytes(model, form(settings))
    except ModelError as error:
        why = error.what
    else:
        if integers <= floats:
            return settings, ""
        why = f"{settings.mode} would make the file larger, {floats:,} -> {about}{integers:,} B"
    others = file_cost(model, form(other)).flash_bytes
    if others < floats:
        return other, why
    return None, f"{why}, and {other.mode} not smaller, {others:,} B"
