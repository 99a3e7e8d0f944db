"""Settings of `prune-weights`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from penjing.compression.settings.training import TrainingSettings


class PruneWeightsSettings(TrainingSettings):
    """Settings of `prune-weights`."""

    sparsity: float = Field(default=0.5, gt=0, lt=1, description="share of the weights that become zero")
    scope: Literal["global", "layer"] = Field(
        default="global",
        description="one threshold for all layers, or the same share of every layer",
    )
    schedule_shape: Literal["polynomial", "one-shot"] = Field(
        default="polynomial", description="grow the sparsity during training, or all at the start"
    )
    initial_sparsity: float = Field(default=0.0, ge=0, lt=1, description="at the schedule's begin")
    begin: float = Field(default=0.0, ge=0, lt=1, description="share of the training, 0 to 1")
    end: float = Field(default=0.7, gt=0, le=1, description="share of the training, 0 to 1")
    frequency: int = Field(default=20, ge=1, description="updates between two changes of the mask")
    exclude: tuple[str, ...] = Field(default=(), description="patterns of layers to leave alone")
    epochs: int = Field(default=10, ge=0, description="passes over the training part")
    learning_rate: float = Field(default=5e-4, gt=0, description="the highest of the schedule")

    @model_validator(mode="after")
    def _ordered(self) -> PruneWeightsSettings:
        if self.begin >= self.end:
            raise ValueError("begin must be before end")
        if self.initial_sparsity > self.sparsity:
            raise ValueError("initial_sparsity must not exceed sparsity")
        return self
