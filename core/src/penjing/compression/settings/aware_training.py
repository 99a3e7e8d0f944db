"""Settings of `quantize-aware-training`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from penjing.compression.settings.training import TrainingSettings


class QuantizeAwareTrainingSettings(TrainingSettings):
    """Settings of `quantize-aware-training`."""

    weight_bits: Literal[8, 4] = Field(default=8, description="weights per channel, symmetric: 8 or 4 bits")
    activation_bits: Literal[8, 16] = Field(
        default=8, description="activations per tensor: 8 bits affine, or 16 bits symmetric"
    )
    ranges: Literal["moving-average", "learned"] = Field(
        default="moving-average",
        description="ranges follow smallest and largest values, or their steps are learned (LSQ), of weights too",
    )
    momentum: float = Field(default=0.99, ge=0, lt=1, description="of the moving average of ranges, per update")
    freeze_after: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="share of the training after which BatchNormalization's statistics and observed ranges stay fixed",
    )
    calibration_examples: int = Field(default=256, ge=1, description="training examples that set the first ranges")
    exclude: tuple[str, ...] = Field(default=(), description="patterns of layers that stay in float32")
    keep_8_bits: tuple[str, ...] = Field(
        default=(), description="patterns of layers whose weights keep 8 bits where weight_bits is 4"
    )
    otherwise: Literal["quantize"] | None = Field(
        default=None,
        description="quantize: where a layer has no form with simulated quantization, or the file would be larger, as "
        "with small recurrent layers, train in float32 and quantize after training; none ends the run with an error",
    )
    epochs: int = Field(default=10, ge=0, description="passes over the training part")
    learning_rate: float = Field(default=5e-4, gt=0, description="the highest of the schedule")
