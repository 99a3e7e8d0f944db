"""Settings of `remove-dead`."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

Range = tuple[float, float]


class RemoveDeadSettings(BaseModel):
    """Settings of `remove-dead`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    input_range: Range | dict[str, Range] | None = Field(
        default=None,
        description="[low, high] of every input value, or a table of them by input name; the proof holds for inputs "
        "within it. Default: what training and validation data span, widened by 'widen'",
    )
    widen: float = Field(
        default=0.1,
        ge=0,
        allow_inf_nan=False,
        description="share of the data's span that is added on both sides; without an input_range",
    )
    evidence: Literal["proof", "data"] = Field(
        default="proof",
        description="'data' also removes channels that were constant on all training and validation data: not proven",
    )
    examples: int = Field(
        default=500, ge=1, description="real inputs on which the outputs are compared, and as many random ones"
    )
    max_rounds: int = Field(default=10, ge=1, description="removing may make more channels dead; stop after so many")

    @field_validator("input_range")
    @classmethod
    def _ordered(cls, value: Range | dict[str, Range] | None) -> Range | dict[str, Range] | None:
        for low, high in value.values() if isinstance(value, dict) else [value] if value is not None else []:
            if not (math.isfinite(low) and math.isfinite(high) and low <= high):
                raise ValueError("a range is [low, high], both finite and low not above high")
        return value
