"""Settings of every technique of the engine, and of any training.

They stand apart from the techniques so that a recipe is checked at once, without importing TensorFlow.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class TrainingSettings(BaseModel):
    """How a model is trained. The `[reference]` table of a recipe and every step that trains have these keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    epochs: int = Field(default=20, ge=0, description="passes over the training part")
    min_updates: int = Field(
        default=0,
        ge=0,
        description="each epoch takes several passes until there are this many updates: for few examples",
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


class TeacherSettings(TrainingSettings):
    """How the teacher is trained."""

    epochs: int = Field(default=30, ge=1, description="passes over the training part")


class DistillSettings(TrainingSettings):
    """Settings of `distill`."""

    temperature: float = Field(default=4.0, gt=0, description="softens the outputs of both models")
    weight: float = Field(default=0.7, gt=0, le=1, description="share of the teacher in the loss")
    epochs: int = Field(default=20, ge=1, description="passes over the training part")
    teacher: TeacherSettings = Field(default_factory=TeacherSettings, description="how the teacher is trained")


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


class QuantizeSettings(BaseModel):
    """Settings of `quantize`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    mode: Literal["int8", "dynamic", "float16"] = Field(default="int8", description="what becomes small")
    calibration_examples: int = Field(
        default=300, ge=1, description="training examples that set the ranges of activations (int8)"
    )
