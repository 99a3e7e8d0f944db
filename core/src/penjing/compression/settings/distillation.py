"""Settings of `distill`."""

from __future__ import annotations

from pydantic import Field

from penjing.compression.settings.training import TrainingSettings


class TeacherSettings(TrainingSettings):
    """How the teacher is trained."""

    epochs: int = Field(default=30, ge=1, description="passes over the training part")


class DistillSettings(TrainingSettings):
    """Settings of `distill`."""

    temperature: float = Field(default=4.0, gt=0, description="softens the outputs of both models")
    weight: float = Field(default=0.7, gt=0, le=1, description="share of the teacher in the loss")
    epochs: int = Field(default=20, ge=1, description="passes over the training part")
    teacher: TeacherSettings = Field(default_factory=TeacherSettings, description="how the teacher is trained")
