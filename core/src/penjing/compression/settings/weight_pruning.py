"""Settings of `prune-weights`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from penjing.compression.settings.training import TrainingSettings


class PruneWeightsSettings(TrainingSettings):
    """Settings of `prune-weights`."""

    sparsity: float = Field(default=0.5, gt=0, lt=1, description="share of the weights that become zero")
    scope: Literal["global", "layer"] = Field(
        default="global",
        description="one threshold for all layers, or the same share of every layer",
    )
    layer_sparsity: dict[str, Annotated[float, Field(ge=0, lt=1)]] = Field(
        default_factory=dict,
        description="shares of their own for the layers that fit a pattern; the first that fits counts",
    )
    targets: Literal["scope", "sensitivity"] = Field(
        default="scope",
        description="sensitivity: shares of the layers such that each costs the same by the sensitivity analysis",
    )
    sensitivity_examples: int = Field(
        default=2000, ge=1, description="validation examples that the sensitivity analysis looks at, at most"
    )
    criterion: Literal["magnitude", "movement", "taylor"] = Field(
        default="magnitude",
        description="which weights go: the smallest, those that training moves to zero, or those the loss needs least",
    )
    score_batches: int = Field(
        default=16, ge=1, description="training batches for the first scores of 'taylor', where it starts at once"
    )
    n_m: str | None = Field(
        default=None,
        pattern=r"^[1-9]\d*:[1-9]\d*$",
        description='"2:4": of every 4 neighbours along the input axis at most 2 stay; decides the sparsity',
    )
    block: tuple[int, int] | None = Field(
        default=None, description="[inputs, outputs] of blocks that become zero as a whole"
    )
    schedule_shape: Literal["polynomial", "constant", "iterative", "one-shot"] = Field(
        default="polynomial",
        description="how the sparsity grows: along a curve, to its full height at the begin, in rounds, or all at "
        "the start with a mask that never changes",
    )
    initial_sparsity: float = Field(default=0.0, ge=0, lt=1, description="at the begin of the polynomial schedule")
    begin: float = Field(default=0.0, ge=0, lt=1, description="share of the training, 0 to 1")
    end: float = Field(default=0.7, gt=0, le=1, description="share of the training, 0 to 1; masks rest from there on")
    rounds: int = Field(default=4, ge=1, description="of the iterative schedule; each takes the same share of the rest")
    frequency: int = Field(default=20, ge=1, description="updates between two changes of the mask")
    exclude: tuple[str, ...] = Field(default=(), description="patterns of layers to leave alone")
    epochs: int = Field(default=10, ge=0, description="passes over the training part")
    learning_rate: float = Field(default=5e-4, gt=0, description="the highest of the schedule")

    @property
    def kept_of_group(self) -> tuple[int, int] | None:
        """(N, M) of `n_m`."""
        if self.n_m is None:
            return None
        kept, group = self.n_m.split(":")
        return int(kept), int(group)

    @model_validator(mode="after")
    def _ordered(self) -> PruneWeightsSettings:
        if self.begin >= self.end:
            raise ValueError("begin must be before end")
        if self.initial_sparsity > self.sparsity:
            raise ValueError("initial_sparsity must not exceed sparsity")
        return self

    @model_validator(mode="after")
    def _one_structure(self) -> PruneWeightsSettings:
        if self.block is not None and min(self.block) < 1:
            raise ValueError("block must be two numbers of at least 1: [inputs, outputs]")
        if self.kept_of_group is None:
            return self
        kept, group = self.kept_of_group
        if kept >= group:
            raise ValueError(f"n_m = '{self.n_m}' makes nothing zero; N must be less than M")
        if self.block is not None:
            raise ValueError("n_m and block exclude each other")
        if "sparsity" in self.model_fields_set:
            raise ValueError(f"n_m = '{self.n_m}' decides the sparsity; leave 'sparsity' out")
        if self.layer_sparsity or self.targets != "scope":
            raise ValueError("n_m gives every layer the same share; use 'exclude' to leave layers alone")
        return self

    @model_validator(mode="after")
    def _shares_from_one_place(self) -> PruneWeightsSettings:
        if self.targets == "sensitivity" and "scope" in self.model_fields_set:
            raise ValueError("targets = 'sensitivity' gives every layer a share of its own; leave 'scope' out")
        return self

    @model_validator(mode="after")
    def _scores_exist_when_needed(self) -> PruneWeightsSettings:
        if self.criterion != "magnitude" and self.epochs == 0:
            raise ValueError(f"criterion = '{self.criterion}' needs training: epochs must be at least 1")
        if self.criterion == "movement":
            if self.schedule_shape == "one-shot" or (self.schedule_shape != "polynomial" and self.begin == 0):
                raise ValueError(
                    "criterion = 'movement' needs training before the first weight goes: "
                    "schedule_shape = 'polynomial', or begin above 0"
                )
            if self.initial_sparsity > 0 and self.begin == 0:
                raise ValueError("criterion = 'movement' with initial_sparsity needs begin above 0")
        if self.keep == "best" and self.schedule_shape != "one-shot" and self.epochs > 0:
            raise ValueError(
                "keep = 'best' could take the weights of an epoch that was not pruned yet; "
                "use schedule_shape = 'one-shot', or a 'finetune' step behind this one"
            )
        return self
