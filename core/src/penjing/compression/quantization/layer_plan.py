"""Which layer is written in which precision, and why."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import keras

from penjing.compression.model_tree import check_patterns, matches, walk_layers
from penjing.compression.quantization.channel_grid import ROUNDED_LAYERS, is_depthwise
from penjing.compression.settings.quantization import INTEGER_MODES, QuantizeSettings
from penjing.errors import ModelError
from penjing.export.weights import pays_off

_USUAL = {
    "int8": "int8",
    "int16x8": "int16x8",
    "dynamic": "int8",
    "weight-only-int8": "int8",
    "weight-only-int4": "int4",
    "float16": "float16",
}
_BITS = {"int4": 4, "int8": 8, "int16x8": 8}


@dataclass(frozen=True, kw_only=True)
class LayerPlan:
    """One layer's precision."""

    layer: Any
    precision: str
    """'float', 'float16', 'int16x8', 'int8' or 'int4'."""
    pattern: str | None
    """What it fits; None where it follows the mode."""
    delicate: bool = False
    """Whether it stays in float32 because it divides by roots of small numbers, which integers cannot tell apart."""
    too_small: bool = False
    """Whether it stays in float32 because its scales would take more bytes than the fewer bits save."""

    @property
    def weight_bits(self) -> int | None:
        """Of an integer kernel; None where it stays in floating point."""
        return _BITS.get(self.precision)


def plan_layers(model: keras.Model, settings: QuantizeSettings) -> dict[str, LayerPlan]:
    """The precision of every layer, by path.

    Raises:
        ModelError: A pattern fits no layer, or asks for 4 bits where no operator has them.
    """
    check_patterns(model, tuple(settings.layers), "layers")
    plan = {}
    for path, layer in walk_layers(model):
        pattern = next((pattern for pattern in settings.layers if matches(path, [pattern])), None)
        precision = settings.layers[pattern] if pattern is not None else _USUAL[settings.mode]
        why = _why_not_int4(layer, settings.mode) if pattern is not None and precision == "int4" else None
        if why is not None:
            if pattern is not None and "*" not in pattern:
                raise ModelError(
                    f"a layer of kind {type(layer).__name__} cannot have weights of 4 bits",
                    where=f"layer '{path}', setting 'layers'",
                    why=why,
                    hint=f"give it '{_USUAL[settings.mode]}' or 'float'",
                )
            precision = "int8" if settings.mode != "int16x8" else "int16x8"
        small = _is_too_small(layer, precision, settings.mode)
        delicate = pattern is None and settings.mode in INTEGER_MODES and is_delicate(layer)
        plan[path] = LayerPlan(
            layer=layer,
            precision="float" if small or delicate else precision,
            pattern=pattern,
            delicate=delicate,
            too_small=small,
        )
    return plan


SAFE_EPSILON = 1e-4
"""Smallest variance beside which integers still do: what LayerNormalization adds before it takes the root."""


def is_delicate(layer: Any) -> bool:
    """Whether a layer divides by the root of a sum of squares that can be next to nothing: on a grid that holds the
    largest of them the small ones are zero, and their reciprocal roots are anything."""
    if type(layer) in (keras.layers.RMSNormalization, keras.layers.UnitNormalization):
        return True
    kinds = (keras.layers.LayerNormalization, keras.layers.GroupNormalization)
    return isinstance(layer, kinds) and layer.epsilon < SAFE_EPSILON


def _why_not_int4(layer: Any, mode: str) -> str | None:
    """Why a layer's weights cannot have 4 bits; None where they can, or where it has none."""
    if layer.weights and not isinstance(layer, (*ROUNDED_LAYERS, keras.layers.Embedding)):
        return "only operators of Dense, Conv, DepthwiseConv and Embedding layers take them"
    if mode == "int16x8" and is_depthwise(layer):
        return "LiteRT's depthwise kernel for 16-bit activations takes them for bytes and answers with wrong numbers"
    return None


def _is_too_small(layer: Any, precision: str, mode: str) -> bool:
    if mode in INTEGER_MODES or precision == "float" or not isinstance(layer, ROUNDED_LAYERS):
        return False
    shape = [int(size) for size in layer.kernel.shape]
    channels = shape[-1] * shape[-2] if is_depthwise(layer) else shape[-1]
    bits = _BITS.get(precision, 16)
    return not pays_off(math.prod(shape), channels, bits, dequantize=mode != "dynamic")


def reason(entry: LayerPlan, settings: QuantizeSettings) -> str:
    """Why a layer has its precision, in words."""
    words = {
        "float": "left in float32",
        "float16": "float16 weights",
        "int16x8": "int8 weights, int16 activations",
        "int8": "int8 weights and activations" if settings.mode in ("int8", "int16x8") else "int8 weights",
        "int4": {"int8": "int4 weights, int8 activations", "int16x8": "int4 weights, int16 activations"}.get(
            settings.mode, "int4 weights"
        ),
    }
    if entry.delicate:
        return "left in float32: roots of small numbers need it (name it under 'layers' to have it otherwise)"
    if entry.too_small:
        return "left in float32: it has too few weights to pay for their scales"
    why = f"fits '{entry.pattern}'" if entry.pattern is not None else f"mode {settings.mode}"
    return f"{words[entry.precision]}: {why}"
