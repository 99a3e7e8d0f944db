"""Settings of `prune-channels`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from penjing.compression.settings.sizes import FileBytes
from penjing.compression.settings.training import TrainingSettings

Criterion = Literal["l1", "l2", "batchnorm-scale", "taylor", "apoz", "geometric-median", "lamp", "random"]


class PruneChannelsSettings(TrainingSettings):
    """Settings of `prune-channels`. One of `ratio`, `macs`, `params` and `flash` is the target."""

    ratio: float | None = Field(default=None, gt=0, lt=1, description="share of the channels that goes")
    macs: float | None = Field(
        default=None, gt=0, description="MACs that may be left: a share below 1, or a number (default 0.5)"
    )
    params: float | None = Field(
        default=None, gt=0, description="weights that may be left: a share below 1, or a number"
    )
    flash: FileBytes | None = Field(default=None, gt=0, description="bytes of the file, as a number or '32KB'")
    flash_format: Literal["float32", "int8"] = Field(
        default="int8", description="the file that `flash` speaks of: as quantized later, or float"
    )
    nearest: bool = Field(
        default=False,
        description="where the target cannot be reached, go as near as the other settings allow, not end with an error",
    )
    criterion: Criterion = Field(default="l2", description="what makes a channel important")
    scope: Literal["global", "local", "isomorphic"] = Field(
        default="isomorphic",
        description="rank all channels together, those of each group, or those of groups of the same build",
    )
    round_to: int = Field(default=1, ge=1, description="channels of every layer become a multiple of this")
    min_channels: int = Field(default=2, ge=1, description="no layer gets fewer channels")
    max_ratio: float = Field(default=0.9, gt=0, lt=1, description="no layer loses a larger share of its channels")
    iterations: int = Field(default=1, ge=1, description="prune in so many rounds, with a training after each")
    examples: int = Field(default=512, ge=1, description="training examples that taylor and apoz look at")
    normalization: Literal["exact", "renormalize"] = Field(
        default="exact",
        description="keep channels that LayerNormalization averages over, or let its statistics change",
    )
    protect: tuple[str, ...] = Field(default=(), description="patterns of layers that keep all their channels")
    epochs: int = Field(default=10, ge=0, description="passes over the training part, in each round")
    learning_rate: float = Field(default=1e-3, gt=0, description="the highest of the schedule")

    @model_validator(mode="after")
    def _one_target(self) -> PruneChannelsSettings:
        given = [name for name in ("ratio", "macs", "params", "flash") if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"one target at a time, not {' and '.join(given)}")
        if self.iterations > 1 and self.epochs == 0:
            raise ValueError("several iterations need epochs: without training between they are one")
        return self

    @property
    def target(self) -> Literal["ratio", "macs", "params", "flash"]:
        """Which of the four is the target; MACs where none is given."""
        if self.ratio is not None:
            return "ratio"
        if self.params is not None:
            return "params"
        return "flash" if self.flash is not None else "macs"
