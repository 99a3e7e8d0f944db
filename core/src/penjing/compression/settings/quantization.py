"""Settings of `quantize`."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class QuantizeSettings(BaseModel):
    """Settings of `quantize`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    mode: Literal["int8", "dynamic", "float16"] = Field(default="int8", description="what becomes small")
    calibration_examples: int = Field(
        default=300, ge=1, description="training examples that set the ranges of activations (int8)"
    )
