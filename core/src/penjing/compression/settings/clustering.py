"""Settings of `cluster-weights`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveInt, model_validator

from penjing.compression.settings.training import TrainingSettings


class ClusterWeightsSettings(TrainingSettings):
    """Settings of `cluster-weights`."""

    clusters: int | None = Field(
        default=None,
        ge=2,
        le=4096,
        description="distinct values that are left, zero included; 16 if not given",
    )
    bits: int | None = Field(default=None, ge=1, le=12, description="the same as clusters = 2^bits")
    layers: dict[str, PositiveInt] = Field(
        default_factory=dict, description="another number of clusters for layers that fit a pattern"
    )
    scope: Literal["layer", "channel"] = Field(
        default="layer", description="one codebook for a layer, or one for each of its output channels"
    )
    start: Literal["linear", "density", "k-means++", "optimal"] = Field(
        default="linear", description="where k-means begins, or the optimum of all"
    )
    keep_zeros: Literal["masked", "all"] = Field(
        default="masked",
        description="which zeros stay zero: those that an earlier step promised, or every weight that is zero",
    )
    exclude: tuple[str, ...] = Field(default=(), description="patterns of layers to leave alone")
    epochs: int = Field(default=5, ge=0, description="passes over the training part, to train the shared values")
    learning_rate: float = Field(default=3e-4, gt=0, description="the highest of the schedule")

    @model_validator(mode="after")
    def _one_number(self) -> ClusterWeightsSettings:
        if self.clusters is not None and self.bits is not None:
            raise ValueError("give clusters or bits, not both")
        if any(count < 2 for count in self.layers.values()):
            raise ValueError("a layer needs at least 2 clusters")
        return self

    @property
    def default_clusters(self) -> int:
        """Clusters of a layer that no pattern of `layers` names."""
        if self.bits is not None:
            return int(2**self.bits)
        return self.clusters or 16
