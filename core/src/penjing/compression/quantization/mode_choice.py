"""Which mode a file is written in, where the one that was asked for would only make it larger."""

from __future__ import annotations

import keras

from penjing.compression.growth import file_bytes, may_grow
from penjing.compression.settings.quantization import QuantizeSettings, replacement
from penjing.contract import ExportSettings
from penjing.export.trial import file_cost


def settled(model: keras.Model, settings: QuantizeSettings) -> tuple[QuantizeSettings, str]:
    """The settings that a model is quantized with: as given, or with their `otherwise` for the mode.

    Returns:
        The settings, and why the mode is another one; an empty text where it is not.

    Raises:
        ModelError: The converter cannot write the model.
    """
    other = replacement(settings)
    if other is None or not may_grow(model):
        return settings, ""
    floats = file_cost(model, ExportSettings()).flash_bytes
    integers, about = file_bytes(model, ExportSettings(mode=settings.mode))
    if integers <= floats:
        return settings, ""
    return other, f"{settings.mode} would make the file larger, {floats:,} -> {about}{integers:,} B"
