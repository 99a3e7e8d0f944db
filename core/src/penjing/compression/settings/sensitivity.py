"""Settings of the sensitivity analysis."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(gt=0, lt=1)]


class SensitivitySettings(BaseModel):
    """What is tried on each weight matrix. An empty list leaves the kind out."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    bits: tuple[Annotated[int, Field(ge=2, le=16)], ...] = Field(
        default=(8, 4, 2), description="weights rounded to so many bits"
    )
    sparsity: tuple[Share, ...] = Field(
        default=(0.3, 0.5, 0.7, 0.9), description="share of the smallest weights set to zero"
    )
    channels: tuple[Share, ...] = Field(
        default=(0.25, 0.5, 0.75), description="share of the output channels with the smallest l1 norm set to zero"
    )
    examples: int = Field(default=2000, ge=1, description="validation examples, at most; a larger part is sampled")
