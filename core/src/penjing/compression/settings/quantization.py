"""Settings of `quantize`."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Mode = Literal["int8", "int16x8", "dynamic", "weight-only-int8", "weight-only-int4", "float16"]
LayerPrecision = Literal["float", "float16", "int16x8", "int8", "int4"]

PRECISIONS_OF: dict[str, tuple[LayerPrecision, ...]] = {
    "int8": ("float", "int16x8", "int8", "int4"),
    "int16x8": ("float", "int16x8", "int8", "int4"),
    "dynamic": ("float", "int8", "int4"),
    "weight-only-int8": ("float", "int8", "int4"),
    "weight-only-int4": ("float", "int8", "int4"),
    "float16": ("float", "float16"),
}
"""What single layers can be in each mode."""

INTEGER_MODES = ("int8", "int16x8")
"""Modes whose activations are integers, with ranges from calibration."""


class QuantizeSettings(BaseModel):
    """Settings of `quantize`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    mode: Mode = Field(default="int8", description="what becomes small: int8, int16x8, dynamic, weight-only-*, float16")
    otherwise: Literal["dynamic", "weight-only-int8", "weight-only-int4", "float16"] | None = Field(
        default=None,
        description="the mode to take where mode (int8, int16x8) would make the file larger, as it can for recurrent "
        "layers; where this saves nothing either, the file stays in float32; none ends the run with an error instead",
    )
    layers: dict[str, LayerPrecision] = Field(
        default_factory=dict,
        description="precision by pattern of layer names, the first that fits; the rest follows the mode",
    )
    calibration_examples: int = Field(
        default=300, ge=1, description="training examples that set the ranges of activations (int8, int16x8)"
    )
    calibration: Literal["min-max", "percentile", "mse", "entropy"] = Field(
        default="min-max", description="how a range is chosen from the values seen"
    )
    percentile: float = Field(
        default=99.99, gt=50, le=100, description="share of the values inside each end of the range, in percent"
    )
    equalize: bool = Field(default=False, description="cross-layer equalization before the conversion")
    replace_relu6: bool = Field(
        default=False, description="equalization makes ReLU6 to ReLU, to act through it; outputs beyond 6 change"
    )
    rounding: Literal["nearest", "adaround", "gptq"] = Field(
        default="nearest",
        description="adaround learns for each weight whether to round up or down; gptq lets each weight take up the "
        "error of those before it",
    )
    rounding_updates: int = Field(default=1000, ge=10, description="updates a layer of adaround")
    bias_correction: bool = Field(
        default=False, description="biases take up the mean error that rounding the weights causes"
    )
    compact_biases: bool = Field(
        default=False,
        description="for microcontrollers: no quantization parameters of biases; XNNPACK is slower then",
    )

    @model_validator(mode="after")
    def _fitting(self) -> QuantizeSettings:
        allowed = PRECISIONS_OF[self.mode]
        for pattern, precision in self.layers.items():
            if precision not in allowed:
                raise ValueError(
                    f"mode {self.mode} has no {precision} layers ('{pattern}'); it has {', '.join(allowed)}"
                )
        if self.compact_biases and self.mode not in INTEGER_MODES:
            raise ValueError(f"compact_biases is about int8 and int16x8 files; biases of {self.mode} are float")
        if self.mode == "float16" and (self.rounding != "nearest" or self.bias_correction or self.equalize):
            raise ValueError("equalize, rounding and bias_correction are about integers, not float16")
        if self.replace_relu6 and not self.equalize:
            raise ValueError("replace_relu6 is a part of equalize, which is off")
        if self.otherwise is not None and self.mode not in INTEGER_MODES:
            raise ValueError(f"otherwise is about int8 and int16x8, which can make a file larger, not {self.mode}")
        replacement(self)  # must be valid, too
        return self


def replacement(settings: QuantizeSettings) -> QuantizeSettings | None:
    """The settings with `otherwise` for their mode; None where there is none."""
    if settings.otherwise is None:
        return None
    changes = {"mode": settings.otherwise, "otherwise": None, "compact_biases": False}
    return QuantizeSettings(**{**settings.model_dump(), **changes})


def conflict(settings: QuantizeSettings, earlier: str) -> str | None:
    """Why preparing the weights so would undo an earlier step; None where it would not."""
    if earlier != "cluster-weights":
        return None
    if settings.rounding != "nearest":
        how = f"rounding = '{settings.rounding}'"
        return f"{how} rounds each weight by itself, so that equal weights get different integers"
    if settings.equalize:
        return "equalize = true multiplies each input channel by a factor of its own, so that equal weights differ"
    return None
