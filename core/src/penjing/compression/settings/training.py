"""How a model is trained: the keys of `[reference]` and of every step that trains."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class TrainingSettings(BaseModel):
    """How a model is trained. The `[reference]` table of a recipe and every step that trains have these keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    epochs: int = Field(default=20, ge=0, description="passes over the training part")
    min_updates: int = Field(
        default=0,
        ge=0,
        description="each epoch takes several passes until there are this many updates: for few examples",
    )
    max_updates: int = Field(
        default=0,
        ge=0,
        description="each epoch draws some of the examples, so that there are no more updates than this in all: for "
        "many examples (0: all of them)",
    )
    batch_size: int = Field(default=64, ge=1, description="examples per update")
    optimizer: Literal["adamw", "adam", "sgd"] = Field(default="adamw", description="sgd is with Nesterov momentum 0.9")
    learning_rate: float = Field(default=1e-3, gt=0, description="the highest of the schedule")
    schedule: Literal["cosine", "constant"] = Field(
        default="cosine", description="cosine decay to zero over all updates, or constant"
    )
    warmup_epochs: float = Field(default=0.0, ge=0, description="linear rise from zero, in epochs")
    weight_decay: float = Field(default=1e-4, ge=0, description="decoupled, of kernels only (adamw and sgd)")
    label_smoothing: float = Field(default=0.0, ge=0, lt=1, description="classification only")
    class_weight: Literal["none", "balanced"] = Field(
        default="none", description="balanced weighs each class by the inverse of its share"
    )
    clip_norm: float | None = Field(default=None, gt=0, description="limit of the gradient's norm")
    keep: Literal["last", "best"] = Field(
        default="last",
        description="weights of the last epoch, or of the best on the validation part",
    )
    augment: bool = Field(default=True, description="use the domain's augmentation, if it has one")


class FinetuneSettings(TrainingSettings):
    """Settings of the step `finetune`: those of any training."""

    epochs: int = Field(default=5, ge=1, description="passes over the training part")
    learning_rate: float = Field(default=3e-4, gt=0, description="the highest of the schedule")
