"""Settings of `factorize`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from penjing.compression.settings.sizes import FileBytes
from penjing.compression.settings.training import TrainingSettings

Target = Literal["energy", "macs", "flash"]


class FactorizeSettings(TrainingSettings):
    """Settings of `factorize`."""

    energy: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="share of the energy that each layer keeps at least; 0.9 if no other target is given",
    )
    macs: float | None = Field(
        default=None, gt=0, description="MACs that may be left: a share below 1, or a number for the whole model"
    )
    macs_scope: Literal["model", "layer"] = Field(
        default="model", description="whether 'macs' speaks of the whole model or of every layer"
    )
    flash: FileBytes | None = Field(default=None, gt=0, description="bytes of the file, as a number or '32KB'")
    flash_format: Literal["float32", "float16", "dynamic", "int8"] = Field(
        default="int8", description="the file that 'flash' speaks of: as a later step writes it"
    )
    method: Literal["best", "svd", "tucker-2"] = Field(
        default="best", description="how convolutions are taken apart; the better of both for each layer, or one"
    )
    energy_of: Literal["weights", "outputs"] = Field(
        default="weights", description="what is kept: squared weights, or squared outputs on training examples"
    )
    examples: int = Field(default=256, ge=1, description="training examples that energy_of = 'outputs' looks at")
    exclude: tuple[str, ...] = Field(default=(), description="patterns of layers to leave alone")
    epochs: int = Field(default=10, ge=0, description="passes over the training part afterwards")
    learning_rate: float = Field(default=5e-4, gt=0, description="the highest of the schedule")

    @model_validator(mode="after")
    def _one_target(self) -> FactorizeSettings:
        given = [name for name in ("energy", "macs", "flash") if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"one target at a time, not {' and '.join(given)}")
        if self.macs is not None and self.macs >= 1 and self.macs_scope == "layer":
            raise ValueError("macs of every layer are a share below 1")
        return self

    @property
    def target(self) -> Target:
        """What decides the ranks."""
        if self.macs is not None:
            return "macs"
        return "flash" if self.flash is not None else "energy"

    @property
    def least_energy(self) -> float:
        """The energy that each layer keeps where energy decides."""
        return 0.9 if self.energy is None else self.energy
