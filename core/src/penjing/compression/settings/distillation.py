"""Settings of `distill`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from penjing.compression.settings.training import TrainingSettings

MOST_TRIPLETS = 256
"""Examples per batch up to which all angles are computed: 256^3 of them are 64 MiB."""

LayerPair = tuple[str, str]
"""(pattern of the student's layer, pattern of the teacher's layer)."""


class _LossSettings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    weight: float = Field(default=1.0, gt=0, description="factor of this loss among the teacher's losses")


class OutputLossSettings(_LossSettings):
    """Compare the outputs: softened classes, values, or scores of candidates, by the task."""

    kind: Literal["outputs"] = Field(default="outputs", description="compare the outputs of both models")
    temperature: float | None = Field(
        default=None, gt=0, description="softens the outputs of both models; none takes the step's temperature"
    )
    distance: Literal["squared", "huber"] = Field(
        default="squared", description="how values are compared (regression, forecast)"
    )
    delta: float = Field(
        default=1.0, gt=0, description="where huber turns from squared to linear, in the target's unit"
    )
    comparison: Literal["listwise", "pairwise"] = Field(
        default="listwise", description="ranking: the candidates' scores as one distribution, or two by two"
    )
    candidates: int | None = Field(
        default=None, ge=2, description="ranking: only so many of the teacher's best candidates count; none takes all"
    )


class DecoupledLossSettings(_LossSettings):
    """Compare the outputs, target class and the other classes apart (classification)."""

    kind: Literal["decoupled"] = Field(description="the outputs, target class and other classes apart")
    temperature: float | None = Field(default=None, gt=0, description="none takes the step's temperature")
    alpha: float = Field(default=1.0, ge=0, description="factor of the target class's part")
    beta: float = Field(default=8.0, ge=0, description="factor of the other classes' part")


class _FeatureLossSettings(_LossSettings):
    layers: tuple[LayerPair, ...] = Field(
        default=(),
        description="pairs of patterns, [student's layer, teacher's layer]; none takes the last feature maps",
    )


class HintLossSettings(_FeatureLossSettings):
    """Compare feature maps, through a learned projection where the widths differ."""

    kind: Literal["hints"] = Field(description="compare feature maps")


class AttentionLossSettings(_FeatureLossSettings):
    """Compare where feature maps are large, whatever their widths and sizes."""

    kind: Literal["attention"] = Field(description="compare maps of where the features are large")


class RelationLossSettings(_FeatureLossSettings):
    """Compare distances and angles between the examples of a batch, whatever widths and sizes."""

    kind: Literal["relations"] = Field(description="compare distances and angles between examples")
    distance: float = Field(default=1.0, ge=0, description="factor of the distances of pairs")
    angle: float = Field(default=2.0, ge=0, description="factor of the angles of triplets")

    @model_validator(mode="after")
    def _something(self) -> RelationLossSettings:
        if self.distance == 0 and self.angle == 0:
            raise ValueError("distance and angle are both 0, so there is nothing to compare")
        return self


DistillationLossSettings = Annotated[
    OutputLossSettings | DecoupledLossSettings | HintLossSettings | AttentionLossSettings | RelationLossSettings,
    Field(discriminator="kind"),
]


class TeacherSettings(TrainingSettings):
    """Who teaches, and how a teacher that has to be trained is trained."""

    epochs: int = Field(default=30, ge=1, description="passes over the training part")
    source: Literal["domain", "reference", "estimator"] = Field(
        default="domain",
        description="domain: the model that was given, else the domain's teacher; reference: the model before "
        "compression; estimator: a scikit-learn estimator, by out-of-fold predictions",
    )
    augment_options: Mapping[str, Any] = Field(
        default_factory=dict,
        description="options of the domain's augmentation for the teacher's own training, over those of [augment]",
    )
    members: int = Field(default=1, ge=1, le=20, description="teachers of different seeds, whose outputs are averaged")
    estimator: str | None = Field(
        default=None,
        description="class name of a scikit-learn classifier or regressor; none takes extremely randomized trees",
    )
    parameters: Mapping[str, Any] = Field(default_factory=dict, description="arguments of the estimator")
    folds: int = Field(default=5, ge=2, description="parts of the out-of-fold predictions")

    @model_validator(mode="after")
    def _fitting(self) -> TeacherSettings:
        if self.source == "reference" and self.members > 1:
            raise ValueError("there is one reference only, so members must be 1")
        if self.augment_options and (self.source != "domain" or not self.augment):
            raise ValueError("augment_options are for a domain's teacher that is trained on augmented inputs")
        return self


class DistillSettings(TrainingSettings):
    """Settings of `distill`."""

    temperature: float = Field(default=4.0, gt=0, description="softens the outputs of both models")
    weight: float = Field(default=0.7, gt=0, le=1, description="share of the teacher in the loss")
    losses: tuple[DistillationLossSettings, ...] = Field(
        default=(OutputLossSettings(),), min_length=1, description="what is learned from the teacher"
    )
    epochs: int = Field(default=20, ge=1, description="passes over the training part")
    student: Literal["model", "width"] = Field(
        default="model", description="model: as the last step left it; width: a narrower copy, trained from scratch"
    )
    width_multiplier: float = Field(
        default=0.5, gt=0, lt=1, description="share of filters and units that a narrower copy has"
    )
    teacher: TeacherSettings = Field(default_factory=TeacherSettings, description="who teaches, and its training")

    @model_validator(mode="after")
    def _fitting(self) -> DistillSettings:
        kinds = [loss.kind for loss in self.losses]
        if len(set(kinds)) != len(kinds):
            raise ValueError("each kind of loss may stand once; give it several pairs of layers instead")
        features = [kind for kind in kinds if kind in ("hints", "attention", "relations")]
        if features and self.teacher.source == "estimator":
            raise ValueError(f"a scikit-learn estimator has no layers, so it cannot teach {' and '.join(features)}")
        if features and self.teacher.members > 1:
            raise ValueError(
                f"layers of several teachers cannot be averaged, so {' and '.join(features)} needs members = 1"
            )
        triplets = any(loss.kind == "relations" and loss.angle > 0 for loss in self.losses)
        if triplets and self.batch_size > MOST_TRIPLETS:
            raise ValueError(
                f"a batch_size above {MOST_TRIPLETS} makes too many triplets for relations: lower it, or set angle = 0"
            )
        return self
