"""The technique `quantize`: numbers of fewer bits, without training.

- int8: weights symmetric per channel, activations affine per tensor, int8 inputs and outputs. Source: Jacob et al.
  2018, "Quantization and training of neural networks for efficient integer-arithmetic-only inference".
- dynamic: weights int8, activations float32; the runtime quantizes activations as it goes.
- float16: weights float16, arithmetic float32.

The conversion itself happens when the file is written, with the settings that this step decides.
"""

from __future__ import annotations

from typing import Any

import keras

from penjing.compression.settings.quantization import QuantizeSettings
from penjing.contract import ExportSettings, LayerChange, Preview, StepContext, StepOutcome
from penjing.errors import DataError


def apply(context: StepContext, settings: QuantizeSettings) -> StepOutcome:
    """Decide how the file is written; the pipeline writes, checks and evaluates it."""
    if settings.mode == "int8":
        available = len(context.train)
        if available == 0:
            raise DataError(
                "int8 needs training examples to set the ranges of activations",
                why="the training part is empty",
                hint="give x_train, or choose mode = 'dynamic'",
            )
        examples = min(settings.calibration_examples, available)
        summary = f"int8, ranges from {examples:,} training examples"
    else:
        examples = 0
        summary = {
            "dynamic": "int8 weights, float32 activations",
            "float16": "float16 weights",
        }[settings.mode]
    return StepOutcome(
        model=context.model,
        summary=summary,
        export=ExportSettings(mode=settings.mode, calibration_examples=examples, seed=context.seed),
    )


def explain(model: keras.Model, settings: QuantizeSettings) -> list[LayerChange]:
    """Which layers' weights become small, by the mode."""
    from penjing.compression.model_tree import walk_layers

    bits = {"int8": "int8 weights and activations", "dynamic": "int8 weights", "float16": "float16"}
    return [
        LayerChange(layer=path, change=f"{bits[settings.mode]} ({layer.count_params():,} parameters)")
        for path, layer in walk_layers(model)
        if layer.weights
    ]


def preview(model: keras.Model, settings: QuantizeSettings) -> Preview:
    """The model as it is, and the form of its file."""
    return Preview(model=model, export=ExportSettings(mode=settings.mode))


def search_space() -> dict[str, list[Any]]:
    """Settings worth trying."""
    return {"mode": ["int8", "dynamic", "float16"]}
