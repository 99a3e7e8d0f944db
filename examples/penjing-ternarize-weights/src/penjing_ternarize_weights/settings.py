"""The settings of a step. No TensorFlow here: a mistyped recipe is refused in a second."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class Settings(BaseModel):
    """What a recipe may say of the step."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    threshold: float = Field(
        default=0.7, gt=0, lt=3, description="weights below this multiple of their channel's mean magnitude become zero"
    )
    first_and_last: bool = Field(
        default=False, description="also the first and the last layer with weights, which bear it worst"
    )
    protect: tuple[str, ...] = Field(default=(), description="names of layers to leave alone, as patterns: 'stem*'")
